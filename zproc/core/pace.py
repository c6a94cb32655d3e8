"""The chunk size and the look-ahead of a job, derived from how long its items take.

The law: short items travel together, so that a message is worth its cost, and long ones alone, so that they balance.
The first goes alone, because nothing is known. The last chunks of a job become smaller and smaller, so that all workers
finish at about the same time.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Final

from zproc.core.assignment import Terms

__all__ = ["BUDGET", "Pace"]

_TARGET: Final = 0.005
"""How long a chunk should take, in seconds: long against what it costs to send, short against a person's patience."""

_LEAST: Final = _TARGET / 10
"""How long even the last chunks of a job should take, in seconds: less is not worth a message."""

BUDGET: Final = 4 * _TARGET
"""After how long a worker gives back what is left of a chunk, in seconds."""

_BUNDLE: Final = 128
"""How many items that do not share their fate go in one message, at most."""

_BUNDLED: Final = 0.001
"""How long those should take, in seconds: nobody can take them from behind one that takes longer than was thought."""

_GROWTH: Final = 64
"""How many times longer than those before a chunk may be."""

_LONGEST: Final = 1 << 14
"""How many items a chunk has at most, unless the caller says so."""

_WINDOW: Final = 0.25
"""How much work may be done before it is wanted, in seconds for each worker."""

_HELD: Final = 256 << 20
"""How many bytes of large items and results may be held before they are wanted."""


@dataclass(slots=True)
class Pace:
    """What is known about a job's items, and what follows from it.

    Attributes:
        terms: what the caller says.
        workers: how many there may be.
        cost: how long an item takes, in seconds; ``None`` while that is not known. What was found in another job of the
            same function is a beginning.
        size: how many items a chunk should have.
        window: how many may be begun before the first of them is consumed.
    """

    terms: Terms
    workers: int
    cost: float | None = None
    size: int = 1
    window: int = 1
    _largest: int = 1
    _weight: float = 0.0
    _hurried: bool = False
    _learned: bool = False

    def __post_init__(self) -> None:
        if self.cost is not None:
            self._largest = _LONGEST
        self._tune()

    def learn(self, items: int, seconds: float) -> None:
        """Learn how long items took: quickly if it is less than was estimated, slowly if more."""
        sample = seconds / items
        if self.cost is None:
            self.cost = sample
        else:
            self.cost += (sample - self.cost) * (0.5 if sample < self.cost else 0.2)
        self._largest = max(self._largest, items)
        self._learned = True
        self._tune()

    def weigh(self, nbytes: float) -> None:
        """Record how many bytes a large item or result has."""
        self._weight = max(self._weight, nbytes)
        self._tune()

    def hurry(self) -> None:
        """Do not wait for anything to be consumed."""
        self._hurried = True
        self._tune()

    def resize(self, workers: int) -> None:
        """Record how many workers there may be from now on."""
        self.workers = workers
        self._tune()

    def share(self, rest: int) -> int:
        """Return how many items a chunk should have when so many are left in all."""
        if self.terms.chunksize not in (None, 1):
            return self.size
        # What another job's items took is no reason to leave workers idle: these may take longer.
        least = int(_LEAST / max(self.cost, 1e-9)) if self.cost is not None and self._learned else 1
        return max(1, min(self.size, max(least, rest // (2 * self.workers))))

    def _tune(self) -> None:
        self.size = self._size()
        self.window = self._window()

    def _size(self) -> int:
        forced = self.terms.chunksize
        if forced is not None and forced > 1:
            return forced
        if self.cost is None:
            return 1
        if forced == 1:
            return max(1, min(_BUNDLE, int(_BUNDLED / max(self.cost, 1e-9))))
        return max(1, min(int(_TARGET / max(self.cost, 1e-9)), _GROWTH * self._largest, _LONGEST))

    def _window(self) -> int:
        if self._hurried:
            return sys.maxsize
        if self.terms.ahead is not None:
            return self.terms.ahead
        least = 2 * self.workers
        if self.cost is None:
            return least * self.size
        items = self.workers * max(4 * self.size, min(math.ceil(_WINDOW / max(self.cost, 1e-6)), 8 * _LONGEST))
        return max(least, min(items, int(_HELD / self._weight))) if self._weight else items
