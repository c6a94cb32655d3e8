"""Both pollers report the same."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from zproc.transport.poller import READABLE, WRITABLE, Poller, SelectorPoller, make_poller


@pytest.fixture(params=[make_poller, SelectorPoller])
def poller(request: pytest.FixtureRequest) -> Iterator[Poller]:
    poller: Poller = request.param()
    yield poller
    poller.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = socket.socketpair()
    with left, right:
        yield left, right


def test_nothing_is_ready_at_first(poller: Poller, pair: tuple[socket.socket, socket.socket]) -> None:
    """The wait has an end."""
    poller.register(pair[0].fileno(), READABLE)
    assert poller.poll(0.001, 10) == []


def test_what_is_not_served_is_reported_again(poller: Poller, pair: tuple[socket.socket, socket.socket]) -> None:
    """Level-triggered, both."""
    left, right = pair
    poller.register(left.fileno(), READABLE)
    right.send(b"x")
    assert poller.poll(None, 10) == poller.poll(None, 10) == [(left.fileno(), READABLE)]


def test_what_is_waited_for_can_be_changed(poller: Poller, pair: tuple[socket.socket, socket.socket]) -> None:
    """And ended."""
    left, right = pair
    poller.register(left.fileno(), WRITABLE)
    assert poller.poll(0, 10) == [(left.fileno(), WRITABLE)]
    right.send(b"x")
    poller.modify(left.fileno(), READABLE | WRITABLE)
    assert poller.poll(0, 10) == [(left.fileno(), READABLE | WRITABLE)]
    poller.unregister(left.fileno())
    assert poller.poll(0, 10) == []


def test_everybody_has_a_turn_when_more_are_ready_than_are_asked_for(poller: Poller) -> None:
    """The last is not starved by the first."""
    pairs = [socket.socketpair() for _ in range(10)]
    try:
        for left, right in pairs:
            poller.register(left.fileno(), READABLE)
            right.send(b"x")
        seen = set()
        for _ in range(1000):
            ready = poller.poll(0, 3)
            assert len(ready) == 3
            seen |= {fd for fd, _ in ready}
        assert seen == {left.fileno() for left, _ in pairs}
    finally:
        for left, right in pairs:
            left.close()
            right.close()


def test_the_end_of_a_stream_is_readable(poller: Poller, pair: tuple[socket.socket, socket.socket]) -> None:
    """Whatever else the system says of it."""
    left, right = pair
    poller.register(left.fileno(), READABLE)
    right.close()
    ((fd, events),) = poller.poll(None, 10)
    assert fd == left.fileno()
    assert events & ~WRITABLE
