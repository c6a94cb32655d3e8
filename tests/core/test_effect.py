"""Effects are values."""

from __future__ import annotations

from typing import get_args

from zproc.core.effect import Effect, Published
from zproc.typing import Revision


def test_an_effect_is_a_frozen_value() -> None:
    effect = Published(0, Revision(1))
    assert effect == Published(0, Revision(1))
    assert all(kind.__hash__ is not None for kind in get_args(Effect))
    effect.index = 1  # type: ignore[misc]  # an error to mypy, which is the point; see `record`
