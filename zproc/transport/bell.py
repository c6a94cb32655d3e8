"""A bell: wakes a thread that is polling file descriptors (the "self-pipe trick").

The law: ``ring`` may be called from any thread, from signal handlers and after the end; it never blocks, raises or
touches a descriptor that is not its own. Rings are not counted: one wake-up may stand for many.
"""

from __future__ import annotations

import contextlib
import socket
import threading

__all__ = ["Bell"]


class Bell:
    """A pair of sockets: whoever polls the one is woken through the other."""

    __slots__ = ("_clapper", "_ear", "_lock")

    def __init__(self) -> None:
        self._ear, self._clapper = socket.socketpair()
        self._ear.setblocking(False)
        self._clapper.setblocking(False)
        # Reentrant: a signal handler that rings may have interrupted a ring, or the close, of its own thread.
        self._lock = threading.RLock()

    def fileno(self) -> int:
        """Return the descriptor to poll."""
        return self._ear.fileno()

    def ring(self) -> None:
        """Wake whoever is polling, or else whoever polls next."""
        # Without the lock, a close between looking the descriptor up and writing to it could hand its number to another
        # file, which would be written to.
        with self._lock, contextlib.suppress(OSError):
            self._clapper.send(b"!")  # fails if full, and then it rings already; or if closed, and then nobody polls

    def hush(self) -> bool:
        """Discard all rings so far; return whether there were any. For the thread that polls."""
        rung = False
        with contextlib.suppress(OSError):  # raised when there is nothing more
            while True:
                self._ear.recv(4096)
                rung = True
        return rung

    def close(self) -> None:
        """Close both sockets."""
        with self._lock:
            self._ear.close()
            self._clapper.close()

    def disown(self) -> None:
        """Close both in a forked child, where the lock may be held by a thread that does not exist there."""
        self._ear.close()
        self._clapper.close()
