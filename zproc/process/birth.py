"""Making a child in this process: by a fork, or by a new interpreter.

The law: what comes out is an `Offspring`, which tells when the process has ended and how. No signal reaches a handler
in the child before the child is ready for it: the thread that makes it holds them back for that moment, and the child
lets them in. Whoever makes a child reaps it, by its number and nobody else's.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Protocol

from zproc.exceptions import ProcessError, UsageError
from zproc.process import child, descriptor, parcel, run
from zproc.process.watch import Watch, handle_of_self, watch_child
from zproc.process.wire import Setup

__all__ = ["Offspring", "OwnChild", "command", "execute", "fork", "refusal", "spawn", "strangers"]

_forking = threading.Lock()
"""One fork at a time, because the warning filters are the whole program's."""

_SIGNALS = signal.valid_signals()

UNKNOWN = 255
"""The exit code of a process that somebody else has reaped, as asyncio has it."""


def _after_fork_in_child() -> None:
    global _forking  # noqa: PLW0603 - its holder may not have come along
    _forking = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


class Offspring(Protocol):
    """A process that this one had made.

    Attributes:
        pid: its process id.
        orphaned: whether its maker is dead, so that its exit code is a guess.
    """

    pid: int
    orphaned: bool

    def fileno(self) -> int:
        """Give the descriptor that becomes readable, and stays so, when the process has ended."""
        ...

    def poll(self) -> int | None:
        """Give the exit code, negative for a signal, or ``None`` while the process runs."""
        ...

    def send_signal(self, signum: int) -> None:
        """Send a signal, unless the process has ended; must not be called at the same time as `poll`."""
        ...

    def rouse(self) -> None:
        """See that whoever has to tell of its end can: it has said its last, or was killed."""
        ...

    def close(self) -> None:
        """Let go of the descriptors."""
        ...


class OwnChild:
    """A child of this very process."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.orphaned: bool = False
        # Its number cannot be another's before it is reaped, so there is nothing to verify.
        self._exitcode: int | None = None
        try:
            self._watch: Watch = watch_child(pid)
        except BaseException:  # short of descriptors
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise

    def fileno(self) -> int:
        """Give a descriptor that tells of the end."""
        return self._watch.fileno()

    def poll(self) -> int | None:
        """Reap the process if it has ended."""
        if self._exitcode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # reaped by a handler of SIGCHLD, or SIGCHLD is ignored
                self._exitcode = UNKNOWN
            else:
                self._exitcode = os.waitstatus_to_exitcode(status) if pid else None
        return self._exitcode

    def send_signal(self, signum: int) -> None:
        """Send a signal to a process that is not reaped yet."""
        if self.poll() is None:
            self._watch.send_signal(signum)

    def rouse(self) -> None:
        """Nobody else has to tell of it."""

    def close(self) -> None:
        """Look no longer."""
        self._watch.close()


_CURES = {
    errno.EMFILE: "; each process takes a few descriptors here: raise their limit (ulimit -n), or end some processes",
    errno.EAGAIN: "; raise the limit of processes (ulimit -u), or end some",
}


def refusal(error: OSError) -> ProcessError:
    """Make the error of a process that the system does not let us make, with the cure if one is known."""
    return ProcessError(f"no process can be made: {error.strerror or error}{_CURES.get(error.errno or 0, '')}")


def fork(line: int, setup: Setup, call: parcel.Call) -> OwnChild:
    """Make a child that is a copy of this process; in the child it does not return.

    Raises:
        UsageError: this process has other threads.
    """
    _refuse_threads()
    run.run_id()  # named here, and not by each child anew
    handle = handle_of_self()
    _flush()
    handled = _handled_signals()
    with _forking, _held({signal.SIGINT, signal.SIGTERM, *handled}), _interpreter_silenced():
        # Out of the registry, because what is in there is closed in forks; the handle of the parent is needed, too.
        passed: list[int] = []
        try:
            passed += map(os.dup, [line, handle] if handle >= 0 else [line])
            pid = os.fork()
            if pid == 0:
                child.take_over(dataclasses.replace(setup, handled=handled), call, *passed)
        finally:
            descriptor.close(*passed)
    return OwnChild(pid)


def spawn(line: int) -> OwnChild:
    """Make a child that is a new interpreter, and hears of its task over the line."""
    handle = handle_of_self()
    arguments = command("child", line, handle)
    return OwnChild(execute(arguments, line, handle))


def command(module: str, *numbers: int) -> list[str]:
    """Give the command line of a new interpreter that is like this one and runs ``main`` of a module of this package.

    The search path travels as arguments: the interpreter would work out another one, in which zproc itself may be
    missing.
    """
    if not sys.executable:
        raise UsageError("this interpreter does not know its own executable, so it can start no other; use 'fork'")
    # Private, and yet the one place that knows; multiprocessing takes it from there, too.
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # noqa: SLF001
    given = ", ".join(f"int(sys.argv[{index}])" for index in range(1, len(numbers) + 1))
    code = (
        f"import sys; sys.path[:] = sys.argv[{len(numbers) + 1}:]; "
        f"from {__package__} import {module}; {module}.main({given})"
    )
    return [sys.executable, *flags, "-c", code, *map(str, numbers), *filter(_is_text, sys.path)]


def execute(arguments: list[str], *passed: int, stdout: int | None = None) -> int:
    """Run a command with some descriptors, and return its process id; the caller reaps it.

    Raises:
        ProcessError: it cannot be run.
    """
    with _held({signal.SIGINT}):
        try:
            process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                pass_fds=[each for each in passed if each >= 0],
                env=run.environment(),
            )
        except OSError as error:
            raise ProcessError(f"cannot start {arguments[0]}: {error}") from error
        # subprocess would complain of a process that nobody waited for, and reap it behind our back.
        process.returncode = 0
    return process.pid


def strangers() -> list[str]:
    """Name the threads because of which this process had better not be forked.

    Those of zproc hold no lock that a fork of theirs does not make anew. The main thread counts as the program, which
    has decided for forks: it is another one than this for all tries but the first.
    """
    spared = {threading.current_thread(), threading.main_thread()}
    return [each.name for each in threading.enumerate() if each not in spared and not each.name.startswith("zproc-")]


def _refuse_threads() -> None:
    if others := strangers():
        listed = ", ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")  # noqa: PLR2004
        raise UsageError(
            f"start method 'fork' in a process with other threads ({listed}): a lock that one of them holds at that "
            "moment stays locked in the child for ever; end them first, or use 'forkserver' or 'spawn', which are safe"
        )


@contextlib.contextmanager
def _interpreter_silenced() -> Iterator[None]:
    """Keep the interpreter from warning of threads, zproc's own too: as an error, that would come after the fork."""
    if sys.version_info >= (3, 12):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    else:
        yield


def _handled_signals() -> tuple[int, ...]:
    """List the signals for which the program has a handler, which in a child would act on the parent's things."""
    return tuple(int(signum) for signum in _SIGNALS if callable(signal.getsignal(signum)))


@contextlib.contextmanager
def _held(signums: set[int]) -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signums)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _flush() -> None:
    # What is in the buffers would otherwise be written twice.
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


def _is_text(entry: object) -> bool:
    return isinstance(entry, str)
