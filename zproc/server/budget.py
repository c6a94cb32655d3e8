"""The time that the user's code may take in the server, kept by an alarm signal.

The law: when the time is up, BudgetExceeded is raised in the user's code and never in ours, whose bookkeeping would be
torn: an alarm that goes off there is put off until the user's code goes on. It is raised again and again as long as
that does, for it may be caught there; and never after the end, because an alarm that rings then finds that nobody is
meant.
It works in the main thread of a process of zproc's own.

What it cannot end: a call into C that does not return, such as a power of huge numbers; and code that catches
BaseException around a loop that is itself endless, as fast as it is raised.
"""

from __future__ import annotations

import atexit
import math
import os
import signal
import sys
import time
from types import FrameType, TracebackType
from typing import Final

from zproc.core.budget import BudgetExceeded, interruptible, resuming

__all__ = ["alarm_budget"]

_AGAIN: Final = 0.0005
"""How soon to ring again when our own code was running, or when the user's goes on regardless, in seconds."""

_REPEATED: Final = 0.02
"""How soon to ring again if nobody has heard it, in seconds.

The kernel may hand a signal to any thread of the process, and where that is not the main one, the interpreter does not
tell the main one, which may be in an endless loop.
"""


class _Alarm:
    """The one alarm of the process.

    It is set once for many computations and not taken back after each, which would be two system calls for what takes
    microseconds: when it rings, it asks whether anybody's time is up, and is set for whoever runs then.
    """

    installed = False
    deadline = math.inf
    """When the time of what runs now is up, monotonic, in seconds; infinite if nothing runs."""
    rings = math.inf
    """When it rings next; infinite if it is not set."""


def _ring(_signum: int, frame: FrameType | None) -> None:
    if sys.gettrace() is _trace_nothing:
        sys.settrace(None)
    deadline = _Alarm.deadline
    if deadline == math.inf:
        signal.setitimer(signal.ITIMER_REAL, 0)
        _Alarm.rings = math.inf
        return
    left = deadline - time.monotonic()
    _set(left if left > 0 else _AGAIN)
    if left > 0:
        return
    if interruptible(frame):
        raise BudgetExceeded
    users = resuming(frame)
    if users is not None and sys.gettrace() is None:  # whoever traces (a debugger, coverage) is not to lose his place
        _strike_later(users)


def _strike_later(users: FrameType) -> None:
    """Have the user's code cut off before its next instruction; an exception that a tracer raises ends the tracing."""
    users.f_trace = _strike
    users.f_trace_opcodes = True
    sys.settrace(_trace_nothing)


def _trace_nothing(_frame: FrameType, _event: str, _argument: object) -> None:
    """Trace no frame that begins; those that have a tracer of their own are traced as long as there is this one."""


def _strike(_frame: FrameType, _event: str, _argument: object) -> None:
    if _Alarm.deadline <= time.monotonic():
        raise BudgetExceeded


def _set(seconds: float) -> None:
    _Alarm.rings = time.monotonic() + seconds
    signal.setitimer(signal.ITIMER_REAL, seconds, _REPEATED)


class alarm_budget:  # noqa: N801 - it is used like the function that contextlib would make of a generator, at a third of its cost
    """Bound the time of what runs inside.

    Args:
        seconds: how long it may take.

    Raises:
        BudgetExceeded: it took longer.
    """

    __slots__ = ("_seconds",)

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        if not _Alarm.installed:
            signal.signal(signal.SIGALRM, _ring)
            # At its end the interpreter gives signals back their default action, which is to kill.
            atexit.register(signal.setitimer, signal.ITIMER_REAL, 0)
            _Alarm.installed = True
        # In this order: an alarm that rings in between finds somebody to be set for.
        _Alarm.deadline = deadline = time.monotonic() + self._seconds
        if deadline < _Alarm.rings:
            _set(self._seconds)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _Alarm.deadline = math.inf


def _after_fork_in_child() -> None:
    # Timers are not inherited, and signals are given back their default action in a child that begins anew.
    _Alarm.installed, _Alarm.deadline, _Alarm.rings = False, math.inf, math.inf


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
