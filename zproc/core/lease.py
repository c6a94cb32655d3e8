"""Whose turn it is: the lease of a namespace, and the queue for it.

The law: turns are granted first come, first served. A request waits if the turn is held or others are waiting. A turn
ends when its holder says so, with its holder's connection, or at the limit; from then on its id is void, whatever the
clock says. Leaving the queue costs the same from any position.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import count
from typing import TypeAlias

from zproc.core.messages import Acquire, Act, Commit
from zproc.schema.record import record
from zproc.typing import LeaseId, PeerId, RequestId

__all__ = ["Holder", "Running", "Turns", "Waiting"]


@record
class Holder:
    """A turn that somebody holds, and the request that it was granted for."""

    lease: LeaseId
    peer: PeerId
    request: RequestId
    deadline: float


@record
class Waiting:
    """A request that waits for its turn: to be granted one, or to be applied between two."""

    peer: PeerId
    command: Acquire | Commit | Act


class Turns:
    """The turns of one namespace.

    Args:
        limit: how long one may take, in seconds.
        running: the turns of all namespaces that are held, in the order in which they were granted; kept here.
    """

    def __init__(self, limit: float, running: Running) -> None:
        self.holder: Holder | None = None
        self._limit = limit
        self._running = running
        self._ids = count(1)
        # Not a dict: finding its first key costs as much as was ever taken out before it.
        self._queue: OrderedDict[tuple[PeerId, RequestId], Waiting] = OrderedDict()

    def is_free(self) -> bool:
        """Whether a request that comes now need not wait."""
        return self.holder is None and not self._queue

    def wait(self, waiting: Waiting) -> None:
        """Append a request to the queue."""
        place = (waiting.peer, waiting.command.request)
        assert place not in self._queue, "a request would wait twice"
        self._queue[place] = waiting

    def take(self, peer: PeerId, request: RequestId, *, now: float) -> Holder:
        """Grant the turn.

        Args:
            peer: who gets it.
            request: what it was asked for by.
            now: the monotonic time, in seconds.
        """
        assert self.holder is None, "two would hold the turn"
        holder = self.holder = Holder(LeaseId(next(self._ids)), peer, request, now + self._limit)
        self._running[self] = holder
        return holder

    def held_by(self, peer: PeerId) -> Holder | None:
        """Return the turn that a peer holds, if it does."""
        return self.holder if self.holder is not None and self.holder.peer == peer else None

    def holds(self, peer: PeerId, lease: LeaseId) -> bool:
        """Whether a peer holds just this turn."""
        return self.holder is not None and self.holder.peer == peer and self.holder.lease == lease

    def end(self) -> None:
        """Take the turn from its holder."""
        self.holder = None
        self._running.pop(self, None)

    def next_waiting(self) -> Waiting | None:
        """Take the first request out of the queue, if the turn is free."""
        if self.holder is not None or not self._queue:
            return None
        return self._queue.popitem(last=False)[1]

    def queue(self) -> tuple[Waiting, ...]:
        """Return the requests that wait, in the order in which they will be served."""
        return tuple(self._queue.values())

    def forget(self, peer: PeerId, request: RequestId) -> bool:
        """Remove one request from the queue, and return whether it was there."""
        return self._queue.pop((peer, request), None) is not None

    def expired(self, *, now: float) -> bool:
        """Whether the holder has overrun the limit: it has from the deadline on."""
        return self.holder is not None and now >= self.holder.deadline


Running: TypeAlias = "OrderedDict[Turns, Holder]"
