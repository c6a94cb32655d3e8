"""What waits for a connection is bounded, and known by its number."""

from __future__ import annotations

import dataclasses

import pytest

from zproc.core.limits import Limits
from zproc.core.messages import PROTOCOL, Acquire, Act, Commit, Hello, Watch
from zproc.core.peer import Lasting, Peer
from zproc.core.session import Session
from zproc.exceptions import LimitExceeded, ProtocolError
from zproc.typing import PeerId, RequestId, Revision, SessionId


def peer(**limits: int) -> Peer:
    chosen = dataclasses.replace(Limits(), **limits)
    hello = Hello(RequestId(0), PROTOCOL, "shop", "", {}, SessionId("s"), 1, "main")
    return Peer(PeerId(1), hello, Session(chosen, doubtful=False), chosen)


def act(request: int, size: int = 0) -> Act:
    return Act(RequestId(request), "bake", b"x" * size)


def test_p10_no_more_requests_wait_than_the_limit_lets() -> None:
    one = peer(waiting=3)
    for request in range(3):
        one.let_wait(act(request))
    with pytest.raises(LimitExceeded) as caught:
        one.let_wait(act(3))
    assert (caught.value.limit, caught.value.given, caught.value.allowed) == ("waiting", 4, 3)
    one.no_longer_waits(RequestId(1))
    one.let_wait(act(3))


def test_p10_no_more_bytes_wait_than_the_limit_lets() -> None:
    one = peer(waiting_bytes=3000)
    one.let_wait(act(1, 2000))
    with pytest.raises(LimitExceeded, match="waiting_bytes"):
        one.let_wait(act(2, 2000))
    assert list(one.waiting) == [1]
    one.no_longer_waits(RequestId(1))
    one.let_wait(act(2, 2000))


@pytest.mark.parametrize(
    "command",
    [
        Commit(RequestId(1), None, b"x" * 5000, ""),
        Commit(RequestId(1), None, b"", "x" * 5000),
        Act(RequestId(1), "x" * 5000, b""),
        Act(RequestId(1), "", b"x" * 5000),
        Watch(RequestId(1), Revision(0), b"x" * 5000, own=True, duplicates=True, state=True, wait=True),
        Acquire(RequestId(1), ("x" * 2500, "y" * 2500), Revision(0), 1 << 16),
    ],
)
def test_p10_whatever_a_request_carries_counts(command: Lasting) -> None:
    with pytest.raises(LimitExceeded, match="waiting_bytes"):
        peer(waiting_bytes=5000).let_wait(command)
    one = peer(waiting_bytes=6000)
    one.let_wait(command)
    assert one.waiting_bytes > 5000
    one.no_longer_waits(command.request)
    assert one.waiting_bytes == 0


def test_p5_a_copy_of_what_waits_is_known_and_another_of_its_number_refused() -> None:
    one = peer()
    one.let_wait(act(1, 10))
    assert one.waits_already(act(1, 10))
    assert not one.waits_already(act(2, 10))
    with pytest.raises(ProtocolError, match="request 1 waits already"):
        one.waits_already(act(1, 11))
    with pytest.raises(ProtocolError, match="request 1 waits already"):
        one.waits_already(Acquire(RequestId(1), (), Revision(0), 1 << 16))
