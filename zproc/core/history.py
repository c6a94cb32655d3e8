"""The bounded log of commits.

The law: entries are numbered without gaps and never change, and appending is O(1). When there are too many entries, or
too many bytes, whole commits are dropped from the old end. What the log no longer holds is reported as gone, never left
out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from zproc.exceptions import HistoryGone
from zproc.schema.ops import MISSING, Set, op_from_plain, op_to_plain
from zproc.schema.record import record
from zproc.schema.transaction import Change
from zproc.schema.values import SCALARS, plain, same
from zproc.typing import Key, Path, Revision, SessionId

__all__ = ["PLACE_BYTES", "Author", "Entry", "History", "change_from_plain", "change_to_plain", "is_duplicate"]

PLACE_BYTES: Final = 64
"""About what an address costs beside the bytes that it is encoded in."""


@dataclass(frozen=True, slots=True)
class Author:
    """Who made a commit: a process, and the function in it."""

    session: SessionId
    pid: int
    process: str
    function: str


@record
class Entry:
    """One commit.

    Attributes:
        revision: its number.
        author: who made it.
        touched: the addresses that it changed, each once.
        repeated: the addresses to which it gave the value that was there.
        encoded: (revision, wall time, pid, process, function, changes) as bytes of the namespace's codec.
        size: about how many bytes it takes to keep: those of ``encoded``, and PLACE_BYTES for each address.
        growth: by how much it made the state larger, as `size_of` measures it.
    """

    revision: Revision
    author: Author
    touched: tuple[Path, ...]
    repeated: tuple[Path, ...]
    encoded: bytes
    size: int
    growth: int = 0


class History:
    """The log of one namespace.

    Args:
        commits: how many entries it holds at most.
        size: how many bytes its entries have at most; the newest entry is held in any case.
    """

    def __init__(self, commits: int, size: int) -> None:
        self._commits = commits
        self._size = size
        self._held = 0
        self._entries: deque[Entry] = deque()
        self._dropped: dict[Key, Revision] = {}
        """By field, the newest commit to it that is not held any more."""
        self.newest: Revision = Revision(0)

    @property
    def oldest(self) -> Revision:
        """The oldest revision from which all later commits are held."""
        return Revision(self.newest - len(self._entries))

    def append(self, entry: Entry) -> None:
        """Add the next commit."""
        assert entry.revision == self.newest + 1, "a revision is missing"
        entries = self._entries
        entries.append(entry)
        self.newest = entry.revision
        self._held += entry.size
        if len(entries) > self._commits or self._held > self._size:
            self._drop()

    def _drop(self) -> None:
        entries = self._entries
        while len(entries) > self._commits or (self._held > self._size and len(entries) > 1):
            dropped = entries.popleft()
            self._held -= dropped.size
            for path in dropped.touched + dropped.repeated:
                self._dropped[path[0]] = dropped.revision

    def holds_all(self, fields: Iterable[Key], revision: Revision) -> bool:
        """Whether every commit to some fields after a revision is held, whatever else was dropped."""
        return all(self._dropped.get(field, 0) <= revision for field in fields)

    def since(self, revision: Revision) -> Iterator[Entry]:
        """Return the commits after a revision, oldest first.

        Raises:
            HistoryGone: not all of them are held, or the revision is yet to come.
        """
        self._check(revision)
        if self.newest - revision < len(self._entries) // 2:
            # The way to an element of a deque is walked; from the new end it is short for who is nearly up to date.
            return reversed(list(islice(reversed(self._entries), self.newest - revision)))
        return islice(self._entries, revision - self.oldest, None)

    def backwards(self, revision: Revision) -> Iterator[Entry]:
        """Return the commits after a revision, newest first.

        Raises:
            HistoryGone: not all of them are held, or the revision is yet to come.
        """
        self._check(revision)
        return islice(reversed(self._entries), self.newest - revision)

    def _check(self, revision: Revision) -> None:
        if not self.oldest <= revision <= self.newest:
            raise HistoryGone(revision, self.oldest)


def is_duplicate(change: Change) -> bool:
    """Whether a change gave a place the value that it had."""
    op, old = change.op, change.old
    if not isinstance(op, Set) or old is MISSING:
        return False
    # What is put is recorded as plain data; what was there before may be models.
    return same(op.value, old if type(old) in SCALARS else plain(old))


def change_to_plain(change: Change) -> list[object]:
    """Return a change as a list for the codec."""
    old = change.old
    parts = [op_to_plain(change.op), False, None] if old is MISSING else [op_to_plain(change.op), True, old]
    return parts if change.follower is MISSING else [*parts, change.follower]


def change_from_plain(data: object) -> Change:
    """Return the change that a list means, as ``change_to_plain`` made it."""
    match data:
        case [op, bool(present), old]:
            return Change(op_from_plain(op), old if present else MISSING)
        case [[1, _] as op, True, old, follower]:  # of a Delete
            return Change(op_from_plain(op), old, follower)
        case _:
            raise AssertionError("not a change")
