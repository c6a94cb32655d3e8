"""The results of a map, as they come.

The law: they are given in the order of the items, or as they come if that was asked for; none is lost, and none is
given twice. Whoever takes them paces the map: no more than a window of items is begun beyond what was taken. Results
that nobody holds any more are results that nobody wants: what has not begun of them is not begun.
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
"""What an item without a result gives: its error is raised, which ends the map; is given; or is passed over."""


class Failure:
    """An item that has no result, and why."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error: BaseException = error


Batch: TypeAlias = "Sequence[Any] | Failure"


class Inbox:
    """Where an engine puts what came of the items of a map, and its owner takes it.

    Args:
        ordered: whether it is taken in the order of the items.
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
        """Whether everything that comes has been taken."""
        return self._total is not None and self._next >= self._total

    def settled(self, first: int, values: Sequence[Any]) -> None:
        """Take the results of some items."""
        self._put(first, values)

    def failed(self, index: int, error: BaseException) -> None:
        """Take the error of one item."""
        self._put(index, Failure(error))

    def ended(self, total: int, error: BaseException | None) -> None:
        """Hear how many items there are."""
        with self._changed:
            self._total, self._error = total, error
            self._changed.notify_all()

    def broken(self, error: BaseException) -> None:
        """Hear that nothing more comes."""
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
        """Wait for the next outcomes, and take all that are there; and how many. None are there only at the end.

        Raises:
            TimeoutError: nothing came before the deadline.
            BaseException: what the items' iterable has raised, or what has ended the map before its end.
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
    """What somebody has on a map: while there is one, the map goes on.

    Args:
        engine: who does it.
        job: the map.
        inbox: where its results are.
        bar: shows how far it is.
        ended: is called when nobody wants anything of it any more.
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
        """Tell that outcomes were taken."""
        if self._bar is not None:
            self._bar.update(count)
        with contextlib.suppress(UsageError):  # the engine has ended, and everything is here
            self._engine.consumed(self._job, count)

    def cancel(self, *, running: bool) -> None:
        """Have no more of it done."""
        self.cancelled = True
        with contextlib.suppress(UsageError):
            self._engine.cancel(self._job, running=running)

    def let_go(self) -> None:
        """Want no more of it; once."""
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
    """The results of a map: an iterator that waits for the next one, while workers are ahead of it.

    It is what `Swarm.map` and the like return, and may be used by one thread at a time. When it is not used any more,
    or closed, what has not begun of its map is not begun.

    Args:
        claim: what it has on the map.
        on_error: what an item without a result gives.
        timeout: after how many seconds from now there is no more waiting; ``None`` for never.
    """

    def __init__(self, claim: Claim, *, on_error: OnError = "raise", timeout: float | None = None) -> None:
        self._claim = claim
        self._current: list[R] = []
        self._batches: Generator[list[R], None, None] = _iterate(
            claim, on_error, timeout, None if timeout is None else time.monotonic() + timeout, self._current
        )
        self._items: Iterator[R] = chain.from_iterable(self._batches)

    def __iter__(self) -> Iterator[R]:  # noqa: PYI034 - many results in one go are had at the speed of C
        return self._items

    def __next__(self) -> R:
        return next(self._items)

    def as_list(self) -> list[R]:
        """Wait for all results that were not taken yet, and return them.

        Raises:
            Exception: that of an item, unless errors are returned or skipped.
            WorkerDied: a worker died of an item.
            WaitTimeout: an item took too long.
            concurrent.futures.CancelledError: the map was cancelled.
        """
        return list(self._items)

    def cancel(self, *, running: bool = False) -> None:
        """Do no more of the map.

        What was begun is finished, and can be taken; after that, `concurrent.futures.CancelledError` is raised.

        Args:
            running: whether to kill the workers that are at it, so that what was begun is cancelled, too.
        """
        self._claim.cancel(running=running)

    def close(self) -> None:
        """Do no more of the map, and take no more of it; the end of a ``with`` block does the same."""
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
    """Give the results in lists, or rather in one that is filled anew each time, so that it can be emptied.

    It holds what is needed, and not the `Results`, which hold it.
    """
    inbox = claim.inbox
    try:
        while True:
            current.clear()  # what was given is not held while the next is waited for
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
