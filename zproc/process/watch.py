"""Learning when a process has ended, whoever its parent is.

The law: a `Watch` can be polled, and becomes readable, for good, when its process has ended; a zombie has ended. It
stands for one process and never for a later one with the same id. On Linux it is a pidfd; elsewhere a thread polls the
process and closes a pipe, which is slower by the polling interval and just as reliable.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from typing import Protocol, Self

import psutil

from zproc.process import descriptor, wire

__all__ = ["Watch", "adopt", "handle_of_self", "identity_of_self", "watch_child", "watch_process"]

_PERIOD = 0.05


class Watch(Protocol):
    """A watch on one process; to be closed."""

    pid: int

    def fileno(self) -> int:
        """Return the descriptor that becomes readable, for good, when the process has ended."""
        ...

    def close(self) -> None:
        """Stop watching."""
        ...

    def gone(self) -> bool:
        """Return whether the process has ended."""
        ...

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for its end, for at most ``timeout`` seconds, and return whether it came."""
        ...

    def send_signal(self, signum: int) -> None:
        """Send it a signal, unless it has ended; never to a later process with its id."""
        ...


class _Descriptor:
    """A watch that is a pidfd, or a pipe that is closed."""

    def __init__(self, pid: int, number: int) -> None:
        self.pid = pid
        self._number = descriptor.keep(number)

    def fileno(self) -> int:
        return self._number

    def gone(self) -> bool:
        return self.wait(0)

    def wait(self, timeout: float | None = None) -> bool:
        deadline = None if timeout is None else time.monotonic() + timeout
        return wire.poll({self._number: select.POLLIN}, deadline)

    def send_signal(self, signum: int) -> None:
        if not self.gone():  # the watch of a process that was gone from the beginning is no pidfd
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._number, signum)

    def close(self) -> None:
        number, self._number = self._number, -1
        descriptor.close(number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Lookout(_Descriptor):
    """A watch for platforms without pidfds."""

    def __init__(self, process: psutil.Process) -> None:
        reading, self._writing = os.pipe()
        descriptor.keep(self._writing)
        super().__init__(process.pid, reading)
        self._process = process
        self._dismissed = threading.Event()
        self._thread = threading.Thread(target=self._look, name=f"zproc-watch-{process.pid}", daemon=True)
        self._thread.start()

    def send_signal(self, signum: int) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            self._process.send_signal(signum)

    def close(self) -> None:
        self._dismissed.set()
        self._thread.join()
        super().close()

    def _look(self) -> None:
        while _lives(self._process) and not self._dismissed.wait(_PERIOD):
            pass
        descriptor.close(self._writing)


def watch_process(pid: int, born: float | None = None) -> Watch:
    """Watch a process.

    For one that is gone already, the watch says so: it might have ended at any moment anyway.

    Args:
        pid: its process id.
        born: its creation time, according to psutil; a process with that id and another one is not the one meant.
    """
    handle = _handle(pid)
    if handle >= 0 and born is None:  # psutil would take longer than all the rest
        return _Descriptor(pid, handle)
    try:
        process = psutil.Process(pid)
        if born is not None and process.create_time() != born:
            raise psutil.NoSuchProcess(pid)
    except psutil.NoSuchProcess:
        descriptor.close(handle)
        return _Descriptor(pid, _ended())
    return _Descriptor(pid, handle) if handle >= 0 else _Lookout(process)


def watch_child(pid: int) -> Watch:
    """Watch a child of this process that has not been reaped yet."""
    handle = _handle(pid)
    return _Descriptor(pid, handle) if handle >= 0 else watch_process(pid)


def adopt(pid: int, handle: int) -> Watch:
    """Watch a process by a pidfd that another process opened."""
    return _Descriptor(pid, handle)


_own: tuple[int, int] = (0, -1)


def handle_of_self() -> int:
    """Return a pidfd of this process for its children to hold; -1 where the kernel has none.

    It certainly stands for this process, whereas a pidfd opened by process id has to be verified afterwards.
    """
    global _own  # noqa: PLW0603 - there is one self
    if _own[0] != os.getpid():
        _own = (os.getpid(), descriptor.keep(_handle(os.getpid())))
    return _own[1]


def identity_of_self() -> float | None:
    """Return when this process was created, where there is no pidfd to pass on; else ``None``."""
    return None if handle_of_self() >= 0 else psutil.Process().create_time()


def _handle(pid: int) -> int:
    opener = getattr(os, "pidfd_open", None)  # on Linux, though some sandboxes refuse it
    if opener is None:
        return -1
    with contextlib.suppress(OSError):
        return int(opener(pid))
    return -1


def _lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _ended() -> int:
    reading, writing = os.pipe()
    os.close(writing)
    return reading
