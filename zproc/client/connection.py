"""One connection to a state server: introduced, and used for one request after the other.

The law: a connection is used by one thread at a time, and is in step or closed. Whatever interrupts a request, Ctrl-C
included, closes it, so that a late answer is never taken for another's. A refusal is an answer like any other; whatever
else goes wrong after the greeting is Unavailable, and the outcome of the request is not known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from time import monotonic
from typing import Final, TypeVar

from zproc.client.identity import Identity
from zproc.client.ping import is_alive
from zproc.client.replica import Replica
from zproc.core.messages import Command, Refused, Reply, Welcome, decode_reply, encode
from zproc.core.refusal import error_from_data
from zproc.exceptions import LimitExceeded, ProtocolError, SchemaMismatch, Unavailable, UsageError, WaitTimeout
from zproc.schema.fingerprint import differences
from zproc.transport import Channel, connect
from zproc.typing import RequestId

__all__ = ["HELLO_TIMEOUT", "PATIENCE", "Connection", "Losses", "expect", "greet"]

R = TypeVar("R", bound=Reply)

HELLO_TIMEOUT: Final = 30.0
"""How long a server that is there may take to read, greet or answer a Ping, in seconds.

One that died is told by the transport, at once or within its heartbeat. What this is for is one that is stopped; it
must not strike one that is busy, which a commit of 16 MiB makes it for two seconds, and for ten or more where many
programs share its processor.
"""

PATIENCE: Final = 5.0
"""After how much silence a client that waits asks whether the server is still there, in seconds."""

_LONGEST: Final = (1 << 31) - 1
"""The longest frame that is taken from a server, in bytes: how much a message may have is for the server to say, and
only bytes that have come take memory."""

_FRESH: Final = 0.05
"""For how long after an answer a connection is taken to be alive without a look, in seconds."""

_LOSSES: Final = 100
"""With how many broken connections a question is given up."""


class _Refusal(Exception):
    """The server said no; the connection is in step unless that means the connection as a whole."""

    def __init__(self, error: BaseException, *, in_step: bool) -> None:
        super().__init__()
        self.error = error
        self.in_step = in_step


class Connection:
    """A connection that the server has welcomed.

    Args:
        identity: who connects, and where to.
        channel: one by which it has introduced itself already, by `greet`; the connection owns it then.

    Attributes:
        welcome: what the server said of itself.
        closed: whether it can be used no longer.
        replica: what is held of the state in this life of the server; whoever makes the connection sets it.

    Raises:
        Unavailable: no server answers.
        SchemaMismatch: the server declares the state differently.
        ProtocolError: the server speaks another protocol.
    """

    replica: Replica

    def __init__(self, identity: Identity, channel: Channel | None = None) -> None:
        self.closed: bool = False
        self._address = identity.address
        self._channel: Channel = greet(identity) if channel is None else channel
        self._last = monotonic()
        try:
            self.welcome: Welcome = self._await_welcome(identity)
            self._largest: int = self.welcome.max_message
        except BaseException:
            self.close()
            raise

    def _await_welcome(self, identity: Identity) -> Welcome:
        try:
            deadline = monotonic() + HELLO_TIMEOUT
            reply = self._answer(decode_reply(self._receive(deadline)), RequestId(0), deadline)
        except WaitTimeout:
            raise _not_greeted(identity) from None
        except _Refusal as refusal:
            error = refusal.error
            if isinstance(error, SchemaMismatch):
                error = replace(error, differences=differences(error.declared, identity.table), declared={})
            raise error from None
        if not isinstance(reply, Welcome):
            raise ProtocolError(f"the server greets with {type(reply).__name__}")
        return reply

    def is_stale(self) -> bool:
        """Whether the server has closed it since it was last used; for a moment after an answer it has not."""
        if monotonic() - self._last < _FRESH:
            return False
        try:
            self._channel.recv(0)
        except WaitTimeout:
            return False
        except (Unavailable, ProtocolError, UsageError):
            pass
        # Closed, or out of step: nobody has asked anything.
        self.close()
        return True

    def call(self, command: Command, deadline: float | None = None) -> Reply:
        """Send a command and wait for its answer.

        Args:
            command: what to ask.
            deadline: until when to wait, in the monotonic time of this process, in seconds.

        Returns:
            The answer, which is no refusal.

        Raises:
            LimitExceeded: the command is too large to be sent; it was not.
            Unavailable: the connection was lost, before or after the command was sent, or the server no longer answers.
            WaitTimeout: no answer came in time; the connection is closed, and with it what waits at the server is
                forgotten.
            Error: the server's refusal.
        """
        frame, channel = encode(command), self._channel
        if len(frame) > self._largest:
            raise self._too_large(frame)
        try:
            try:
                channel.send(frame, HELLO_TIMEOUT)
            except WaitTimeout as error:
                raise self._does_not_read() from error
            if deadline is None:
                try:
                    received = channel.recv(PATIENCE)
                except WaitTimeout:
                    self._check_alive(HELLO_TIMEOUT)
                    received = self._receive(None)
            else:
                received = self._receive(deadline)
            reply = decode_reply(received)
            if reply.request != command.request or type(reply) is Refused:
                reply = self._answer(reply, command.request, deadline)
        except _Refusal as refusal:
            # A refusal leaves the connection in step, unlike whatever else may be raised.
            if not refusal.in_step:
                self.close()
            raise refusal.error from None
        except (ProtocolError, LimitExceeded) as error:
            self.close()
            raise Unavailable(self._address, f"the server sent what is no answer: {error}") from error
        except UsageError as error:
            self.close()
            raise Unavailable(self._address, "the connection was closed in this process") from error
        except BaseException:
            self.close()
            raise
        self._last = monotonic()
        return reply

    def _too_large(self, frame: bytes) -> LimitExceeded:
        return LimitExceeded("message_bytes", len(frame), self._largest)

    def _does_not_read(self) -> Unavailable:
        return Unavailable(self._address, f"the server has not read for {HELLO_TIMEOUT:g} s")

    # For who waits for several answers at a time, and by other means

    def post(self, command: Command) -> None:
        """Send a command; its answer is among those that `arrived` returns.

        Raises:
            LimitExceeded: the command is too large to be sent; it was not.
            Unavailable: the connection is lost; it is closed.
        """
        frame = encode(command)
        if len(frame) > self._largest:
            raise self._too_large(frame)
        try:
            self._channel.send(frame, HELLO_TIMEOUT)
        except WaitTimeout as error:
            self.close()
            raise self._does_not_read() from error
        except UsageError as error:
            self.close()
            raise Unavailable(self._address, "the connection was closed in this process") from error
        except BaseException:
            self.close()
            raise

    def arrived(self) -> Iterator[tuple[RequestId, Reply | BaseException]]:
        """Take the answers that are there, each with the number of its request; a refusal as the error that it is.

        Raises:
            Unavailable: the connection is lost; it is closed.
            Error: the server's refusal of the connection as a whole; it is closed.
        """
        while True:
            try:
                reply = decode_reply(self._channel.recv(0))
            except WaitTimeout:
                self._last = monotonic()
                return
            except (ProtocolError, LimitExceeded) as error:
                self.close()
                raise Unavailable(self._address, f"the server sent what is no answer: {error}") from error
            except UsageError as error:
                self.close()
                raise Unavailable(self._address, "the connection was closed in this process") from error
            if not isinstance(reply, Refused):
                yield reply.request, reply
            elif reply.request:
                yield reply.request, error_from_data(reply.error)
            else:
                self.close()
                raise error_from_data(reply.error)

    def fileno(self) -> int:
        """Return a descriptor that is readable when there may be answers that `arrived` has not returned.

        Raises:
            UsageError: the connection is closed, or its transport has no descriptors.
        """
        return self._channel.fileno()

    def _answer(self, reply: Reply, request: RequestId, deadline: float | None) -> Reply:
        """Return the answer to a request: what was received, or what comes later, if that is another's."""
        while True:
            if type(reply) is not Refused:
                if reply.request == request:
                    return reply
            elif reply.request in (request, 0):
                raise _Refusal(error_from_data(reply.error), in_step=reply.request == request)
            reply = decode_reply(self._receive(deadline))

    def _receive(self, deadline: float | None) -> bytes:
        while True:
            patience = PATIENCE if deadline is None else max(0.0, min(PATIENCE, deadline - monotonic()))
            try:
                return self._channel.recv(patience)
            except WaitTimeout:
                left = HELLO_TIMEOUT if deadline is None else min(HELLO_TIMEOUT, deadline - monotonic())
                if left <= 0:
                    raise
                self._check_alive(left)

    def _check_alive(self, left: float) -> None:
        """Check that a server that was silent is still there, unless no time is left to find out."""
        if not is_alive(self._address, left) and left == HELLO_TIMEOUT:
            raise Unavailable(self._address, "the server no longer answers") from None

    def close(self) -> None:
        """End the connection, by any thread; the server then ends its turn and forgets what waits."""
        self.closed = True
        self._channel.close()


def expect(reply: Reply, kind: type[R]) -> R:
    """Return a reply as what it must be.

    Raises:
        ProtocolError: it is something else.
    """
    if not isinstance(reply, kind):
        raise ProtocolError(f"the server answers with {type(reply).__name__} instead of {kind.__name__}")
    return reply


class Losses:
    """The connections that broke with one question.

    Each was welcomed by the server, so the question is asked again, however often the line breaks; but not for ever,
    because it might be the question that it breaks by.
    """

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = _LOSSES

    def add(self, connection: Connection, error: Unavailable) -> None:
        """Record one.

        Args:
            connection: which it was.
            error: how that was told.

        Raises:
            Unavailable: the error, if it was not the connection that broke, or too many have.
        """
        self._left -= 1
        if not (connection.closed and self._left):
            raise error


def greet(identity: Identity) -> Channel:
    """Connect to a server and introduce ourselves, and leave its answer to be taken in by a `Connection`.

    Raises:
        Unavailable: no server answers.
    """
    channel = connect(identity.address, limit=_LONGEST)
    try:
        channel.send(encode(identity.hello()), HELLO_TIMEOUT)
    except BaseException as error:
        channel.close()
        if isinstance(error, WaitTimeout):
            raise _not_greeted(identity) from None
        raise
    return channel


def _not_greeted(identity: Identity) -> Unavailable:
    return Unavailable(identity.address, f"a server accepts, but did not greet within {HELLO_TIMEOUT:g} s")
