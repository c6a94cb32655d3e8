"""The results of a map, as they come.

The law: they come in the order of the items, or as they are done if that was requested; none is lost, and none comes
twice. The consumer paces the map: no more than a window of items is begun beyond what was taken. When the results are
garbage, the rest of the map is cancelled.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError
from itertools import chain
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypeAlias, TypeVar

from zproc.exceptions import UsageError, WaitTimeout
from zproc.swarm.engine import Engine
from zproc.swarm.job import Job
from zproc.swarm.progress import Bar

__all__ = ["Claim", "Failure", "Inbox", "OnError", "Results"]

R = TypeVar("R")

OnError: TypeAlias = Literal["raise", "return", "skip"]
"""What to do about an item that fails: raise its error, which ends the map; return it as the result; or skip it."""


class Failure:
    """An item that failed, and its error."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error: BaseException = error


Batch: TypeAlias = "Sequence[Any] | Failure"


class Inbox:
    """The queue from an engine to the consumer of a map's results.

    Args:
        ordered: whether results are taken in the order of the items.
    """

    def __init__(self, *, ordered: bool) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._waiting = False
        self._ordered = ordered
        self._ready: dict[int, Batch] = {}
        self._loose: deque[Batch] = deque()
        self._next = 0
        self._total: int | None = None
        self._error: BaseException | None = None

    @property
    def is_complete(self) -> bool:
        """Whether everything has been taken."""
        return self._total is not None and self._next >= self._total

    def settled(self, first: int, values: Sequence[Any]) -> None:
        """Receive the results of consecutive items."""
        self._put(first, values)

    def failed(self, index: int, error: BaseException) -> None:
        """Receive the error of one item."""
        self._put(index, Failure(error))

    def ended(self, total: int, error: BaseException | None) -> None:
        """Take note of how many items there are."""
        with self._changed:
            self._total, self._error = total, error
            self._changed.notify_all()

    def broken(self, error: BaseException) -> None:
        """Take note that nothing more comes."""
        with self._changed:
            self._total, self._error = 0, error
            self._changed.notify_all()

    def _put(self, first: int, batch: Batch) -> None:
        with self._changed:
            if self._ordered:
                self._ready[first] = batch
            else:
                self._loose.append(batch)
            if self._waiting and (first == self._next or not self._ordered):
                self._changed.notify()

    def take(self, deadline: float | None) -> tuple[list[Batch], int]:
        """Wait for the next outcomes; return all that are there, and their number. There are none only at the end.

        Raises:
            TimeoutError: nothing came before the deadline.
            BaseException: what the items' iterable has raised, or what has ended the map early.
        """
        with self._changed:
            while True:
                batches = self._take_ready()
                if batches:
                    count = sum(1 if isinstance(each, Failure) else len(each) for each in batches)
                    self._next += 0 if self._ordered else count
                    return batches, count
                if self._total is not None and self._next >= self._total:
                    if self._error is not None:
                        raise self._error
                    return [], 0
                patience = None if deadline is None else deadline - time.monotonic()
                self._waiting = True
                try:
                    if patience is not None and (patience <= 0 or not self._changed.wait(patience)):
                        raise TimeoutError
                    if patience is None:
                        self._changed.wait()
                finally:
                    self._waiting = False

    def _take_ready(self) -> list[Batch]:
        if not self._ordered:
            batches = list(self._loose)
            self._loose.clear()
            return batches
        batches = []
        while (batch := self._ready.pop(self._next, None)) is not None:
            batches.append(batch)
            self._next += 1 if isinstance(batch, Failure) else len(batch)
        return batches


class Claim:
    """A consumer's hold on a map: while it exists, the map goes on.

    Args:
        engine: carries the map out.
        job: the map.
        inbox: where its results are.
        bar: shows its progress.
        ended: called when nobody wants its results any more.
    """

    def __init__(
        self, engine: Engine, job: Job, inbox: Inbox, bar: Bar | None = None, ended: Callable[[], None] | None = None
    ) -> None:
        self.inbox = inbox
        self.cancelled: bool = False
        self._engine = engine
        self._job = job
        self._bar = bar
        self._ended = ended

    def consumed(self, count: int) -> None:
        """Take note that outcomes were taken."""
        if self._bar is not None:
            self._bar.update(count)
        with contextlib.suppress(UsageError):  # the engine has ended, and all outcomes are here
            self._engine.consumed(self._job, count)

    def cancel(self, *, running: bool) -> None:
        """Cancel the rest."""
        self.cancelled = True
        with contextlib.suppress(UsageError):
            self._engine.cancel(self._job, running=running)

    def let_go(self) -> None:
        """Give the map up; once."""
        bar, self._bar = self._bar, None
        ended, self._ended = self._ended, None
        if bar is not None:
            bar.close()
        if not self.inbox.is_complete:
            with contextlib.suppress(UsageError):
                self._engine.cancel(self._job, running=False)
        if ended is not None:
            ended()

    def __del__(self) -> None:
        self.let_go()


class Results(Iterator[R], Generic[R]):
    """The results of a map: an iterator that waits for the next one, while workers run ahead.

    It is what `Swarm.map` and the like return, and may be used by one thread at a time. When it is closed or garbage
    collected, the rest of the map is cancelled.

    Args:
        claim: the hold on the map.
        on_error: what to do about items that fail.
        timeout: how long to wait for all results, in seconds from now; ``None`` for no limit.
    """

    def __init__(self, claim: Claim, *, on_error: OnError = "raise", timeout: float | None = None) -> None:
        self._claim = claim
        self._current: list[R] = []
        self._batches: Generator[list[R], None, None] = _iterate(
            claim, on_error, timeout, None if timeout is None else time.monotonic() + timeout, self._current
        )
        self._items: Iterator[R] = chain.from_iterable(self._batches)

    def __iter__(self) -> Iterator[R]:  # noqa: PYI034 - iterating over the chain itself runs at the speed of C
        return self._items

    def __next__(self) -> R:
        return next(self._items)

    def as_list(self) -> list[R]:
        """Wait for all results that were not taken yet, and return them.

        Raises:
            Exception: that of an item, unless errors are returned or skipped.
            WorkerDied: a worker died while processing an item.
            WaitTimeout: an item took too long.
            concurrent.futures.CancelledError: the map was cancelled.
        """
        return list(self._items)

    def cancel(self, *, running: bool = False) -> None:
        """Cancel the rest of the map.

        Items that were begun are finished, and their results can be taken; after those,
        `concurrent.futures.CancelledError` is raised.

        Args:
            running: whether to kill the workers that are processing items of it, to cancel those as well.
        """
        self._claim.cancel(running=running)

    def close(self) -> None:
        """Cancel the rest of the map, and discard its results; the end of a ``with`` block does the same."""
        self._batches.close()
        self._current.clear()
        self._claim.let_go()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _iterate(
    claim: Claim, on_error: OnError, timeout: float | None, deadline: float | None, current: list[Any]
) -> Generator[list[Any], None, None]:
    """Yield the results in lists: in one list that is refilled each time, so that `Results.close` can empty it.

    A function and not a method, because it must not refer to the `Results`, which refer to it.
    """
    inbox = claim.inbox
    try:
        while True:
            current.clear()  # do not keep results alive while waiting for the next
            try:
                batches, count = inbox.take(deadline)
            except TimeoutError:
                raise WaitTimeout("the next result of a map", timeout or 0.0) from None
            if not batches:
                break
            claim.consumed(count)
            for batch in batches:
                if not isinstance(batch, Failure):
                    current[:] = batch
                elif on_error == "raise":
                    raise batch.error
                elif on_error == "return":
                    current[:] = (batch.error,)
                yield current
                current.clear()
        if claim.cancelled:
            raise CancelledError
    finally:
        claim.let_go()
