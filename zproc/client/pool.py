"""The connections of a client process to one state: lent to whoever asks the server something, and taken back.

The law: a connection is lent to one thread at a time. What broke is not lent again. A question, which has no effect, is
asked again by another connection; what may have an effect is for whoever sends it to settle.

All connections to one life of the server share one replica.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, TypeVar

from zproc.client.backoff import RETRY, SETTLING, Backoff
from zproc.client.connection import Connection, Losses, greet
from zproc.client.identity import Identity
from zproc.client.replica import Replica
from zproc.exceptions import Unavailable, UsageError
from zproc.schema.model import Schema, StateModel
from zproc.transport import Channel, word
from zproc.typing import Epoch, SessionId

__all__ = ["Pool", "turns"]

T = TypeVar("T")

_IDLE: Final = 8
"""How many connections are kept for the next request."""


class _Turns(threading.local):
    """The states of which this thread holds the turn: a thread-local, because other threads may go on."""

    held: frozenset[tuple[str, str]] = frozenset()


turns: Final = _Turns()


class Pool:
    """The connections of one client.

    Args:
        schema: what the state is declared as.
        identity: who connects, and where to.
    """

    def __init__(self, schema: Schema[StateModel], identity: Identity) -> None:
        self.schema = schema
        self.closed: bool = False
        self._identity = identity
        self._place = identity.address, identity.namespace
        self._begin()

    def _begin(self) -> None:
        """Begin without any connection."""
        self._lock = threading.Lock()
        # All that are open, so that those in use can be ended, too; and of these, those that nobody uses. One operation
        # on either is atomic, so that no lock is needed to lend one.
        self._open: set[Connection] = set()
        self._idle: list[Connection] = []
        self._greeted: Channel | None = None
        self._backoff = Backoff()
        self._replica = Replica(self.schema, Epoch(""))

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
        if self._place in turns.held:
            raise UsageError(
                "the live state was used inside of an atomic function on the same state, which would wait for itself; "
                "use the draft, the function's first argument"
            )

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
        if self.closed or turns.held:
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
        """Connect to a server that is known to be there, and leave its welcome to the first request."""
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

    def close(self) -> None:
        """End all connections, those in use included; whoever waits by one is told so."""
        with self._lock:
            self.closed = True
        self.drop_idle()
        # A thread that connects meanwhile finds that it is closed after it has added its own.
        for connection in list(self._open):
            self._end(connection)

    def drop_idle(self) -> None:
        """End the connections that nobody uses: when one broke, they probably broke with it."""
        with suppress(IndexError):
            while True:
                self._end(self._idle.pop())
        if (channel := self._take_greeted()) is not None:
            channel.close()

    def ask(self, question: Callable[[Connection], T], *, again: bool = False) -> T:
        """Ask a question, which has no effect, by a connection, and again by others if it breaks.

        Args:
            question: asks by a connection; it is called anew for each, since the server may be another one.
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
                deadline = now + SETTLING if deadline is None else deadline
                if now + RETRY >= deadline:
                    raise
            time.sleep(RETRY)
