"""The loop between the wire and the rules."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from zproc.core import messages
from zproc.core.messages import Commit, Committed, Hello, Ping, Pong, Refused, Welcome
from zproc.core.server import ServerCore
from zproc.exceptions import Unavailable, UsageError
from zproc.schema.model import Schema, StateModel
from zproc.server import loop, serve
from zproc.transport import Channel, connect, listen
from zproc.typing import Epoch, RequestId, SessionId


class State(StateModel):
    n: int = 0


SCHEMA = Schema.of(State)


@contextmanager
def served(name: str) -> Iterator[tuple[ServerCore, str]]:
    core = ServerCore({"default": SCHEMA}, epoch=Epoch("e"), pid=77)  # type: ignore[dict-item]  # Schema is invariant
    listener = listen(f"memory://{name}")
    stopping = threading.Event()
    thread = threading.Thread(target=serve, args=(core, listener, stopping.is_set))
    thread.start()
    try:
        yield core, listener.address
    finally:
        stopping.set()
        listener.wake()
        thread.join(5)
        listener.close()
        assert not thread.is_alive()


def ask(channel: Channel, command: messages.Command) -> messages.Reply:
    channel.send(messages.encode(command), 5)
    return messages.decode_reply(channel.recv(5))


def greet(channel: Channel) -> None:
    hello = Hello(RequestId(0), messages.PROTOCOL, "default", SCHEMA.fingerprint, {}, SessionId("s"), 1, "p")
    assert isinstance(ask(channel, hello), Welcome)


def commit(channel: Channel, request: int) -> messages.Reply:
    return ask(channel, Commit(RequestId(request), None, SCHEMA.codec.encode([[0, ["n"], request]]), ""))


def test_commands_are_answered_and_the_server_stops_when_told() -> None:
    with served("loop-answers") as (core, address):
        channel = connect(address)
        assert ask(channel, Ping(RequestId(1))) == Pong(RequestId(1), 77)
        greet(channel)
        assert isinstance(commit(channel, 1), Committed)
        assert core.namespace("default").revision == 1
        channel.close()


def test_p8_who_sends_rubbish_is_told_and_cut_off_and_others_go_on() -> None:
    with served("loop-rubbish") as (_, address):
        rude, polite = connect(address), connect(address)
        greet(polite)
        rude.send(b"\xc1", 5)
        assert isinstance(messages.decode_reply(rude.recv(5)), Refused)
        assert isinstance(commit(polite, 1), Committed)
        rude.close()
        polite.close()


def test_p8_a_bug_of_the_server_ends_one_connection_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with served("loop-bug") as (core, address):
        one, other = connect(address), connect(address)
        greet(one)
        greet(other)
        receive = core.receive

        def fail_once(*args: object, **kwargs: object) -> None:
            monkeypatch.setattr(core, "receive", receive)
            raise RuntimeError("a bug")

        monkeypatch.setattr(core, "receive", fail_once)
        refused = commit(one, 1)
        assert isinstance(refused, Refused)
        assert isinstance(commit(other, 1), Committed)
        assert "failed" in caplog.text
        one.close()
        other.close()


def test_p12_a_server_that_is_never_idle_stops_all_the_same() -> None:
    """Whether it is to stop is looked at now and then, and however much arrives, it is looked at."""
    with served("loop-busy") as (_, address):
        channel = connect(address)
        greet(channel)
        stop = threading.Event()

        def talk() -> None:
            request = 0
            try:
                while not stop.is_set():
                    request += 1
                    commit(channel, request)
            except (Unavailable, UsageError):
                pass  # the server has ended first, which is the point

        talking = threading.Thread(target=talk)
        talking.start()
    stop.set()
    channel.close()
    talking.join(5)
    assert not talking.is_alive()


def test_whether_to_stop_is_not_asked_for_every_request() -> None:
    """A look may cost several system calls; one of a millisecond once made every request take one."""
    core = ServerCore({"default": SCHEMA}, epoch=Epoch("e"))  # type: ignore[dict-item]  # Schema is invariant
    listener = listen("memory://loop-looks")
    stopping = threading.Event()
    looks: list[bool] = []

    def look() -> bool:
        looks.append(stopping.is_set())
        return looks[-1]

    thread = threading.Thread(target=serve, args=(core, listener, look))
    thread.start()
    channel = connect(listener.address)
    greet(channel)
    before = len(looks)
    began = time.monotonic()
    for request in range(1, 201):
        commit(channel, request)
    took = time.monotonic() - began
    assert len(looks) - before <= took / 0.04 + 2
    channel.close()
    stopping.set()
    listener.wake()
    thread.join(5)
    assert not thread.is_alive()
    listener.close()


class TestJunk:
    """Whoever connects and talks rubbish must not fill the log of somebody else."""

    @staticmethod
    def rubbish(address: str, times: int) -> None:
        for _ in range(times):
            rude = connect(address)
            rude.send(b"\xc1", 5)
            assert isinstance(messages.decode_reply(rude.recv(5)), Refused)
            rude.close()

    def test_of_many_that_are_cut_off_some_are_told_and_how_many_the_others_were(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(loop, "_CUTS", 3)
        with served("loop-junk") as (_, address):
            self.rubbish(address, 10)
            polite = connect(address)
            greet(polite)
            assert isinstance(commit(polite, 1), Committed)
            polite.close()
        lines = [record.getMessage() for record in caplog.records if record.name == "zproc.server.loop"]
        assert [line.partition(":")[0] for line in lines[:3]] == [f"peer {peer} was cut off" for peer in (1, 2, 3)]
        assert lines[3:] == ["7 more were cut off within 60 s and are not listed"]

    def test_that_is_told_when_the_period_is_over_even_if_nothing_more_happens(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(loop, "_CUTS", 1)
        monkeypatch.setattr(loop, "_PERIOD", 0.2)
        told = threading.Event()

        class Listening(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                if "more were cut off" in record.getMessage():
                    told.set()

        listening = Listening()
        logging.getLogger("zproc.server.loop").addHandler(listening)
        try:
            with served("loop-junk-over") as (_, address):
                self.rubbish(address, 3)
                assert told.wait(10)
        finally:
            logging.getLogger("zproc.server.loop").removeHandler(listening)
