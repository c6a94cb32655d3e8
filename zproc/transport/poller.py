"""Polling many file descriptors: epoll where the system has it, or something similar.

The law: level-triggered. What is ready and was not served is reported again, so a loop may serve each a little, and
come back.
"""

from __future__ import annotations

import random
import select
import selectors
from typing import Final, Protocol

__all__ = ["READABLE", "WRITABLE", "Poller", "SelectorPoller", "make_poller"]

READABLE: Final = 1
"""``EPOLLIN``. The end of a stream and errors are reported as other bits, with or without ``WRITABLE``."""

WRITABLE: Final = 4
"""``EPOLLOUT``"""


class Poller(Protocol):
    """The part of ``select.epoll`` that a listener uses."""

    def register(self, fd: int, eventmask: int) -> None:
        """Poll a descriptor as well."""
        ...

    def modify(self, fd: int, eventmask: int) -> None:
        """Change the events to poll a descriptor for."""
        ...

    def unregister(self, fd: int) -> None:
        """Stop polling a descriptor."""
        ...

    def poll(self, timeout: float | None, maxevents: int) -> list[tuple[int, int]]:
        """Wait, in seconds; return descriptors and their events."""
        ...

    def close(self) -> None:
        """Release the system's resources."""
        ...


class SelectorPoller:
    """The same over ``selectors``, for systems without epoll."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def register(self, fd: int, eventmask: int) -> None:
        """Poll a descriptor as well."""
        self._selector.register(fd, _to_selector(eventmask))

    def modify(self, fd: int, eventmask: int) -> None:
        """Change the events to poll a descriptor for."""
        self._selector.modify(fd, _to_selector(eventmask))

    def unregister(self, fd: int) -> None:
        """Stop polling a descriptor."""
        self._selector.unregister(fd)

    def poll(self, timeout: float | None, maxevents: int) -> list[tuple[int, int]]:
        """Wait, in seconds; return descriptors and their events."""
        ready = self._selector.select(timeout)
        # Selectors do not rotate as epoll does: if the list were always cut the same way, the last would starve.
        random.shuffle(ready)
        return [(key.fd, _from_selector(events)) for key, events in ready[:maxevents]]

    def close(self) -> None:
        """Release the system's resources."""
        self._selector.close()


def make_poller() -> Poller:
    """Return the best poller of this system."""
    return select.epoll() if hasattr(select, "epoll") else SelectorPoller()


def _to_selector(eventmask: int) -> int:
    reading = selectors.EVENT_READ if eventmask & READABLE else 0
    return reading | (selectors.EVENT_WRITE if eventmask & WRITABLE else 0)


def _from_selector(events: int) -> int:
    reading = READABLE if events & selectors.EVENT_READ else 0
    return reading | (WRITABLE if events & selectors.EVENT_WRITE else 0)
