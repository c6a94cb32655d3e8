"""Results of waiting, one after the other.

The law: every result is given once, in the order of the commits, and none is left out unless ``live`` asks for it; what
cannot be given is told by one `Resync`, or, in a stream of states, by the state to go on from.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Generic, Self, TypeVar, cast

from zproc.client.client import Client
from zproc.client.watch import Closed, Cursor, Entry
from zproc.exceptions import HistoryGone, WaitTimeout
from zproc.schema.condition import Condition, Scope, values_at
from zproc.schema.event import Change, Commit, Kind, Resync, change_of
from zproc.schema.model import StateModel
from zproc.schema.path import parse_path
from zproc.schema.shape import Shape
from zproc.schema.values import same
from zproc.schema.watchable import EventOptions, Options, StreamOptions
from zproc.typing import Epoch, Revision

__all__ = ["ClientWatchers", "Following", "commit_of"]

T = TypeVar("T")


class Following(Generic[T]):
    """A stream; see `zproc.schema.watchable.Stream`.

    Args:
        cursor: where the commits come from.
        make: makes results of one commit, any number of them.
        resync: makes those of a state to go on from.
        text: what is waited for, in words.
        options: how.
    """

    def __init__(
        self,
        cursor: Cursor,
        make: Callable[[Entry], Sequence[T]],
        resync: Callable[[StateModel], Sequence[T]],
        text: str,
        options: StreamOptions,
    ) -> None:
        self._cursor = cursor
        self._make = make
        self._resync = resync
        self._text = text
        self._timeout = options.get("timeout")
        self._live = options.get("live", False)
        self._left = options.get("count")
        self._promised = options.get("since") is not None
        self._results: deque[T] = deque()
        self._first: Callable[[], Sequence[T]] | None = None
        self._ended = False

    @property
    def cursor(self) -> Cursor:
        """Where the commits come from."""
        return self._cursor

    def look_first(self, first: Callable[[], Sequence[T]]) -> None:
        """Begin with what is found before any commit."""
        self._first = first

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        if self._ended or self._left == 0:
            raise StopIteration
        deadline = None if self._timeout is None else time.monotonic() + self._timeout
        try:
            while not self._results:
                self._results.extend(self._wait(deadline))
        except WaitTimeout:
            raise WaitTimeout(self._text, self._timeout or 0.0) from None
        except Closed:
            raise StopIteration from None
        if self._left is not None:
            self._left -= 1
        return self._results.popleft()

    def _wait(self, deadline: float | None) -> Sequence[T]:
        try:
            if self._first is not None:
                first, self._first = self._first, None
                return first()
            entry = self._cursor.next(deadline)
            self._promised = False
            while self._live and self._cursor.pending():
                entry = self._cursor.next(deadline)
            return self._make(entry)
        except HistoryGone:
            if self._promised:
                raise
            return self._resync(self._cursor.skip())

    def close(self) -> None:
        """End it."""
        self._ended = True
        self._cursor.close()

    def go_live(self) -> None:
        """Skip whatever has come and was not looked at yet."""
        self._results.clear()
        self._cursor.skip()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def commit_of(shape: Shape, epoch: Epoch, entry: Entry) -> Commit:
    """Return a commit of the history as an event.

    Args:
        shape: of the state.
        epoch: the life of the server.
        entry: the commit.
    """
    changes = tuple(change_of(shape, done) for done in entry.changes)
    return Commit(entry.revision, epoch, entry.time, entry.author, changes)


def _difference(field: str, old: list[object], new: list[object]) -> Change:
    kind: Kind = "set" if old and new else "create" if new else "delete"
    return Change(field, kind, old[0] if old else None, new[0] if new else None)


class ClientWatchers:
    """What waits for the state of a client; see `zproc.schema.watchable.Watchers`."""

    def __init__(self, client: Client) -> None:
        self._client: Final = client

    def get(self, wanted: Condition[T], options: Options) -> T:
        """Wait once."""
        return next(self.states(wanted, cast("StreamOptions", {**options, "count": 1})))

    def states(
        self,
        wanted: Condition[T],
        options: StreamOptions,
        begin: tuple[Epoch, Revision] | None = None,
        *,
        present: bool = True,
    ) -> Following[T]:
        """Return the states that meet a condition, as they come.

        Args:
            wanted: the condition.
            options: how to wait.
            begin: the life of the server and the revision to begin at; ``None`` for here and now.
            present: whether the state there counts, where a condition can be told of one state.
        """
        test = wanted.test
        first = test is not None and present and options.get("since") is None
        cursor = self._cursor(wanted.scope, options, begin, look=first)

        def meeting(state: StateModel) -> list[T]:
            found = cast("T", state)
            return [found] if test is None or test(found) else []

        stream = Following(cursor, lambda _: meeting(cursor.state()), meeting, wanted.text, options)
        if first:
            stream.look_first(lambda: meeting(cursor.state()))
        return stream

    def changes(self, fields: tuple[str, ...], options: EventOptions) -> Following[Change | Resync[object]]:
        """Return the changes of some fields, as they come."""
        shape = self._client.schema.shape
        scope = self._scope(fields, options)
        cursor = self._cursor(scope, options)

        def concerning(entry: Entry) -> list[Change | Resync[object]]:
            return [change_of(shape, done) for done in entry.changes if scope.concerns(done.op.path)]

        def resync(state: StateModel) -> list[Change | Resync[object]]:
            return [Resync(cursor.revision, state)]

        return Following(cursor, concerning, resync, f"a change of {scope}", options)

    def commits(self, fields: tuple[str, ...], options: EventOptions) -> Following[Commit | Resync[object]]:
        """Return the commits that change any of some fields, as they come."""
        shape = self._client.schema.shape
        scope = self._scope(fields, options)
        cursor = self._cursor(scope, options)

        def whole(entry: Entry) -> list[Commit | Resync[object]]:
            return [commit_of(shape, cursor.epoch, entry)]

        def resync(state: StateModel) -> list[Commit | Resync[object]]:
            return [Resync(cursor.revision, state)]

        return Following(cursor, whole, resync, f"a commit to {scope}", options)

    def values(self, field: str, options: StreamOptions) -> Following[Change | Resync[object]]:
        """Return how what stands at a field changes from commit to commit."""
        model = self._client.schema.model
        path = parse_path(field, model)
        cursor = self._cursor(Scope.of(model, (field,)), options, look=True)
        again = options.get("duplicate_okay", False)
        before = values_at(cursor.state(), path)

        def moved(_: Entry) -> list[Change | Resync[object]]:
            nonlocal before
            old, before = before, values_at(cursor.state(), path)
            return [_difference(field, old, before)] if again or not same(old, before) else []

        def resync(state: StateModel) -> list[Change | Resync[object]]:
            nonlocal before
            before = values_at(state, path)
            return [Resync(cursor.revision, before[0] if before else None)]

        return Following(cursor, moved, resync, f"a change of {field}", options)

    def _scope(self, fields: tuple[str, ...], options: EventOptions) -> Scope:
        return Scope.of(self._client.schema.model, fields, options.get("exclude", ()))

    def _cursor(
        self,
        scope: Scope,
        options: StreamOptions,
        begin: tuple[Epoch, Revision] | None = None,
        *,
        look: bool = False,
    ) -> Cursor:
        return Cursor(
            self._client,
            scope,
            begin=begin,
            since=options.get("since"),
            own=options.get("include_own", True),
            duplicates=options.get("duplicate_okay", False),
            look=look,
        )
