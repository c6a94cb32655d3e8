"""A state server for the tests of clients: the real rules and the real loop, in a thread, over ``memory://``."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Generic, Protocol, TypeAlias, TypeVar, cast

import pytest

from zproc.client import Client, model_handle
from zproc.core.limits import Limits
from zproc.core.messages import Command, Commit, Ping, decode_command
from zproc.core.server import ServerCore
from zproc.schema.change import Change
from zproc.schema.model import Schema, StateModel
from zproc.schema.ops import Op, op_from_plain
from zproc.server import serve
from zproc.transport import Arrival, Listener, Received, fresh_address, listen
from zproc.typing import Epoch, PeerId, Revision

M = TypeVar("M", bound=StateModel)

Fault: TypeAlias = tuple[type[Command], str, int]
"""What a server does wrong: see `Cutter`."""

NAMESPACE = "default"
_numbers = itertools.count(1)


class RecordingCore(ServerCore):
    """The rules, remembering what they were told."""

    def __init__(self, schema: Schema[StateModel], limits: Limits | None) -> None:
        super().__init__({NAMESPACE: schema}, epoch=Epoch(f"epoch {next(_numbers)}"), limits=limits)
        self.commands: list[Command] = []
        self.arrived = threading.Condition()

    def receive(self, peer: PeerId, command: Command, *, now: float, wall: float = 0.0) -> None:
        super().receive(peer, command, now=now, wall=wall)
        with self.arrived:
            self.commands.append(command)
            self.arrived.notify_all()


class Cutter:
    """A listener that meets a kind of command with a fault, a number of times.

    Args:
        inner: the listener.
        kind: which commands.
        fault: ``"before"`` cuts the connection and forgets the command, ``"after"`` lets it be performed and cuts the
            connection instead of answering, ``"garble"`` answers with nonsense, and with ``"die"`` the server is gone.
        times: how often.
    """

    def __init__(self, inner: Listener, kind: type[Command], fault: str, times: int = 1) -> None:
        self._inner = inner
        self._kind = kind
        self._fault = fault
        self._times = times
        self._doomed: set[PeerId] = set()
        self.dead = False

    @property
    def address(self) -> str:
        return self._inner.address

    def poll(self, timeout: float | None) -> list[Arrival]:
        return [] if self.dead else [arrival for arrival in self._inner.poll(timeout) if not self._strikes(arrival)]

    def _strikes(self, arrival: Arrival) -> bool:
        if self.dead:
            return True
        if not isinstance(arrival, Received) or not self._times:
            return False
        if not isinstance(decode_command(arrival.frame), self._kind):
            return False
        self._times -= 1
        match self._fault:
            case "before":
                self._inner.disconnect(arrival.peer, "cut")
                return True
            case "die":
                self.dead = True
                self._inner.close()
                return True
        self._doomed.add(arrival.peer)
        return False

    def send(self, peer: PeerId, frame: bytes) -> None:
        if peer not in self._doomed:
            self._inner.send(peer, frame)
            return
        self._doomed.discard(peer)
        if self._fault == "garble":
            self._inner.send(peer, b"nonsense")
        else:
            self._inner.disconnect(peer, "cut")

    def disconnect(self, peer: PeerId, reason: str) -> None:
        self._inner.disconnect(peer, reason)

    def allow(self, peer: PeerId, max_frame: int) -> None:
        self._inner.allow(peer, max_frame)

    def add_waker(self, fileno: int) -> None:
        self._inner.add_waker(fileno)

    def wake(self) -> None:
        self._inner.wake()

    def close(self) -> None:
        self._inner.close()


class Served(Generic[M]):
    """A state server in a thread, and clients of it.

    Attributes:
        core: its rules.
        address: where it listens.
    """

    def __init__(self, model: type[M], address: str, limits: Limits | None, fault: Fault | None) -> None:
        self._model = model
        self._schema = cast("Schema[StateModel]", Schema.of(model))
        self.core = RecordingCore(self._schema, limits)
        self.address = address
        self._clients: list[Client] = []
        # A command that no test sends stands for no fault.
        self._listener = Cutter(listen(address), *(fault or (Ping, "before", 0)))
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=serve,
            args=(self.core, self._listener, lambda: self._stopping.is_set() or self._listener.dead),
            name=f"server at {address}",
        )
        self._thread.start()
        self.client = self.new_client()

    def new_client(self) -> Client:
        """Return another client: to the server, another process."""
        client = Client(self._schema, self.address, NAMESPACE, process="test")
        self._clients.append(client)
        return client

    @property
    def state(self) -> M:
        """The live state."""
        return self.state_of(self.client)

    def state_of(self, client: Client) -> M:
        """The live state, by another client."""
        return cast("M", model_handle(client, (), self._model))

    @property
    def value(self) -> M:
        """The state itself, at the server."""
        return cast("M", self.core.namespace(NAMESPACE).state)

    @property
    def revision(self) -> int:
        return self.core.namespace(NAMESPACE).revision

    def changes(self, since: int = 0) -> list[list[Change]]:
        """What the commits after a revision did."""
        namespace = self.core.namespace(NAMESPACE)
        return [namespace.changes_of(entry) for entry in namespace.history.since(Revision(since))]

    def asked(self, kind: type[Command]) -> list[Command]:
        """The requests of one kind, in order."""
        return [command for command in self.core.commands if isinstance(command, kind)]

    def ops(self) -> list[list[Op]]:
        """The ops of each commit that was sent."""
        sent = [command for command in self.core.commands if isinstance(command, Commit)]
        return [
            [op_from_plain(op) for op in cast("list[object]", self._schema.codec.decode(each.ops))] for each in sent
        ]

    def wait_for(self, kind: type[Command], number: int = 1) -> None:
        """Wait until so many requests of a kind have been taken in."""
        with self.core.arrived:
            assert self.core.arrived.wait_for(lambda: len(self.asked(kind)) >= number, 10), f"no {kind.__name__} came"

    def stop(self) -> None:
        """End the server; its clients stay."""
        self._stopping.set()
        self._listener.wake()
        self._thread.join(10)
        assert not self._thread.is_alive(), "the server does not stop"
        self._listener.close()

    def close(self) -> None:
        """End the clients and the server."""
        for client in self._clients:
            client.close()
        self.stop()


class Serve(Protocol):
    def __call__(
        self,
        model: type[M],
        *,
        address: str | None = None,
        limits: Limits | None = None,
        fault: Fault | None = None,
    ) -> Served[M]: ...


@pytest.fixture
def serving() -> Iterator[Serve]:
    """Serve a model; without an address at a name of its own in memory."""
    with ExitStack() as stack:

        def begin(
            model: type[M],
            *,
            address: str | None = None,
            limits: Limits | None = None,
            fault: Fault | None = None,
        ) -> Served[M]:
            served = Served(model, address or f"memory://test-{next(_numbers)}", limits, fault)
            stack.callback(served.close)
            return served

        yield begin


@pytest.fixture(params=["memory", "unix"])
def either_address(request: pytest.FixtureRequest) -> str:
    """An address in memory, and one of a socket."""
    return fresh_address() if request.param == "unix" else f"memory://test-{next(_numbers)}"


@pytest.fixture
def together() -> Callable[..., None]:
    """Run functions in threads of their own that begin at one moment, and raise what any of them raises."""

    def run(*functions: Callable[[], object]) -> None:
        barrier = threading.Barrier(len(functions))
        errors: list[BaseException] = []

        def one(function: Callable[[], object]) -> None:
            try:
                barrier.wait(10)
                function()
            except BaseException as error:  # noqa: BLE001 - raised again below
                errors.append(error)

        threads = [threading.Thread(target=one, args=(function,)) for function in functions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in threads), "a thread hangs"
        if errors:
            raise errors[0]

    return run
