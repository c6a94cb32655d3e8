"""A rate limit for reports of something whose frequency strangers decide.

The law: within a period the first few are reported; the others are counted, and their number is reported when the
period is over. Time is an argument. Nothing is kept of what is not reported but its number.
"""

from __future__ import annotations

import math

__all__ = ["Quota"]


class Quota:
    """How much may be reported in each period.

    Args:
        most: how many of one period.
        period: how long it is, in seconds; one begins with the first thing after the last.

    Attributes:
        held: how many were not reported, and not counted in a report either.
    """

    __slots__ = ("_end", "_left", "_most", "held", "period")

    def __init__(self, most: int, period: float) -> None:
        self.period = period
        self.held: int = 0
        self._most = most
        self._left = most
        self._end = -math.inf

    def takes(self, now: float) -> bool:
        """Count one more, and return whether to report it; `release` is to be called before."""
        if now >= self._end:
            self._left, self._end = self._most, now + self.period
        if self._left:
            self._left -= 1
            return True
        self.held += 1
        return False

    def release(self, now: float) -> int:
        """Return how many were held back in a period that is over, once; 0 if none were or it is not over."""
        if not self.held or now < self._end:
            return 0
        held, self.held = self.held, 0
        return held

    def next_deadline(self) -> float | None:
        """Return when `release` has something to say."""
        return self._end if self.held else None
