"""The order of a dict's keys, while keys are removed from its middle and put back.

The law: a single operation costs at most one pass over the keys; of many, each costs the same however many keys there
are. The dict itself, which can only be appended to, is rearranged once, at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from zproc.schema.ops import MISSING
from zproc.typing import Key, Path

__all__ = ["KeyOrder", "KeyOrders"]


class KeyOrder:
    """Keys in an order.

    Args:
        keys: the keys, each once.
    """

    __slots__ = ("_after", "_before")

    def __init__(self, keys: Iterable[Key]) -> None:
        # A ring, with MISSING between the last key and the first. Made by zip, since a loop takes ten times as long.
        ring = list(chain((MISSING,), keys))
        self._after: dict[Key, Key] = dict(zip(ring, chain(ring[1:], (MISSING,)), strict=True))
        self._before: dict[Key, Key] = dict(zip(chain(ring[1:], (MISSING,)), ring, strict=True))

    def __iter__(self) -> Iterator[Key]:
        key = self._after[MISSING]
        while key is not MISSING:
            yield key
            key = self._after[key]

    def __contains__(self, key: Key) -> bool:
        return key in self._after

    def follower(self, key: Key) -> Key:
        """Return the key after one that is here, MISSING after the last."""
        return self._after[key]

    def stored(self, key: Key) -> Key:
        """Return a key that is here as it is here: 1 for ``True``."""
        return self._after[self._before[key]]

    def remove(self, key: Key) -> None:
        """Take a key out, if it is here."""
        if key in self._after:
            after, before = self._after.pop(key), self._before.pop(key)
            self._after[before], self._before[after] = after, before

    def insert(self, key: Key, after: Key = MISSING) -> None:
        """Put a key that is not here before the one that is to come after it; at the end if that is not here."""
        assert key not in self._after, "a key stands once in a dict"
        if after not in self._before:
            after = MISSING
        before = self._before[after]
        self._after[before] = self._before[after] = key
        self._after[key], self._before[key] = after, before


class KeyOrders:
    """The orders of dicts that are being changed.

    Args:
        is_apart: whether what stands at an address is not among the keys of its dict yet, and at its end.
    """

    __slots__ = ("_is_apart", "_orders", "_seen", "_unarranged")

    def __init__(self, is_apart: Callable[[Path], bool] = lambda _: False) -> None:
        self._is_apart = is_apart
        # By identity, and with the dict, so that it stays the only one of that identity.
        self._seen: dict[int, object] = {}
        self._orders: dict[int, tuple[dict[Key, object], KeyOrder]] = {}
        """Of those that were looked through once: a second time costs less than to look through them for each key."""
        self._unarranged: set[int] = set()

    def followed(self, target: dict[Key, object], path: Path) -> tuple[Key, Key]:
        """Return what is needed to put a key back: the key as its dict has it, and the one after it.

        Args:
            target: the dict.
            path: the address of the key, which is in it.
        """
        key = path[-1]
        if id(target) not in self._orders:
            last = next(reversed(target))
            if last is key or last == key:
                return last, MISSING
            if self._is_new(target):
                keys = iter(target)
                found = next(each for each in keys if each is key or each == key)
                return found, next((each for each in keys if not self._is_apart((*path[:-1], each))), MISSING)
        order = self._order(target, path)
        return order.stored(key), order.follower(key)

    def put(self, target: dict[Key, object], path: Path, before: Key) -> Key:
        """Record that a key, which is at the end of its dict if it is new, belongs before another one.

        Returns:
            The key that it stands before, MISSING if it stays at the end.
        """
        key = path[-1]
        if id(target) not in self._orders:
            if before is MISSING or before == key or before not in target or self._is_apart((*path[:-1], before)):
                return MISSING
            if self._is_new(target):
                keys = list(target)
                for later in keys[keys.index(before) : -1]:
                    target[later] = target.pop(later)
                return before
            self._order(target, path).remove(key)
        order = self._orders[id(target)][1]
        if key in order:
            return MISSING
        if before not in order:
            before = MISSING
        order.insert(key, before)
        if before is not MISSING:
            self._unarranged.add(id(target))
        return before

    def remove(self, target: object, key: Key) -> None:
        """Record that a dict has lost a key."""
        if id(target) in self._orders:
            self._orders[id(target)][1].remove(key)

    def arrange(self) -> None:
        """Rearrange the keys of the dicts themselves."""
        for target in self._unarranged:
            node, order = self._orders[target]
            items = dict(node)
            node.clear()
            node.update((key, items.pop(key)) for key in order if key in items)
            node.update(items)
        self._unarranged.clear()

    def _is_new(self, target: object) -> bool:
        known = len(self._seen)
        self._seen[id(target)] = target
        return len(self._seen) > known

    def _order(self, target: dict[Key, object], path: Path) -> KeyOrder:
        if id(target) not in self._orders:
            keys = (key for key in target if not self._is_apart((*path[:-1], key)))
            self._orders[id(target)] = target, KeyOrder(keys)
        return self._orders[id(target)][1]
