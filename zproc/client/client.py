"""A client process at one state: its requests, and what becomes of them when a connection is lost.

The law: every request ends as answered, refused or unknown, and which of them is never guessed. A question is asked
again when its connection breaks. What may have had an effect is asked after, by its number, of the same life of the
server: if it had no effect, and never will, it is sent once more where that means the same; if nobody can be asked, its
outcome is unknown.

One client serves all handles and threads of a process at one namespace; a forked child becomes a client of its own.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import count
from typing import Final, cast
from weakref import WeakSet, WeakValueDictionary

from zproc.client.backoff import RETRY, SETTLING
from zproc.client.connection import Connection, expect
from zproc.client.identity import Identity, new_session, process_name
from zproc.client.pool import Pool, turns
from zproc.client.replica import LARGE, LARGEST, NEVER, Moment, typed
from zproc.core.messages import Act, Answered, Commit, Committed, Look, Outcome, Read, Reply, Values
from zproc.exceptions import CommitRefused, CommitUnknown, Error, SchemaError, Unavailable
from zproc.schema.model import Schema, StateModel
from zproc.schema.ops import MISSING, Op, get, op_to_plain
from zproc.schema.path import format_path
from zproc.schema.shape import shape_at
from zproc.typing import Epoch, Path, RequestId, Revision, SessionId

__all__ = ["Client"]

_LIFE: Final = 32
"""How many bits the number of a request has for each process that goes by one name."""

_SINCE_EVER: Final = Revision(2**62)
"""A revision that is yet to come: nothing has changed since."""


class Client(Pool):
    """A client of one namespace of one server.

    Args:
        schema: what the state is declared as.
        address: where the server listens.
        namespace: which of its states.
        process: the name of this process, for people; ``None`` for the one that it was given, or that of its program.
    """

    def __init__(self, schema: Schema[StateModel], address: str, namespace: str, process: str | None = None) -> None:
        name = process_name() if process is None else process
        self.mark: object = object()
        """What numbers are marked with that were read by this client; not itself, which would keep it alive."""
        self._kept: frozenset[str] = frozenset()
        super().__init__(schema, Identity(address, namespace, schema.fingerprint, schema.table, new_session(), name))
        _alive.add(self)

    def _begin(self) -> None:
        super()._begin()
        self._count_requests_from(1)
        self._in_turn = 0
        self.now: Moment = NEVER
        """What is read of without asking and without any check: nothing where a check would have something to say."""

    def begin_in_fork(self) -> None:
        """Become a client of its own in a forked child. The parent's connections are the parent's."""
        self._identity = replace(self._identity, session=new_session())
        self._begin()

    def continue_as(self, session: SessionId, lives: int) -> None:
        """Take the place of a process that has ended: its commits count as this one's own.

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

    def enter_turn(self) -> frozenset[tuple[str, str]]:
        """Refuse every use of this state by this thread until `leave_turn`, which is given what this returns."""
        outer = turns.held
        turns.held = outer | {self._place}
        with self._lock:
            self._in_turn += 1
            self.now = NEVER
        return outer

    def leave_turn(self, outer: frozenset[tuple[str, str]]) -> None:
        """Allow this thread to use this state again."""
        with self._lock:
            self._in_turn -= 1
            self._expose()
        turns.held = outer

    def _expose(self) -> None:
        self.now = NEVER if self.closed or self._in_turn else self._replica.moment

    def close(self) -> None:
        """End all connections, those in use included; whoever waits by one is told so."""
        with self._lock:
            self.closed = True
            self._expose()
        super().close()

    # Requests

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
        encode = self.schema.codec.encode
        try:
            return encode(list(map(op_to_plain, ops)))
        except SchemaError:
            for op in ops:  # once more, to say which
                try:
                    encode(op_to_plain(op))
                except SchemaError as error:
                    raise SchemaError(format_path(op.path), error.reason) from error
            raise

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
        replica = connection.replica
        replica.told = max(replica.told, done.revision)  # another thread may have been told of a later one
        # What has changed, and nobody else's change has come between: there is nothing to ask for.
        if done.result and type(command) is Commit and replica.move_on(done.revision, done.result):
            with self._lock:
                self._expose()
        return done

    def _settle(self, command: Commit | Act, epoch: Epoch, lost: Unavailable) -> Committed | None:
        deadline = time.monotonic() + SETTLING
        while not self.closed:
            reply = self._try_to_settle(command, epoch, deadline)
            if reply is not None:
                return None if isinstance(reply, Answered) else expect(reply, Committed)
            if time.monotonic() + RETRY >= deadline:
                raise CommitUnknown(command.request, str(lost)) from lost
            time.sleep(RETRY)
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
        if self.closed or turns.held:
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
        """Hand out one object to all readers of a field, as long as its value is the present one.

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
            replica = connection.replica
            replica.told = max(replica.told, reply.revision)
            if name not in reply.large:
                replica.found_small(name)
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
    turns.held = frozenset()
    for client in list(_alive):
        client.begin_in_fork()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork either
    os.register_at_fork(after_in_child=_after_fork_in_child)
