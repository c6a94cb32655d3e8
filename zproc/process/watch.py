"""Knowing when a process has ended, whoever's child it is.

The law: a `Watch` is something a loop can poll, and it becomes readable once and for good when its process has ended,
zombies included. It means one process and never a later one of the same number. On Linux it is a pidfd; elsewhere a
thread looks after the process and closes a pipe, twenty times slower and just as true.
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
    """A process that is looked after; close it when done."""

    pid: int

    def fileno(self) -> int:
        """Give the descriptor that becomes readable, and stays so, when the process has ended."""
        ...

    def close(self) -> None:
        """Look no longer."""
        ...

    def gone(self) -> bool:
        """Tell whether the process has ended."""
        ...

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for its end, for at most ``timeout`` seconds, and tell whether it came."""
        ...

    def send_signal(self, signum: int) -> None:
        """Send it a signal, unless it has ended; never to a later process of its number."""
        ...


class _Descriptor:
    """A watch that is a descriptor."""

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
        if not self.gone():  # of a process that was gone from the beginning, this is no pidfd
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
    """A watch for platforms whose kernel has no handle of a process."""

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
    """Look after a process.

    A process that is gone already gets a watch that says so, because between two looks it may have ended anyway.

    Args:
        pid: its process id.
        born: when it was created, as psutil tells; a process of that number with another birth is not the one that is
            meant.
    """
    handle = _handle(pid)
    if handle >= 0 and born is None:  # whichever it is; to ask who it was takes longer than to make the watch
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
    """Look after a child of this process that is not reaped yet."""
    handle = _handle(pid)
    return _Descriptor(pid, handle) if handle >= 0 else watch_process(pid)


def adopt(pid: int, handle: int) -> Watch:
    """Look after a process by a handle that another process opened."""
    return _Descriptor(pid, handle)


_own: tuple[int, int] = (0, -1)


def handle_of_self() -> int:
    """Give a handle of this very process for its children to hold; -1 where the kernel has none.

    It names the right process beyond doubt: whoever opens a process by its number has to ask afterwards which one it
    was.
    """
    global _own  # noqa: PLW0603 - there is one self
    if _own[0] != os.getpid():
        _own = (os.getpid(), descriptor.keep(_handle(os.getpid())))
    return _own[1]


def identity_of_self() -> float | None:
    """Tell when this process was created, where there is no handle to pass on."""
    return None if handle_of_self() >= 0 else psutil.Process().create_time()


def _handle(pid: int) -> int:
    opener = getattr(os, "pidfd_open", None)  # Linux, and not under every sandbox there
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
