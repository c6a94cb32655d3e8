"""A clock that stands still."""

from __future__ import annotations

import pytest

from zproc.testing.clock import FakeClock


def test_no_time_passes_by_itself() -> None:
    clock = FakeClock(wall=100.0)
    assert (clock.now(), clock.wall()) == (0.0, 100.0)
    assert (clock.now(), clock.wall()) == (0.0, 100.0)


def test_time_passes_for_both_clocks_at_once() -> None:
    clock = FakeClock(wall=100.0)
    clock.advance(2.5)
    assert (clock.now(), clock.wall()) == (2.5, 102.5)


def test_nobody_waits_for_a_time_that_only_the_test_can_make_come() -> None:
    waits: object = FakeClock().until(3.0)
    assert waits is None


@pytest.mark.parametrize("seconds", [-1.0, float("nan")])
def test_time_does_not_go_back(seconds: float) -> None:
    clock = FakeClock()
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(seconds)
    assert clock.now() == 0.0


def test_followers_are_called_after_the_time_has_come_until_they_take_their_leave() -> None:
    clock = FakeClock()
    seen: list[float] = []
    leave = clock.follow(lambda: seen.append(clock.now()))
    clock.advance(1)
    leave()
    clock.advance(1)
    assert seen == [1.0]
