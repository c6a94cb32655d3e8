"""What is particular to queues; what they share with sockets is in ``test_conformance.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from zproc.exceptions import Unavailable, UsageError, WaitTimeout
from zproc.transport import Closed, Limits, Received, connect
from zproc.transport.memory import _listeners

if TYPE_CHECKING:
    Wire = Any  # the fixtures of conftest.py, which cannot be imported from


def test_there_is_no_descriptor_to_wait_for(memory: Wire) -> None:
    """The error says what to do instead."""
    _, channel, _ = memory.pair()
    with pytest.raises(UsageError, match="has no file descriptor to wait for; use recv with a timeout"):
        channel.fileno()


def test_names_are_apart(memory: Wire) -> None:
    """Two listeners of one process do not hear each other's clients."""
    listener, channel, peer = memory.pair()
    other = memory.listen(address=memory.address + "-other")
    channel.send(b"x")
    assert other.poll(0) == []
    assert listener.poll(0) == [Received(peer, b"x")]


def test_a_client_cannot_run_ahead_of_the_server_without_end(memory: Wire) -> None:
    """The queue holds about what a socket holds, and at least one frame of any length."""
    listener, channel, _ = memory.pair()
    channel.send(bytes(10 << 20), timeout=0)
    with pytest.raises(WaitTimeout):
        channel.send(b"x", timeout=0)
    assert memory.frames(listener, 1) == [bytes(10 << 20)]
    channel.send(b"x", timeout=0)


def test_a_client_that_waits_for_room_is_told_when_it_is_disconnected(memory: Wire, helper: Any) -> None:
    """The wait would otherwise be for ever."""
    listener, channel, peer = memory.pair()
    channel.send(bytes(1 << 20))
    send = helper(lambda: channel.send(b"x"))
    send.wait_until_asleep()
    listener.disconnect(peer, "enough")
    with pytest.raises(Unavailable, match="enough"):
        send.outcome()


def test_what_a_disconnected_client_has_not_read_is_not_kept_when_it_was_too_much(memory: Wire) -> None:
    """A client that never reads costs its backlog once, not for ever."""
    listener, channel, peer = memory.pair(Limits(backlog=1000))
    listener.send(peer, bytes(900))
    listener.send(peer, bytes(900))
    assert memory.arrivals(listener, 1) == [Closed(peer, "backlog of 1928 bytes is over the limit of 1000")]
    assert not channel._link.outbox
    with pytest.raises(Unavailable, match="backlog of 1928 bytes"):
        channel.recv(20)


def test_a_frame_over_the_limit_is_the_last(memory: Wire) -> None:
    """What is sent after it does not arrive."""
    listener, channel, peer = memory.pair(Limits(frame=10))
    channel.send(bytes(11))
    channel.send(b"x")
    channel.close()
    assert memory.arrivals(listener, 1) == [Closed(peer, "frame of 11 bytes is over the limit of 10")]


def test_a_listener_that_is_just_closing_is_none(memory: Wire) -> None:
    """Between the look at the name and the connection it may end."""
    listener = memory.listen()
    name = memory.address.removeprefix("memory://")
    listener.close()
    _listeners[name] = listener
    try:
        with pytest.raises(Unavailable, match="nobody in this process listens here"):
            connect(memory.address)
    finally:
        del _listeners[name]


def test_a_forked_child_may_use_the_name_anew(memory: Wire, in_fork: Any) -> None:
    """What the parent listens at is out of its reach, not in its way."""
    listener, _, _ = memory.pair()

    def child() -> str:
        try:
            connect(memory.address)
        except Unavailable:
            own = memory.listen()
            channel = connect(memory.address)
            channel.send(b"within the child")
            return str(own.poll(0)[-1])
        return "connected to the parent's"

    assert in_fork(child) == "Received(peer=1, frame=b'within the child')"
    assert listener.poll(0) == []


def test_a_child_may_close_what_it_has_inherited(memory: Wire, in_fork: Any) -> None:
    """Nothing happens."""
    listener, channel, peer = memory.pair()
    for call in (listener.close, listener.disown, channel.close, lambda: listener.disconnect(peer, "")):
        assert in_fork(call) == "None"
    assert in_fork(lambda: listener.allow(peer, 1)) == "None"
    assert in_fork(lambda: listener.send(peer, b"")) == "None"
    channel.send(b"x")
    assert listener.poll(0) == [Received(peer, b"x")]
