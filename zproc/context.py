"""Where the parts become one thing: a context starts or joins a server, hands out the state and owns processes.

The law: nothing is decided here that another package could decide. What a context has started it ends: first its
processes, then its connections, the server last; and if it cannot, because its process was killed, the server does.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Concatenate, Final, Generic, ParamSpec, Self, TypeVar, cast

from zproc.client import Client, Cursor, address_of, model_handle
from zproc.core.limits import Limits
from zproc.core.server import ServerCore
from zproc.exceptions import UsageError
from zproc.process import (
    Manager,
    Process,
    StartMethod,
    announce_ready,
    is_root,
    parent_watch,
    run_id,
    start,
    sweep,
)
from zproc.schema.model import Schema, StateModel
from zproc.server import alarm_budget, serve
from zproc.transport import clear, fresh_address, listen, publish
from zproc.typing import Epoch

__all__ = ["Context"]

M = TypeVar("M", bound=StateModel)
P = ParamSpec("P")
R = TypeVar("R")

_LINGER: Final = 5.0
"""How long a server may outlive its owner, to end what the owner left behind, in seconds."""

_GRACE: Final = 2.0
"""How long processes may take to end when they are asked to, in seconds."""


class Context(Generic[M]):
    """A shared state and the processes that work on it.

    Without an address, a state server is started, as a process of its own, and is ready when this returns; with one,
    the server there is joined. What the context has started ends with it: at ``close()``, at the end of a ``with``
    block, at the end of the program, or when this process dies in whatever way.

    Args:
        model: what the state is declared as: a subclass of `StateModel` whose fields all have defaults.
        address: the server to join, as ``other.address`` of another context tells it.
        wait: whether to wait at the end of the program, or of the ``with`` block, until all processes of this context
            have ended; not if it ends by an exception.
        cleanup: whether to close the context in order at the end of the program.
        start_method: how processes are made: ``"fork"``, ``"forkserver"`` or ``"spawn"``; by default what
            ``ZPROC_START_METHOD`` says, else the platform's own.
        lease_timeout: how long one atomic function may take, in seconds; whoever takes longer loses the turn. Only for
            a server that is started here.

    Raises:
        SchemaError: the model cannot be shared, and why.
        SchemaMismatch: the server at the address declares the state differently.
        Unavailable: no server answers at the address.
        UsageError: there is no such start method.
    """

    def __init__(
        self,
        model: type[M],
        *,
        address: str | None = None,
        wait: bool = False,
        cleanup: bool = True,
        start_method: StartMethod | str | None = None,
        lease_timeout: float = 30.0,
    ) -> None:
        schema = cast("Schema[StateModel]", Schema.of(model))
        self._wait = wait
        self._owner = os.getpid()
        self._manager = Manager(start_method)
        self._server: Process[None] | None = None
        if address is None:
            schema.initial()
            limits = Limits(lease_time=lease_timeout)
            self._server = _start_server(model, limits, start_method)
            address = cast("str", self._server.ready_value)
        self._client = Client(schema, address, _NAMESPACE)
        try:
            self._client.revision()
        except BaseException:
            self.close()
            raise
        if cleanup:
            atexit.register(self._at_exit)

    def __repr__(self) -> str:
        state = "closed" if self._client.closed else f"{len(self.processes)} processes"
        return f"<Context of {self._client.schema.model.__name__} at {self.address}: {state}>"

    def __reduce__(self) -> tuple[object, ...]:
        """Travel as the address: elsewhere it is a context that has joined."""
        return _joined, (self._client.schema.model, self.address)

    @property
    def address(self) -> str:
        """Where the server listens; other contexts join it by this."""
        return self._client.address

    @property
    def state(self) -> M:
        """The live state: reading an attribute reads it as it is now, assigning to one is one validated commit."""
        if self._client.closed:
            raise UsageError("this context is closed")
        return cast("M", model_handle(self._client, (), self._client.schema.model))

    @property
    def processes(self) -> list[Process[object]]:
        """The processes that this context has started, in that order."""
        return self._manager.record()

    # Processes

    def spawn(self, function: Callable[Concatenate[M, P], R], /, *args: P.args, **kwargs: P.kwargs) -> Process[R]:
        """Start a process that calls a function with the live state; also to be used as a decorator.

        Args:
            function: what to call; functions of ``__main__``, closures and lambdas will do.
            args: its arguments after the state.
            kwargs: its named arguments.

        Returns:
            The process; its ``wait()`` returns what the function returns.

        Raises:
            UsageError: the context is closed, or something cannot be sent to the process.
            ProcessError: no process can be made.
        """
        return self._manager.make(function, (self.state, *args), kwargs)

    def call_when_change(
        self, *fields: str, count: int | None = None
    ) -> Callable[[Callable[[M, M], object]], Process[None]]:
        """Have a process call a function each time that a commit of another process changes any of some fields.

        The process listens when this returns: no later change is missed. The function is called with the state that
        the commit made, as a frozen copy, and with the live state.

        Args:
            fields: dotted paths, ``"oven.temp"`` or ``"oven"`` for anything below it, or patterns, ``"stock.*"``; none
                for every field.
            count: after how many calls the process ends; ``None`` for never.

        Returns:
            A decorator, which returns the process.

        Raises:
            UnknownPath: a field leads nowhere.
            UsageError: the context is closed, or the function cannot be sent to the process.
            ProcessError: no process can be made.
        """
        client, _ = address_of(self.state)  # type: ignore[arg-type]  # a handle, typed as what it stands for
        Cursor(client, fields)

        def decorator(function: Callable[[M, M], object]) -> Process[None]:
            name = getattr(function, "__name__", type(function).__name__)
            return self._manager.make(_call_on_change, (function, self.state, fields, count), name=name, ready=True)

        return decorator

    # The end

    def wait_all(self, timeout: float | None = None) -> list[object]:
        """Wait until all processes of this context have ended.

        Args:
            timeout: how long to wait for each, in seconds.

        Returns:
            What they returned, in the order in which they were started.

        Raises:
            RemoteError: one of them raised.
            ProcessError: one of them died.
            WaitTimeout: one still runs.
        """
        return self._manager.wait_all(timeout)

    def close(self) -> None:
        """End the processes, the connections and the server, in this order.

        Does nothing the second time, and nothing in a fork of the process that made the context.
        """
        if self._owner != os.getpid():
            return
        atexit.unregister(self._at_exit)
        self._manager.stop_all(_GRACE)
        if hasattr(self, "_client"):
            self._client.close()
        if self._server is not None:
            self._server.stop(_GRACE)
            clear(cast("str", self._server.ready_value))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._wait and kind is None:
                self.wait_all()
        finally:
            self.close()

    def _at_exit(self) -> None:
        if self._owner != os.getpid():
            return
        failed = getattr(sys, "last_value", None) is not None
        with contextlib.ExitStack() as stack:
            stack.callback(self.close)
            if self._wait and not failed:
                self.wait_all()


_NAMESPACE: Final = "default"


def _joined(model: type[M], address: str) -> Context[M]:
    return Context(model, address=address, cleanup=False)


def _call_on_change(function: Callable[[M, M], object], state: M, fields: tuple[str, ...], count: int | None) -> None:
    """Be the process of ``call_when_change``."""
    client, _ = address_of(state)  # type: ignore[arg-type]  # a handle, typed as what it stands for
    cursor = Cursor(client, fields, own=False)
    announce_ready()
    calls = 0
    while count is None or calls < count:
        function(cast("M", cursor.next()), state)
        calls += 1


def _start_server(model: type[StateModel], limits: Limits, method: StartMethod | str | None) -> Process[None]:
    run = run_id()
    arguments = (model, limits, fresh_address(), run if is_root() else None)
    return start(_be_server, arguments, name="server", method=method, ready=True, detached=True, linger=_LINGER)


def _be_server(model: type[StateModel], limits: Limits, address: str, run: str | None) -> None:
    """Be the state server, until told to end or until the owner is gone; then end what the owner left behind."""
    owner = parent_watch()
    stopping = threading.Event()
    epoch = Epoch(secrets.token_hex(8))
    core = ServerCore(
        {_NAMESPACE: cast("Schema[StateModel]", Schema.of(model))},
        epoch=epoch,
        pid=os.getpid(),
        limits=limits,
        budget=alarm_budget,
    )
    listener = listen(address)
    words = publish(address, epoch)

    def stop(_signum: int, _frame: FrameType | None) -> None:
        stopping.set()
        listener.wake()

    signal.signal(signal.SIGTERM, stop)
    try:
        listener.add_waker(owner.fileno())
        announce_ready(address)
        serve(core, listener, lambda: stopping.is_set() or owner.gone(), words)
    finally:
        if words is not None:
            words.close()
        listener.close()
    if run is not None and owner.gone():
        sweep(run)
