"""What a forked child must not share with its parent.

The law: a connection belongs to one process. A child that keeps the parent's descriptors open, even unused, hides the
parent's death from the other side, keeps its address taken, and could write into the middle of its frames. So in a
child every listener and every channel of the parent is disowned before any other code runs: its descriptors are closed,
without a word to the other side, and its use is an error. Not seen here are forks that bypass ``os.fork``; their
descriptors are all close-on-exec.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol

__all__ = ["Disownable", "disown_after_fork"]


class Disownable(Protocol):
    """Something that a forked child must not share."""

    def disown(self) -> None:
        """Close what was inherited, in silence and without a lock: who held it did not come along."""
        ...


_alive: weakref.WeakSet[Disownable] = weakref.WeakSet()


def disown_after_fork(thing: Disownable) -> None:
    """Have a thing disowned in every child that this process forks while the thing is alive."""
    _alive.add(thing)


def _after_fork_in_child() -> None:
    for thing in list(_alive):
        thing.disown()
    _alive.clear()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork either
    os.register_at_fork(after_in_child=_after_fork_in_child)
