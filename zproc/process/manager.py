"""The processes of one context.

The law: every process of a context is created by `Manager.make`, so that what holds for one holds for all. A manager
belongs to the operating system process that created it. In a fork it starts empty: it neither lists nor ends the
parent's processes. Those that ended long ago are forgotten, so that a program may start processes for ever.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import repeat
from typing import Any, Final, TypeVar

from zproc.arguments import ITERABLE, NAMED, POSITIONAL, count_of, expect, expect_all, expect_known, or_none
from zproc.core.supervisor import Strategy
from zproc.exceptions import UsageError
from zproc.process.process import Process, Report
from zproc.process.process_list import ProcessList, StrategyName
from zproc.process.task import Options, Task

__all__ = ["Manager", "mapped", "times"]

R = TypeVar("R")

_ENDED_KEPT: Final = 1000
"""How many processes that have ended are remembered."""


class Manager:
    """Creates the processes of a context and keeps a list of them.

    Args:
        defaults: options of the processes, unless overridden.
        tell: called with a report whenever something happens to one of them; see `Process`.

    Raises:
        UsageError: an option does not exist, or makes no sense.
    """

    def __init__(self, defaults: Options | None = None, tell: Callable[[Report], None] | None = None) -> None:
        self._defaults: Options = defaults or {}
        self._tell = tell
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._made: list[Process[Any]] = []
        self.check({})

    def check(self, options: Options, known: Collection[str] = ()) -> None:
        """Check options before there is a function that they are for.

        Args:
            options: the options.
            known: further names that the caller accepts, to suggest if one is misspelt.

        Raises:
            UsageError: one of them does not.
        """
        if multiprocessing := sorted({"target", "args", "kwargs"} & options.keys()):
            raise UsageError(
                f"{', '.join(multiprocessing)}: the function comes first, and its arguments after it: "
                "ctx.spawn(bake, 3, hot=True)"
            )
        if known:
            expect_known(options, known)
        Task.of(_anything, (), None, (), {**self._defaults, **options})

    def make(
        self,
        target: Callable[..., R],
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
        *,
        first: tuple[object, ...] = (),
        ready: bool = False,
        options: Options | None = None,
        about: object = None,
    ) -> Process[R]:
        """Create a process that calls a function, and start it unless its options say otherwise.

        Args:
            target: what to call.
            args: its positional arguments.
            kwargs: its keyword arguments.
            first: arguments that precede ``args``, and the ``retry_args`` that may replace them.
            ready: whether to wait until it calls `announce_ready`; restarts do not wait.
            options: options that override the defaults.
            about: the program's own function, if the target is a wrapper that calls it.

        Raises:
            UsageError: an option makes no sense, or something cannot be sent to the process.
            RemoteError: with ``ready``: it raised before it was ready.
            ProcessError: it cannot be started; with ``ready``: it ended before it was ready.
        """
        merged: Options = {**self._defaults, **(options or {})}
        process = Process(Task.of(target, args, kwargs, first, merged, about), self._tell)
        if merged.get("start", True):
            process.launch(ready=ready)
        else:
            process.report()
        with self._own():
            self._made.append(process)
            self._forget()
        return process

    def make_many(
        self,
        calls: Iterable[tuple[Callable[..., R], Sequence[object], Mapping[str, object]]],
        *,
        first: tuple[object, ...] = (),
        strategy: StrategyName = Strategy.ONE_FOR_ONE,
        options: Options | None = None,
    ) -> ProcessList[R]:
        """Create a process for each call, and start all of them unless the options say otherwise."""
        held: Options = {**(options or {}), "start": False}
        made = [self.make(*call, first=first, options=held) for call in calls]
        processes = ProcessList(made, strategy)
        if {**self._defaults, **(options or {})}.get("start", True):
            processes.start()
        return processes

    def record(self) -> ProcessList[Any]:
        """Return the processes that were created here, in that order."""
        with self._own():
            return ProcessList(self._made)

    def _own(self) -> threading.Lock:
        if self._owner != os.getpid():  # in a fork: the thread that may have held the lock does not exist here
            self._owner, self._lock, self._made = os.getpid(), threading.Lock(), []
        return self._lock

    def _forget(self) -> None:
        if len(self._made) > 2 * _ENDED_KEPT:
            ended = [each for each in self._made if each.done()]
            gone = set(map(id, ended[:-_ENDED_KEPT]))
            self._made[:] = [each for each in self._made if id(each) not in gone]


def _anything(*_args: object, **_kwargs: object) -> None:
    """Stand in for a function that is not known yet."""


def times(count: int) -> int:
    """Return a number of processes, checked.

    Raises:
        UsageError: it is none.
    """
    expect("count", count, count_of("processes"))
    return count


def mapped(
    target: Callable[..., R],
    map_iter: Iterable[object] | None,
    map_args: Iterable[Sequence[object]] | None,
    map_kwargs: Iterable[Mapping[str, object]] | None,
    args: Sequence[object],
    kwargs: Mapping[str, object],
) -> Iterable[tuple[Callable[..., R], Sequence[object], Mapping[str, object]]]:
    """Yield the calls ``target(map_iter[i], *map_args[i], *args, **map_kwargs[i], **kwargs)`` until one is exhausted.

    Raises:
        UsageError: none of the three is given.
    """
    if map_iter is None and map_args is None and map_kwargs is None:
        raise UsageError("a map needs map_iter, map_args or map_kwargs")
    sources = (("map_iter", map_iter), ("map_args", map_args), ("map_kwargs", map_kwargs))
    expect_all(*((name, source, or_none(ITERABLE)) for name, source in sources))
    items = repeat(()) if map_iter is None else ((item,) for item in map_iter)
    more = repeat(()) if map_args is None else map_args
    named = repeat({}) if map_kwargs is None else map_kwargs
    for item, arguments, keywords in zip(items, more, named, strict=False):
        expect("what map_args gives for a call", arguments, POSITIONAL)
        expect("what map_kwargs gives for a call", keywords, NAMED)
        yield target, (*item, *arguments, *args), {**keywords, **kwargs}
