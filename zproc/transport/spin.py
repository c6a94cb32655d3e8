"""Adaptive spinning: polling for a moment before sleeping, where what is waited for comes at once.

The law: whoever was woken within `LONGEST` a few times in a row polls for that long before its next sleep. Spinning in
vain ends that, and doubles the number of short sleeps before the next attempt, so that spinning costs next to nothing
where it does not help: because the other side is slow, or needs the processor that spins. Nor does anybody spin while
no processor is idle and others could use it. An idle process sleeps.

Why: being put to sleep and woken takes longer than the work that is waited for. On a virtual machine, which gives idle
processors away, a round trip of 20 us of work takes 80 us. Mutexes do the same (glibc's ``PTHREAD_MUTEX_ADAPTIVE_NP``),
and so do hypervisors (KVM's ``halt_poll_ns``) and network drivers (``SO_BUSY_POLL``).
"""

from __future__ import annotations

import os
from typing import Final

__all__ = ["LONGEST", "Spin"]

LONGEST: Final = 200e-6
"""How long to spin, in seconds: KVM's default of ``halt_poll_ns``, and twice what a request takes if both sides have to
be woken."""

_AT_FIRST: Final = 2
_AT_MOST: Final = 1 << 12
_PROVEN: Final = 16
"""After how many successes in a row earlier failures are forgotten."""

_AGAIN: Final = 256
"""After how many successes in a row to check whether others could use the processor, which takes 20 us."""

_RUNNING: Final = "/proc/loadavg"
"""Where Linux tells how many threads are runnable, in the fourth of five words, before a slash."""


class Spin:
    """Decides whether to spin before the next sleep.

    Attributes:
        worth: whether to spin.
        together: how many runnable processes do not count as others, because spinning does not hold them up. For a
            client those are its server and itself: other clients could use the processor. For a server they include
            all its clients, because they wait for it.
    """

    __slots__ = ("_in_a_row", "_needed", "together", "worth")

    def __init__(self) -> None:
        self.worth: bool = False
        self.together: int = 2
        self._in_a_row = 0  # short sleeps; while it is worth it, successes
        # With a single processor, the other side cannot run while this one spins.
        self._needed = _AT_FIRST if _processors() > 1 else 0

    def slept(self, seconds: float) -> None:
        """Take note of a sleep without spinning.

        Args:
            seconds: how long it lasted.
        """
        if seconds >= LONGEST:
            self._in_a_row = 0
            return
        self._in_a_row += 1
        if self._in_a_row == self._needed:
            if _crowded(self.together):
                self._end()
            else:
                self.worth = True
                self._in_a_row = 0

    def looked(self, *, found: bool) -> None:
        """Take note of having spun, and whether what was waited for came."""
        if not found:
            self._end()
            return
        self._in_a_row += 1
        if self._in_a_row == _PROVEN:
            self._needed = _AT_FIRST
        elif self._in_a_row == _AGAIN:
            self._in_a_row = 0
            if _crowded(self.together):
                self._end()

    def _end(self) -> None:
        """Stop spinning for now; the next time takes twice as many short sleeps."""
        self.worth = False
        self._in_a_row = 0
        self._needed = min(self._needed * 2, _AT_MOST)


def _processors() -> int:
    """Return how many processors this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _crowded(together: int) -> bool:
    """Return whether no processor is idle, and other processes than those that belong together could run.

    Args:
        together: how many belong together.

    Returns:
        ``False`` where the system does not tell.
    """
    try:
        with open(_RUNNING, "rb", buffering=0) as file:
            running = int(file.read(64).split()[3].split(b"/")[0])
    except (OSError, LookupError, ValueError):
        return False
    return running > max(os.cpu_count() or 1, together)
