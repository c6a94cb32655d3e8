"""A bell: makes a thread that waits for file descriptors return.

The law: ``ring`` may be called from every thread, from signal handlers and after the end, and never blocks, raises or
touches a descriptor that is not its own. Rings are not counted: one wake-up may stand for many.
"""

from __future__ import annotations

import contextlib
import socket
import threading

__all__ = ["Bell"]


class Bell:
    """One pair of sockets: whoever waits for the one is woken through the other."""

    __slots__ = ("_clapper", "_ear", "_lock")

    def __init__(self) -> None:
        self._ear, self._clapper = socket.socketpair()
        self._ear.setblocking(False)
        self._clapper.setblocking(False)
        # Reentrant: a signal handler that rings may have interrupted a ring, or the close, of its own thread.
        self._lock = threading.RLock()

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._ear.fileno()

    def ring(self) -> None:
        """Wake whoever waits, or else whoever waits next."""
        # Without the lock a close could come between the look at the descriptor and the write, and a stranger's file
        # that got the same number in between would be written to.
        with self._lock, contextlib.suppress(OSError):
            self._clapper.send(b"!")  # fails when full, so that it rings already; or closed, so that nobody waits

    def hush(self) -> bool:
        """Take back all rings so far, and tell whether there were any. For the thread that waits."""
        rung = False
        with contextlib.suppress(OSError):  # in the end there is nothing more
            while True:
                self._ear.recv(4096)
                rung = True
        return rung

    def close(self) -> None:
        """Give both sockets back."""
        with self._lock:
            self._ear.close()
            self._clapper.close()

    def disown(self) -> None:
        """Close both in a forked child, where the lock may be held by a thread that did not come along."""
        self._ear.close()
        self._clapper.close()
