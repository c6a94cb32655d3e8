"""Cursors: waiting for commits instead of polling for them.

The law: a cursor is a position in the sequence of commits, and moves forward only. It is given every commit that
concerns it, once and in order, and the state that each of them made. If that is not possible, because the history was
dropped or the server is another one, that is an error, and there is one way to continue: from the present state.

How it moves is written as generator steps, which yield what is to be asked and are sent the answer, so that a thread
and an event loop ask in their own ways and move alike. Steps that are abandoned have moved past nothing that they did
not return.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from typing import Final, TypeAlias, TypeVar, cast

from zproc.client.client import Client
from zproc.client.connection import Connection, expect
from zproc.client.mirror import Mirror
from zproc.core.history import change_from_plain
from zproc.core.messages import Changes, Read, Reply, Values, Watch
from zproc.exceptions import HistoryGone, UsageError
from zproc.schema.change import Change
from zproc.schema.codec import Codec
from zproc.schema.condition import Scope
from zproc.schema.model import StateModel
from zproc.schema.path import ANY, Pattern, pattern_to_plain
from zproc.schema.record import record
from zproc.typing import Epoch, RequestId, Revision

__all__ = ["Closed", "Cursor", "Entry", "Question", "Steps", "check_epoch", "entry_of"]

T = TypeVar("T")

_EVERYTHING: Final[tuple[Pattern, ...]] = ((ANY,),)

_SEARCHES: Final = 10
"""How often the oldest revision that is held is looked for."""

_FAR: Final = 256
"""Past how many commits the state is rather read than moved on: as many as there are in one answer."""


class Closed(UsageError):
    """The cursor was closed while it waited."""


@record
class Entry:
    """One commit, as the history has it."""

    revision: Revision
    time: float
    pid: int
    process: str
    function: str
    changes: tuple[Change, ...]


@record
class Question:
    """What is to be asked.

    Attributes:
        ask: makes the request of a number.
        epoch: the life of the server that is asked; ``None`` for whichever there is.
        revision: where the cursor is.
        lasts: whether the answer comes when something happens, rather than at once.
    """

    ask: Callable[[RequestId], Watch | Read]
    epoch: Epoch | None
    revision: Revision
    lasts: bool = False


Steps: TypeAlias = Generator[Question, tuple[Epoch, Reply], T]
"""What yields questions, is sent the life of the server that answered and its answer, and comes to a result."""


def check_epoch(connection: Connection, question: Question) -> None:
    """Check that a connection leads to the server that a question is for.

    Raises:
        HistoryGone: it leads to another one.
    """
    welcome = connection.welcome
    if question.epoch not in (None, welcome.epoch):
        gone = HistoryGone(question.revision, welcome.revision)
        gone.add_note("the server was started anew; its state, and its numbers of revisions, are others")
        raise gone


def entry_of(codec: Codec, encoded: bytes) -> Entry:
    """Return a commit as the history has it, from the bytes that it travels in."""
    revision, time, pid, process, function, changes = cast(
        "tuple[Revision, float, int, str, str, list[object]]", codec.decode(encoded)
    )
    return Entry(revision, time, pid, process, function, tuple(map(change_from_plain, changes)))


class Cursor:
    """A place in the sequence of commits. Used by one thread or task at a time; any may close it.

    Args:
        client: how the state is reached.
        scope: which commits are wanted.
        begin: the life of the server and the revision to begin after; ``None`` for here and now.
        since: a revision to begin after, of the present life of the server; where ``oldest`` is true, and it is held no
            more, the oldest one.
        own: whether commits of this process are wanted.
        duplicates: whether those are that set a value to what it was.
        look: whether the state at the beginning will be asked for.

    Attributes:
        epoch: the life of the server that the revisions are of.
        revision: the newest commit that was looked at.

    Raises:
        HistoryGone: the state at the beginning cannot be told any more.
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
        oldest: bool = False,
    ) -> None:
        self._client = client
        self._scope = scope
        self._patterns = self._encoded(scope.patterns)
        self._everything = self._encoded(_EVERYTHING)
        self._own = own
        self._duplicates = duplicates
        self._pending: deque[Entry] = deque()
        self._between: deque[Entry] = deque()
        self._newest: Entry | None = None
        self._mirror: Mirror | None = None
        self._state: StateModel | None = None
        self._computed: list[object] | None = None
        self._connection: Connection | None = None
        self._closed = False
        look = look or bool(scope.computed)
        self.epoch: Epoch
        self.revision: Revision
        self.epoch, self.revision = begin or (Epoch(""), Revision(0))
        if begin is None and since is None and look:
            self.skip()  # one question for the place and the state there, which so cannot have been dropped meanwhile
        elif begin is None:
            self.epoch, self.revision = client.position()
        if since is not None:
            self.revision = Revision(since)
        # History may go on being dropped while its old end is looked for.
        self._searching = _SEARCHES if oldest else 0
        if look:
            self._note_computed(self.run(self._to_first_state()))

    def _encoded(self, patterns: tuple[Pattern, ...]) -> bytes:
        return self._client.schema.codec.encode(list(map(pattern_to_plain, patterns)))

    # Moving by a thread

    def run(self, steps: Steps[T], deadline: float | None = None) -> T:
        """Take steps, and return what they come to.

        Args:
            steps: the steps, of this cursor.
            deadline: until when to wait where that lasts, in the monotonic time of this process, in seconds; ``None``
                for as long as it takes.

        Raises:
            WaitTimeout: what was waited for did not happen in time.
            Unavailable: no server answers.
            Closed: the cursor was closed.
        """
        try:
            question = next(steps)
            while True:
                try:
                    answer = self._ask(question, deadline)
                except BaseException as error:  # noqa: BLE001 - it is the steps' to raise
                    question = steps.throw(error)
                else:
                    question = steps.send(answer)
        except StopIteration as done:
            return cast("T", done.value)

    def next(self, deadline: float | None = None) -> Entry:
        """Wait for the next commit that is wanted.

        Args:
            deadline: as for `run`.

        Raises:
            HistoryGone: commits were dropped before they were seen, or the server was started anew.
            Error: as `run` does.
        """
        found = self.run(self.to_next(wait=True), deadline)
        assert found is not None, "it waits"
        return found

    def next_known(self) -> Entry | None:
        """Return the next commit that is wanted, ``None`` if it has not been made yet; otherwise as `next`."""
        return self.run(self.to_next(wait=False))

    def skip(self) -> StateModel:
        """Go to the present, past whatever was not looked at yet, and return the state there.

        Raises:
            Error: as `run` does.
        """
        return self.run(self.to_present())

    def state(self) -> StateModel:
        """Return the state that the newest commit that was looked at made, frozen.

        Raises:
            HistoryGone: it cannot be told any more.
            Error: as `run` does.
        """
        return self.run(self.to_state())

    def close(self) -> None:
        """Wake whoever waits here, and refuse all later waits."""
        self._closed = True
        connection = self._connection
        if connection is not None:
            connection.close()

    @property
    def closed(self) -> bool:
        """Whether nobody can wait here any more."""
        return self._closed

    # Steps

    def to_next(self, *, wait: bool) -> Steps[Entry | None]:
        """Go to the next commit that is wanted: see `next` and `next_known`."""
        while True:
            while self._pending:
                self._newest = entry = self._pending[0]
                self._move(entry.revision)
                state = (yield from self.to_state()) if self._scope.computed else None
                self._pending.popleft()
                if self._concerns(entry, state):
                    return entry
            try:
                found = yield from self._fill(wait=wait)
            except HistoryGone as gone:
                self._search(gone)
                continue
            self._searching = 0
            if not found:
                return None

    def to_present(self) -> Steps[StateModel]:
        """Go to the present: see `skip`."""
        epoch, reply = yield Question(lambda request: Read(request, (), None, None, None), None, self.revision)
        values = expect(reply, Values)
        self._pending.clear()
        self._between.clear()
        self.epoch = epoch
        self._move(values.revision)
        self._mirror = Mirror(self._client.schema, values.revision, values.values)
        state = yield from self.to_state()
        self._note_computed(state)
        return state

    def to_state(self) -> Steps[StateModel]:
        """Find out the state here: see `state`."""
        if self._state is None:
            while (mirror := self._mirror) is None or mirror.revision < self.revision:
                yield from self._advance(mirror)
            self._state = mirror.snapshot()
        return self._state

    def _to_first_state(self) -> Steps[StateModel]:
        while True:
            try:
                return (yield from self.to_state())
            except HistoryGone as gone:
                self._search(gone)

    def _search(self, gone: HistoryGone) -> None:
        """Go to the oldest revision that is held, if that is where this begins.

        Raises:
            HistoryGone: it is not.
        """
        if not self._searching:
            raise gone
        self._searching -= 1
        self._move(Revision(gone.oldest))

    def _move(self, revision: Revision) -> None:
        if revision != self.revision:
            self.revision, self._state = revision, None

    def _concerns(self, entry: Entry, state: StateModel | None) -> bool:
        if state is not None and self._note_computed(state):
            return True
        if not self._scope.computed and not self._scope.exclude:
            return True  # the server has looked for the very same
        for change in entry.changes:  # noqa: SIM110 - every watcher that is woken comes by here
            if self._scope.concerns(change.op.path):
                return True
        return False

    def _note_computed(self, state: StateModel) -> bool:
        """Remember what the computed fields are that are watched; whether that is something else than before."""
        before, self._computed = self._computed, None
        self._computed = self._scope.computed_values(state)
        return self._computed != before

    def _fill(self, *, wait: bool) -> Steps[bool]:
        """Fetch the next commits that touch the patterns, those of one answer, and return whether there are any."""
        since = self.revision
        _, reply = yield Question(
            lambda request: Watch(request, since, self._patterns, self._own, self._duplicates, False, wait),
            self.epoch,
            since,
            lasts=wait,
        )
        answer = expect(reply, Changes)
        self._pending.extend(map(self._entry, answer.commits))
        if not answer.commits:
            self._move(answer.revision)  # what has not touched the patterns need not be asked about again
        return bool(answer.commits)

    def _advance(self, mirror: Mirror | None) -> Steps[None]:
        """Move the mirror on by at least one commit towards this place, or there at once."""
        if mirror is None or self.revision - mirror.revision > _FAR:
            yield from self._read()
            return
        entry = self._following(mirror)
        if entry is None:
            try:
                yield from self._fill_between(mirror.revision)
            except HistoryGone:
                yield from self._read()
                return
            entry = self._following(mirror)
            assert entry is not None, "the mirror is behind, so there are commits after it"
        # Broken off in the middle it would be of no revision.
        self._mirror = None
        mirror.advance(entry.revision, entry.changes)
        self._mirror = mirror

    def _following(self, mirror: Mirror) -> Entry | None:
        """Return the commit after the one that the mirror is at, if it is known."""
        wanted = mirror.revision + 1
        if self._newest is not None and self._newest.revision == wanted:
            return self._newest
        while self._between and self._between[0].revision < wanted:
            self._between.popleft()
        return self._between[0] if self._between and self._between[0].revision == wanted else None

    def _fill_between(self, since: Revision) -> Steps[None]:
        """Fetch the commits after a revision, those of one answer."""
        self._between.clear()
        _, reply = yield Question(
            lambda request: Watch(request, since, self._everything, True, True, False, False), self.epoch, since
        )
        self._between.extend(map(self._entry, expect(reply, Changes).commits))

    def _read(self) -> Steps[None]:
        here = self.revision
        _, reply = yield Question(lambda request: Read(request, (), None, here, None), self.epoch, here)
        self._mirror = Mirror(self._client.schema, here, expect(reply, Values).values)

    def _entry(self, encoded: bytes) -> Entry:
        return entry_of(self._client.schema.codec, encoded)

    # Asking by a thread

    def _ask(self, question: Question, deadline: float | None) -> tuple[Epoch, Reply]:
        def attempt(connection: Connection) -> tuple[Epoch, Reply]:
            self._connection = connection
            try:
                if self._closed:
                    raise Closed("this watcher is closed")
                check_epoch(connection, question)
                command = question.ask(self._client.next_request())
                return connection.welcome.epoch, connection.call(command, deadline if question.lasts else None)
            finally:
                self._connection = None

        try:
            return self._client.ask(attempt, again=bool(self.epoch))
        except Closed:
            raise
        except Exception:
            if self._closed:
                raise Closed("this watcher is closed") from None
            raise
