"""A report, for people, of what everybody at a server is doing: who has the turn, who waits for it, who waits for what.

The law: taking it changes nothing, and it describes one moment. Clients go by what they said of themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol, assert_never

from zproc.core.lease import Turns, Waiting
from zproc.core.messages import Acquire, Act, Commit
from zproc.core.namespace import Namespace
from zproc.core.peer import Peer
from zproc.core.watch import Watcher, Watchers
from zproc.schema.path import format_path
from zproc.typing import PeerId

__all__ = ["Space", "survey"]


class Space(Protocol):
    """A state, with whoever waits for it."""

    @property
    def namespace(self) -> Namespace:
        """The state."""
        ...

    @property
    def turns(self) -> Turns:
        """Whose turn it is."""
        ...

    @property
    def watchers(self) -> Watchers:
        """Who waits for a change."""
        ...


def survey(spaces: Mapping[str, Space], peers: Iterable[Peer], *, now: float) -> list[str]:
    """Return who does and who waits for what, one fact a line.

    Args:
        spaces: the states, by name.
        peers: who is connected.
        now: the monotonic time, in seconds.
    """
    names = {peer.id: f"{peer.hello.process} (pid {peer.hello.pid})" for peer in peers}
    return [line for name, space in spaces.items() for line in _facts(name, space, names, now)]


def _facts(name: str, space: Space, names: Mapping[PeerId, str], now: float) -> Iterator[str]:
    yield f"state {name!r}, revision {space.namespace.revision}"
    holder = space.turns.holder
    if holder is not None:
        yield f"  {names[holder.peer]} has the turn, for another {max(0.0, holder.deadline - now):.1f} s at most"
    for waiting in space.turns.queue():
        yield f"  {names[waiting.peer]} waits for the turn, to {_purpose(waiting)}"
    for watcher in space.watchers.parked():
        yield f"  {names[watcher.peer]} waits for a change of {_places(watcher)}"


def _purpose(waiting: Waiting) -> str:
    match waiting.command:
        case Acquire():
            return "run an atomic function"
        case Act(action=name):
            return f"have {name} run"
        case Commit(function=""):
            return "change a value"
        case Commit(function=name):
            return f"commit {name}"
        case _:
            assert_never(waiting.command)


def _places(watcher: Watcher) -> str:
    return " or ".join(format_path(pattern) or "anything" for pattern in watcher.patterns)
