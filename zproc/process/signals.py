"""Signals as exceptions, and exiting with a status.

The law: no handler is installed unless the program asks, and the previous one can be restored. Handlers are installed
by the main thread only, so both conversions are for the main thread.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import Final, TypeAlias

from zproc.arguments import WHOLE, Kind, expect, expect_all, or_none
from zproc.exceptions import UsageError

__all__ = [
    "SIGNAL",
    "ProcessExit",
    "SignalException",
    "exception_to_signal",
    "send_signal",
    "signal_name",
    "signal_to_exception",
]

Handler: TypeAlias = "Callable[[int, FrameType | None], object] | int | None"

SIGNAL: Final = Kind(
    "a signal, as signal.SIGTERM",
    # By 0 nothing is sent: it is how systems are asked whether there is such a process.
    lambda value: WHOLE.fits(value) and (value == 0 or value in signal.valid_signals()),
)
PID: Final = or_none(
    # Below that are groups, and -1 is everybody: one slip would end what has nothing to do with it.
    Kind("the number of a process, 1 or more", lambda value: WHOLE.fits(value) and value in range(1, 1 << 31)),
    " for this one",
)

_before: dict[int, Handler] = {}
"""The previous handlers of the signals that were turned into exceptions."""


def signal_name(signum: int) -> str:
    """Return the name of a signal."""
    try:
        return signal.Signals(signum).name
    except ValueError:  # a real-time signal
        return f"signal {signum}"


class SignalException(Exception):
    """A signal, raised as an exception because of `signal_to_exception`.

    Attributes:
        signum: the signal.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum

    def __str__(self) -> str:
        return signal_name(self.signum)


class ProcessExit(SystemExit):
    """Raised in a process to end it with an exit status; a success if that is 0.

    The process exits in good order: ``finally`` clauses and `atexit` functions run, streams are flushed.
    """

    def __init__(self, status: int = 0) -> None:
        super().__init__(status)


def signal_to_exception(signum: int) -> None:
    """Make a signal raise `SignalException` in the main thread, wherever that is, until `exception_to_signal`.

    Args:
        signum: which one, as ``signal.SIGUSR1``.

    Raises:
        UsageError: this is not the main thread, that signal cannot be handled, or it is none.
    """
    expect("signum", signum, SIGNAL)
    before = _handle(signum, _raise)
    if before is not _raise:
        _before[signum] = before


def exception_to_signal(signum: int | SignalException) -> None:
    """Restore what a signal did before `signal_to_exception`.

    Args:
        signum: which one, or the exception that it raised.

    Raises:
        UsageError: this is not the main thread, or that is no signal.
    """
    number = signum.signum if isinstance(signum, SignalException) else signum
    expect("signum", number, SIGNAL)
    if number in _before:
        _handle(number, _before.pop(number))


def send_signal(signum: int, pid: int | None = None) -> None:
    """Send a signal to a process, by default to this one.

    For a process that zproc started, use its ``send_signal`` method, which cannot hit another process with the same id.

    Args:
        signum: which one, as ``signal.SIGTERM``.
        pid: the number of the process; ``None`` for this one.

    Raises:
        ProcessLookupError: there is no such process.
        PermissionError: it belongs to another user.
        UsageError: that is no signal, or not the number of one process.
    """
    expect_all(("signum", signum, SIGNAL), ("pid", pid, PID))
    os.kill(os.getpid() if pid is None else pid, signum)


def _raise(signum: int, _frame: FrameType | None) -> None:
    raise SignalException(signum)


def _handle(signum: int, handler: Handler) -> Handler:
    try:
        # `None` stands for a handler that was not installed from Python, and cannot be reinstalled.
        return signal.signal(signum, signal.SIG_DFL if handler is None else handler)
    except (ValueError, OSError) as error:
        raise UsageError(f"signal {signum} cannot be handled here: {error}") from error
