"""Streams: the results of watching, one after the other.

The law: every result is given once, in the order of the commits, and none is skipped unless ``live`` asks for it. What
cannot be given is reported by one `Resync` or, in a stream of states, by the state to continue from.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Generic, NoReturn, Self, TypeVar, cast

from zproc.client.client import Client
from zproc.client.watch import Closed, Cursor, Entry, Steps
from zproc.exceptions import HistoryGone, UsageError, WaitTimeout
from zproc.schema.condition import Condition, Scope, values_at
from zproc.schema.event import Author, Change, Commit, Kind, Resync, change_of
from zproc.schema.model import StateModel
from zproc.schema.path import parse_path
from zproc.schema.shape import Shape
from zproc.schema.values import same
from zproc.schema.watchable import EventOptions, Options, StreamOptions, check
from zproc.typing import Epoch, Revision

__all__ = ["ClientWatchers", "Following", "Over", "commit_of"]

T = TypeVar("T")


class Over(Exception):
    """There were as many results as were asked for, or the stream was closed."""


class Following(Generic[T]):
    """A stream; see `zproc.schema.watchable.Stream`. Threads may share it: each result is given to one of them.

    Args:
        cursor: where the commits come from.
        make: makes results, any number of them, of one commit and, where it is wanted, the state that it made.
        resync: makes those of a state to go on from.
        text: what is waited for, in words.
        options: how.
        first: makes those of the state at the beginning.
        stateful: whether the state is wanted.
    """

    def __init__(
        self,
        cursor: Cursor,
        make: Callable[[Entry, StateModel | None], Sequence[T]],
        resync: Callable[[StateModel], Sequence[T]],
        text: str,
        options: StreamOptions,
        *,
        first: Callable[[StateModel], Sequence[T]] | None = None,
        stateful: bool = False,
    ) -> None:
        self.cursor: Final = cursor
        self._make = make
        self._resync = resync
        self._text = text
        self._timeout = options.get("timeout")
        self._live = options.get("live", False)
        self._left = options.get("count")
        self._promised = options.get("since") is not None
        self._first = first
        self._stateful = stateful
        self._found: Entry | None = None
        self._results: deque[T] = deque()
        self._turn = threading.RLock()  # a test that looks at the stream again finds it where it is

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        deadline = self.deadline()
        if not self._turn.acquire(timeout=-1 if self._timeout is None else self._timeout):
            raise self.too_late()
        try:
            return self.cursor.run(self.to_result(), deadline)
        except (Over, Closed):
            raise StopIteration from None
        except WaitTimeout:
            raise self.too_late() from None
        finally:
            self._turn.release()

    def deadline(self) -> float | None:
        """Return until when the next result is waited for, in the monotonic time of this process, in seconds."""
        return None if self._timeout is None else time.monotonic() + self._timeout

    def too_late(self) -> WaitTimeout:
        """Return the error for a result that did not come in time."""
        return WaitTimeout(self._text, self._timeout or 0.0)

    def to_result(self) -> Steps[T]:
        """Go to the next result.

        Raises:
            Over: there is none, and will be none.
        """
        while not self._results:
            if self._left == 0 or self.cursor.closed:
                raise Over
            self._results.extend((yield from self._to_results()))
        if self._left is not None:
            self._left -= 1
        return self._results.popleft()

    def _to_results(self) -> Steps[Sequence[T]]:
        """Go to the next commit, or to where to go on from."""
        try:
            if self._first is not None:
                state = yield from self.cursor.to_state()
                first, self._first = self._first, None
                return first(state)
            # Kept until all that has to be asked for is there: if that fails, it is the next one of the next call.
            if self._found is None:
                self._found = yield from self.cursor.to_next(wait=True)
                self._promised = False
            while self._live and (newer := (yield from self.cursor.to_next(wait=False))) is not None:
                self._found = newer
            state_then = (yield from self.cursor.to_state()) if self._stateful else None
            found, self._found = self._found, None
            assert found is not None, "it waited until there was one"
        except HistoryGone:
            if self._promised:
                raise
            state = yield from self.cursor.to_present()
            self._found = None
            return self._resync(state)
        return self._make(found, state_then)

    def close(self) -> None:
        """End it; whoever waits for a result in another thread gets none."""
        self.cursor.close()

    def go_live(self) -> None:
        """Skip whatever has come and was not looked at yet."""
        with self._turn:
            self.cursor.run(self.to_live())

    def to_live(self) -> Steps[None]:
        """Skip whatever has come."""
        yield from self.cursor.to_present()
        self._results.clear()
        self._found = self._first = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise UsageError("a stream is of the process that made it; pass the state, and make one there")


def commit_of(shape: Shape, epoch: Epoch, entry: Entry) -> Commit:
    """Return a commit of the history as an event.

    Args:
        shape: of the state.
        epoch: the life of the server.
        entry: the commit.
    """
    changes = tuple(change_of(shape, done) for done in entry.changes)
    author = Author(entry.pid, entry.process, entry.function)
    return Commit(entry.revision, epoch, entry.time, author, changes)


def _difference(field: str, old: list[object], new: list[object]) -> Change:
    kind: Kind = "set" if old and new else "create" if new else "delete"
    return Change(field, kind, old[0] if old else None, new[0] if new else None)


class ClientWatchers:
    """The watchers of a client's state; see `zproc.schema.watchable.Watchers`."""

    def __init__(self, client: Client) -> None:
        self.client: Final = client

    def here(self) -> Revision:
        """Return the number of the newest commit."""
        return self.client.revision()

    def get(self, wanted: Condition[T], options: Options) -> T:
        """Wait once."""
        return next(self.once(wanted, options))

    def once(self, wanted: Condition[T], options: Options) -> Following[T]:
        """Return the first state that meets a condition, when it comes."""
        check(options, Options)
        return self.states(wanted, cast("StreamOptions", {**options, "count": 1}))

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
        check(options, EventOptions)
        test = wanted.test
        look = test is not None and present and options.get("since") is None

        def meeting(state: StateModel | None) -> list[T]:
            found = cast("T", state)
            return [found] if test is None or test(found) else []

        return Following(
            self._cursor(wanted.scope, options, begin, look=look),
            lambda _, state: meeting(state),
            meeting,
            wanted.text,
            options,
            first=meeting if look else None,
            stateful=True,
        )

    def changes(self, fields: tuple[str, ...], options: EventOptions) -> Following[Change | Resync[object]]:
        """Return the changes of some fields, as they come."""
        shape = self.client.schema.shape
        scope = self._scope(fields, options)
        cursor = self._cursor(scope, options)

        def concerning(entry: Entry, _: StateModel | None) -> list[Change | Resync[object]]:
            return [change_of(shape, done) for done in entry.changes if scope.concerns(done.op.path)]

        def resync(state: StateModel) -> list[Change | Resync[object]]:
            return [Resync(cursor.revision, state)]

        return Following(cursor, concerning, resync, f"a change of {scope}", options)

    def commits(self, fields: tuple[str, ...], options: EventOptions) -> Following[Commit | Resync[object]]:
        """Return the commits that change any of some fields, as they come."""
        shape = self.client.schema.shape
        scope = self._scope(fields, options)
        cursor = self._cursor(scope, options)

        def whole(entry: Entry, _: StateModel | None) -> list[Commit | Resync[object]]:
            return [commit_of(shape, cursor.epoch, entry)]

        def resync(state: StateModel) -> list[Commit | Resync[object]]:
            return [Resync(cursor.revision, state)]

        return Following(cursor, whole, resync, f"a commit to {scope}", options)

    def values(self, field: str, options: StreamOptions) -> Following[Change | Resync[object]]:
        """Return how the value of a field changes from commit to commit."""
        check(options, StreamOptions)
        model = self.client.schema.model
        path = parse_path(field, model)
        cursor = self._cursor(Scope.of(model, (field,)), options, look=True)
        again = options.get("duplicate_okay", False)
        before = values_at(cursor.state(), path)

        def moved(_: Entry, state: StateModel | None) -> list[Change | Resync[object]]:
            nonlocal before
            old, before = before, values_at(state, path)
            return [_difference(field, old, before)] if again or not same(old, before) else []

        def resync(state: StateModel) -> list[Change | Resync[object]]:
            nonlocal before
            before = values_at(state, path)
            return [Resync(cursor.revision, before[0] if before else None)]

        return Following(cursor, moved, resync, f"a change of {field}", options, stateful=True)

    def _scope(self, fields: tuple[str, ...], options: EventOptions) -> Scope:
        check(options, EventOptions)
        return Scope.of(self.client.schema.model, fields, options.get("exclude", ()))

    def _cursor(
        self,
        scope: Scope,
        options: StreamOptions,
        begin: tuple[Epoch, Revision] | None = None,
        *,
        look: bool = False,
    ) -> Cursor:
        since = options.get("since")
        return Cursor(
            self.client,
            scope,
            begin=begin,
            since=None if since is None else int(since),
            own=options.get("include_own", True),
            duplicates=options.get("duplicate_okay", False),
            look=look,
            oldest=since == 0,
        )
