"""Signals as exceptions, and exiting with a status.

The law: no handler is installed unless the program asks, and the previous one can be restored. Handlers are installed
by the main thread only, so both conversions are for the main thread.
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
        UsageError: this is not the main thread, or that signal cannot be handled.
    """
    before = _handle(signum, _raise)
    if before is not _raise:
        _before[signum] = before


def exception_to_signal(signum: int | SignalException) -> None:
    """Restore what a signal did before `signal_to_exception`.

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

    For a process that zproc started, use its ``send_signal`` method, which cannot hit another process with the same id.

    Args:
        signum: which one, as ``signal.SIGTERM``.
        pid: the number of the process; ``None`` for this one.

    Raises:
        ProcessLookupError: there is no such process.
        PermissionError: it belongs to another user.
    """
    os.kill(os.getpid() if pid is None else pid, signum)


def _raise(signum: int, _frame: FrameType | None) -> None:
    raise SignalException(signum)


def _handle(signum: int, handler: Handler) -> Handler:
    try:
        # `None` stands for a handler that was not installed from Python, and cannot be reinstalled.
        return signal.signal(signum, signal.SIG_DFL if handler is None else handler)
    except (ValueError, OSError) as error:
        raise UsageError(f"signal {signum} cannot be handled here: {error}") from error
