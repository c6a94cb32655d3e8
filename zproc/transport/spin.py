"""Looking a moment longer before falling asleep, where what is waited for comes at once.

The law: whoever was woken within `LONGEST` a few times in a row looks for that long before his next sleep. A look in
vain ends that, and the next is twice as far away, so that looking costs next to nothing where it does not help: whom he
waits for is slow, or needs the processor that he looks on. Nor does anybody look while there are others who could use
the processor, and none is idle. A process at rest sleeps.

Why: to be put to sleep and woken takes longer than the work that is waited for. On a virtual machine, which gives a
processor away that has nothing to do, a round trip of 20 us of work takes 80. Mutexes do the same (glibc's
``PTHREAD_MUTEX_ADAPTIVE_NP``), and so do hypervisors (KVM's ``halt_poll_ns``) and network drivers (``SO_BUSY_POLL``).
"""

from __future__ import annotations

import os
from typing import Final

__all__ = ["LONGEST", "Spin"]

LONGEST: Final = 200e-6
"""For how long to look, in seconds: KVM's default of ``halt_poll_ns``, and twice what a request takes when both sides
have to be woken."""

_AT_FIRST: Final = 2
_AT_MOST: Final = 1 << 12
_PROVEN: Final = 16
"""After how many looks in a row that were not in vain those before are forgotten."""

_AGAIN: Final = 256
"""After how many looks in a row to see whether others could run; that takes 20 us."""

_RUNNING: Final = "/proc/loadavg"
"""Where Linux tells how many could run at this moment, as the fourth of five words, before a slash."""


class Spin:
    """Whether to look before the next sleep.

    Attributes:
        worth: whether to.
        together: how many processes may run without being counted as others: those that are not kept from anything by
            this one's looking. For a client that is its server and itself; another client could ask something by the
            processor that it looks on. For a server it is all of its clients, because they wait for it.
    """

    __slots__ = ("_in_a_row", "_needed", "together", "worth")

    def __init__(self) -> None:
        self.worth: bool = False
        self.together: int = 2
        self._in_a_row = 0  # sleeps that were short; while it is worth it, looks that found something
        # With a single processor, whom one waits for cannot run while one looks.
        self._needed = _AT_FIRST if _processors() > 1 else 0

    def slept(self, seconds: float) -> None:
        """Take note of a sleep without a look.

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
        """Take note of a look, and whether it found what was waited for."""
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
        """Look no more for now, and the next time only after twice as many short sleeps."""
        self.worth = False
        self._in_a_row = 0
        self._needed = min(self._needed * 2, _AT_MOST)


def _processors() -> int:
    """Return how many processors this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _crowded(together: int) -> bool:
    """Whether all processors are used, and others than those who belong together could run.

    Args:
        together: how many these are.

    Returns:
        ``False`` where the system does not tell.
    """
    try:
        with open(_RUNNING, "rb", buffering=0) as file:
            running = int(file.read(64).split()[3].split(b"/")[0])
    except (OSError, LookupError, ValueError):
        return False
    return running > max(os.cpu_count() or 1, together)
