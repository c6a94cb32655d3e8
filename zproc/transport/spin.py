"""Looking a moment longer before falling asleep, where what is waited for comes at once.

The law: whoever was woken within `LONGEST` a few times in a row looks for that long before his next sleep. A look in
vain ends that, and the next is twice as far away, so that looking costs next to nothing where it does not help: whom he
waits for is slow, or needs the processor that he looks on. Who looks for himself alone also leaves the processor to
others as soon as there are more who could run than processors. A process at rest sleeps.

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

_AGAIN: Final = 64
"""After how many looks in a row whoever looks for himself sees whether somebody else could run; that takes 20 us."""

_RUNNING: Final = "/proc/loadavg"
"""Where Linux tells how many could run at this moment, as the fourth of five words, before a slash."""


class Spin:
    """Whether to look before the next sleep.

    Args:
        for_all: whether others wait for what this process does next, so that it looks even where all processors are
            used. That is a server: one that sleeps keeps all its clients waiting until it is awake. Of several clients
            on as many processors, one that looks keeps the others from asking, and all are served one after the other.

    Attributes:
        worth: whether to.
    """

    __slots__ = ("_for_all", "_in_a_row", "_needed", "worth")

    def __init__(self, *, for_all: bool = False) -> None:
        self.worth: bool = False
        self._for_all = for_all
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
            if self._for_all or not _crowded():
                self.worth = True
                self._in_a_row = 0
            else:
                self._end()

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
            if not self._for_all and _crowded():
                self._end()

    def _end(self) -> None:
        """Look no more for now, and the next time only after twice as many short sleeps."""
        self.worth = False
        self._in_a_row = 0
        self._needed = min(self._needed * 2, _AT_MOST)


def _processors() -> int:
    """Return how many processors this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _crowded() -> bool:
    """Whether more processes could run than there are processors; ``False`` where the system does not tell."""
    try:
        with open(_RUNNING, "rb", buffering=0) as file:
            running = int(file.read(64).split()[3].split(b"/")[0])
    except (OSError, LookupError, ValueError):
        return False
    return running > (os.cpu_count() or 1)
