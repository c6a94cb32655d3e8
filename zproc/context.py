"""The context: it starts or joins a server, hands out the state, and owns processes.

The law: nothing is decided here that another package could decide. What a context has started it ends: first its
processes, then its connections, the server last; and if it cannot, because its process was killed, the server does.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import signal
import sys
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, ClassVar, Final, Self, TypeVar, Unpack, cast, overload

from zproc.arguments import FLAG, REVISION, TEXT, expect, expect_all, expect_known, meant, or_none
from zproc.call_when import CallWhen
from zproc.client import Client, commits_since, model_handle, name_by, revert
from zproc.client.ping import Pulse, pulse
from zproc.core.limits import Limits
from zproc.exceptions import ProcessError, UsageError
from zproc.host import ADDRESS, Server, destination, expect_limits, refuse_secret_key
from zproc.process import Manager, Options, Spawn, current_name, descriptor
from zproc.record import ProcessTable, Recorder
from zproc.schema.declared import Declared
from zproc.schema.event import Commit
from zproc.schema.fieldless import Fieldless
from zproc.schema.model import Schema, StateModel
from zproc.schema.path import format_path, no_field, selected
from zproc.schema.places import Places
from zproc.schema.selection import Watch
from zproc.spawning import Spawning
from zproc.swarm import Crews, Maps
from zproc.typing import Linked, Revision

__all__ = ["BaseContext", "Context", "ContextOptions", "context_class"]

# In the history, and wherever a server speaks of clients, a process that zproc started bears the name it was given.
name_by(current_name)

M = TypeVar("M", bound=StateModel)
N = TypeVar("N", bound=StateModel)
R = TypeVar("R")
V = TypeVar("V")
C = TypeVar("C")

_OWN: Final = "zproc."
"""What the names of zproc's own namespaces begin with."""

_HABITS: Final = {"join": "wait_all", "map": "process_map", "start": "spawn", "run": "spawn", "submit": "spawn"}
"""What they are called here who come from `multiprocessing` and `concurrent.futures`."""

_PING: Final = 5.0
"""How long a server may take to answer, in seconds."""


class ContextOptions(Options, total=False):
    """What a context may be told, besides what its processes may be told; see `Context`."""

    address: str | None
    wait: bool
    cleanup: bool
    namespace: str
    limits: Limits | None
    start_server: bool | None
    keys: str | None


class BaseContext(Fieldless, CallWhen[M], Spawning, Maps):
    """All of a context but how it is made, which stands apart because a checker reads that off ``Context.__new__``."""

    _model: ClassVar[type[StateModel] | None] = None
    _declared: ClassVar[Declared | None] = None

    def __init__(
        self,
        model: type[M] | None = None,
        *,
        address: str | None = None,
        wait: bool = False,
        cleanup: bool = True,
        namespace: str = "default",
        limits: Limits | None = None,
        start_server: bool | None = None,
        keys: str | None = None,
        **options: Unpack[Options],
    ) -> None:
        refuse_secret_key(cast("dict[str, object]", options).pop("secret_key", None))
        # Of a TypedDict these are the inherited ones, too.
        expect_known(options.keys() - Options.__annotations__.keys(), ContextOptions.__annotations__)
        expect_limits(limits)
        expect_all(("namespace", namespace, TEXT), ("wait", wait, FLAG), ("cleanup", cleanup, FLAG))
        expect("start_server", start_server, or_none(FLAG))
        if self._declared is not None:
            self._declared.check()
        schema = cast("Schema[StateModel]", Schema.of(cast("type[M]", model or self._model)))
        if namespace.startswith(_OWN) and (start_server or (address is None and not os.environ.get(ADDRESS))):
            raise UsageError(f"namespace {namespace!r}: names that begin with {_OWN!r} are zproc's own")
        descriptor.occupy()  # before there is a connection that might get the number of a closed stream
        self._wait = wait
        self._owner = os.getpid()
        self._options = options
        self._recorder = Recorder(lambda: self.address, at_exit=not cleanup)
        self._manager = Manager(options, self._recorder.note)
        # Workers are not tried again: whoever takes the place of one is another, and begins with the items it left.
        workers = Manager(Options(start_method=options.get("start_method")), self._recorder.note)
        self._crews = Crews(workers, lambda: self.state)
        self._others: dict[tuple[str, type[StateModel]], Context[Any]] = {}
        self._host: Server | None = None
        address, starts = destination(address, keys, start=start_server)
        if starts:
            schema.initial()
            self._host = Server(namespace, schema.model, limits or Limits(), options.get("start_method"), address)
            address = self._host.address
        elif limits is not None:
            raise UsageError("limits are for the server to keep: give them where it is started, not where it is joined")
        assert address is not None, "a server that is not started has an address"
        self._client = Client(schema, address, namespace)
        try:
            if self._host is None:
                self._client.revision()  # asked at once whether the server is there, and declares the state like this
            else:
                self._client.greet()
        except BaseException:
            self.close()
            raise
        if cleanup:
            atexit.register(self._at_exit)

    def _where(self, name: str) -> str | None:
        client: Client | None = self.__dict__.get("_client")
        model = None if client is None else client.schema.model
        if name == "state":
            return "a state is changed, not replaced: ctx.state.cookies = 3, or ctx.state.update(cookies=3, flour=2)"
        if model is None or not (name in model.model_fields or hasattr(model, name)):
            return None
        return f"a context has no fields, its state has: ctx.state.{name}"

    def _nearest(self, name: str) -> str:
        return meant(_HABITS.get(name, name), [other for other in dir(type(self)) if not other.startswith("_")])

    def __repr__(self) -> str:
        state = "closed" if self._client.closed else f"{len(self.process_list)} processes"
        return f"<Context of {self._client.schema.model.__name__} at {self.address}: {state}>"

    def __reduce__(self) -> tuple[object, ...]:
        """Travel as the address: elsewhere it is a context that has joined."""
        return _joined, (self._client.schema.model, self.address, self._client.namespace, self._options)

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
    def processes(self) -> ProcessTable:
        """The record of all processes of this server's contexts, nested ones included: a live state, to be watched.

        What happened to processes of this context before this was called is in it, and to those of its namespaces; of
        others, it is a moment behind.

        Raises:
            UsageError: this context is closed.
        """
        self.state  # noqa: B018 - refuses a context that is closed
        for other in list(self._others.values()):
            other._recorder.flush()  # noqa: SLF001 - one more of this class
        return self._recorder.table()

    @overload
    def namespace(self, name: str, model: Linked[C]) -> C: ...
    @overload
    def namespace(self, name: str, model: type[N]) -> Context[N]: ...
    def namespace(self, name: str, model: Any) -> Any:
        """Return the context of another state of the same server, with commits, turns and history of its own.

        If there is no such state yet it is added, where this context has started the server; where it has joined, that
        is for the context to do that has started it.

        Args:
            name: the name of that state; the first one of a server is called ``"default"``.
            model: what it is declared as.

        Returns:
            A context that ends with this one; the same one for the same name.

        Raises:
            SchemaError: the model cannot be shared, and why.
            SchemaMismatch: the state of this name is declared differently.
            UnknownPath: there is none of this name, and this context cannot add it.
            UsageError: this context is closed, or the model cannot be sent to the server.
        """
        self.state  # noqa: B018 - refuses a context that is closed
        expect("the name of a state", name, TEXT)
        known = self._others.get((name, model))
        if known is None:
            if self._host is not None and self._owner == os.getpid() and not name.startswith(_OWN):
                Schema.of(model).initial()
                self._host.add(name, model)
            made = Context(model, address=self.address, namespace=name, cleanup=False, **self._options)
            known = self._others.setdefault((name, model), made)
            if known is not made:  # another thread was quicker
                made.close()
        return known

    def select(self, selector: Callable[[M], V]) -> Watch[V]:
        """Return a place of the live state, known to a type checker, to be waited for.

        Args:
            selector: what picks it out: ``lambda state: state.oven.temp``.

        Raises:
            UnknownPath: there is no such place; the error names the nearest.
            UsageError: the selector does something else than picking, or this context is closed.
        """
        state = self.state
        return Watch(
            state, format_path(selected(self._client.schema.model, cast("Callable[[StateModel], V]", selector)))
        )

    # The past

    def history(self, since: int | None = None) -> Iterator[Commit]:
        """Return the commits up to now, oldest first: who did what, and when.

        Args:
            since: the revision to start after; ``None`` for all that the server holds, which its limits
                ``history_commits`` and ``history_bytes`` bound.

        Raises:
            HistoryGone: not all of them are held.
            UsageError: this is no number of a revision, or this context is closed.
        """
        expect("since", since, or_none(REVISION, " for all that the server holds"))
        return commits_since(self._client, None if since is None else int(since))

    def state_at(self, revision: int) -> M:
        """Return the state as it was at a revision, frozen.

        Args:
            revision: the number of the commit that made it; 0 for the state before the first.

        Raises:
            HistoryGone: the history does not reach back to it, or it is yet to come.
            UsageError: this is no number of a revision, or this context is closed.
        """
        expect("revision", revision, REVISION)
        return cast("M", self._client.snapshot(Revision(int(revision))))

    def revert(self, revision: int) -> int:
        """Take back what one commit did, by a new commit, which is validated like any other.

        What it set is set to what was there before, what it inserted is taken out, what it removed is put back; later
        changes of the same places are overwritten, and elements of lists are counted as they were then.

        Args:
            revision: the number of the commit.

        Returns:
            The number of the new state.

        Raises:
            HistoryGone: the commit is not held any more, or is yet to come.
            CommitRefused: the state would break its schema.
            UnknownPath: what the commit changed is no longer in the state.
            UsageError: this is no number of a revision, or this context is closed.
        """
        expect("revision", revision, REVISION)
        return revert(self._client, int(revision))

    def hold(self, *fields: str) -> None:
        """Hold whole fields in this process, however large they are, once they were read.

        Small fields are held anyway. Of a large one that is not held, each element is asked for when it is read.

        Args:
            fields: names of top-level fields.

        Raises:
            UnknownPath: there is no such field.
        """
        for name in fields:
            expect("the name of a field", name, TEXT)
            if name not in self._client.schema.model.model_fields:
                raise no_field(self._client.schema.model, name, name)
        self._client.hold(fields)

    # Processes

    @property
    def spawn(self) -> Spawn[M, Context[M]]:
        """Start processes: ``ctx.spawn(function, *args, **kwargs)``, or ``@ctx.spawn``.

        The function is called in the new process, with the live state and the arguments; functions of ``__main__``,
        closures and lambdas will do. What comes back is the `Process`, whose ``wait()`` returns what it returns.

        Options have a call of their own: ``@ctx.spawn(restart="on_failure", max_retries=3)``, or
        ``ctx.spawn(name="baker")(bake, 5)``. Besides those that are listed at `zproc.process.Options` there are:

        * ``count``: how many processes to make; what comes back is a `ProcessList`.
        * ``strategy``: who of these is restarted with one that fails: see `ProcessList`.
        * ``pass_context=True``: the function is given this context, joined, in the place of the state; through it, it
          makes processes of its own.
        * ``stateful=False``: the function is given neither.

        Raises:
            UsageError: the context is closed, an option makes no sense, the function does not take these arguments, or
                something cannot be sent to the process.
            ProcessError: no process can be made.
        """
        return Spawn(self._manager, self._first)

    def _first(self, *, stateful: bool, pass_context: bool) -> tuple[object, ...]:
        state = self.state  # refuses a context that is closed, whatever is passed
        expect_all(("stateful", stateful, FLAG), ("pass_context", pass_context, FLAG))
        return (self,) if pass_context else (state,) if stateful else ()

    # The end

    def ping(self, timeout: float = _PING) -> Pulse:
        """Ask the server whether it is there.

        Args:
            timeout: how long to wait for it, in seconds.

        Returns:
            Its process id, and how long the question took.

        Raises:
            Unavailable: it does not answer in time.
            UsageError: this context is closed.
        """
        self.state  # noqa: B018 - refuses a context that is closed
        return pulse(self.address, timeout)

    def close(self) -> None:
        """End the processes, the connections and the server, in this order.

        Does nothing the second time, and nothing in a fork of the process that made the context.
        """
        if self._owner != os.getpid():
            return
        atexit.unregister(self._at_exit)
        self._crews.close()
        self.stop_all()
        if self._host is None:
            self._recorder.flush()  # the server goes on, and so does its record
        self._recorder.close()
        for other in list(self._others.values()):
            other.close()
        if hasattr(self, "_client"):
            self._client.close()
        if self._host is not None:
            self._host.stop()

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
                try:
                    self.wait_all()
                except ProcessError as error:
                    # By Ctrl-C, which all processes of a terminal get: Python has told of it where it met this one.
                    if error.signal is not signal.SIGINT:
                        raise


class Context(BaseContext[M]):
    """A shared state and the processes that work on it.

    Without an address, a state server is started, as a process of its own, and is ready when this returns; with one,
    the server there is joined. If ``ZPROC_ADDRESS`` is set, a context without an address joins the server there: the
    same program runs alone or as one of many. What the context has started ends with it: at ``close()``, at the end of
    a ``with`` block, at the end of the program, or when this process dies in whatever way.

    Args:
        model: what the state is declared as: a subclass of `StateModel` whose fields all have defaults.
        address: the server to join, as ``other.address`` of another context tells it, or ``zproc serve`` prints it.
        wait: whether to wait at the end of the program, or of the ``with`` block, until all processes of this context
            have ended; not if it ends by an exception.
        cleanup: whether to close the context in order at the end of the program.
        namespace: which of the server's states this is; see `Context.namespace`.
        limits: what the server bounds, and by how much: `zproc.Limits`. Only for a server that is started here.
        start_server: whether to start the server, at the address if there is one; `zproc.start_server` tells which
            addresses there are. ``False`` never starts one, and ``None`` does where there is no address.
        keys: the directory of the keys for a ``tcp://`` address that other machines can reach, as ``zproc keys new``
            makes it; by default that of ``ZPROC_KEYS``.
        options: what goes for every process of this context that does not say otherwise: see `spawn`. The server is
            made by the same ``start_method``.

    Raises:
        SchemaError: the model cannot be shared, and why.
        SchemaMismatch: the server at the address declares the state differently.
        Unavailable: no server answers at the address.
        AuthenticationError: the server at the address does not know our key, or is not the one whose key we have.
        UnknownPath: the server at the address has no such namespace.
        UsageError: there is no such option or start method, the address is in use, or can be reached from other
            machines and has no keys, or there are limits for a server that is joined.
    """

    @overload
    def __new__(cls, model: Linked[C], **options: Unpack[ContextOptions]) -> C: ...  # type: ignore[misc]  # a subclass
    @overload
    def __new__(cls, model: type[M], **options: Unpack[ContextOptions]) -> Context[M]: ...
    def __new__(cls, model: object = None, **_: Unpack[ContextOptions]) -> Any:
        """Return a context of the class that is the model's own: the one that its generated client names."""
        if cls is Context and isinstance(model, type) and issubclass(model, StateModel):
            return object.__new__(context_class(model))
        return object.__new__(cls)


@functools.cache
def context_class(model: type[M]) -> type[Context[M]]:
    """Return the class of the contexts of a model, which are made without naming it again."""
    namespace = {"__doc__": Context.__doc__, "_model": model, "when": property(lambda context: Places(context.state))}
    return type(f"{model.__name__}Context", (Context,), namespace)


def _joined(model: type[M], address: str, namespace: str, options: Options) -> Context[M]:
    return Context(model, address=address, namespace=namespace, cleanup=False, **options)
