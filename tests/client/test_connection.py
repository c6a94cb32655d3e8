"""A connection is in step or closed, and a late answer is never taken for another's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import pytest

from zproc.client.connection import Connection
from zproc.client.identity import Identity
from zproc.core.messages import (
    PROTOCOL,
    Command,
    Hello,
    Ping,
    Pong,
    Read,
    Refused,
    Reply,
    Values,
    Watch,
    Welcome,
    decode_command,
    encode,
)
from zproc.core.refusal import error_to_data
from zproc.exceptions import (
    HistoryGone,
    LimitExceeded,
    ProtocolError,
    SchemaMismatch,
    Unavailable,
    UnknownPath,
    UsageError,
    WaitTimeout,
)
from zproc.schema import StateModel
from zproc.schema.model import Schema
from zproc.transport import Channel, Received, connect, fresh_address, listen
from zproc.typing import Epoch, RequestId, Revision, SessionId

if TYPE_CHECKING:
    from tests.client.conftest import Serve


class Shop(StateModel):
    cookies: int = 0


SCHEMA = cast("Schema[StateModel]", Schema.of(Shop))
WELCOME = Welcome(RequestId(0), Epoch("e"), 0, Revision(0), 1 << 20)
Answer = Callable[[Command], list[bytes]]


def identity(address: str) -> Identity:
    return Identity(address, "default", SCHEMA.fingerprint, SCHEMA.table, SessionId("s"), "test")


def read(request: int) -> Read:
    return Read(RequestId(request), ("cookies",), None, None, None)


def values(request: int) -> Reply:
    return Values(RequestId(request), Revision(1), b"x", ())


@contextmanager
def server(answer: Answer, address: str = "memory://odd") -> Iterator[str]:
    """Answer each command with any bytes, and cut the peer off where there are none."""
    listener = listen(address)
    stopping = threading.Event()

    def run() -> None:
        while not stopping.is_set():
            for arrival in listener.poll(None):
                if isinstance(arrival, Received):
                    listener.allow(arrival.peer, 1 << 20)
                    frames = answer(decode_command(arrival.frame))
                    for frame in frames:
                        listener.send(arrival.peer, frame)
                    if not frames:
                        listener.disconnect(arrival.peer, "enough")

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield address
    finally:
        stopping.set()
        listener.wake()
        thread.join(10)
        listener.close()


def replies(*given: Reply | bytes) -> Answer:
    """Greet, and answer everything else with these."""

    def answer(command: Command) -> list[bytes]:
        if isinstance(command, Hello):
            return [encode(WELCOME)]
        return [each if isinstance(each, bytes) else encode(each) for each in given]

    return answer


class TestGreeting:
    def test_the_hello_says_who_comes(self) -> None:
        seen: list[Command] = []

        def answer(command: Command) -> list[bytes]:
            seen.append(command)
            return [encode(WELCOME)]

        with server(answer) as address:
            connection = Connection(identity(address))
            assert connection.welcome == WELCOME
            assert not connection.closed
            connection.close()
            assert connection.closed
        (hello,) = seen
        assert isinstance(hello, Hello)
        assert (hello.version, hello.namespace, hello.fingerprint, hello.process) == (
            PROTOCOL,
            "default",
            SCHEMA.fingerprint,
            "test",
        )
        assert len(encode(hello)) < 4096, "a stranger may not send more"

    def test_nobody_there_is_unavailable(self) -> None:
        for address in ("memory://nobody", fresh_address()):
            with pytest.raises(Unavailable, match="nobody"):
                Connection(identity(address))

    @pytest.mark.parametrize("greeting", [b"nonsense", b"", encode(Pong(RequestId(0), 1))])
    def test_another_protocol_is_told(self, greeting: bytes) -> None:
        with server(lambda _: [greeting]) as address, pytest.raises(ProtocolError):
            Connection(identity(address))

    def test_a_refusal_is_raised_as_it_is(self) -> None:
        no = Refused(RequestId(0), error_to_data(UnknownPath("x", "no such namespace")))
        with server(lambda _: [encode(no)]) as address, pytest.raises(UnknownPath, match="no such namespace"):
            Connection(identity(address))

    def test_a_mismatch_is_put_into_words_here(self) -> None:
        """The table of the client does not fit into a hello, so the server sends its own."""
        mismatch = SchemaMismatch("Shop", "differs", declared={**SCHEMA.table, "Shop.sold": "int"})
        no = Refused(RequestId(0), error_to_data(mismatch))
        with server(lambda _: [encode(no)]) as address, pytest.raises(SchemaMismatch, match="sold") as raised:
            Connection(identity(address))
        assert raised.value.declared == {}

    def test_a_server_that_does_not_greet_is_given_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("zproc.client.connection.HELLO_TIMEOUT", 0.02)
        listener = listen("memory://silent")
        try:
            with pytest.raises(Unavailable, match=r"did not greet within 0\.02 s"):
                Connection(identity("memory://silent"))
        finally:
            listener.close()

    def test_a_server_that_hangs_up_is_unavailable(self) -> None:
        with server(lambda _: []) as address, pytest.raises(Unavailable, match="enough"):
            Connection(identity(address))


class TestCalls:
    def test_an_answer_is_the_one_that_was_asked_for(self) -> None:
        with server(replies(values(6), values(7))) as address:
            connection = Connection(identity(address))
            assert connection.call(read(7)) == values(7)
            connection.close()

    def test_a_refusal_leaves_it_in_step(self) -> None:
        with server(replies(Refused(RequestId(7), error_to_data(HistoryGone(1, 2))))) as address:
            connection = Connection(identity(address))
            for _ in range(2):
                with pytest.raises(HistoryGone):
                    connection.call(read(7))
                assert not connection.closed
            connection.close()

    def test_a_refusal_of_everything_closes_it(self) -> None:
        with server(replies(Refused(RequestId(0), error_to_data(ProtocolError("what?"))))) as address:
            connection = Connection(identity(address))
            with pytest.raises(ProtocolError, match=r"what\?"):
                connection.call(read(7))
            assert connection.closed

    @pytest.mark.parametrize("garbage", [b"nonsense", encode(Ping(RequestId(7))), b"\x91\xc1"])
    def test_what_is_no_answer_is_a_lost_connection(self, garbage: bytes) -> None:
        """It may not be raised as the server's refusal: what became of the request is not known."""
        with server(replies(garbage)) as address:
            connection = Connection(identity(address))
            with pytest.raises(Unavailable, match="what is no answer"):
                connection.call(read(7))
            assert connection.closed

    def test_a_timeout_closes_it(self) -> None:
        def answer(command: Command) -> list[bytes]:
            return [encode(WELCOME)] if isinstance(command, Hello) else [encode(values(1))]

        with server(answer) as address:
            connection = Connection(identity(address))
            with pytest.raises(WaitTimeout):
                connection.call(read(7), time.monotonic() + 0.02)
            assert connection.closed

    def test_an_interrupt_closes_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with server(replies(values(7))) as address:
            connection = Connection(identity(address))

            def interrupted(_timeout: float) -> bytes:
                raise KeyboardInterrupt

            monkeypatch.setattr(connection._channel, "recv", interrupted)
            with pytest.raises(KeyboardInterrupt):
                connection.call(read(7))
            assert connection.closed

    def test_what_is_too_large_is_not_sent(self) -> None:
        with server(replies(values(7))) as address:
            connection = Connection(identity(address))
            large = Watch(RequestId(7), Revision(0), b"x" * (1 << 20), own=True, duplicates=True, state=True, wait=True)
            with pytest.raises(LimitExceeded, match="message_bytes"):
                connection.call(large)
            assert connection.call(read(7)) == values(7)
            connection.close()

    def test_closed_by_another_thread_it_is_lost(self) -> None:
        with server(replies(values(1))) as address:
            connection = Connection(identity(address))
            threading.Timer(0.0, connection.close).start()
            with pytest.raises(Unavailable, match="closed in this process"):
                connection.call(read(7))

    def test_a_silent_server_is_asked_whether_it_is_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whoever waits for an answer for long waits on as long as somebody is there."""
        monkeypatch.setattr("zproc.client.connection.PATIENCE", 0.01)
        pings: list[Command] = []
        third = threading.Event()

        def answer(command: Command) -> list[bytes]:
            if isinstance(command, Hello):
                return [encode(WELCOME)]
            if isinstance(command, Ping):
                pings.append(command)
                if len(pings) == 3:
                    third.set()
                return [encode(Pong(RequestId(0), 1))] if len(pings) < 3 else []
            return [encode(values(1))]

        with server(answer) as address:
            connection = Connection(identity(address))
            with pytest.raises(Unavailable, match="no longer answers"):
                connection.call(read(7))
            assert third.is_set()
            assert connection.closed

    def test_a_busy_server_is_not_taken_for_a_lost_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It answers the question whether it is there no sooner than what it is busy with."""
        monkeypatch.setattr("zproc.client.connection.PATIENCE", 0.01)
        asked, asking = threading.Event(), connect

        def probe(address: str, timeout: float) -> Channel:
            asked.set()
            return asking(address, timeout)

        def answer(command: Command) -> list[bytes]:
            if isinstance(command, Hello):
                return [encode(WELCOME)]
            if isinstance(command, Ping):
                return [encode(Pong(RequestId(0), 1))]
            assert asked.wait(10)
            return [encode(values(7))]

        with server(answer) as address:
            connection = Connection(identity(address))
            monkeypatch.setattr("zproc.client.ping.connect", probe)
            assert connection.call(read(7)) == values(7)
            connection.close()

    def test_who_waits_until_a_time_waits_no_longer_for_a_stopped_server(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("zproc.client.connection.PATIENCE", 0.01)
        over = threading.Event()

        def answer(command: Command) -> list[bytes]:
            if isinstance(command, Hello):
                return [encode(WELCOME)]
            assert over.wait(10)
            return []

        with server(answer) as address:
            connection = Connection(identity(address))
            begun = time.monotonic()
            with pytest.raises(WaitTimeout):
                connection.call(read(7), begun + 0.1)
            assert time.monotonic() - begun < 5
            assert connection.closed
            over.set()


class TestStaleness:
    def test_for_a_moment_after_an_answer_it_is_fresh(self, serving: Serve) -> None:
        served = serving(Shop)
        connection = Connection(identity(served.address))
        served.stop()
        connection._last = time.monotonic()  # however long the server took to stop
        assert not connection.is_stale()
        connection._last -= 60
        assert connection.is_stale()
        assert connection.closed

    def test_a_live_one_is_not_stale(self, serving: Serve, either_address: str) -> None:
        served = serving(Shop, address=either_address)
        connection = Connection(identity(served.address))
        connection._last -= 60
        assert not connection.is_stale()
        assert isinstance(connection.call(read(1)), Values)
        connection.close()

    def test_one_that_says_something_unasked_is_out_of_step(self) -> None:
        def answer(command: Command) -> list[bytes]:
            return [encode(WELCOME), encode(values(9))]

        with server(answer) as address:
            connection = Connection(identity(address))
            connection._last -= 60
            assert connection.is_stale()
            assert connection.closed


def test_a_closed_one_is_not_used(serving: Serve) -> None:
    connection = Connection(identity(serving(Shop).address))
    connection.close()
    with pytest.raises((Unavailable, UsageError)):
        connection.call(read(1))
