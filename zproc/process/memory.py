"""Whether memory ran out.

The law: it is a guess, and presented as one. The kernel counts its out-of-memory kills, but does not say whom it
killed.
"""

from __future__ import annotations

__all__ = ["kills_for_memory"]

_COUNTERS = "/proc/vmstat"


def kills_for_memory() -> int:
    """Return how many processes of this machine the kernel's OOM killer has killed; 0 where that is unknown."""
    try:
        with open(_COUNTERS, encoding="ascii") as counters:
            return next((int(line.split()[1]) for line in counters if line.startswith("oom_kill ")), 0)
    except OSError:
        return 0
