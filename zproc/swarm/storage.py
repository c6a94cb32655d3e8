"""The shared memory segments of a swarm: sent filled, and reused once the worker has released them.

The law: a segment in which something may still lie is never reused; it is freed when its last user drops it. The memory
kept for reuse is bounded.
"""

from __future__ import annotations

from itertools import count
from typing import Final

from zproc.process import Cargo, Segment

__all__ = ["Storage"]

_KEPT: Final = 256 << 20
"""How much memory is kept for reuse, in bytes."""


class Storage:
    """Segments, by number."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._out: dict[int, Segment] = {}
        self._free: dict[int, Segment] = {}

    def place(self, cargo: Cargo) -> tuple[int, Segment, tuple[int, ...]]:
        """Put a cargo into a segment; return the segment's number, the segment, and the layout.

        Raises:
            OSError: there is no memory left.
        """
        number, segment = self._suitable(cargo)
        try:
            layout = segment.fill(cargo)
        except BaseException:
            segment.close_descriptor()
            raise
        self._out[number] = segment
        return number, segment, layout

    def _suitable(self, cargo: Cargo) -> tuple[int, Segment]:
        # The most recent first: its pages are the most likely to be cached.
        for number, segment in reversed(self._free.items()):
            if segment.fits(cargo):
                return number, self._free.pop(number)
        return next(self._numbers), Segment.room_for(cargo)

    def give_back(self, number: int) -> None:
        """Take a segment back for reuse: nothing refers to its content any more."""
        segment = self._out.pop(number, None)
        if segment is None:
            return
        self._free[number] = segment
        kept = sum(each.size for each in self._free.values())
        while kept > _KEPT:
            oldest = self._free.pop(next(iter(self._free)))
            kept -= oldest.size
            oldest.close_descriptor()

    def part_with(self, number: int) -> None:
        """Drop a segment whose content the worker may keep."""
        segment = self._out.pop(number, None)
        if segment is not None:
            segment.close_descriptor()

    def close(self) -> None:
        """Drop all of them."""
        for segment in (*self._out.values(), *self._free.values()):
            segment.close_descriptor()
        self._out.clear()
        self._free.clear()
