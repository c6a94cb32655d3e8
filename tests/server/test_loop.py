"""The loop: what one peer does, or what goes wrong for it, is nobody else's problem."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import msgpack
import pytest

from zproc.client import model_handle
from zproc.core.limits import Limits
from zproc.core.messages import Acquire, Commit, Committed, Granted, Outcome, Ping, Pong, Read, Refused, Welcome, encode
from zproc.core.refusal import error_from_data
from zproc.core.server import ServerCore
from zproc.exceptions import LeaseLost, LimitExceeded, ProtocolError, Unavailable
from zproc.schema import StateModel, action
from zproc.schema.model import Schema
from zproc.server import serve
from zproc.transport import Arrival, Limits as TransportLimits
from zproc.typing import Epoch, RequestId, Revision

if TYPE_CHECKING:
    from tests.server.conftest import Peer, Serve, Served


class Shop(StateModel):
    cookies: int = 0
    text: str = ""

    @action
    def double(self) -> None:
        self.text += self.text


def state_of(served: Served) -> Shop:
    return cast("Shop", model_handle(served.client, (), Shop))


def refusal(reply: object) -> BaseException:
    assert isinstance(reply, Refused)
    return error_from_data(reply.error)


def assert_cut_off(peer: Peer) -> None:
    with pytest.raises(Unavailable):
        peer.channel.recv(10)


def assert_well(served: Served) -> None:
    """Another client commits and reads as if nothing had happened."""
    state = state_of(served)
    before = int(state.cookies)
    state.cookies += 1
    assert state.cookies == before + 1


GARBAGE = {
    "nothing": b"",
    "noise": bytes(range(256)),
    "http": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "never used byte": b"\xc1",
    "no list": msgpack.packb("text"),
    "no tag": msgpack.packb([]),
    "unknown tag": msgpack.packb([50, 1]),
    "a reply": encode(Pong(RequestId(1), 1)),
    "too few": msgpack.packb([1, 1]),
    "too many": msgpack.packb([9, 1, 2, 3]),
    "wrong types": msgpack.packb([9, "one"]),
    "negative": msgpack.packb([9, -1]),
    "more behind": encode(Ping(RequestId(1))) + b"x",
    "truncated": encode(Ping(RequestId(1)))[:-1],
    "a bomb": b"\xdd\xff\xff\xff\xff" * 100,
    "a deep one": b"\x91" * 2000,
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
@pytest.mark.parametrize("greeted", [False, True], ids=["stranger", "client"])
def test_garbage_is_told_and_its_peer_cut_off(
    serving: Serve, either_address: str, garbage: bytes, *, greeted: bool
) -> None:
    served = serving(Shop, address=either_address)
    peer = served.peer()
    if greeted:
        assert isinstance(peer.hello(), Welcome)
    assert isinstance(refusal(peer.say(garbage)), (ProtocolError, LimitExceeded))
    assert_cut_off(peer)
    assert_well(served)


@pytest.mark.parametrize("greeted", [False, True], ids=["stranger", "client"])
def test_too_long_a_frame_is_cut_off(serving: Serve, either_address: str, *, greeted: bool) -> None:
    served = serving(Shop, address=either_address, limits=Limits(message_bytes=1 << 17))
    peer = served.peer()
    if greeted:
        peer.hello()
    with pytest.raises(Unavailable, match="over the limit of"):
        peer.say(b"x" * ((1 << 17) + 1 if greeted else 5000))
    assert_well(served)


def test_a_command_before_the_greeting_is_refused(serving: Serve) -> None:
    served = serving(Shop)
    for command in (
        Read(RequestId(5), (), None, None),
        Commit(RequestId(5), None, b"\x90", "f"),
        Acquire(RequestId(5), (), Revision(0)),
        Outcome(RequestId(5), RequestId(4)),
    ):
        peer = served.peer()
        assert isinstance(refusal(peer.call(command)), ProtocolError)
        assert_cut_off(peer)
    assert_well(served)


def test_whoever_asks_only_whether_anybody_is_there_need_not_greet(serving: Serve) -> None:
    assert serving(Shop).peer().call(Ping(RequestId(3))) == Pong(RequestId(3), 0)


def test_a_second_greeting_is_one_too_many(serving: Serve) -> None:
    served = serving(Shop)
    peer = served.peer()
    assert isinstance(peer.hello(), Welcome)
    assert isinstance(refusal(peer.hello()), ProtocolError)
    assert_cut_off(peer)
    assert_well(served)


def test_a_stranger_is_held_to_little_and_a_client_to_the_limit(serving: Serve) -> None:
    served = serving(Shop, limits=Limits(message_bytes=1 << 18))
    peer = served.peer()
    welcome = peer.hello()
    assert isinstance(welcome, Welcome)
    assert welcome.max_message == 1 << 18
    ops = served.schema.codec.encode([[0, ["text"], "x" * (1 << 17)]])
    assert isinstance(peer.call(Commit(RequestId(1), None, ops, "f")), Committed)


def test_a_bug_of_ours_costs_one_peer_its_connection(serving: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """It is told what happened, the log has the traceback, and everybody else goes on."""
    served = serving(Shop)
    peer = served.peer()
    peer.hello()
    served.core.broken = Outcome
    with caplog.at_level(logging.ERROR):
        error = refusal(peer.call(Outcome(RequestId(5), RequestId(4))))
    assert "the server failed on this request: RuntimeError('a bug')" in str(error)
    assert_cut_off(peer)
    (record,) = caplog.records
    assert record.name == "zproc.server.loop"
    assert record.exc_info is not None
    assert_well(served)


def test_a_reply_that_cannot_be_sent_costs_one_peer_its_connection(
    serving: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """The transport takes less than the rules think that it does: a misconfiguration, and no end of the server."""
    served = serving(Shop, limits=Limits(message_bytes=1 << 20), transport=TransportLimits(frame=1 << 16))
    state = state_of(served)
    state.text = "x" * 40_000
    peer = served.peer()
    peer.hello()
    state.double()
    with pytest.raises(Unavailable, match="a reply cannot be sent"), caplog.at_level(logging.ERROR):
        peer.call(Read(RequestId(5), ("text",), None, None))
    assert "cannot be sent" in caplog.text
    assert_well(served)


def test_a_turn_ends_at_its_limit_though_nobody_says_anything(serving: Serve) -> None:
    served = serving(Shop, limits=Limits(lease_time=0.02))
    peer = served.peer()
    peer.hello()
    granted = peer.call(Acquire(RequestId(1), (), Revision(0)))
    assert isinstance(granted, Granted)
    assert_well(served)
    late = peer.call(Commit(RequestId(2), granted.lease, b"\x90", "f"))
    assert isinstance(refusal(late), LeaseLost)


def test_a_peer_that_goes_leaves_its_turn(serving: Serve, either_address: str) -> None:
    served = serving(Shop, address=either_address)
    peer = served.peer()
    peer.hello()
    assert isinstance(peer.call(Acquire(RequestId(1), (), Revision(0))), Granted)
    peer.channel.close()
    assert_well(served)


def test_a_peer_that_does_not_read_delays_nobody(serving: Serve, either_address: str) -> None:
    """What is queued for it is bounded, and then it is cut off."""
    served = serving(Shop, address=either_address, transport=TransportLimits(backlog=1 << 20))
    state_of(served).text = "x" * 100_000
    peer = served.peer()
    peer.hello()
    with pytest.raises(Unavailable):  # noqa: PT012 - when it is cut off is a matter of buffers
        for number in range(1000):
            peer.channel.send(encode(Read(RequestId(number), ("text",), None, None)), 10)
        while True:
            peer.channel.recv(10)
    assert_well(served)


def test_the_clock_goes_on_and_is_comparable_with_no_other(serving: Serve) -> None:
    """It begins at a random point, for each server; each arrival is told the time that it is then."""
    one, two = serving(Shop), serving(Shop)
    for served in (one, two):
        assert_well(served)
        assert served.core.times == sorted(served.core.times)
        assert len(set(served.core.times)) == len(served.core.times)
    now = time.monotonic()
    assert abs(one.core.times[-1] - two.core.times[-1]) > 0.1
    assert abs(one.core.times[-1] - now) > 0.1


class Scripted:
    """A listener of which every poll is a line of a script."""

    def __init__(self, polls: list[Callable[[], list[Arrival]]]) -> None:
        self.timeouts: list[float | None] = []
        self._polls = polls

    address = "scripted"

    def poll(self, timeout: float | None) -> list[Arrival]:
        self.timeouts.append(timeout)
        return self._polls[len(self.timeouts) - 1]()

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


def test_it_looks_whether_to_stop_after_every_poll() -> None:
    core = ServerCore({"default": cast("Schema[StateModel]", Schema.of(Shop))}, epoch=Epoch("e"))
    listener = Scripted([list, list, list])
    serve(core, listener, lambda: len(listener.timeouts) == 3)
    assert listener.timeouts == [None] * 3, "without a turn there is nothing to wait for"


def test_it_can_be_stopped_from_another_thread(serving: Serve) -> None:
    served = serving(Shop)
    threading.Thread(target=served.close).start()
    served._thread.join(10)
    assert not served._thread.is_alive()


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="descriptors are counted in /proc")
def test_peers_that_come_and_go_leave_nothing(serving: Serve, either_address: str) -> None:
    served = serving(Shop, address=either_address)
    assert_well(served)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        peer = served.peer()
        peer.hello()
        peer.say(b"garbage")
        peer.channel.close()
    assert_well(served)
    assert len(os.listdir("/proc/self/fd")) <= before + 3
    assert len(served.core._peers) == 1
