"""Signals as exceptions, and leaving a process with an exit code of one's own.

The law: nothing is installed unless the program asks, and what it had before it gets back. Handlers belong to the main
thread, so both conversions are for the main thread only.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import TypeAlias

from zproc.exceptions import UsageError

__all__ = ["ProcessExit", "SignalException", "exception_to_signal", "send_signal", "signal_name", "signal_to_exception"]

Handler: TypeAlias = "Callable[[int, FrameType | None], object] | int | None"

_before: dict[int, Handler] = {}
"""What signals did before they were made exceptions."""


def signal_name(signum: int) -> str:
    """Name a signal."""
    try:
        return signal.Signals(signum).name
    except ValueError:  # a real-time signal
        return f"signal {signum}"


class SignalException(Exception):
    """A signal that was made an exception by `signal_to_exception`.

    Attributes:
        signum: which one.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum

    def __str__(self) -> str:
        return signal_name(self.signum)


class ProcessExit(SystemExit):
    """Raised in a process to end it with an exit code; a good ending if that is 0.

    Everything that ends a program in order is done: ``finally`` clauses, functions of `atexit`, flushing.
    """

    def __init__(self, status: int = 0) -> None:
        super().__init__(status)


def signal_to_exception(signum: int) -> None:
    """Have a signal raise `SignalException` in the main thread, wherever that is, until `exception_to_signal`.

    Args:
        signum: which one, as ``signal.SIGUSR1``.

    Raises:
        UsageError: this is not the main thread, or there is nothing to be done about that signal.
    """
    before = _handle(signum, _raise)
    if before is not _raise:
        _before[signum] = before


def exception_to_signal(signum: int | SignalException) -> None:
    """Have a signal do what it did before `signal_to_exception`.

    Args:
        signum: which one, or the exception that it raised.

    Raises:
        UsageError: this is not the main thread.
    """
    number = signum.signum if isinstance(signum, SignalException) else signum
    if number in _before:
        _handle(number, _before.pop(number))


def send_signal(signum: int, pid: int | None = None) -> None:
    """Send a signal to a process, by default to this one.

    A process that zproc started is better sent signals by its ``send_signal``, which cannot hit another of its number.

    Args:
        signum: which one, as ``signal.SIGTERM``.
        pid: the number of the process; ``None`` for this one.

    Raises:
        ProcessLookupError: there is none.
        PermissionError: it is somebody else's.
    """
    os.kill(os.getpid() if pid is None else pid, signum)


def _raise(signum: int, _frame: FrameType | None) -> None:
    raise SignalException(signum)


def _handle(signum: int, handler: Handler) -> Handler:
    try:
        # What was not installed by Python cannot be installed by it again.
        return signal.signal(signum, signal.SIG_DFL if handler is None else handler)
    except (ValueError, OSError) as error:
        raise UsageError(f"signal {signum} cannot be handled here: {error}") from error
