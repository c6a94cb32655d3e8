"""Backoff for a server that does not answer.

The law: each failure in a row doubles the delay before the next attempt, up to `LONGEST`, so that a thousand clients do
not keep a server busy that is just coming back. Nobody is held back who has not failed.
"""

from __future__ import annotations

import threading
import time
from typing import Final

__all__ = ["FIRST", "LONGEST", "RETRY", "SETTLING", "Backoff"]

FIRST: Final = 0.02
"""The delay after the first failure, in seconds."""

LONGEST: Final = 0.5
"""The longest delay, in seconds: what is knowable is to be known within a second."""

RETRY: Final = 0.05
"""How long to wait between two tries to reach a server that was there a moment ago, in seconds."""

SETTLING: Final = 1.0
"""For how long that is tried, in seconds; what can be known is within a second."""


class Backoff:
    """The delays of one client; threads may share it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._rest = 0.0
        self._until = 0.0

    def wait(self) -> None:
        """Wait until the server may be tried, which is at once unless it has just failed, or answered meanwhile."""
        with self._changed:
            self._changed.wait_for(lambda: time.monotonic() >= self._until, max(0.0, self._until - time.monotonic()))

    def failed(self) -> None:
        """Record that the server did not answer."""
        with self._changed:
            self._rest = min(max(FIRST, 2 * self._rest), LONGEST)
            self._until = time.monotonic() + self._rest

    def answered(self) -> None:
        """Record that it did."""
        if self._until:
            with self._changed:
                self._rest = self._until = 0.0
                self._changed.notify_all()
