"""What is asked in a handshake, and what is answered; over ZeroMQ's own protocol for it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import zmq

from zproc.transport import zap
from zproc.transport.keys import to_text
from zproc.transport.zap import KeyCheck
from zproc.transport.zmq import new_context

KEY = bytes(range(32))


@contextmanager
def checking(allowed: Callable[[bytes], bool]) -> Iterator[Callable[..., list[bytes]]]:
    context = new_context()
    check = KeyCheck(context, allowed)
    asking = context.socket(zmq.REQ)
    asking.connect("inproc://zeromq.zap.01")

    def ask(
        *credentials: bytes, version: bytes = b"1.0", domain: bytes = b"zproc", mechanism: bytes = b"CURVE"
    ) -> list[bytes]:
        asking.send_multipart([version, b"7", domain, b"10.0.0.9", b"", mechanism, *credentials])
        return asking.recv_multipart()

    try:
        yield ask
    finally:
        asking.close(0)
        context.term()
        check.join()


def test_a_key_that_is_known_is_let_in_by_its_name() -> None:
    with checking(lambda key: key == to_text(KEY)) as ask:
        assert ask(KEY) == [b"1.0", b"7", b"200", b"OK", to_text(KEY), b""]
        assert ask(bytes(32))[2] == b"400"


@pytest.mark.parametrize(
    "odd", [{"version": b"2.0"}, {"domain": b""}, {"domain": b"other"}, {"mechanism": b"NULL"}, {"mechanism": b"PLAIN"}]
)
def test_whatever_else_is_asked_is_refused(odd: dict[str, bytes]) -> None:
    with checking(lambda _: True) as ask:
        assert ask(KEY, **odd)[2] == b"400"
        assert ask()[2] == b"400"
        assert ask(KEY, KEY)[2] == b"400"
        assert ask(KEY)[2] == b"200"


def test_what_cannot_be_checked_is_refused_and_on_record(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: bytes) -> bool:
        raise OSError("the disk is gone")

    with checking(fail) as ask, caplog.at_level(logging.WARNING):
        assert ask(KEY)[2] == b"400"
        assert ask(KEY)[2] == b"400"
    assert "keys cannot be checked" in caplog.text
    assert "a client at 10.0.0.9 was not let in" in caplog.text


def test_of_many_strangers_some_are_told_and_how_many_the_others_were(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(zap, "_TOLD", 2)
    monkeypatch.setattr(zap, "time", clock := FakeClock())
    with checking(lambda _: False) as ask, caplog.at_level(logging.WARNING):
        for _ in range(5):
            assert ask(KEY)[2] == b"400"
        clock.now += 60
        assert ask(KEY)[2] == b"400"
    lines = [record.getMessage().partition(":")[0] for record in caplog.records]
    stranger = "a client at 10.0.0.9 was not let in"
    assert lines == [stranger, stranger, "3 more were not let in within 60 s and are not listed", stranger]


class FakeClock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now
