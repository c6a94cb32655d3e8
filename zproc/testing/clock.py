"""A clock that stands still until a test advances it.

The law: time passes by ``advance`` alone, and when ``advance`` returns every server of the clock has acted on it: turns
that are over have ended, and whoever waited for them has been served.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["FakeClock"]


class FakeClock:
    """The clock of a `MemoryServer`, set by a test.

    It rules what the server decides by time: when a turn has lasted too long (``Limits.lease_time``), and the times of
    commits in the history. How long a client waits for an answer is measured by the clock of the system as ever.

    Args:
        wall: the time of day at the beginning, in seconds since 1970.
    """

    def __init__(self, wall: float = 0.0) -> None:
        self._wall = wall
        self._now = 0.0
        self._lock = threading.Lock()
        self._followers: list[Callable[[], None]] = []

    def now(self) -> float:
        """Return how much time has passed since the beginning, in seconds."""
        return self._now

    def wall(self) -> float:
        """Return the time of day, in seconds since 1970."""
        return self._wall + self._now

    def until(self, _deadline: float) -> None:
        """Return ``None``: however long it takes until somebody calls `advance`."""
        return

    def advance(self, seconds: float) -> None:
        """Advance the time, and return when every server has acted on it.

        Args:
            seconds: how much.

        Raises:
            ValueError: it is negative.
        """
        if not seconds >= 0:
            raise ValueError(f"time does not go back, and so not by {seconds} s")
        with self._lock:
            self._now += seconds
            followers = list(self._followers)
        for follow in followers:
            follow()

    def follow(self, follower: Callable[[], None]) -> Callable[[], None]:
        """Register a function to be called whenever time has passed.

        Args:
            follower: what to call.

        Returns:
            What to call when it is not to be called any more.
        """
        self._followers.append(follower)
        return lambda: self._followers.remove(follower)
