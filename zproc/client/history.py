"""The past of the state, as far as the server still holds it.

The law: commits are reported whole and without a gap; where the history does not reach, that is an error.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from zproc.client.client import Client
from zproc.client.stream import commit_of
from zproc.client.watch import Cursor, Entry
from zproc.exceptions import HistoryGone
from zproc.schema.condition import Scope
from zproc.schema.event import Commit
from zproc.schema.ops import MISSING
from zproc.typing import Path, Revision

__all__ = ["commits_since", "revert", "whereabouts"]


def commits_since(client: Client, since: int | None) -> Iterator[Commit]:
    """Return the commits from one revision to the present one, oldest first.

    Args:
        client: how the state is reached.
        since: the revision to start after; ``None`` for all that are held.

    Raises:
        HistoryGone: not all of them are held.
        Unavailable: no server answers.
    """
    epoch, newest = client.position()
    cursor = _cursor(client, since or 0)
    try:
        entry = cursor.next_known()
    except HistoryGone as gone:
        if since is not None:
            raise
        cursor = _cursor(client, gone.oldest)
        entry = cursor.next_known()
    while entry is not None and entry.revision <= newest:
        yield commit_of(client.schema.shape, epoch, entry)
        entry = cursor.next_known() if entry.revision < newest else None


def revert(client: Client, revision: int) -> Revision:
    """Take back what one commit did, by a commit of its own.

    Args:
        client: how the state is reached.
        revision: the number of the commit.

    Returns:
        The number of the new state.

    Raises:
        HistoryGone: the commit is not held any more, or is yet to come.
        CommitRefused: the state would break its schema.
        UnknownPath: what the commit changed is no longer in the state.
    """
    entry = _entry(client, revision)
    done = client.commit([change.inverse() for change in reversed(entry.changes)], f"revert {revision}")
    return done.revision


def _entry(client: Client, revision: int) -> Entry:
    cursor = _cursor(client, max(revision, 1) - 1)
    try:
        entry = cursor.next_known() if revision > 0 else None
    except HistoryGone as gone:  # it tells of states; the first commit that is held makes the one after the oldest
        raise HistoryGone(revision, gone.oldest + 1) from None
    if entry is None:
        raise HistoryGone(revision, cursor.revision + (revision < 1))
    return entry


def whereabouts(client: Client, path: Path, since: Revision) -> tuple[Path, object]:
    """Return what became of the thing that stood at an address at a revision.

    Where no revision word tells a handle how new the state is when it is made, only what this process did is looked at.

    Returns:
        Where it is now, and MISSING; or, if it is gone, where it was last, and what it was then, as plain data.

    Raises:
        HistoryGone: it can no longer be told.
    """
    scope = Scope(patterns=((path[0],),), stored=((path[0],),))
    replica, this = client.replica, os.getpid()
    cursor = Cursor(client, scope, begin=(replica.epoch, since), duplicates=True)
    while (entry := cursor.next_known()) is not None:
        if not replica.has_word and entry.pid != this:
            continue
        for change in entry.changes:
            moved = change.moved(path)
            if moved is None:
                return path, change.was(path)
            path = moved
    return path, MISSING


def _cursor(client: Client, since: int) -> Cursor:
    return Cursor(client, Scope.of(client.schema.model, ()), since=since, duplicates=True)
