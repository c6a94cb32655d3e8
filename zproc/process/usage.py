"""What a process uses of the machine, measured on request.

The law: nothing is measured in the background, and a process id that was reused is not mistaken for its first owner.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

import psutil

__all__ = ["Usage", "usage_of"]

_TOLERANCE: Final = 2.0
"""How much younger than its start a process may seem, in seconds: the kernel counts from the boot of the machine."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process uses.

    Attributes:
        cpu: the processors that it has kept busy since its start, on average.
        cpu_time: its processor time so far, in seconds.
        memory: its resident set size, in bytes.
    """

    cpu: float
    cpu_time: float
    memory: int


def usage_of(pid: int | None, started: float | None) -> Usage | None:
    """Measure a process.

    Args:
        pid: its process id.
        started: when it was started, in seconds since 1970; a younger process with that id is another one.

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
