"""Effects: the only way in which the rules reach the world.

The law: an effect is a frozen value that is complete in itself, so that whoever performs it decides nothing.
"""

from __future__ import annotations

from typing import TypeAlias

from zproc.core.messages import Reply
from zproc.schema.record import record
from zproc.typing import PeerId, Revision

__all__ = ["Disconnect", "Effect", "Published", "Send", "Welcomed", "hurry"]


@record
class Send:
    """Send a reply to a peer."""

    peer: PeerId
    reply: Reply


@record
class Welcomed:
    """A peer has introduced itself and may send messages of full size."""

    peer: PeerId


@record
class Disconnect:
    """Cut a peer off, after what was sent to it."""

    peer: PeerId
    reason: str


@record
class Published:
    """A state has a new revision; ``index`` tells which of the server's states, as `Welcome` does."""

    index: int
    revision: Revision


Effect: TypeAlias = Send | Welcomed | Disconnect | Published


def hurry(effects: list[Effect]) -> None:
    """Move the last effect, a reply, before those to other peers that stand directly before it.

    This is for the new holder of a turn, who has something to do; the others only hear of what was done.
    """
    urgent = effects.pop()
    assert isinstance(urgent, Send), "a reply can be moved; what else there is has its place"
    at = len(effects)
    while at and isinstance(other := effects[at - 1], Send) and other.peer != urgent.peer:
        at -= 1
    effects.insert(at, urgent)
