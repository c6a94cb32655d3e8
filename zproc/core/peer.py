"""One connection: who it is, and its pending requests.

The law: what a connection has pending at the server is bounded, in number and in bytes, and indexed by request number,
so that a duplicate waits with the original and a disconnect removes all of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias, assert_never

from zproc.core.limits import Limits
from zproc.core.messages import Acquire, Act, Commit, Hello, Watch
from zproc.core.session import Session
from zproc.exceptions import LimitExceeded, ProtocolError
from zproc.typing import LeaseId, PeerId, RequestId

__all__ = ["Lasting", "Peer"]

Lasting: TypeAlias = Acquire | Commit | Act | Watch
"""The commands that may have to wait for their answer."""

_REQUEST_BYTES = 256
"""About what a request that waits costs beside its payload."""


@dataclass(slots=True)
class Peer:
    """A connection that has introduced itself.

    Attributes:
        id: its number.
        hello: its Hello, without the schema.
        session: the process that it belongs to.
        limits: the limits of the server.
        waiting: its requests that wait, for their turn or for a change.
        waiting_bytes: how many bytes these have.
        overran: its last turn that ended by the limit of time.
    """

    id: PeerId
    hello: Hello
    session: Session
    limits: Limits
    waiting: dict[RequestId, Lasting] = field(default_factory=dict)
    waiting_bytes: int = 0
    overran: LeaseId | None = None

    def waits_already(self, command: Lasting) -> bool:
        """Whether this is a copy of a request that waits, and will be answered with it.

        Raises:
            ProtocolError: it is another request of the same number.
        """
        other = self.waiting.get(command.request)
        if other is not None and other != command:
            raise ProtocolError(f"request {command.request} waits already, and is another one")
        return other is not None

    def let_wait(self, command: Lasting) -> None:
        """Record that a request waits.

        Raises:
            LimitExceeded: too much waits already.
        """
        if len(self.waiting) >= self.limits.waiting:
            raise LimitExceeded("waiting", len(self.waiting) + 1, self.limits.waiting)
        size = self.waiting_bytes + _weight(command)
        if size > self.limits.waiting_bytes:
            raise LimitExceeded("waiting_bytes", size, self.limits.waiting_bytes)
        self.waiting[command.request] = command
        self.waiting_bytes = size

    def no_longer_waits(self, request: RequestId) -> None:
        """Record that a request waits no longer."""
        self.waiting_bytes -= _weight(self.waiting.pop(request))


def _weight(command: Lasting) -> int:
    """About how many bytes a request takes to keep."""
    match command:
        case Acquire():
            return _REQUEST_BYTES + sum(map(len, command.fields))
        case Commit():
            return _REQUEST_BYTES + len(command.ops) + len(command.function)
        case Act():
            return _REQUEST_BYTES + len(command.call) + len(command.action)
        case Watch():
            return _REQUEST_BYTES + len(command.patterns)
        case _:
            assert_never(command)
