"""The order of a dict's keys, while keys are taken out of its middle and put back there.

The law: it says what the order is, and each step costs the same however many keys there are; the dict itself, which can
only be appended to, is told once, at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from zproc.schema.ops import MISSING
from zproc.typing import Key

__all__ = ["KeyOrder"]


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
