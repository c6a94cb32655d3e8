"""The loop in a thread, and peers that speak in frames."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Protocol, cast

import pytest

from zproc.client import Client
from zproc.core.limits import Limits
from zproc.core.messages import PROTOCOL, Command, Hello, Reply, decode_reply, encode
from zproc.core.server import ServerCore
from zproc.schema.model import Schema, StateModel
from zproc.server import serve
from zproc.transport import Channel, Limits as TransportLimits, connect, fresh_address, listen
from zproc.typing import Epoch, PeerId, RequestId, SessionId

NAMESPACE = "default"
_numbers = itertools.count(1)


class RecordingCore(ServerCore):
    """The rules, remembering when they were told what, and failing where a test wants them to."""

    def __init__(self, schema: Schema[StateModel], limits: Limits | None) -> None:
        super().__init__({NAMESPACE: schema}, epoch=Epoch("epoch"), limits=limits)
        self.times: list[float] = []
        self.broken: type[Command] | None = None

    def receive(self, peer: PeerId, command: Command, *, now: float, wall: float = 0.0) -> None:
        self.times.append(now)
        if self.broken is not None and isinstance(command, self.broken):
            raise RuntimeError("a bug")
        super().receive(peer, command, now=now, wall=wall)


class Peer:
    """A connection that says what a test has it say."""

    def __init__(self, address: str, schema: Schema[StateModel]) -> None:
        self.channel: Channel = connect(address)
        self._schema = schema

    def hello(self) -> Reply:
        """Introduce itself."""
        return self.call(
            Hello(RequestId(0), PROTOCOL, NAMESPACE, self._schema.fingerprint, {}, SessionId("raw"), 1, "raw")
        )

    def call(self, command: Command) -> Reply:
        return self.say(encode(command))

    def say(self, frame: bytes) -> Reply:
        self.channel.send(frame, 10)
        return self.hear()

    def hear(self) -> Reply:
        return decode_reply(self.channel.recv(10))


class Served:
    """A state server in a thread."""

    def __init__(
        self, model: type[StateModel], address: str, limits: Limits | None, transport: TransportLimits | None
    ) -> None:
        self.schema = cast("Schema[StateModel]", Schema.of(model))
        self.core = RecordingCore(self.schema, limits)
        self.address = address
        self.client = Client(self.schema, address, NAMESPACE)
        self._peers: list[Peer] = []
        self._listener = listen(address, transport)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=serve, args=(self.core, self._listener, self._stopping.is_set))
        self._thread.start()

    def peer(self) -> Peer:
        peer = Peer(self.address, self.schema)
        self._peers.append(peer)
        return peer

    def close(self) -> None:
        for each in (self.client, *(peer.channel for peer in self._peers)):
            each.close()
        self._stopping.set()
        self._listener.wake()
        self._thread.join(10)
        assert not self._thread.is_alive(), "the server does not stop"
        self._listener.close()


class Serve(Protocol):
    def __call__(
        self,
        model: type[StateModel],
        *,
        address: str | None = None,
        limits: Limits | None = None,
        transport: TransportLimits | None = None,
    ) -> Served: ...


@pytest.fixture
def serving() -> Iterator[Serve]:
    """Serve a model; without an address at a name of its own in memory."""
    with ExitStack() as stack:

        def begin(
            model: type[StateModel],
            *,
            address: str | None = None,
            limits: Limits | None = None,
            transport: TransportLimits | None = None,
        ) -> Served:
            served = Served(model, address or f"memory://served-{next(_numbers)}", limits, transport)
            stack.callback(served.close)
            return served

        yield begin


@pytest.fixture(params=["memory", "unix"])
def either_address(request: pytest.FixtureRequest) -> str:
    """An address in memory, and one of a socket."""
    return fresh_address() if request.param == "unix" else f"memory://served-{next(_numbers)}"
