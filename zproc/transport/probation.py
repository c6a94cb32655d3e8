"""The peers that have connected and have not said hello yet, and how long they may stay.

The law: time is an argument, in seconds of a monotonic clock; every peer has the same term, so the oldest is always the
next one due.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zproc.typing import PeerId

__all__ = ["Probation"]


class Probation:
    """The peers on probation, oldest first.

    Attributes:
        deadlines: when the time of each peer is over. Read-only.
    """

    __slots__ = ("_term", "deadlines")

    def __init__(self, term: float) -> None:
        self._term = term
        self.deadlines: dict[PeerId, float] = {}

    def enter(self, peer: PeerId, now: float) -> None:
        """Put a peer on probation from now on, after all that are."""
        self.deadlines.pop(peer, None)
        self.deadlines[peer] = now + self._term

    def leave(self, peer: PeerId) -> None:
        """Remove a peer: it has been allowed, or is gone."""
        self.deadlines.pop(peer, None)

    def next_deadline(self) -> float | None:
        """Return when the next one is due, or ``None`` when nobody is on probation."""
        return next(iter(self.deadlines.values()), None)

    def due(self, now: float) -> list[PeerId]:
        """Return those whose time is over, oldest first; each stays until it leaves or enters anew."""
        overdue = []
        for peer, deadline in self.deadlines.items():
            if deadline > now:
                break
            overdue.append(peer)
        return overdue
