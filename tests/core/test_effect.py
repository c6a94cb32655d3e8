"""Effects are values."""

from __future__ import annotations

import dataclasses
from typing import get_args

import pytest

from zproc.core.effect import Effect, Published
from zproc.typing import Revision


def test_an_effect_is_a_frozen_value() -> None:
    effect = Published(0, Revision(1))
    assert effect == Published(0, Revision(1))
    with pytest.raises(dataclasses.FrozenInstanceError):
        effect.index = 1  # type: ignore[misc]
    assert all(kind.__dataclass_params__.frozen for kind in get_args(Effect))
