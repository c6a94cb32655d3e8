"""Swarms: pools of workers, and all the ways to give them work.

The law: a swarm is a handle. Its workers belong to the process that uses it: sent to another process, for example to
one of its own workers, it stands for workers that are started there. So a task may distribute work in turn, and never
waits for a worker that waits for it.
"""

from __future__ import annotations

import functools
import os
import threading
import uuid
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from itertools import count as counter
from types import TracebackType
from typing import Any, Final, ParamSpec, TypedDict, TypeVar, Unpack, cast

from zproc.arguments import (
    FUNCTION,
    ITERABLE,
    NAMED,
    PATIENCE,
    PERIOD,
    POSITIONAL,
    Kind,
    count_of,
    expect,
    expect_all,
    expect_known,
    or_none,
    refuse_unfinished,
)
from zproc.core.assignment import Terms
from zproc.exceptions import UsageError
from zproc.process import Manager, Options, Process, ProcessList, StartMethod, refuse_misfit
from zproc.swarm.calls import Calls, Task
from zproc.swarm.engine import Engine
from zproc.swarm.job import Function, Job
from zproc.swarm.outbox import fetch, outbox
from zproc.swarm.progress import Progress, bar_of
from zproc.swarm.results import Claim, Inbox, OnError, Results
from zproc.swarm.source import Feeder, item_source
from zproc.swarm.worker import work

__all__ = ["MapOptions", "Swarm"]

P = ParamSpec("P")
R = TypeVar("R")

_ENDLESS: Final = 1 << 62
"""The window of single calls, whose results nobody has to take: no limit."""

_MOST_TERMS: Final = 64
"""How many different terms calls may have at a time: a program may give each call a timeout of its own."""

_STANDING: Final = 16
"""How many swarms from other processes keep their workers here while no task uses them."""

_KEEP: Final = 600.0
"""How long the results of a task are kept, in seconds."""


class MapOptions(TypedDict, total=False):
    """The options of a map.

    Attributes:
        map_args: further positional arguments of each call.
        args: positional arguments of all calls.
        map_kwargs: keyword arguments of each call.
        kwargs: keyword arguments of all calls.
        chunksize: how many items are sent together; by default as many as take a few milliseconds, so that short ones
            cost little and long ones are balanced. With 1, each result is sent before the next item is begun.
        look_ahead: how many items may be begun before the first of their results is taken; by default as many as take a
            fraction of a second.
        timeout: how long one item may take, in seconds; if it takes longer, its worker is killed.
        retries: how often an item is tried again if it raises, takes too long or its worker dies.
        on_error: whether the error of an item is raised, which ends the map (``"raise"``), returned in place of its
            result (``"return"``), or skipped (``"skip"``).
        progress: whether to show a progress bar; or a factory for one, called like tqdm.
    """

    map_args: Iterable[Sequence[Any]] | None
    args: Sequence[Any] | None
    map_kwargs: Iterable[Mapping[str, Any]] | None
    kwargs: Mapping[str, Any] | None
    chunksize: int | None
    look_ahead: int | None
    timeout: float | None
    retries: int
    on_error: OnError
    progress: Progress


class Swarm(Executor):
    """A pool of workers.

    It is a `concurrent.futures.Executor`. Workers are started when there is work for them, and stay until the swarm is
    shut down: by `shutdown`, at the end of a ``with`` block (at once, if that is left by Ctrl-C), or when this process
    ends, in whatever way.

    Args:
        count: the maximum number of workers; by default the number of processors available to this process.
        start_method: their start method.
        first: arguments that each function receives before its own.
        manager: creates their processes.

    Raises:
        UsageError: the count or the start method makes no sense.
    """

    def __init__(
        self,
        count: int | None = None,
        *,
        start_method: StartMethod | str | None = None,
        first: tuple[Any, ...] = (),
        manager: Manager | None = None,
    ) -> None:
        self._count = _checked(count)
        self._method = start_method
        self._first = first
        self._manager = manager or Manager(Options(start_method=start_method))
        self._token = uuid.uuid4().hex
        self._begin()
        _known[self._token] = self

    def _begin(self) -> None:
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._calls: dict[Terms, Calls] = {}
        self._closed = False
        self._owned_by = "swarm"
        self._names = counter(1)

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{len(self.workers)} of {self._count} workers"
        return f"<{type(self).__qualname__}: {state}>"

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle as a description: in another process it stands for workers started there."""
        return _elsewhere, (self._token, self._count, self._method, self._first)

    @property
    def count(self) -> int:
        """The maximum number of workers; it can be changed at any time.

        If it is lowered, surplus workers exit when they have finished what they are doing.
        """
        return self._count

    @count.setter
    def count(self, count: int) -> None:
        self._count = _checked(count)
        if self._engine is not None and self._owner == os.getpid():
            self._engine.resize(self._count)

    @property
    def workers(self) -> ProcessList[Any]:
        """The processes of the current workers."""
        engine = self._engine if self._owner == os.getpid() else None
        return ProcessList([] if engine is None else engine.processes())

    # ----------------------------------------------------------------------------------------------------------- calls

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Task[R]:
        """Have a worker call a function.

        Args:
            fn: what to call.
            args: its positional arguments.
            kwargs: its keyword arguments.

        Returns:
            A `concurrent.futures.Future` of what it returns, whose ``cancel(running=True)`` kills the worker.

        Raises:
            UsageError: the swarm is closed, or this is no function.
        """
        return self._calls_on(_SINGLE).submit(fn, self._first + args, kwargs)

    def run(
        self,
        function: Callable[..., R],
        /,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        retries: int = 0,
    ) -> Task[R]:
        """Have a worker call a function, with a timeout and retries.

        Args:
            function: what to call.
            args: its positional arguments.
            kwargs: its keyword arguments.
            timeout: how long it may take, in seconds; if it takes longer, its worker is killed.
            retries: how often it is tried again if it raises, takes too long or its worker dies.

        Returns:
            A future of what it returns.

        Raises:
            UsageError: the swarm is closed, this is no function, or the terms make no sense.
        """
        expect_all(("args", args, POSITIONAL), ("kwargs", kwargs, or_none(NAMED)))
        terms = Terms(chunksize=1, timeout=timeout, retries=retries, ahead=_ENDLESS)
        return self._calls_on(terms).submit(function, (*self._first, *args), dict(kwargs or {}))

    def _calls_on(self, terms: Terms) -> Calls:
        self._open()
        calls = self._calls.get(terms)
        if calls is None or calls.is_broken:
            engine = self._open()
            with self._lock:
                calls = self._calls.get(terms)
                if calls is None or calls.is_broken:
                    calls = self._calls[terms] = Calls(
                        engine, terms, functools.partial(_successor, weakref.ref(self), terms)
                    )
                while len(self._calls) > _MOST_TERMS:
                    self._calls.pop(next(iter(self._calls))).retire()
        return calls

    # ------------------------------------------------------------------------------------------------------------ maps

    def map(
        self,
        fn: Callable[..., R],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int | None = None,
        **options: Any,
    ) -> Results[R]:
        """Call a function with the items of one iterable, or of several in parallel, as the built-in ``map`` does.

        Args:
            fn: what to call.
            iterables: its arguments; the shortest determines how many calls there are. They may be infinite.
            timeout: how long to wait for all results, in seconds from now, as in `concurrent.futures`. (For a limit of
                each item, see `map_lazy`.)
            chunksize: how many items are sent together; by default as many as take a few milliseconds.
            options: see `zproc.swarm.MapOptions`.

        Returns:
            An iterator of the results, in the order of the items.

        Raises:
            UsageError: the swarm is closed, an option makes no sense, or the function cannot be sent to a worker.
        """
        given = cast("MapOptions", {**options, "chunksize": chunksize})
        if len(iterables) > 1:
            given["map_args"] = _zipped(iterables)
        return self.start_map(fn, iterables[0] if len(iterables) == 1 else None, given, patience=timeout)

    def starmap(
        self, function: Callable[..., R], iterable: Iterable[Sequence[Any]], /, **options: Unpack[MapOptions]
    ) -> Results[R]:
        """Call a function with each item's elements: ``function(*item)``; the rest is as for `map_lazy`.

        Args:
            function: what to call.
            iterable: the items.
            options: see `zproc.swarm.MapOptions`.
        """
        return self.start_map(function, None, {**options, "map_args": iterable})

    def map_lazy(
        self, function: Callable[..., R], map_iter: Iterable[Any] | None = None, **options: Unpack[MapOptions]
    ) -> Results[R]:
        """Call ``function(map_iter[i], *map_args[i], *args, **map_kwargs[i], **kwargs)`` for each ``i``.

        The shortest of the given iterables determines how many calls there are; they may be infinite. Workers begin at
        once, and never run further ahead of the results taken than a window.

        Args:
            function: what to call.
            map_iter: the first argument of each call.
            options: see `zproc.swarm.MapOptions`.

        Returns:
            An iterator of the results, in order.

        Raises:
            UsageError: the swarm is closed, an option makes no sense, or the function cannot be sent to a worker.
        """
        return self.start_map(function, map_iter, options)

    def imap_unordered(
        self, function: Callable[..., R], map_iter: Iterable[Any] | None = None, **options: Unpack[MapOptions]
    ) -> Results[R]:
        """Do the same as `map_lazy`, with the same arguments, and give the results as they come.

        Args:
            function: what to call.
            map_iter: the first argument of each call.
            options: see `zproc.swarm.MapOptions`.
        """
        return self.start_map(function, map_iter, options, ordered=False)

    def start_map(
        self,
        function: Callable[..., R],
        map_iter: Iterable[Any] | None,
        options: MapOptions,
        *,
        ordered: bool = True,
        patience: float | None = None,
        first: tuple[Any, ...] | None = None,
        ended: Callable[[], None] | None = None,
    ) -> Results[R]:
        """Begin a map; all its forms end up here.

        Args:
            function: what to call.
            map_iter: the first argument of each call.
            options: see `zproc.swarm.MapOptions`.
            ordered: whether the results come in the order of the items.
            patience: how long to wait for all results, in seconds; ``None`` for no limit.
            first: arguments that precede those of each call; ``None`` for the swarm's own.
            ended: called when the map has ended.
        """
        expect("what is called", function, FUNCTION)
        refuse_unfinished(function)
        expect("timeout", patience, PATIENCE)
        expect_all(*((name, value, _KINDS[name]) for name, value in options.items() if name in _KINDS))
        on_error = options.get("on_error", "raise")
        if on_error not in ("raise", "return", "skip"):
            raise UsageError(f"on_error {on_error!r} is not one of raise, return, skip")
        expect_known(options, MapOptions.__annotations__)
        expect("map_iter", map_iter, or_none(ITERABLE))
        first = self._first if first is None else first
        if options.get("map_args") is None and options.get("map_kwargs") is None:
            item = None  # whatever the items are, each is one argument
            given = (*first, item, *(options.get("args") or ()))
            refuse_misfit(function, given, options.get("kwargs") or {}, "" if first else _STATELESS)
        engine = self._open()
        terms = Terms(
            options.get("chunksize"), options.get("timeout"), options.get("retries", 0), options.get("look_ahead")
        )
        source, spread = item_source(map_iter, options.get("map_args"), options.get("map_kwargs"))
        packed = Function.of(function, first, options.get("args") or (), options.get("kwargs"), spread=spread)
        inbox = Inbox(ordered=ordered)
        job = Job(packed, source, inbox, terms)
        total = None if isinstance(source, Feeder) else source.length
        claim = Claim(engine, job, inbox, bar_of(options.get("progress", False), packed.name, total), ended)
        results: Results[R] = Results(claim, on_error=on_error, timeout=patience)
        engine.begin(job)
        return results

    def start_task(
        self,
        function: Callable[..., Any],
        map_iter: Iterable[Any] | None = None,
        *,
        keep: float = _KEEP,
        **options: Unpack[MapOptions],
    ) -> str:
        """Do a map whose results are asked for later, by any process, by `result`.

        Args:
            function: what to call.
            map_iter: the first argument of each call.
            keep: how long the results are kept when the map is done, in seconds.
            options: see `zproc.swarm.MapOptions`.

        Returns:
            The id of the map.
        """
        expect("keep", keep, PERIOD)
        return outbox().keep(self.start_map(function, map_iter, options), keep)

    @staticmethod
    def result(task_id: str, timeout: float | None = None) -> list[Any]:
        """Get the results of a map by its id, once, from the process that ran it.

        Another process receives them as data: they have to be values that a state could hold.

        Args:
            task_id: what `start_task`, or ``return_task=True``, has returned.
            timeout: how long to wait until the map is done, in seconds; ``None`` for no limit.

        Returns:
            The results, in order.

        Raises:
            WaitTimeout: the map is not done in time.
            RemoteError: an item has raised, and its errors were neither returned nor skipped.
            SchemaError: a result is not a value that a state could hold.
            Unavailable: the process that has them is gone, or keeps no results any more.
            UsageError: there are none with this id: it is no id, they were handed out before, or their time is over.
        """
        return fetch(task_id, timeout)

    # --------------------------------------------------------------------------------------------------------- the end

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - Executor's
        """Accept no more work, finish what there is, and end the workers.

        Submitted calls, and maps over collections, are finished. Maps over other iterables are cancelled: they progress
        only as their results are taken, and nobody may be left to take them.

        Args:
            wait: whether to wait until all that is done.
            cancel_futures: whether to cancel what has not begun.
        """
        if self._owner != os.getpid():
            return
        with self._lock:
            self._closed = True
            engine = self._engine
        if engine is not None:
            engine.shut(cancel=cancel_futures)
            if wait:
                engine.join()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Shut down; do not wait for running tasks if the program is being interrupted, or is exiting."""
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            self.close()  # workers ignore Ctrl-C, and their tasks could take hours
        else:
            self.shutdown()

    def close(self, closed: str = "swarm") -> None:
        """End the workers at once, whatever they are doing, and wait until they are gone.

        Args:
            closed: what messages are to call closed: the swarm, or what it was a part of.
        """
        if self._owner != os.getpid():
            return
        with self._lock:
            if not self._closed:
                self._closed, self._owned_by = True, closed
            engine = self._engine
        if engine is not None:
            engine.closed = self._owned_by
            engine.shut(cancel=True, running=True)
            engine.join()

    def _open(self) -> Engine:
        """Return the engine, started now if there is none in this process."""
        if self._owner != os.getpid():
            self._begin()  # in a fork: the workers are its parent's
        engine = self._engine
        if engine is not None and not self._closed:
            return engine
        with self._lock:
            if self._closed:
                raise UsageError(f"this {self._owned_by} is closed")
            if self._engine is None:
                self._engine = Engine(self._count, functools.partial(_hire, self._manager, self._names))
                self._finalizer = weakref.finalize(self, _end, self._engine)
            return self._engine


_STATELESS: Final = "an item is one argument, and with stateful=True the live state comes before it"
_KINDS: Final[Mapping[str, Kind]] = {
    "args": or_none(POSITIONAL),
    "kwargs": or_none(NAMED),
    "map_args": or_none(ITERABLE),
    "map_kwargs": or_none(ITERABLE),
    "progress": Kind("True, False or what makes a bar", lambda value: isinstance(value, bool) or callable(value)),
}
_SINGLE: Final = Terms(chunksize=1, ahead=_ENDLESS)

_known: weakref.WeakValueDictionary[str, Swarm] = weakref.WeakValueDictionary()
_stand_ins: OrderedDict[str, Swarm] = OrderedDict()
"""Swarms that came from another process. The most recent are kept, so that each task that brings one finds its workers;
others end when nothing refers to them any more."""


def _elsewhere(token: str, count: int, method: StartMethod | str | None, first: tuple[Any, ...]) -> Swarm:
    swarm = _known.get(token)
    if swarm is None:
        swarm = _stand_ins[token] = Swarm(count, start_method=method, first=first)
        swarm._token = token  # noqa: SLF001 - of the same class
        _known[token] = swarm
        if len(_stand_ins) > _STANDING:
            _stand_ins.popitem(last=False)
    elif token in _stand_ins:
        _stand_ins.move_to_end(token)
    return swarm


def _successor(swarm: weakref.ref[Swarm], terms: Terms) -> Calls | None:
    alive = swarm()
    return None if alive is None else alive._calls_on(terms)  # noqa: SLF001 - of the same class


def _hire(manager: Manager, names: Iterable[int]) -> Process[Any]:
    number = next(iter(names))
    return manager.make(work, options=Options(name=f"worker-{number}", restart="never", start=True))


def _end(engine: Engine) -> None:
    """End an engine whose swarm was garbage collected, or left until the end of the program."""
    if engine.owner == os.getpid():
        engine.shut(cancel=True, running=True)
        engine.join()


def _zipped(iterables: Sequence[Iterable[Any]]) -> Iterable[tuple[Any, ...]]:
    pairs = zip(*iterables, strict=False)
    return list(pairs) if all(isinstance(each, (list, tuple, range)) for each in iterables) else pairs


def _checked(count: int | None) -> int:
    if count is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    expect("the count of workers", count, count_of("workers", 1))
    return count
