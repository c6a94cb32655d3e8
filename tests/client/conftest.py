"""A state server for the tests of clients: the real rules and the real loop, in a thread, over ``memory://``."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Generic, Protocol, TypeAlias, TypeVar, cast

import pytest

from zproc import testing
from zproc.client import Client, model_handle
from zproc.core.limits import Limits
from zproc.core.messages import Command, Commit
from zproc.schema.change import Change
from zproc.schema.model import Schema, StateModel
from zproc.schema.ops import Op, op_from_plain
from zproc.transport import fresh_address
from zproc.typing import Revision

M = TypeVar("M", bound=StateModel)

Fault: TypeAlias = tuple[type[Command], str, int]
"""What goes wrong: with which commands, a key of FAULTS, and how often."""

FAULTS = {
    "before": testing.Fault.LOST,
    "after": testing.Fault.UNANSWERED,
    "garble": testing.Fault.GARBLED,
    "die": testing.Fault.FATAL,
}

NAMESPACE = "default"
_numbers = itertools.count(1)


class Served(Generic[M]):
    """A state server in a thread, and clients of it.

    Attributes:
        core: its rules.
        address: where it listens.
    """

    def __init__(self, model: type[M], address: str, limits: Limits | None, fault: Fault | None) -> None:
        self._model = model
        self._schema = cast("Schema[StateModel]", Schema.of(model))
        self._server = testing.MemoryServer(model, limits=limits, address=address)
        self.core = self._server.core
        self.address = address
        self._clients: list[Client] = []
        if fault is not None:
            kind, what, times = fault
            self._server.break_at(kind, FAULTS[what], times=times)
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
        self._server.wait_until(lambda: len(self.asked(kind)) >= number)

    def stop(self) -> None:
        """End the server; its clients stay."""
        self._server.stop()

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
