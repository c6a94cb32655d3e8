"""Which watchers a commit concerns.

The law: a watcher asks for what comes after a revision and is answered once, with whole commits in order; then it asks
again from there. So nothing is kept per watcher but the question, a slow one costs nobody anything, and what it has not
asked for yet waits in the history. A parked watcher is examined only by commits that touch one of its places, which are
indexed by their first two steps: a field, and a field or key in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count

from zproc.core.history import Entry
from zproc.core.messages import Watch
from zproc.exceptions import LimitExceeded
from zproc.schema.path import ANY, Pattern, matches
from zproc.typing import Key, PeerId, RequestId, SessionId

__all__ = ["Watcher", "Watchers", "concerns"]


@dataclass(frozen=True, slots=True)
class Watcher:
    """A watcher's question, which has no answer yet."""

    peer: PeerId
    session: SessionId
    command: Watch
    patterns: tuple[Pattern, ...]

    @property
    def fields(self) -> frozenset[Key]:
        """The top-level fields of which it wants to hear; none if it wants to of any."""
        fields = frozenset(_place(pattern)[0] for pattern in self.patterns)
        return frozenset() if ANY in fields else fields


def concerns(watcher: Watcher, entry: Entry) -> bool:
    """Whether a commit is an answer."""
    if entry.author.session == watcher.session and not watcher.command.own:
        return False
    for path in entry.touched:
        for pattern in watcher.patterns:
            if matches(pattern, path):
                return True
    return watcher.command.duplicates and any(
        matches(pattern, path) for path in entry.repeated for pattern in watcher.patterns
    )


class Watchers:
    """The parked watchers of one namespace.

    Args:
        most: how many there may be.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._arrivals = count()
        self._parked: dict[tuple[PeerId, RequestId], tuple[int, Watcher]] = {}
        # By their first two steps, ANY for one that is not there; each in the order in which they came.
        self._by_field: dict[Key, dict[Key, dict[int, Watcher]]] = {}

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
        for field, key in _places(watcher.patterns):
            self._by_field.setdefault(field, {}).setdefault(key, {})[number] = watcher

    def parked(self) -> tuple[Watcher, ...]:
        """Return the watchers, in the order in which they came."""
        return tuple(watcher for _, watcher in self._parked.values())

    def forget(self, peer: PeerId, request: RequestId) -> bool:
        """Remove a watcher, and return whether it was there."""
        known = self._parked.pop((peer, request), None)
        if known is None:
            return False
        number, watcher = known
        for field, key in _places(watcher.patterns):
            keys = self._by_field[field]
            parked = keys[key]
            del parked[number]
            if not parked:
                del keys[key]
                if not keys:
                    del self._by_field[field]
        return True

    def woken_by(self, entry: Entry) -> list[Watcher]:
        """Remove and return the watchers that a commit concerns, in the order in which they came."""
        if not self._parked:
            return []
        woken = [watcher for watcher in self._candidates(entry) if concerns(watcher, entry)]
        for watcher in woken:
            self.forget(watcher.peer, watcher.command.request)
        return woken

    def _candidates(self, entry: Entry) -> Iterable[Watcher]:
        found: list[dict[int, Watcher]] = []
        everywhere = self._by_field.get(ANY)
        if everywhere is not None:
            found += everywhere.values()
        for path in (*entry.touched, *entry.repeated) if entry.repeated else entry.touched:
            keys = self._by_field.get(path[0])
            if keys is None:
                continue
            if len(path) == 1:
                found += keys.values()
            else:
                found += [keys[key] for key in (ANY, path[1]) if key in keys]
        if len(found) == 1:
            return found[0].values()
        merged: dict[int, Watcher] = {}
        for watchers in found:
            merged.update(watchers)
        return [merged[number] for number in sorted(merged)]


def _places(patterns: tuple[Pattern, ...]) -> Iterable[tuple[Key, Key]]:
    """Return where a watcher is looked for, each place once."""
    if len(patterns) == 1:
        return (_place(patterns[0]),)
    return {_place(pattern) for pattern in patterns}


def _place(pattern: Pattern) -> tuple[Key, Key]:
    if not pattern or pattern[0] is ANY:
        return ANY, ANY
    return pattern[0], pattern[1] if len(pattern) > 1 else ANY
