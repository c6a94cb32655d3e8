"""The segments of a swarm: given out full, and used again when the worker has let go of them.

The law: a segment that something may still lie in is never used again; it goes when the last who holds it goes. What is
kept for later is bounded.
"""

from __future__ import annotations

from itertools import count
from typing import Final

from zproc.process import Cargo, Segment

__all__ = ["Storage"]

_KEPT: Final = 256 << 20
"""How many bytes of memory are kept for the next that come."""


class Storage:
    """Segments by their numbers."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._out: dict[int, Segment] = {}
        self._free: dict[int, Segment] = {}

    def place(self, cargo: Cargo) -> tuple[int, Segment, tuple[int, ...]]:
        """Put a cargo into a segment; return the segment's number, itself, and where in it everything is.

        Raises:
            OSError: there is no such memory left.
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
        # The newest first: its pages are the likeliest to be near.
        for number, segment in reversed(self._free.items()):
            if segment.fits(cargo):
                return number, self._free.pop(number)
        return next(self._numbers), Segment.room_for(cargo)

    def give_back(self, number: int) -> None:
        """Hear that nobody holds what is in a segment any more."""
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
        """Hear that somebody may hold what is in a segment for as long as he likes."""
        segment = self._out.pop(number, None)
        if segment is not None:
            segment.close_descriptor()

    def close(self) -> None:
        """Part with all of them."""
        for segment in (*self._out.values(), *self._free.values()):
            segment.close_descriptor()
        self._out.clear()
        self._free.clear()
