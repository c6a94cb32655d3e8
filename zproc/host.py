"""A state server as a process of its own, and how one is started.

The law: the server serves until it is told to end or its owner is gone. It is sent models, and no other code, by its
owner alone, over the pipe between the two. What its owner leaves behind when it dies, the server ends.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import resource
import secrets
import signal
from collections.abc import Callable, Iterable, Mapping
from types import FrameType
from typing import Final, Self, cast

from zproc import record, transport
from zproc.arguments import TEXT, Kind, expect, or_none
from zproc.client import Bookmark
from zproc.client.ping import Pulse, pulse
from zproc.core.limits import Limits
from zproc.core.server import ServerCore
from zproc.exceptions import Error, RemoteError, UsageError
from zproc.process import Orders, StartMethod, announce_ready, choose, is_root, parent_watch, run_id, start, sweep
from zproc.schema.model import Schema, StateModel
from zproc.server import SystemClock, alarm_budget, serve
from zproc.transport import Listener, clear, clear_all, fresh_address, listen, parse_address, publish, with_keys
from zproc.typing import Epoch

__all__ = [
    "ADDRESS",
    "Server",
    "core_of",
    "destination",
    "expect_limits",
    "ping",
    "place",
    "preload",
    "refuse_secret_key",
    "serve_here",
    "start_server",
]

_log = logging.getLogger(__name__)

ADDRESS: Final = "ZPROC_ADDRESS"
"""The variable that tells programs where the server is that they join."""

_ASKING: Final = tuple(each for each in (getattr(signal, "SIGUSR1", None),) if each is not None)
"""The signals, if any, on which a server logs what it is doing."""

_LINGER: Final = 5.0
"""How long a server may outlive its owner, to end what that left behind, in seconds."""

_GRACE: Final = 2.0
"""How long a server may take to stop, in seconds."""


class Server:
    """A state server in a process of its own, started by this one; once this exists, it is listening.

    It ends by `stop`, at the end of a ``with`` block, or when the process that started it ends, in whatever way.

    Attributes:
        address: where it listens; contexts join it by this address.
    """

    def __init__(
        self,
        namespace: str,
        model: type[StateModel],
        limits: Limits,
        method: StartMethod | str | None,
        address: str | None = None,
    ) -> None:
        address = fresh_address() if address is None else address
        run = run_id()  # first, because this may be what makes this process the root
        if is_root() and not _serving:
            atexit.unregister(_sweep_at_exit)
            atexit.register(_sweep_at_exit, run)
        arguments = (namespace, model, limits, address, run if is_root() else None)
        if choose(method) is StartMethod.FORK:
            preload()  # once here, rather than in each server
        try:
            self._process = start(
                _be_server, arguments, name="server", method=method, ready=True, detached=True, linger=_LINGER
            )
        except RemoteError as error:
            if isinstance(error.__cause__, Error):  # an address that is in use, keys that cannot be read
                raise error.__cause__ from None
            raise
        self.address: Final = cast("str", self._process.ready_value)
        _serving.add(self)

    def __repr__(self) -> str:
        return f"<Server {self.pid} at {self.address}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def add(self, namespace: str, model: type[StateModel]) -> None:
        """Serve one more state.

        Args:
            namespace: the name of that state; if there is one already, it has to be declared like this.
            model: what it is declared as.

        Raises:
            SchemaMismatch: the state is declared differently.
            UsageError: the model cannot be sent there, or this process has not made the server.
            ProcessError: the server has ended.
        """
        self._process.ask(model, namespace)

    def stop(self) -> None:
        """End it, and wait until it is gone."""
        self._process.stop(_GRACE)
        _serving.discard(self)
        clear(self.address)
        Bookmark.sweep(self.address)


_serving: set[Server] = set()
"""The servers of this process that were not stopped."""


def _sweep_at_exit(run: str) -> None:
    """End orphaned descendants of a run that exits normally.

    A server that was not stopped is about to notice that its owner is gone, and does the same. What killed processes
    have left behind is removed in any case.
    """
    if is_root() and not _serving:
        sweep(run)
        clear_all()


def _be_server(namespace: str, model: type[StateModel], limits: Limits, address: str, run: str | None) -> None:
    owner = parent_watch()
    orders = Orders()

    def begin(core: ServerCore, listener: Listener) -> Callable[[], bool]:
        nonlocal address
        address = listener.address
        listener.add_waker(owner.fileno())
        listener.add_waker(orders.fileno())
        announce_ready(address)

        def finished() -> bool:
            _obey(orders, core)
            return owner.gone()

        return finished

    try:
        serve_here({namespace: model}, address, limits, begin)
    finally:
        orders.close()
    if run is not None and owner.gone():
        sweep(run)
        clear_all()
        Bookmark.sweep(address)  # once more: who was swept only now may have moved his


def serve_here(
    models: Mapping[str, type[StateModel]],
    address: str,
    limits: Limits,
    begin: Callable[[ServerCore, Listener], Callable[[], bool]],
    stopping: Iterable[signal.Signals] = (signal.SIGTERM,),
) -> None:
    """Run a state server in the main thread of this process until told to end; SIGUSR1 logs what goes on.

    Args:
        models: its states, by name.
        address: where to listen.
        limits: its limits.
        begin: called when it listens; returns what tells, after each wake-up, whether it is to end.
        stopping: the signals that end it, besides SIGHUP, which does unless it is ignored (``nohup``).

    Raises:
        UsageError: the address is in use, is one in memory, or can be reached from other machines and has no keys.
        Unavailable: the system refuses.
    """
    if parse_address(address).scheme == "memory":
        raise UsageError(
            f"{address}: an address in memory is of one process, and the server would be alone in it; "
            "use unix:///path, or, for a server in this process, zproc.testing.MemoryServer"
        )
    _take_descriptors()
    # Not events of `threading`, whose locks are no matter for a handler: it may have interrupted who has them.
    stopped, asked, clock = False, False, SystemClock()
    epoch = Epoch(secrets.token_hex(8))
    core = core_of(models, epoch, limits)
    listener = listen(address, _transport_limits(limits))
    try:
        words = publish(address, epoch)
    except BaseException:
        listener.close()
        raise

    def stop(_signum: int, _frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True
        listener.wake()

    def ask(_signum: int, _frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        listener.wake()

    def look() -> bool:
        nonlocal asked
        if asked:
            asked = False
            _log.warning("asked what goes on:\n%s", "\n".join(core.survey(now=clock.now())))
        return stopped or finished()

    before = {each: signal.signal(each, stop) for each in (*stopping, *_hangups())}
    before |= {each: signal.signal(each, ask) for each in _ASKING}
    try:
        finished = begin(core, listener)
        serve(core, listener, look, words, clock)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
        if words is not None:
            words.close()
        address = listener.address
        listener.close()
        Bookmark.sweep(address)


def _hangups() -> list[signal.Signals]:
    hangup = getattr(signal, "SIGHUP", None)
    return [hangup] if hangup is not None and signal.getsignal(hangup) is signal.SIG_DFL else []


def core_of(models: Mapping[str, type[StateModel]], epoch: Epoch, limits: Limits) -> ServerCore:
    """Return the rules of a server with some states, and with the record."""
    schemas = {name: _schema(model) for name, model in models.items()}
    core = ServerCore(schemas, epoch=epoch, pid=os.getpid(), limits=limits, budget=alarm_budget)
    core.add(record.NAMESPACE, _schema(record.ProcessTable), record.KEEPER)
    return core


def _take_descriptors() -> None:
    """Raise the limit of open files to the maximum: each client needs some, and the usual limit is low."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # more than the system has
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _transport_limits(limits: Limits) -> transport.Limits:
    """Return limits for the transport under which every message that the rules allow can be sent."""
    return transport.Limits(
        first_frame=limits.hello_bytes,
        frame=limits.message_bytes,
        backlog=max(transport.Limits().backlog, 2 * limits.message_bytes),
        peers=limits.peers,
    )


def place(address: str, keys: str | None) -> str:
    """Return an address that includes the directory of the keys, by default that of ``ZPROC_KEYS``.

    Args:
        address: where a server listens, or is to listen.
        keys: the directory; ``None`` for that in the address itself, or in the environment.

    Raises:
        UsageError: it is no address, or one that takes no keys.
    """
    expect("keys", keys, or_none(TEXT))
    if keys is None and parse_address(address).scheme == "tcp" and not parse_address(address).keys:
        keys = os.environ.get("ZPROC_KEYS") or None
    return with_keys(address, keys)


def destination(address: str | None, keys: str | None, *, start: bool | None) -> tuple[str | None, bool]:
    """Return where a context finds its server, and whether it is to start it.

    Args:
        address: what it was told; ``None`` for that of the environment, if there is one.
        keys: see `place`.
        start: whether it was told to start one; ``None`` if it is to do so where there is no address.

    Raises:
        UsageError: there is no server to join, or nothing that the keys are for.
    """
    if address is None and not start:
        address = os.environ.get(ADDRESS) or None
    if address is None and start is False:
        raise UsageError(f"without an address no server can be joined: give address=, or set {ADDRESS}")
    starts = address is None if start is None else start
    if address is not None:
        address = place(address, keys)
    elif keys is not None:
        raise UsageError("keys are for servers with a tcp:// address: give address=, too")
    return address, starts


def preload() -> None:
    """Do once what every server forked from this process would otherwise do itself."""
    _schema(record.ProcessTable)
    transport.preload()


def start_server(
    model: type[StateModel],
    *,
    address: str | None = None,
    namespace: str = "default",
    keys: str | None = None,
    limits: Limits | None = None,
    start_method: StartMethod | str | None = None,
    secret_key: None = None,
) -> Server:
    """Start a state server as a process of its own, which other programs can join by its address.

    Args:
        model: the model of its first state: a subclass of `StateModel` whose fields all have defaults.
        address: where to listen: ``unix:///path`` or ``ipc:///path`` on this machine, ``tcp://127.0.0.1:port`` for this
            user's programs on it, or ``tcp://host:port`` for other machines, with keys. Port 0 means any free port.
            ``None`` for an unused path.
        namespace: the name of that state.
        keys: the directory of the server's keys, as made by ``zproc keys new``; by default that of ``ZPROC_KEYS``.
        limits: its limits.
        start_method: the start method of its process.
        secret_key: no longer supported: it signed messages that everybody could read. Use ``keys``.

    Returns:
        The server. It ends with this process, at the latest.

    Raises:
        SchemaError: the model cannot be shared, and why.
        UsageError: the address is in use, or can be reached from other machines and has no keys.
        ProcessError: the process cannot be started.
    """
    refuse_secret_key(secret_key)
    expect_limits(limits)
    expect("namespace", namespace, TEXT)
    Schema.of(model).initial()
    if address is None and keys is not None:
        raise UsageError("keys are for servers with a tcp:// address: give address=, too")
    chosen = None if address is None else place(address, keys)
    return Server(namespace, model, limits or Limits(), start_method, chosen)


def ping(address: str, *, timeout: float = 5.0, keys: str | None = None, secret_key: None = None) -> Pulse:
    """Check that a server is there.

    Args:
        address: where it listens.
        timeout: how long to wait for it, in seconds.
        keys: the directory of our keys; by default that of ``ZPROC_KEYS``.
        secret_key: no longer supported; see `start_server`.

    Returns:
        Its process id, ``pid``, and the round-trip time, ``latency``, in seconds.

    Raises:
        Unavailable: nobody answers there in time.
        AuthenticationError: it does not know our key, or has not the key that we expect.
    """
    refuse_secret_key(secret_key)
    return pulse(place(address, keys), timeout)


def expect_limits(limits: object) -> None:
    """Check that limits, if given, are a `Limits`.

    Raises:
        UsageError: they are something else.
    """
    expect("limits", limits, or_none(Kind("a zproc.Limits(...)", lambda value: isinstance(value, Limits))))


def refuse_secret_key(secret_key: object) -> None:
    """Refuse the original's ``secret_key``, and say what took its place."""
    if secret_key is not None:
        raise UsageError(
            "secret_key is no longer there: it signed messages that everybody could read. Servers on other machines "
            "are met by keys: make some with `zproc keys new DIR`, start the server with keys='DIR/server', and join "
            "it with keys='DIR/client'. On one machine nothing is needed"
        )


def _obey(orders: Orders, core: ServerCore) -> None:
    """Add the states that the owner has asked for."""
    while (order := orders.take()) is not None:
        try:
            core.add(cast("str", order.args[0]), _schema(cast("type[StateModel]", order.target)))
        except Error as error:
            orders.answer(error)
        else:
            orders.answer(None)


def _schema(model: type[StateModel]) -> Schema[StateModel]:
    return cast("Schema[StateModel]", Schema.of(model))
