"""What a process uses of the machine, measured when somebody asks.

The law: nothing is measured in the background, and a number that was given to another process is not measured for it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

import psutil

__all__ = ["Usage", "usage_of"]

_TOLERANCE: Final = 2.0
"""By how much, in seconds, a process may seem to be younger than its start: the kernel counts from the machine's."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process uses.

    Attributes:
        cpu: how many processors it has kept busy since it began, on average.
        cpu_time: how long it has computed, in seconds.
        memory: how much memory it has in use, in bytes: its resident set.
    """

    cpu: float
    cpu_time: float
    memory: int


def usage_of(pid: int | None, started: float | None) -> Usage | None:
    """Measure a process.

    Args:
        pid: its process id.
        started: when it was started, in seconds since 1970; one of that number that is younger is another.

    Returns:
        What it uses; ``None`` if it has ended.
    """
    if pid is None or started is None:
        return None
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            born = process.create_time()
            if born > started + _TOLERANCE or process.status() == psutil.STATUS_ZOMBIE:
                return None
            times = process.cpu_times()
            memory = process.memory_info().rss
    except psutil.Error:  # ended just now, or another user's
        return None
    used = times.user + times.system
    began = max(born, started)  # it may have waited for its task before
    return Usage(used / max(time.time() - began, 0.01), used, memory)
