"""The time that the user's code may take in the server, kept by an alarm signal.

The law: when the time is up, BudgetExceeded is raised in the user's code and never in ours, whose bookkeeping would be
torn: an alarm that goes off elsewhere is put off. It is raised again and again as long as the user's code goes on, for
it may be caught there; and never after the end, because an alarm that is on its way then finds that nobody is meant.
It works in the main thread of a process of zproc's own.

What it cannot end: a call into C that does not return, such as a power of huge numbers; and code that catches
BaseException around a loop that is itself endless, as fast as it is raised.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from zproc.core.budget import BudgetExceeded, interruptible

__all__ = ["alarm_budget"]

_AGAIN: Final = 0.0005
"""How soon to ring again when our own code was running, or when the user's goes on regardless, in seconds."""


class _Alarm:
    """The one alarm of the process: whether it is meant for anybody."""

    armed = False
    installed = False


def _ring(_signum: int, frame: FrameType | None) -> None:
    if _Alarm.armed and interruptible(frame):
        raise BudgetExceeded


@contextmanager
def alarm_budget(seconds: float) -> Iterator[None]:
    """Bound the time of what runs inside.

    Args:
        seconds: how long it may take.

    Raises:
        BudgetExceeded: it took longer.
    """
    if not _Alarm.installed:
        signal.signal(signal.SIGALRM, _ring)
        _Alarm.installed = True
    _Alarm.armed = True
    signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN)
    try:
        yield
    finally:
        _Alarm.armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
