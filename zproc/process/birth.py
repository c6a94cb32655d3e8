"""Creating a child of this process: by fork, or as a new interpreter.

The law: the result is an `Offspring`, which tells when the process has ended and how. No signal reaches a handler in
the child before the child is ready for it: the creating thread blocks them meanwhile, and the child unblocks them.
Whoever creates a child reaps it, by its process id and never any other.
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
"""The exit code of a process that was reaped by somebody else, as in asyncio."""


def _after_fork_in_child() -> None:
    global _forking  # noqa: PLW0603 - its holder may not have come along
    _forking = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


class Offspring(Protocol):
    """A process that was created for this one, whoever forked it.

    Attributes:
        pid: its process id.
        orphaned: whether the process that forked it is dead, so that its exit code is a guess.
    """

    pid: int
    orphaned: bool

    def fileno(self) -> int:
        """Return the descriptor that becomes readable, for good, when the process has ended."""
        ...

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal, or ``None`` while the process runs."""
        ...

    def send_signal(self, signum: int) -> None:
        """Send a signal, unless the process has ended; must not run concurrently with `poll`."""
        ...

    def rouse(self) -> None:
        """Make sure that whoever reports its end is able to; called when the end is near or certain."""
        ...

    def close(self) -> None:
        """Close the descriptors."""
        ...


class OwnChild:
    """A direct child of this process."""

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
        """Return the descriptor that becomes readable when the process has ended."""
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
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            self._watch.send_signal(signum)

    def rouse(self) -> None:
        """Do nothing: this process itself sees the end."""

    def close(self) -> None:
        """Stop watching."""
        self._watch.close()


_CURES = {
    errno.EMFILE: "; each process takes a few descriptors here: raise their limit (ulimit -n), or end some processes",
    errno.EAGAIN: "; raise the limit of processes (ulimit -u), or end some",
}


def refusal(error: OSError) -> ProcessError:
    """Return the error for a process that the system refuses to create, with the remedy if one is known."""
    return ProcessError(f"no process can be made: {error.strerror or error}{_CURES.get(error.errno or 0, '')}")


def fork(line: int, setup: Setup, call: parcel.Call) -> OwnChild:
    """Fork this process; in the child, this does not return.

    Raises:
        UsageError: this process has other threads.
    """
    _refuse_threads()
    run.run_id()  # so that the children do not each invent one
    handle = handle_of_self()
    _flush()
    handled = _handled_signals()
    with _forking, _held({signal.SIGINT, signal.SIGTERM, *handled}), _interpreter_silenced():
        # Duplicates outside the registry: the child closes what is registered, and it needs these two.
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
    """Start a new interpreter, which receives its task over the line."""
    handle = handle_of_self()
    arguments = command("child", line, handle)
    return OwnChild(execute(arguments, line, handle))


def command(module: str, *numbers: int) -> list[str]:
    """Return the command line of an interpreter like this one that runs ``main`` of a module of this package.

    The search path is passed as arguments: the new interpreter would compute its own, which may lack zproc itself.
    """
    if not sys.executable:
        raise UsageError("this interpreter does not know its own executable, so it can start no other; use 'fork'")
    # Private, but the only place that knows; multiprocessing uses it as well.
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # noqa: SLF001
    given = ", ".join(f"int(sys.argv[{index}])" for index in range(1, len(numbers) + 1))
    code = (
        f"import sys; sys.path[:] = sys.argv[{len(numbers) + 1}:]; "
        f"from {__package__} import {module}; {module}.main({given})"
    )
    return [sys.executable, *flags, "-c", code, *map(str, numbers), *filter(_is_text, sys.path)]


def execute(arguments: list[str], *passed: int, stdout: int | None = None) -> int:
    """Run a command that inherits the given descriptors, and return its process id; the caller reaps it.

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
        # Otherwise subprocess would warn that nobody waited for it, and reap it behind our back.
        process.returncode = 0
    return process.pid


def strangers() -> list[str]:
    """Return the names of the threads that make it unsafe to fork this process.

    Threads of zproc hold no lock that is not replaced after a fork. The main thread stands for the program, which chose
    to fork; restarts are done by another thread.
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
    """Suppress the interpreter's warning about threads: turned into an error, it would be raised after the fork."""
    if sys.version_info >= (3, 12):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    else:
        yield


def _handled_signals() -> tuple[int, ...]:
    """Return the signals that the program handles; in a child, those handlers would act on the parent's resources."""
    return tuple(int(signum) for signum in _SIGNALS if callable(signal.getsignal(signum)))


@contextlib.contextmanager
def _held(signums: set[int]) -> Iterator[None]:
    """Hold signals back, and what the program does at them.

    To mask them is not enough, because that is for one thread: another one takes the signal, and the handler is called
    in the main thread all the same. There it may be in what modules do before and after a fork, where an exception is
    dropped: Ctrl-C is lost then, and the lock of logging stays locked for ever.
    """
    missed: list[int] = []
    with contextlib.ExitStack() as stack:
        stack.callback(_make_up_for, missed)
        stack.callback(signal.pthread_sigmask, signal.SIG_SETMASK, signal.pthread_sigmask(signal.SIG_BLOCK, signums))
        if threading.current_thread() is threading.main_thread():
            for signum in signums:
                handler = signal.getsignal(signum)
                if callable(handler):
                    stack.callback(signal.signal, signum, handler)
                    signal.signal(signum, lambda number, _: missed.append(number))
        yield


def _make_up_for(missed: list[int]) -> None:
    with contextlib.ExitStack() as stack:  # whatever the handler of another one raises
        for signum in dict.fromkeys(missed):
            stack.callback(signal.raise_signal, signum)


def _flush() -> None:
    # Otherwise both processes would write what is buffered.
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


def _is_text(entry: object) -> bool:
    return isinstance(entry, str)
