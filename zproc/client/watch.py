"""Waiting for the state instead of asking it again and again.

The law: a cursor is a place in the sequence of commits, and moves forward only. It is given every commit that concerns
it, once and in order, and the state that each of them made. If it cannot be, because the history was dropped or the
server is another one, that is an error, and there is one way to go on from it: from the present state.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar, cast

from zproc.client.client import Client, expect
from zproc.client.connection import Connection
from zproc.client.mirror import Mirror
from zproc.core.history import change_from_plain
from zproc.core.messages import Changes, Read, Values, Watch
from zproc.exceptions import HistoryGone, UsageError
from zproc.schema.change import Change
from zproc.schema.condition import Scope
from zproc.schema.event import Author
from zproc.schema.model import StateModel
from zproc.schema.path import ANY, Pattern
from zproc.typing import Epoch, Revision

__all__ = ["Closed", "Cursor", "Entry"]

T = TypeVar("T")

_EVERYTHING: Final[tuple[Pattern, ...]] = ((ANY,),)


class Closed(UsageError):
    """The cursor was closed while it waited."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One commit, as the history has it."""

    revision: Revision
    time: float
    author: Author
    changes: tuple[Change, ...]


class Cursor:
    """A place in the sequence of commits.

    Args:
        client: how the state is reached.
        scope: which commits are wanted.
        begin: the life of the server and the revision to begin after; ``None`` for here and now.
        since: a revision to begin after, of the present life of the server.
        own: whether commits of this process are wanted.
        duplicates: whether those are that set a value to what it was.
        look: whether the state at the beginning will be asked for.

    Attributes:
        epoch: the life of the server that the revisions are of.
        revision: the newest commit that was looked at.

    Raises:
        Unavailable: no server answers.
    """

    def __init__(
        self,
        client: Client,
        scope: Scope,
        *,
        begin: tuple[Epoch, Revision] | None = None,
        since: int | None = None,
        own: bool = True,
        duplicates: bool = False,
        look: bool = False,
    ) -> None:
        self._client = client
        self._scope = scope
        self._patterns = self._encoded(scope.patterns)
        self._own = own
        self._duplicates = duplicates
        self._pending: deque[Entry] = deque()
        self._between: deque[Entry] = deque()
        self._mirror: Mirror | None = None
        self._newest: Entry | None = None
        self._computed: list[object] | None = None
        self._connection: Connection | None = None
        self._closed = False
        look = look or bool(scope.computed)
        self.epoch, self.revision = begin or (Epoch(""), Revision(0))
        if begin is None and since is None and look:
            self.skip()  # one question for the place and the state there, which so cannot have been dropped meanwhile
        elif begin is None:
            self.epoch, self.revision = client.position()
        if since is not None:
            self.revision = Revision(since)
        if look and self._mirror is None:
            self.state()

    def _encoded(self, patterns: tuple[Pattern, ...]) -> bytes:
        return self._client.schema.codec.encode(
            [[[] if step is ANY else [step] for step in pattern] for pattern in patterns]
        )

    # Moving

    def next(self, deadline: float | None = None) -> Entry:
        """Wait for the next commit that is wanted.

        Args:
            deadline: until when, in the monotonic time of this process, in seconds; ``None`` for as long as it takes.

        Raises:
            WaitTimeout: none came in time.
            HistoryGone: commits were dropped before they were seen, or the server was started anew.
            Unavailable: no server answers.
            Closed: the cursor was closed.
        """
        while True:
            while self._pending:
                self._newest = entry = self._pending.popleft()
                self.revision = entry.revision
                if self._concerns(entry):
                    return entry
            self._fill(deadline)

    def pending(self) -> bool:
        """Whether there are commits that can be had without waiting; asks the server if it has to."""
        if not self._pending:
            self._fill(None, wait=False)
        return bool(self._pending)

    def skip(self) -> StateModel:
        """Go to the present, past whatever was not looked at yet, and return the state there.

        Raises:
            Unavailable: no server answers.
            Closed: the cursor was closed.
        """

        def question(connection: Connection) -> Mirror:
            self.epoch = connection.welcome.epoch
            return self._read(connection, None)

        self._pending.clear()
        self._between.clear()
        self._mirror = self._ask(question)
        self.revision = self._mirror.revision
        return self._snapshot()

    def state(self) -> StateModel:
        """Return the state that the newest commit that was looked at made, frozen.

        Raises:
            HistoryGone: it cannot be told any more.
            Unavailable: no server answers.
            Closed: the cursor was closed.
        """
        if self._mirror is None:
            self._mirror = self._ask(lambda connection: self._read(self._insist(connection), self.revision))
        while self._mirror.revision < self.revision:
            self._advance(self._mirror)
        return self._snapshot()

    def close(self) -> None:
        """Wake whoever waits here, and have nobody wait again."""
        self._closed = True
        connection = self._connection
        if connection is not None:
            connection.close()

    def _concerns(self, entry: Entry) -> bool:
        paths = [change.op.path for change in entry.changes]
        counts = any(map(self._scope.concerns, paths))
        if self._scope.computed:
            before, self._computed = self._computed, None
            self.state()
            counts = counts or self._computed != before
        return counts

    def _snapshot(self) -> StateModel:
        assert self._mirror is not None, "it was read"
        state = self._mirror.snapshot()
        if self._scope.computed:
            self._computed = self._scope.computed_values(state)
        return state

    # Asking

    def _fill(self, deadline: float | None, *, wait: bool = True) -> None:
        """Have the next commits that touch the patterns, as many as there are in one answer."""

        def question(connection: Connection) -> Changes:
            self._insist(connection)
            request = self._client.next_request()
            watch = Watch(request, self.revision, self._patterns, self._own, self._duplicates, False, wait)
            return expect(connection.call(watch, deadline), Changes)

        answer = self._ask(question)
        self._pending.extend(map(self._entry, answer.commits))
        if not answer.commits:
            self.revision = answer.revision

    def _advance(self, mirror: Mirror) -> None:
        """Move the mirror on by at least one commit towards this place, or, if they are gone, there at once."""
        newest = self._newest
        if newest is not None and newest.revision == mirror.revision + 1:
            mirror.advance(newest.revision, newest.changes)
            return
        if not self._between or self._between[0].revision != mirror.revision + 1:
            self._between.clear()

            def question(connection: Connection) -> Changes:
                self._insist(connection)
                request = self._client.next_request()
                everything = self._encoded(_EVERYTHING)
                return expect(
                    connection.call(Watch(request, mirror.revision, everything, True, True, False, False)), Changes
                )

            try:
                self._between.extend(map(self._entry, self._ask(question).commits))
            except HistoryGone:
                self._mirror = self._ask(lambda connection: self._read(self._insist(connection), self.revision))
                return
        entry = self._between.popleft()
        mirror.advance(entry.revision, entry.changes)

    def _read(self, connection: Connection, at: Revision | None) -> Mirror:
        reply = expect(connection.call(Read(self._client.next_request(), (), None, at, None)), Values)
        return Mirror(self._client.schema, reply.revision if at is None else at, reply.values)

    def _ask(self, question: Callable[[Connection], T]) -> T:
        def attempt(connection: Connection) -> T:
            self._connection = connection
            try:
                if self._closed:
                    raise Closed("this watcher is closed")
                return question(connection)
            finally:
                self._connection = None

        try:
            return self._client.ask(attempt)
        except Closed:
            raise
        except Exception:
            if self._closed:
                raise Closed("this watcher is closed") from None
            raise

    def _insist(self, connection: Connection) -> Connection:
        """Make sure that a connection leads to the server that the revisions are of."""
        if connection.welcome.epoch != self.epoch:
            gone = HistoryGone(self.revision, connection.welcome.revision)
            gone.add_note("the server was started anew; its state, and its numbers of revisions, are others")
            raise gone
        return connection

    def _entry(self, encoded: bytes) -> Entry:
        revision, time, pid, process, function, changes = cast(
            "tuple[Revision, float, int, str, str, list[object]]", self._client.schema.codec.decode(encoded)
        )
        return Entry(revision, time, Author(pid, process, function), tuple(map(change_from_plain, changes)))
