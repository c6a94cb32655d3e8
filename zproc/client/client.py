"""A client process at one state: its connections, its requests, and what becomes of them when a connection is lost.

The law: every request ends as answered, refused or unknown, and which of them is never guessed. A question is asked
again when a connection breaks. What may have had an effect is asked after, by its number, of the same life of the
server; if that says that it has had none, and never will, it is sent once more where that means the same, and if it
cannot be asked it is unknown.

One client serves all handles and threads of a process at one namespace; a forked child becomes a client of its own.
"""

from __future__ import annotations

import os
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from itertools import count
from typing import Final, TypeVar, cast
from weakref import WeakSet, WeakValueDictionary

from zproc.client.backoff import Backoff
from zproc.client.connection import Connection, Identity, Losses, expect, greet
from zproc.client.replica import LARGE, LARGEST, NEVER, Moment, Replica, typed
from zproc.core.messages import Act, Answered, Commit, Committed, Look, Outcome, Read, Reply, Values
from zproc.exceptions import CommitRefused, CommitUnknown, Error, Unavailable, UsageError
from zproc.schema.model import Schema, StateModel
from zproc.schema.ops import MISSING, Op, get, op_to_plain
from zproc.schema.shape import shape_at
from zproc.transport import Channel, word
from zproc.typing import Epoch, Path, RequestId, Revision, SessionId

__all__ = ["Client", "name_by", "new_session", "process_name"]

T = TypeVar("T")

_IDLE: Final = 8
"""How many connections are kept for the next request."""

_SETTLING: Final = 1.0
"""How long a lost commit is asked after before it is unknown, in seconds; what can be known is within a second."""

_RETRY: Final = 0.05
"""How long to wait between two tries to reach a server that was lost, in seconds."""

_LIFE: Final = 32
"""How many bits the number of a request has for each process that goes by one name."""

_SINCE_EVER: Final = Revision(2**62)
"""A revision that is yet to come: nothing has changed since."""


_naming: list[Callable[[], str | None]] = []


def name_by(naming: Callable[[], str | None]) -> None:
    """Have somebody else, who knows more of processes, name this one; ``None`` leaves it to the program's name."""
    _naming.append(naming)


def process_name() -> str:
    """Return the name of this process, for people."""
    return next((name for naming in _naming if (name := naming())), os.path.basename(sys.argv[0]))


class Client:
    """A client of one namespace of one server.

    Args:
        schema: what the state is declared as.
        address: where the server listens.
        namespace: which of its states.
        process: the name of this process, for people; ``None`` for the one that it was given, or that of its program.
    """

    def __init__(self, schema: Schema[StateModel], address: str, namespace: str, process: str | None = None) -> None:
        name = process_name() if process is None else process
        self.schema = schema
        self.closed: bool = False
        self.mark: object = object()
        """What numbers are marked with that were read by this client; not itself, which would keep it alive."""
        self._kept: frozenset[str] = frozenset()
        self._identity = Identity(address, namespace, schema.fingerprint, schema.table, new_session(), name)
        self._place = address, namespace
        self._begin()
        _alive.add(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        # All that are open, so that those in use can be ended, too; and of these, those that nobody uses. One operation
        # on either is atomic, so that no lock is needed to lend one.
        self._open: set[Connection] = set()
        self._idle: list[Connection] = []
        self._greeted: Channel | None = None
        self._backoff = Backoff()
        self._count_requests_from(1)
        self._replica = Replica(self.schema, Epoch(""))
        self._in_turn = 0
        self.now: Moment = NEVER
        """What is read of without asking and without any check: nothing where a check would have something to say."""

    def begin_in_fork(self) -> None:
        """Become a client of its own in a forked child. The parent's connections are the parent's."""
        self._identity = replace(self._identity, session=new_session())
        self._begin()

    def continue_as(self, session: SessionId, lives: int) -> None:
        """Be to the server what a process that has ended was: its commits are this one's own.

        Args:
            session: the name that both go by.
            lives: how many there were by this name. No request has the number of one of theirs.
        """
        self.drop_idle()
        self._identity = replace(self._identity, session=session)
        self._begin()
        self._count_requests_from((lives << _LIFE) + 1)

    def _count_requests_from(self, first: int) -> None:
        self.next_request: Callable[[], RequestId] = map(RequestId, count(first)).__next__
        """Returns the number of the next request."""

    def __reduce__(self) -> tuple[object, ...]:
        return _client_here, (self.schema.model, self.address, self.namespace)

    def __deepcopy__(self, memo: object) -> Client:
        return self

    def __del__(self) -> None:
        # Whoever has a handle has the client; without any, nobody is left to close it.
        if hasattr(self, "_idle"):
            self.drop_idle()

    def __repr__(self) -> str:
        return f"<Client of {self._identity.namespace!r} at {self._identity.address}>"

    @property
    def address(self) -> str:
        """Where the server listens."""
        return self._identity.address

    @property
    def namespace(self) -> str:
        """The name of the state."""
        return self._identity.namespace

    @property
    def session(self) -> SessionId:
        """What the server knows this client by."""
        return self._identity.session

    @property
    def replica(self) -> Replica:
        """What is held of the state."""
        return self._replica

    def _check(self) -> None:
        """Refuse what must not be asked; to be called if the client is closed, or this thread holds any turn."""
        if self.closed:
            raise UsageError("this context is closed")
        if self._place in _turns.held:
            raise UsageError(
                "the live state was used inside of an atomic function on the same state, which would wait for itself; "
                "use the draft, the function's first argument"
            )

    # Connections

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Lend a connection for a block: see `lend`."""
        connection = self.lend()
        try:
            yield connection
        finally:
            self.take_back(connection)

    def lend(self) -> Connection:
        """Lend a connection, to be used by the caller alone until it is taken back.

        Raises:
            Unavailable: no server answers.
            SchemaMismatch: the server declares the state differently.
            UsageError: the client is closed, or in the middle of an atomic function of this thread.
        """
        if self.closed or _turns.held:
            self._check()
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return self._connect()
            # One that is closed by now says so to whoever uses it.
            if connection.replica is self._replica and not connection.is_stale():
                return connection
            self._end(connection)

    def take_back(self, connection: Connection) -> None:
        """Take a connection that was lent; if it is in step it is lent again."""
        if connection.closed or self.closed or len(self._idle) >= _IDLE:
            self._end(connection)
        else:
            self._idle.append(connection)

    def _end(self, connection: Connection) -> None:
        self._open.discard(connection)
        connection.close()

    def greet(self) -> None:
        """Connect to a server that is known to be there, and leave its answer to whoever asks it something first."""
        self._greeted = greet(self._identity)

    def _take_greeted(self) -> Channel | None:
        with self._lock:
            channel, self._greeted = self._greeted, None
        return channel

    def _connect(self) -> Connection:
        self._backoff.wait()
        try:
            connection = Connection(self._identity, self._take_greeted())
        except Unavailable:
            self._backoff.failed()
            raise
        self._backoff.answered()
        epoch = connection.welcome.epoch
        with self._lock:
            if self._replica.epoch != epoch:
                seen = word(self.address, connection.welcome.index, epoch)
                self._replica = Replica(self.schema, epoch, seen)
            connection.replica = self._replica
        self._open.add(connection)
        if self.closed:  # meanwhile, and perhaps without this one
            self._end(connection)
        return connection

    def enter_turn(self) -> frozenset[tuple[str, str]]:
        """Have every use of this state by this thread refused until `leave_turn`, which is given what this returns."""
        outer = _turns.held
        _turns.held = outer | {self._place}
        with self._lock:
            self._in_turn += 1
            self.now = NEVER
        return outer

    def leave_turn(self, outer: frozenset[tuple[str, str]]) -> None:
        """Let this thread use this state again."""
        with self._lock:
            self._in_turn -= 1
            self._expose()
        _turns.held = outer

    def _expose(self) -> None:
        self.now = NEVER if self.closed or self._in_turn else self._replica.moment

    def close(self) -> None:
        """End all connections, those in use included; whoever waits by one is told so."""
        with self._lock:
            self.closed = True
            self._expose()
        self.drop_idle()
        # Whoever connects meanwhile finds that it is closed when he has added his own.
        for connection in list(self._open):
            self._end(connection)

    def drop_idle(self) -> None:
        """End the connections that nobody uses: when one broke, they probably broke with it."""
        with suppress(IndexError):
            while True:
                self._end(self._idle.pop())
        if (channel := self._take_greeted()) is not None:
            channel.close()

    # Requests

    def ask(self, question: Callable[[Connection], T], *, again: bool = False) -> T:
        """Do something that has no effect by a connection, and again by others if it breaks.

        Args:
            question: what to do; whatever it depends on is asked anew, since the server may be another one.
            again: whether the server was asked before, so that it may as well be gone for a second only.

        Raises:
            Unavailable: no server answers, or every connection breaks.
            Error: the server's refusal.
        """
        connection = self._lend_again() if again else self.lend()
        losses: Losses | None = None
        while True:
            try:
                return question(connection)
            except Unavailable as error:
                losses = losses or Losses()
                losses.add(connection, error)
                self.drop_idle()
            finally:
                self.take_back(connection)
            connection = self._lend_again()

    def _lend_again(self) -> Connection:
        """Lend a connection to whoever has just lost one; for a second the server may be gone."""
        deadline: float | None = None
        while True:
            try:
                return self.lend()
            except Unavailable:
                now = time.monotonic()
                deadline = now + _SETTLING if deadline is None else deadline
                if now + _RETRY >= deadline:
                    raise
            time.sleep(_RETRY)

    def commit(self, ops: Sequence[Op], function: str) -> Committed:
        """Apply ops as one commit that was not preceded by a read.

        Args:
            ops: what to do.
            function: who does it, for the history.
        """
        return self.change(Commit(self.next_request(), None, self.encoded(ops), function))

    def encoded(self, ops: Sequence[Op]) -> bytes:
        """Return ops as bytes of the schema's codec.

        Raises:
            SchemaError: a value in them cannot be shared.
        """
        return self.schema.codec.encode(list(map(op_to_plain, ops)))

    def change(self, command: Commit | Act) -> Committed:
        """Send a command that may have an effect, and find out what became of it even if the connection breaks.

        A command that is known not to have come is sent once more, as another request.

        Raises:
            CommitUnknown: the connection broke, and no server answers that could tell.
            Unavailable: no server answers, and the command was not sent.
            Error: the server's refusal.
        """
        connection = self.lend()
        try:
            done = self.change_by(connection, command)
        finally:
            self.take_back(connection)
        if done is None:
            with self.connection() as another:
                done = self.change_by(another, replace(command, request=self.next_request()))
        if done is None:
            raise CommitRefused("the connection was lost twice before the request came to the server")
        return done

    def change_by(self, connection: Connection, command: Commit | Act) -> Committed | None:
        """Send a command by a connection that the caller has, and find out what became of it.

        Returns:
            That it was applied; ``None`` if it was not, because it did not come before the connection was lost.
        """
        try:
            done = expect(connection.call(command), Committed)
        except Unavailable as error:
            return self._settle(command, connection.welcome.epoch, error)
        connection.replica.told = done.revision
        # What has changed, and nobody else's change has come between: there is nothing to ask for.
        if done.result and type(command) is Commit and connection.replica.move_on(done.revision, done.result):
            with self._lock:
                self._expose()
        return done

    def _settle(self, command: Commit | Act, epoch: Epoch, lost: Unavailable) -> Committed | None:
        deadline = time.monotonic() + _SETTLING
        while not self.closed:
            reply = self._try_to_settle(command, epoch, deadline)
            if reply is not None:
                return None if isinstance(reply, Answered) else expect(reply, Committed)
            if time.monotonic() + _RETRY >= deadline:
                raise CommitUnknown(command.request, str(lost)) from lost
            time.sleep(_RETRY)
        raise CommitUnknown(command.request, "the context was closed before the answer came") from lost

    def _try_to_settle(self, command: Commit | Act, epoch: Epoch, deadline: float) -> Reply | None:
        """Ask what became of a command; ``None`` if nobody can be asked at the moment."""
        try:
            connection = Connection(self._identity)
        except Error:  # whatever is there now, it is not what the command was sent to
            return None
        with closing(connection):
            if connection.welcome.epoch != epoch:
                raise CommitUnknown(command.request, "the server was started anew, and another one has no answer")
            try:
                return connection.call(Outcome(self.next_request(), command.request), deadline)
            except Error:
                if connection.closed:  # lost, or cut off, with this question unanswered
                    return None
                raise

    # Reading

    def field(self, name: str) -> object:
        """Return the value of a top-level field, which is not to be changed, or LARGE if it is one that is not held.

        Raises:
            Unavailable: no server answers.
        """
        if self.closed or _turns.held:
            self._check()
        replica = self._replica
        moment = replica.moment
        if name in moment.values and moment.is_newest() and self._is_there(moment):
            return moment.values[name]
        if replica.is_large(name) and name not in self._kept:
            return LARGE
        value = self.ask(lambda connection: self._catch_up(connection, name))
        with self._lock:
            self._expose()
        return value

    def _is_there(self, moment: Moment) -> bool:
        """Whether the server of a moment still is; looked at now and then, because a killed one leaves its word."""
        if time.monotonic() < moment.until:
            return True
        with self.connection() as connection:
            if connection.replica.moment is not moment:
                return False
            moment.trust()
            return True

    def _catch_up(self, connection: Connection, name: str) -> object:
        """Ask for a field, and for whatever else is held of the state, as far as it has changed."""
        replica = connection.replica
        asked = replica.known(name)
        fields, since = (tuple(asked.values), asked.revision) if asked.values else ((name,), None)
        largest = None if name in self._kept else LARGEST
        reply = expect(connection.call(Read(self.next_request(), fields, since, None, largest)), Values)
        return replica.take(asked, reply.revision, reply.values, reply.large).get(name, LARGE)

    def hand_out(self, name: str, value: object, given: object) -> None:
        """Have whoever reads a field handed the same thing, as long as its value is the present one.

        Args:
            name: the field.
            value: its value, when it was read.
            given: what its reader was handed, which nobody can change.
        """
        moment = self._replica.moment
        present = moment.values.get(name, NEVER)
        if present is value or (type(present) is int is type(value) and present == value):
            moment.direct[name] = given

    def part(self, path: Path) -> object:
        """Return what stands at an address of a large field, not to be changed; MISSING if nothing does.

        Raises:
            Unavailable: no server answers.
            LimitExceeded: it is too large for a message.
        """
        shape = shape_at(self.schema.shape, path)
        if shape is not None:
            found = cast("list[object]", self.look(path, "value"))
            return typed(shape, path, found[0]) if found else MISSING
        value = self._whole(cast("str", path[0]))
        for key in path[1:]:
            value = get(value, key)
        return value

    def look(self, path: Path, question: str) -> object:
        """Ask about what stands at an address of a large field; see `Look`."""
        name = cast("str", path[0])
        encoded = self.schema.codec.encode(list(path))

        def ask(connection: Connection) -> object:
            reply = expect(connection.call(Look(self.next_request(), encoded, question, LARGEST)), Values)
            connection.replica.told = reply.revision
            if name not in reply.large:
                connection.replica.found_small(name)
            return self.schema.codec.decode(reply.values)

        return self.ask(ask)

    def _whole(self, name: str) -> object:
        def question(connection: Connection) -> object:
            reply = expect(connection.call(Read(self.next_request(), (name,), None, None, None)), Values)
            return connection.replica.decode(reply.values)[name]

        return self.ask(question)

    def hold(self, names: Iterable[str]) -> None:
        """Hold fields from their next reading on, however large they are."""
        self._kept |= frozenset(names)

    def keeps(self, name: str) -> bool:
        """Whether a field is to be held, however large it is."""
        return name in self._kept

    def snapshot(self, at: Revision | None = None) -> StateModel:
        """Return a frozen copy of the state.

        Args:
            at: as of which revision; ``None`` for now.

        Raises:
            HistoryGone: the history does not reach back to it.
            Unavailable: no server answers.
        """
        return self.read(lambda _: at)[2]

    def read(self, at: Callable[[Epoch], Revision | None]) -> tuple[Epoch, Revision, StateModel]:
        """Return a frozen copy of the state and the epoch and revision that it is of.

        Args:
            at: tells as of which revision in an epoch, ``None`` for now.
        """

        def question(connection: Connection) -> tuple[Epoch, Revision, StateModel]:
            epoch = connection.welcome.epoch
            reply = expect(connection.call(Read(self.next_request(), (), None, at(epoch), None)), Values)
            return epoch, reply.revision, connection.replica.snapshot(reply.values)

        return self.ask(question)

    def revision(self) -> Revision:
        """Return the newest revision."""
        return self.position()[1]

    def position(self) -> tuple[Epoch, Revision]:
        """Return what the present state is called: the server's epoch and the newest revision."""
        names = tuple(self.schema.model.model_fields)[:1]

        def question(connection: Connection) -> tuple[Epoch, Revision]:
            reply = expect(connection.call(Read(self.next_request(), names, _SINCE_EVER, None, None)), Values)
            return connection.welcome.epoch, reply.revision

        return self.ask(question)


class _Turns(threading.local):
    """The states of which this thread holds the turn: a thread-local, because other threads may go on."""

    held: frozenset[tuple[str, str]] = frozenset()


_turns = _Turns()
_alive: WeakSet[Client] = WeakSet()
_clients: WeakValueDictionary[tuple[str, str, type[StateModel]], Client] = WeakValueDictionary()
_clients_lock = threading.Lock()


def _client_here(model: type[StateModel], address: str, namespace: str) -> Client:
    """Return the client that handles of a state share which came to this process from another one."""
    with _clients_lock:
        client = _clients.get((address, namespace, model))
        if client is None or client.closed:
            client = _clients[address, namespace, model] = Client(
                cast("Schema[StateModel]", Schema.of(model)), address, namespace
            )
        return client


def _after_fork_in_child() -> None:
    global _clients_lock  # noqa: PLW0603 - a thread that did not come along may have held it
    _clients_lock = threading.Lock()
    # The parent waits for its turn to end; whatever the child does next is not part of it.
    _turns.held = frozenset()
    for client in list(_alive):
        client.begin_in_fork()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork either
    os.register_at_fork(after_in_child=_after_fork_in_child)


def new_session() -> SessionId:
    """Return a name for a client process that no other has."""
    return SessionId(secrets.token_hex(16))
