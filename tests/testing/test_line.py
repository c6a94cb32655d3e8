"""A line that breaks as planned, and only as planned."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from zproc.core.messages import Command, Outcome, Ping, encode
from zproc.exceptions import Unavailable
from zproc.testing.line import BreakingListener, Fault
from zproc.transport import Channel, Closed, Received, connect, listen
from zproc.typing import PeerId, RequestId

_numbers = itertools.count(1)


@pytest.fixture
def line() -> Iterator[BreakingListener]:
    listener = BreakingListener(listen(f"memory://line-{next(_numbers)}"))
    yield listener
    listener.close()


@pytest.fixture
def client(line: BreakingListener) -> Iterator[Channel]:
    channel = connect(line.address)
    yield channel
    channel.close()


def is_ping(command: Command) -> bool:
    return isinstance(command, Ping)


def received(line: BreakingListener) -> list[PeerId]:
    """Take what has come, until there is something."""
    while True:
        arrivals = line.poll(0)
        if line.dead or any(isinstance(each, (Received, Closed)) for each in arrivals):
            return [each.peer for each in arrivals if isinstance(each, Received)]


PING = encode(Ping(RequestId(1)))
OTHER = encode(Outcome(RequestId(1), RequestId(2)))


def test_a_request_that_is_lost_does_not_arrive_and_its_sender_is_told(line: BreakingListener, client: Channel) -> None:
    line.plan(Fault.LOST, is_ping)
    client.send(PING)
    assert received(line) == []
    with pytest.raises(Unavailable):
        client.recv(1)


def test_a_request_that_is_not_answered_arrives(line: BreakingListener, client: Channel) -> None:
    line.plan(Fault.UNANSWERED, is_ping)
    client.send(PING)
    (peer,) = received(line)
    line.send(peer, b"the answer")
    with pytest.raises(Unavailable):
        client.recv(1)


def test_a_garbled_answer_is_another_one(line: BreakingListener, client: Channel) -> None:
    line.plan(Fault.GARBLED, is_ping)
    client.send(PING)
    (peer,) = received(line)
    line.send(peer, b"the answer")
    line.send(peer, b"the next")
    assert [client.recv(1), client.recv(1)] == [b"nonsense", b"the next"]


def test_a_fatal_request_is_the_end_of_the_server(line: BreakingListener, client: Channel) -> None:
    line.plan(Fault.FATAL, is_ping)
    client.send(PING)
    assert received(line) == []
    assert line.dead
    assert line.poll(0) == []
    with pytest.raises(Unavailable):
        client.recv(1)


def test_what_a_plan_does_not_concern_goes_through(line: BreakingListener, client: Channel) -> None:
    line.plan(Fault.LOST, is_ping)
    client.send(OTHER)
    assert len(received(line)) == 1


def test_a_plan_is_for_so_many_requests(line: BreakingListener) -> None:
    line.plan(Fault.LOST, is_ping, times=2)
    outcomes = []
    for _ in range(3):
        channel = connect(line.address)
        channel.send(PING)
        outcomes.append(len(received(line)))
        channel.close()
    assert outcomes == [0, 0, 1]
