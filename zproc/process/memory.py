"""Whether memory ran out.

The law: a guess, and called one. The kernel counts whom it kills for want of memory, but does not say whom.
"""

from __future__ import annotations

__all__ = ["kills_for_memory"]

_COUNTERS = "/proc/vmstat"


def kills_for_memory() -> int:
    """Tell how many processes of this machine the kernel has killed for want of memory; 0 where it does not tell."""
    try:
        with open(_COUNTERS, encoding="ascii") as counters:
            return next((int(line.split()[1]) for line in counters if line.startswith("oom_kill ")), 0)
    except OSError:
        return 0
