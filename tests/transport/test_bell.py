"""A bell wakes whoever waits for its descriptor."""

from __future__ import annotations

import select
from collections.abc import Iterator

import pytest

from zproc.transport.bell import Bell


@pytest.fixture
def bell() -> Iterator[Bell]:
    bell = Bell()
    yield bell
    bell.close()


def is_ringing(bell: Bell) -> bool:
    return bool(select.select([bell], [], [], 0)[0])


def test_is_silent_until_it_rings(bell: Bell) -> None:
    """And after it is hushed."""
    assert not is_ringing(bell)
    bell.ring()
    assert is_ringing(bell)
    assert bell.hush()
    assert not is_ringing(bell)
    assert not bell.hush()


def test_many_rings_are_one(bell: Bell) -> None:
    """More than its socket holds neither block nor fail, and one hush takes them all."""
    for _ in range(20_000):
        bell.ring()
    assert bell.hush()
    assert not is_ringing(bell)


@pytest.mark.parametrize("end", [Bell.close, Bell.disown])
def test_rings_after_the_end_touch_nothing(bell: Bell, end: object) -> None:
    """A file that has got the same number in between is not written to."""
    assert callable(end)
    end(bell)
    end(bell)
    bell.ring()
    assert not bell.hush()
    assert bell.fileno() == -1
