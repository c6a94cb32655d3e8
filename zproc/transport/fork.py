"""What a forked child must not share with its parent.

The law: a connection belongs to one process. A child that keeps the parent's descriptors open, even unused, hides the
parent's death from the other side, keeps its address in use, and could write into the middle of its frames. So in a
child every listener and every channel of the parent is disowned before any other code runs: its descriptors are closed
without telling the other side, and using it is an error. Forks that bypass ``os.fork`` are not covered; descriptors are
close-on-exec.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol

__all__ = ["Disownable", "disown_after_fork"]


class Disownable(Protocol):
    """An object that a forked child must not share."""

    def disown(self) -> None:
        """Close what was inherited, silently, and without a lock: its holder may not exist in the child."""
        ...


_alive: weakref.WeakSet[Disownable] = weakref.WeakSet()


def disown_after_fork(thing: Disownable) -> None:
    """Disown an object in every child that this process forks while the object is alive."""
    _alive.add(thing)


def _after_fork_in_child() -> None:
    for thing in list(_alive):
        thing.disown()
    _alive.clear()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork either
    os.register_at_fork(after_in_child=_after_fork_in_child)
