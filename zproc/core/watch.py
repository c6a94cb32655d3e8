"""Who hears what.

The law: a watcher asks for what comes after a revision and is answered once, whole commits in order; then it asks again
from there. So nothing is kept per watcher but the question, a slow one costs nobody anything, and what it has not asked
for yet waits in the history. A parked watcher is looked at only by commits that touch one of the top-level fields that
it names.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count

from zproc.core.history import Entry
from zproc.core.messages import Watch
from zproc.exceptions import LimitExceeded
from zproc.schema.path import ANY, Pattern, matches
from zproc.typing import Key, Path, PeerId, RequestId, SessionId

__all__ = ["Watcher", "Watchers", "concerns"]


@dataclass(frozen=True, slots=True)
class Watcher:
    """A question that has no answer yet."""

    peer: PeerId
    session: SessionId
    command: Watch
    patterns: tuple[Pattern, ...]


def concerns(watcher: Watcher, entry: Entry) -> bool:
    """Whether a commit is an answer."""
    if entry.author.session == watcher.session and not watcher.command.own:
        return False
    paths = (*entry.touched, *entry.repeated) if watcher.command.duplicates else entry.touched
    return any(matches(pattern, path) for path in paths for pattern in watcher.patterns)


class Watchers:
    """The parked watchers of one namespace.

    Args:
        most: how many there may be.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._arrivals = count()
        self._parked: dict[tuple[PeerId, RequestId], tuple[int, Watcher]] = {}
        self._by_field: dict[Key, dict[int, Watcher]] = {}

    def park(self, watcher: Watcher) -> None:
        """Keep a watcher until a commit concerns it.

        Raises:
            LimitExceeded: there are too many.
        """
        if len(self._parked) >= self._most:
            raise LimitExceeded("watchers", len(self._parked) + 1, self._most)
        place = (watcher.peer, watcher.command.request)
        assert place not in self._parked, "a watcher would be parked twice"
        number = next(self._arrivals)
        self._parked[place] = number, watcher
        for field in _fields(watcher.patterns):
            self._by_field.setdefault(field, {})[number] = watcher

    def forget(self, peer: PeerId, request: RequestId) -> bool:
        """Take a watcher out; whether it was there."""
        if (peer, request) not in self._parked:
            return False
        number, watcher = self._parked.pop((peer, request))
        for field in _fields(watcher.patterns):
            parked = self._by_field[field]
            del parked[number]
            if not parked:
                del self._by_field[field]
        return True

    def woken_by(self, entry: Entry) -> list[Watcher]:
        """Take out and return the watchers that a commit concerns, in the order in which they came."""
        if not self._parked:
            return []
        woken = [watcher for watcher in self._candidates((*entry.touched, *entry.repeated)) if concerns(watcher, entry)]
        for watcher in woken:
            self.forget(watcher.peer, watcher.command.request)
        return woken

    def _candidates(self, paths: Iterable[Path]) -> list[Watcher]:
        found: dict[int, Watcher] = {}
        for field in {*(path[0] for path in paths), ANY}:
            found.update(self._by_field.get(field, {}))
        return [found[number] for number in sorted(found)]


def _fields(patterns: tuple[Pattern, ...]) -> set[Key]:
    return {pattern[0] if pattern else ANY for pattern in patterns}
