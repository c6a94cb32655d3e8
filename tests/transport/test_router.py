"""A server's side over ZeroMQ, met by peers that do not keep to the rules. What all transports promise is elsewhere."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import zmq

from zproc.transport import Closed, Limits, Listener, Opened, Received, router, zmq as settings
from zproc.transport.base import parse_address
from zproc.transport.endpoint import endpoint_of
from zproc.transport.link import ACK, BYE, DATA, FROM_CLIENT, FROM_SERVER, GREETING, OPEN, PROBE, WINDOW, greeting
from zproc.transport.zmq import new_context, open_dealer

Wire = Any  # the fixtures of conftest.py, which cannot be imported from
TOKEN = b"0123456789abcdef"


class Rude:
    """A client that says what it likes, over a ZeroMQ socket of its own."""

    def __init__(self, address: str, name: bytes = b"") -> None:
        self.context = new_context()
        endpoint = endpoint_of(parse_address(address), 1)
        self.socket = open_dealer(self.context, endpoint.keys)
        if name:
            self.socket.set(zmq.ROUTING_ID, name)
        self.socket.set(zmq.SNDTIMEO, 10_000)
        self.socket.set(zmq.RCVTIMEO, 10_000)
        self.socket.set(zmq.IMMEDIATE, 1)
        self.socket.connect(endpoint.place)

    def send(self, kind: int, body: bytes = b"", *, number: int = 0, taken: int = 0, size: int | None = None) -> None:
        size = len(body) if size is None else size
        self.socket.send(FROM_CLIENT.pack(kind, TOKEN, number, taken, size) + body)

    def receive(self) -> tuple[int, bytes]:
        """The next message that is no probe."""
        while True:
            message = self.socket.recv()
            if message[0] != PROBE:
                return message[0], message[FROM_SERVER.size :]

    def close(self) -> None:
        self.socket.close(0)
        self.context.term()


@contextmanager
def rude(address: str, name: bytes = b"") -> Iterator[Rude]:
    client = Rude(address, name)
    try:
        yield client
    finally:
        client.close()


@pytest.fixture(params=["ipc", "tcp"])
def wire(request: pytest.FixtureRequest) -> Wire:
    return request.getfixturevalue(request.param)


def greet(wire: Wire, listener: Listener, client: Rude) -> Opened:
    client.socket.send(greeting(TOKEN))
    (opened,) = wire.arrivals(listener, 1)
    assert isinstance(opened, Opened)
    return opened


def closed(wire: Wire, listener: Listener, opened: Opened) -> str:
    return str(wire.closed(listener, opened.peer))


class TestRules:
    """Who breaks one is told which, and nobody else notices."""

    @pytest.mark.parametrize(
        ("message", "reason"),
        [
            (b"", "has no head"),
            (b"x" * (FROM_CLIENT.size - 1), "has no head"),
            (FROM_CLIENT.pack(DATA, b"another token   ", 1, 0, 1) + b"x", "another token"),
            (FROM_CLIENT.pack(OPEN, TOKEN, 0, 0, 0) + GREETING, "unknown kind 1"),
            (FROM_CLIENT.pack(99, TOKEN, 0, 0, 0), "unknown kind 99"),
            (FROM_CLIENT.pack(DATA, TOKEN, 2, 0, 1) + b"x", "piece 2 came after piece 0"),
            (FROM_CLIENT.pack(DATA, TOKEN, 1, 0, 5) + b"x", "1 bytes where 5 are left"),
            (FROM_CLIENT.pack(DATA, TOKEN, 1, 0, 5000) + bytes(5000), "frame of 5000 bytes is over the limit of 4096"),
            (FROM_CLIENT.pack(ACK, TOKEN, 0, 1, 0), "1 bytes are confirmed where 0 were sent"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_a_message_against_them_ends_its_link(self, wire: Wire, message: bytes, reason: str) -> None:
        listener, channel, _ = wire.pair()
        with rude(wire.address) as client:
            opened = greet(wire, listener, client)
            client.socket.send(message)
            assert reason in closed(wire, listener, opened)
            kind, told = client.receive()
            assert kind == BYE
            assert reason in told.decode()
            client.socket.send(FROM_CLIENT.pack(DATA, TOKEN, 1, 0, 1) + b"x")  # too late
            channel.send(b"unharmed")
            assert wire.arrivals(listener, 1)[0].frame == b"unharmed"

    @pytest.mark.parametrize("parts", [2, 3, 10_000])
    def test_a_message_of_more_parts_than_one_ends_its_link(self, wire: Wire, parts: int) -> None:
        listener, channel, _ = wire.pair()
        with rude(wire.address) as client:
            opened = greet(wire, listener, client)
            client.socket.send_multipart([FROM_CLIENT.pack(DATA, TOKEN, 1, 0, 1) + b"x", *[b"x"] * (parts - 1)])
            assert "more than one part" in closed(wire, listener, opened)
            channel.send(b"unharmed")
            assert wire.frames(listener, 1) == [b"unharmed"]

    @pytest.mark.parametrize(
        "first",
        [b"", b"hello", FROM_CLIENT.pack(DATA, TOKEN, 1, 0, 1) + b"x", greeting(TOKEN) + b"2"],
        ids=["empty", "text", "piece", "other"],
    )
    def test_who_does_not_begin_with_a_greeting_is_cut_off_unheard(self, wire: Wire, first: bytes) -> None:
        listener, channel, _ = wire.pair()
        with rude(wire.address) as client:
            client.socket.send(first)
            monitor = client.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
            deadline = time.monotonic() + 10
            while not monitor.poll(1):
                assert listener.poll(0) == []
                assert time.monotonic() < deadline, "it is not cut off"
            client.socket.disable_monitor()
            monitor.close()
        channel.send(b"unharmed")
        assert wire.frames(listener, 1) == [b"unharmed"]

    def test_a_name_that_a_client_gives_itself_is_refused(self, wire: Wire) -> None:
        """It could be another's, whose answers it would get once that one is gone."""
        listener = wire.listen()
        with rude(wire.address, b"victim") as client:
            client.socket.send(greeting(TOKEN))
            deadline = time.monotonic() + 10
            while not client.socket.poll(1):
                assert listener.poll(0) == []
                assert time.monotonic() < deadline
            assert client.receive() == (BYE, b"names are given by the server")

    def test_who_is_sent_away_and_stays_is_cut_off(self, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
        """ZeroMQ has no way to end one connection; the kernel has."""
        monkeypatch.setattr(router, "_LEAVING", 0.05)
        listener = wire.listen()
        with rude(wire.address) as client:
            opened = greet(wire, listener, client)
            monitor = client.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
            listener.disconnect(opened.peer, "out")
            assert wire.arrivals(listener, 1) == [Closed(opened.peer, "out")]
            deadline = time.monotonic() + 10
            while not monitor.poll(1):
                assert listener.poll(0.01) == []
                assert time.monotonic() < deadline, "it is not cut off"
            client.socket.disable_monitor()
            monitor.close()
            assert client.receive() == (BYE, b"out")


class TestEnds:
    def test_a_client_that_vanishes_is_noticed_at_once(self, wire: Wire) -> None:
        """Without a goodbye, as when it is killed; what it had sent arrives first."""
        listener = wire.listen()
        with rude(wire.address) as client:
            opened = greet(wire, listener, client)
            listener.allow(opened.peer, 1 << 20)
            for number in range(1, 60):
                client.send(DATA, b"%d" % number, number=number)
            client.socket.setsockopt(zmq.LINGER, 1000)
            client.socket.close()
        begin = time.monotonic()
        arrivals = wire.arrivals(listener, 60)
        assert [each.frame for each in arrivals[:-1]] == [b"%d" % number for number in range(1, 60)]
        assert arrivals[-1] == Closed(opened.peer, "closed by the peer")
        assert time.monotonic() - begin < 2

    def test_a_hint_about_another_connection_is_looked_after_and_no_more(self, wire: Wire) -> None:
        """The number of a descriptor may be another connection's by the time that it is read."""
        listener, channel, peer = wire.pair()
        assert isinstance(listener, router.RouterListener)
        listener._probe(listener._links[peer], 0)
        channel.send(b"here")
        assert wire.arrivals(listener, 1) == [Received(peer, b"here")]
        listener.send(peer, b"and here")
        assert channel.recv(20) == b"and here"

    def test_only_the_connection_that_is_meant_is_cut(self) -> None:
        """A descriptor that has become another one's is left alone."""
        ours, theirs = socket.socketpair()
        router._cut(ours.fileno(), (0, 0))
        router._cut(ours.fileno(), None)
        ours.send(b"alive")
        assert theirs.recv(9) == b"alive"
        router._cut(ours.fileno(), router._identity(ours.fileno()))
        assert theirs.recv(9) == b""
        ours.close()
        theirs.close()
        router._cut(-1, (0, 0))
        assert router._identity(-1) is None

    def test_what_cannot_be_sent_any_more_is_forgotten(self, wire: Wire) -> None:
        """A backlog for somebody who is gone is nobody's."""
        listener = wire.listen()
        with rude(wire.address) as client:
            opened = greet(wire, listener, client)
            for _ in range(100):
                listener.send(opened.peer, bytes(60_000))
            assert isinstance(listener, router.RouterListener)
            link = listener._links[opened.peer]
            assert link.backlog > 4 << 20
            assert link.sent - link.taken < WINDOW + 70_000
        assert closed(wire, listener, opened) == "closed by the peer"
        assert not link.queue
        assert not listener._links


RUBBISH = {
    "random bytes": os.urandom(500),
    "an HTTP request": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a TLS hello": bytes.fromhex("16030102000100") + os.urandom(500),
    "an old greeting of ZeroMQ's": b"\x01\x00",
    "half a greeting of ZeroMQ's": b"\xff\0\0\0\0\0\0\0\x01\x7f\x03",
    "nothing": b"",
}


class TestRawConnections:
    @pytest.mark.parametrize("rubbish", RUBBISH.values(), ids=RUBBISH.keys())
    def test_what_is_not_zeromq_never_gets_to_the_rules(
        self, wire: Wire, rubbish: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And is cut off in time, also where ZeroMQ itself would let it stay."""
        monkeypatch.setattr(settings, "HANDSHAKE", 0.2)
        monkeypatch.setattr(router, "HANDSHAKE", 0.2)
        listener, channel, _ = wire.pair(Limits(handshake=0.2))
        with _raw(wire.address) as raw:
            raw.sendall(rubbish)
            deadline = time.monotonic() + 10
            raw.settimeout(0.01)
            while not _has_ended(raw):
                assert listener.poll(0.01) == []
                assert time.monotonic() < deadline, "it may stay"
        channel.send(b"unharmed")
        assert wire.frames(listener, 1) == [b"unharmed"]

    def test_a_hundred_silent_ones_disturb_nobody(self, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
        """They are closed after the handshake's time; meanwhile others come and are served."""
        monkeypatch.setattr(settings, "HANDSHAKE", 0.3)
        listener, channel, _ = wire.pair()
        with contextlib.ExitStack() as stack:
            silent = [stack.enter_context(_raw(wire.address)) for _ in range(100)]
            channel.send(b"one")
            assert wire.frames(listener, 1) == [b"one"]
            other, _ = wire.join(listener)
            other.send(b"two")
            assert wire.frames(listener, 1) == [b"two"]
            for each in silent:
                each.settimeout(10)
                while each.recv(4096):
                    pass
        assert listener.poll(0) == []


def _raw(address: str) -> socket.socket:
    if address.startswith("ipc://"):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(address.removeprefix("ipc://"))
        return connection
    host, port = address.removeprefix("tcp://").split(":")
    return socket.create_connection((host, int(port)))


def _has_ended(raw: socket.socket) -> bool:
    try:
        while raw.recv(4096):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        pass
    return True
