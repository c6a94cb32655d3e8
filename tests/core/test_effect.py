"""Effects are values."""

from __future__ import annotations

from typing import get_args

from zproc.core.effect import Effect, Published, Send, hurry
from zproc.core.messages import Answered
from zproc.typing import PeerId, RequestId, Revision


def test_an_effect_is_a_frozen_value() -> None:
    effect = Published(0, Revision(1))
    assert effect == Published(0, Revision(1))
    assert all(kind.__hash__ is not None for kind in get_args(Effect))
    effect.index = 1  # type: ignore[misc]  # an error to mypy, which is the point; see `record`


def _to(peer: int, request: int = 1) -> Send:
    return Send(PeerId(peer), Answered(RequestId(request)))


def test_an_urgent_reply_overtakes_those_to_others() -> None:
    """Which keep their order."""
    effects: list[Effect] = [_to(1), _to(2), _to(3)]
    hurry(effects)
    assert effects == [_to(3), _to(1), _to(2)]


def test_an_urgent_reply_overtakes_none_to_the_same_peer() -> None:
    """What one peer is told stays in order."""
    effects: list[Effect] = [_to(1), _to(3, 1), _to(2), _to(3, 2)]
    hurry(effects)
    assert effects == [_to(1), _to(3, 1), _to(3, 2), _to(2)]


def test_an_urgent_reply_does_not_overtake_a_revision() -> None:
    """It is published before anybody is told of it."""
    published = Published(0, Revision(1))
    effects: list[Effect] = [_to(1), published, _to(2), _to(3)]
    hurry(effects)
    assert effects == [_to(1), published, _to(3), _to(2)]
