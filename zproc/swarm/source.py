"""Where the items of a job come from.

The law: items of a collection are taken when they are needed. Any other iterable is consumed by a thread of its own,
because its next item may take any time, and never further ahead than was allowed.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice, repeat
from typing import Any, Final, Protocol

from zproc.arguments import ITERABLE, NAMED, expect
from zproc.exceptions import UsageError

__all__ = ["Feeder", "Ready", "Source", "Tray", "item_source"]

_AT_HAND: Final = (list, tuple, range, str, bytes, bytearray, dict, set, frozenset, deque)
"""Types whose iterators neither block nor call foreign code."""


class Source(Protocol):
    """Items, taken in order.

    Attributes:
        ended: whether no more will come.
        error: what was raised in place of the next item.
    """

    ended: bool
    error: BaseException | None

    def arrived(self) -> int:
        """Return how many items are new since the last call."""
        ...

    def take(self, count: int) -> list[Any]:
        """Take items."""
        ...

    def allow(self, limit: int) -> None:
        """Raise the number of items that may be produced in all."""
        ...

    def close(self) -> None:
        """Produce no more."""
        ...


class Ready:
    """The items of a collection.

    Args:
        items: an iterator over them.
        length: how many there are.
    """

    def __init__(self, items: Iterator[Any], length: int) -> None:
        self.ended = True
        self.error: BaseException | None = None
        self.length = length
        self._items = items
        self._untold = length

    def arrived(self) -> int:
        """Return how many there are, the first time."""
        untold, self._untold = self._untold, 0
        return untold

    def take(self, count: int) -> list[Any]:
        """Take some."""
        return list(islice(self._items, count))

    def allow(self, limit: int) -> None:
        """Do nothing: all items exist."""

    def close(self) -> None:
        """Drop them."""
        self._items = iter(())


class Tray:
    """Items that any thread puts there one by one; the engine's thread numbers them.

    Args:
        enter: called with an index and what was put there; returns the item.
        refuse: called with what came too late.
    """

    def __init__(self, enter: Callable[[int, Any], Any], refuse: Callable[[Any], None]) -> None:
        self.ended: bool = False
        self.error: BaseException | None = None
        self._put: deque[Any] = deque()
        self.put = self._put.append  # one step: whatever interrupts it, it is done or not done
        # What follows belongs to the engine's thread.
        self._enter = enter
        self._refuse = refuse
        self._items: deque[Any] = deque()
        self._count = 0

    def arrived(self) -> int:
        """Number those that are new, and return how many they are."""
        before = self._count
        while self._put:
            self._items.append(self._enter(self._count, self._put.popleft()))
            self._count += 1
        return self._count - before

    def take(self, count: int) -> list[Any]:
        """Take some."""
        return [self._items.popleft() for _ in range(count)]

    def allow(self, limit: int) -> None:
        """Do nothing: whoever puts items there decides how many."""

    def close(self) -> None:
        """Accept no more, and refuse what came meanwhile."""
        self.ended = True
        while self._put:
            self._refuse(self._put.popleft())


class Feeder:
    """The items of an iterable, consumed by a thread.

    Args:
        items: the iterable; only that thread uses it.
    """

    def __init__(self, items: Iterable[Any]) -> None:
        self.ended: bool = False
        self.error: BaseException | None = None
        self._made: deque[Any] = deque()
        self._count = 0
        self._told = 0
        self._limit = 0
        self._hungry = True
        self._closed = False
        self._allowed = threading.Condition(threading.Lock())
        self._items: Iterable[Any] = items
        self._wake: Callable[[], None] = _nothing

    def start(self, wake: Callable[[], None]) -> None:
        """Start the thread, which calls a function when something has come that is waited for."""
        self._wake = wake
        threading.Thread(target=self._make, name="zproc-feeder", daemon=True).start()

    def arrived(self) -> int:
        """Return how many are new; when there are more, the function is called."""
        self._hungry = True  # first, so that nothing that comes in between is missed
        new = self._count - self._told
        self._told += new
        return new

    def take(self, count: int) -> list[Any]:
        """Take some."""
        return [self._made.popleft() for _ in range(count)]

    def allow(self, limit: int) -> None:
        """Raise the number of items that may be produced in all."""
        if limit > self._limit:
            with self._allowed:
                self._limit = limit
                self._allowed.notify()

    def close(self) -> None:
        """Produce no more, and drop those that were produced, and the one being produced."""
        with self._allowed:
            self._closed = True
            self._allowed.notify()
        self._made.clear()

    def _make(self) -> None:
        try:
            items = iter(self._items)
            while self._may_go_on():
                try:
                    item = next(items)
                except StopIteration:
                    break
                self._made.append(item)
                self._count += 1
                del item
                self._tell()
        except BaseException as error:  # noqa: BLE001 - the program's; it is raised where the results are taken
            self.error = error
        finally:
            self._items = ()
        self.ended = True
        self._hungry = True
        self._tell()

    def _may_go_on(self) -> bool:
        if self._count < self._limit and not self._closed:
            return True
        with self._allowed:
            while self._count >= self._limit and not self._closed:
                self._allowed.wait()
        return not self._closed

    def _tell(self) -> None:
        if self._hungry:
            self._hungry = False
            self._wake()


def item_source(
    map_iter: Iterable[Any] | None,
    map_args: Iterable[Sequence[Any]] | None,
    map_kwargs: Iterable[Mapping[str, Any]] | None,
) -> tuple[Ready | Feeder, bool]:
    """Return the items of a map, and whether each is a pair of positional and keyword arguments.

    Raises:
        UsageError: none of the three is given.
    """
    given = [each for each in (map_iter, map_args, map_kwargs) if each is not None]
    if not given:
        raise UsageError("a map needs map_iter, map_args or map_kwargs")
    spread = map_args is not None or map_kwargs is not None
    items: Iterable[Any] = _spread(map_iter, map_args, map_kwargs) if spread else given[0]
    # Combining arguments iterates over whatever the caller passed for each call, which may block or fail.
    if not spread and type(given[0]) in _AT_HAND:
        return Ready(iter(items), len(given[0])), spread  # type: ignore[arg-type]  # it has one
    return Feeder(items), spread


def _spread(
    map_iter: Iterable[Any] | None,
    map_args: Iterable[Sequence[Any]] | None,
    map_kwargs: Iterable[Mapping[str, Any]] | None,
) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    first = repeat(()) if map_iter is None else ((item,) for item in map_iter)
    more = repeat(()) if map_args is None else map_args
    named = repeat({}) if map_kwargs is None else map_kwargs
    for item, arguments, keywords in zip(first, more, named, strict=False):
        expect("what map_args gives for a call", arguments, ITERABLE)
        expect("what map_kwargs gives for a call", keywords, NAMED)
        yield (*item, *arguments), dict(keywords)


def _nothing() -> None:
    pass
