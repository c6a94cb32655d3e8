"""The swarms of a context.

The law: a context has one swarm that its maps share, and any number of others; all of them end with it. Their workers
are in its record of processes, but not among those that it waits for, because they do not end by themselves.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeVar, Unpack, overload

from zproc.arguments import FLAG, PERIOD, expect_all
from zproc.process import Manager, ProcessList
from zproc.swarm.outbox import outbox
from zproc.swarm.results import Results
from zproc.swarm.swarm import MapOptions, Swarm

__all__ = ["Crews", "Maps"]

R = TypeVar("R")


class Crews:
    """Creates the swarms of one context, and ends them.

    Args:
        manager: creates the workers' processes.
        state: returns the live state, or raises if the context is closed.
    """

    def __init__(self, manager: Manager, state: Callable[[], Any]) -> None:
        self._manager = manager
        self._state = state
        self._lock = threading.Lock()
        self._shared: Swarm | None = None
        self._made: weakref.WeakSet[Swarm] = weakref.WeakSet()

    @property
    def workers(self) -> ProcessList[Any]:
        """The processes of all current workers."""
        return ProcessList([process for swarm in list(self._made) for process in swarm.workers])

    def make(self, count: int | None, *, stateful: bool) -> Swarm:
        """Create a swarm."""
        state = self._state()
        swarm = Swarm(count, first=(state,) if stateful else (), manager=self._manager)
        self._made.add(swarm)
        return swarm

    def map(
        self,
        function: Callable[..., R],
        map_iter: Iterable[Any] | None,
        *,
        count: int | None,
        stateful: bool,
        new: bool,
        **options: Unpack[MapOptions],
    ) -> Results[R]:
        """Start a map, on the shared swarm or on one of its own."""
        state = self._state()  # raises if the context is closed, whatever is passed
        first = (state,) if stateful else ()
        if new:
            swarm = self.make(count, stateful=False)
            return swarm.start_map(
                function, map_iter, options, first=first, ended=lambda: swarm.shutdown(wait=False, cancel_futures=True)
            )
        return self._common(count).start_map(function, map_iter, options, first=first)

    def task(self, results: Results[Any], keep: float) -> str:
        """Keep results for whoever asks by the id that this returns."""
        return outbox().keep(results, keep)

    def _common(self, count: int | None) -> Swarm:
        with self._lock:
            if self._shared is None:
                self._shared = self.make(count, stateful=False)
            elif count is not None and count != self._shared.count:
                self._shared.count = count
            return self._shared

    def close(self) -> None:
        """End all of them at once, whatever they are doing."""
        for swarm in list(self._made):
            swarm.close("context")


class Maps:
    """The methods of a context for maps and swarms."""

    _crews: Crews

    @property
    def worker_list(self) -> ProcessList[Any]:
        """The processes of the current workers of this context's maps and swarms."""
        return self._crews.workers

    def create_swarm(self, count: int | None = None, *, stateful: bool = False) -> Swarm:
        """Create a swarm, a pool of workers; see `zproc.Swarm`.

        Args:
            count: the maximum number of workers; by default the number of processors available to this process.
            stateful: whether each function receives the live state before its own arguments.

        Returns:
            A swarm that ends with this context, unless it is shut down before.

        Raises:
            UsageError: this context is closed, or the count makes no sense.
        """
        return self._crews.make(count, stateful=stateful)

    @overload
    def process_map(
        self,
        function: Callable[..., R],
        map_iter: Iterable[Any] | None = ...,
        *,
        count: int | None = ...,
        stateful: bool = ...,
        new: bool = ...,
        return_task: Literal[False] = ...,
        **options: Unpack[MapOptions],
    ) -> Results[R]: ...
    @overload
    def process_map(
        self,
        function: Callable[..., R],
        map_iter: Iterable[Any] | None = ...,
        *,
        count: int | None = ...,
        stateful: bool = ...,
        new: bool = ...,
        return_task: Literal[True],
        keep: float = ...,
        **options: Unpack[MapOptions],
    ) -> str: ...
    def process_map(
        self,
        function: Callable[..., R],
        map_iter: Iterable[Any] | None = None,
        *,
        count: int | None = None,
        stateful: bool = False,
        new: bool = False,
        return_task: bool = False,
        keep: float = 600.0,
        **options: Unpack[MapOptions],
    ) -> Results[R] | str:
        """Call ``function(map_iter[i], *map_args[i], *args, **map_kwargs[i], **kwargs)`` for each ``i``, in workers.

        The shortest of the given iterables determines how many calls there are; they may be infinite. Workers begin at
        once, stay for the next map, and never run further ahead of the results taken than a window.

        Args:
            function: what to call.
            map_iter: the first argument of each call.
            count: the number of workers from now on, for all maps that share them.
            stateful: whether the function receives the live state before its own arguments.
            new: whether this map gets workers of its own.
            return_task: whether to return an id by which any process can get the results, with `zproc.Swarm.result`.
            keep: how long those are kept once the map is done, in seconds.
            options: see `zproc.swarm.MapOptions`: the other arguments, ``chunksize``, ``timeout``, ``retries``,
                ``on_error``, ``progress`` ...

        Returns:
            An iterator of the results, in order, or the id.

        Raises:
            UsageError: this context is closed, an option makes no sense, or the function cannot be sent to a worker.
        """
        flags = (("stateful", stateful, FLAG), ("new", new, FLAG), ("return_task", return_task, FLAG))
        expect_all(*flags, ("keep", keep, PERIOD))
        results = self._crews.map(function, map_iter, count=count, stateful=stateful, new=new, **options)
        return self._crews.task(results, keep) if return_task else results
