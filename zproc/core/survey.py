"""What everybody at a server is doing, for people: who has the turn, who waits for it, who waits for what.

The law: looking changes nothing, and what is said is of one moment. Who it is about is told by what he said of himself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from zproc.core.lease import Turns, Waiting
from zproc.core.messages import Acquire, Act, Commit, Hello
from zproc.core.watch import Watcher, Watchers
from zproc.schema.path import format_path
from zproc.typing import PeerId

__all__ = ["survey"]


def survey(title: str, turns: Turns, watchers: Watchers, hellos: Mapping[PeerId, Hello], *, now: float) -> list[str]:
    """Say who does and who waits for what at one state, one fact a line.

    Args:
        title: the first line.
        turns: its turns.
        watchers: who waits for a change of it.
        hellos: what each connection has said of itself.
        now: the monotonic time, in seconds.
    """

    def who(peer: PeerId) -> str:
        return f"{hellos[peer].process} (pid {hellos[peer].pid})"

    lines = [title]
    if turns.holder is not None:
        left = max(0.0, turns.holder.deadline - now)
        lines.append(f"  {who(turns.holder.peer)} has the turn, for another {left:.1f} s at most")
    lines += [f"  {who(waiting.peer)} waits for the turn, to {_purpose(waiting)}" for waiting in turns.queue()]
    lines += [f"  {who(watcher.peer)} waits for a change of {_places(watcher)}" for watcher in watchers.parked()]
    return lines


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
