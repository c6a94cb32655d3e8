"""The interface of all transports, and what each of them guarantees.

The law: a transport moves frames, and does not know what they mean. A frame is a ``bytes`` of at most the peer's limit;
it arrives whole, once and in order, or not at all. A server's side (``Listener``) never blocks on a peer and never
raises because of one: whatever a peer does is an arrival. For each peer the arrivals are one ``Opened``, any number of
``Received``, one ``Closed``, in that order, and nothing after. What a peer can make the other side hold is bounded by
``Limits``.

There are no sockets and no clock here: the transports beside this module have them.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from zproc.arguments import TEXT, expect
from zproc.exceptions import UsageError
from zproc.schema.record import record

if TYPE_CHECKING:
    from zproc.typing import PeerId

__all__ = [
    "CLOSED_BY_PEER",
    "CONNECTION_LOST",
    "CONNECT_TIMEOUT",
    "MAX_FRAME",
    "SCHEMES",
    "SERVER_CLOSED",
    "TURN",
    "Address",
    "Arrival",
    "Channel",
    "Closed",
    "Limits",
    "Listener",
    "Opened",
    "Received",
    "address_in_use",
    "capped",
    "channel_closed",
    "ended_by_server",
    "listener_closed",
    "no_hello",
    "over_backlog",
    "over_limit",
    "parse_address",
    "too_many_peers",
    "went_by_itself",
    "with_keys",
]

MAX_FRAME: Final = 16 << 20
"""The longest frame that a peer may send after its hello, and that a client takes, in bytes, unless told otherwise."""

CONNECT_TIMEOUT: Final = 1.0
"""How long ``connect`` tries before it says that nobody is there, in seconds."""

TURN: Final = 64
"""How many frames of one peer a single poll delivers at most: a flooding peer costs the others one turn, no more."""

LONGEST_WAIT: Final = 1e6
"""The longest timeout passed to the system, in seconds, which counts milliseconds in 31 bits."""


@record
class Opened:
    """A peer has connected; the limits for strangers apply to it until ``Listener.allow``.

    Attributes:
        peer: its number, which this listener never reuses.
        pid: its process id according to the kernel, or ``None`` where the kernel does not tell.
    """

    peer: PeerId
    pid: int | None


@record
class Received:
    """A peer has sent one whole frame."""

    peer: PeerId
    frame: bytes


@record
class Closed:
    """A peer is gone: it left, exceeded a limit or was disconnected. Nothing more arrives from it.

    Attributes:
        peer: its number.
        reason: why, in words.
    """

    peer: PeerId
    reason: str


Arrival: TypeAlias = Opened | Received | Closed
"""Whatever a poll can return."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on what peers can make a listener hold: ``peers * (frame + backlog)`` bytes, and a descriptor each.

    Attributes:
        first_frame: the longest frame of a peer that has not been allowed more, in bytes.
        frame: the longest frame that ``Listener.send`` accepts and ``Listener.allow`` can allow, in bytes.
        backlog: how much may be queued for a peer that does not read, in bytes; each frame counts 64 more.
        peers: how many may be connected at a time.
        handshake: how long a peer may stay without being allowed, in seconds.
    """

    first_frame: int = 4 << 10
    frame: int = MAX_FRAME
    backlog: int = 32 << 20
    peers: int = 10_000
    handshake: float = 5.0

    def __post_init__(self) -> None:
        for name in ("first_frame", "frame", "backlog", "peers", "handshake"):
            if not getattr(self, name) > 0:
                raise UsageError(f"the limit {name!r} must be positive, not {getattr(self, name)!r}")
        if max(self.first_frame, self.frame) >= 1 << 31:
            raise UsageError("a frame is shorter than 2 GiB: its length travels in 31 bits")


class Listener(Protocol):
    """The server's side of a transport. One thread uses it; only ``wake`` may be called by others.

    Signal handlers of that thread may set a flag and call ``wake``; one that raises may tear a frame.

    It does not survive a fork: in the child the listener is closed, without effect on the parent's.
    """

    @property
    def address(self) -> str:
        """Where clients connect."""
        ...

    def poll(self, timeout: float | None) -> list[Arrival]:
        """Wait until something has arrived, and return it.

        Args:
            timeout: how long to wait, in seconds; ``None`` for no limit.

        Returns:
            What has arrived, in order; nothing after a timeout or a wake-up, and occasionally nothing for no apparent
            reason.

        Raises:
            UsageError: the listener is closed.
        """
        ...

    def send(self, peer: PeerId, frame: bytes) -> None:
        """Send a frame to a peer: what it takes at once, and the rest later; never block.

        A peer whose backlog exceeds its limit is disconnected. One that is gone is ignored: its ``Closed`` says so.

        Raises:
            LimitExceeded: the frame is longer than ``Limits.frame``. Nothing was sent.
        """
        ...

    def disconnect(self, peer: PeerId, reason: str) -> None:
        """End a connection, after as much of its queue as the peer takes at once.

        Args:
            peer: the peer; one that is gone is ignored.
            reason: sent to the peer if possible, and in the ``Closed`` that follows.
        """
        ...

    def allow(self, peer: PeerId, max_frame: int) -> None:
        """Accept a peer as a client after its hello: lift its time limit and raise its frame limit.

        Args:
            peer: the peer; one that is gone is ignored.
            max_frame: its new frame limit, in bytes; at most ``Limits.frame``.
        """
        ...

    def add_waker(self, fileno: int) -> None:
        """Make ``poll`` return while a file descriptor is readable, until that is closed.

        The caller has to read from it: until then, each poll returns at once.

        Raises:
            UsageError: it is not a descriptor that can be polled.
        """
        ...

    def wake(self) -> None:
        """Make the current poll, or else the next one, return. For other threads and signal handlers."""
        ...

    def close(self) -> None:
        """Disconnect all peers and release the address. Does nothing the second time, nor in a forked child."""
        ...


class Channel(Protocol):
    """A client's side of a transport. One thread at a time uses it; only ``close`` may be called by others.

    After a foreign exception, such as KeyboardInterrupt, it is usable or closed, but never out of step: no frame is
    ever taken for another. It does not survive a fork: in the child it is closed.
    """

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more, because of ``close``, an error or a fork."""
        ...

    def send(self, frame: bytes, timeout: float | None = None) -> None:
        """Send a frame.

        Args:
            frame: the frame.
            timeout: how long to wait for the server to take it, in seconds.

        Raises:
            LimitExceeded: the frame is longer than the channel's limit. Nothing was sent.
            WaitTimeout: the server did not take it; if it took a part, the channel is closed now.
            Unavailable: the server is gone. It may have received the frame.
            UsageError: the channel is closed.
        """
        ...

    def recv(self, timeout: float | None = None) -> bytes:
        """Return the next frame.

        Args:
            timeout: how long to wait, in seconds.

        Raises:
            WaitTimeout: none came; a part that did is kept for the next call.
            Unavailable: the server is gone, for the reason that it gave, if any. The channel is closed now.
            ProtocolError: the server sent something that is no frame. The channel is closed now.
            UsageError: the channel is closed, or was closed by another thread meanwhile.
        """
        ...

    def fileno(self) -> int:
        """Return a descriptor that is readable when ``recv`` may have something.

        Frames may have been received already: wait on it only after a ``recv`` with a timeout of 0 found nothing.

        Raises:
            UsageError: the channel is closed, or its transport has no descriptors.
        """
        ...

    def close(self) -> None:
        """End the connection; a ``recv`` of another thread raises UsageError. Does nothing the second time."""
        ...


@dataclass(frozen=True, slots=True)
class Address:
    """An address, in parts.

    Attributes:
        scheme: the transport: a key of ``SCHEMES``.
        place: what follows ``://``; never empty.
        keys: the directory of our keys; empty for none.
    """

    scheme: str
    place: str
    keys: str = ""

    def __str__(self) -> str:
        return f"{self.scheme}://{self.place}" + (f"{_KEYS}{self.keys}" if self.keys else "")

    @property
    def public(self) -> str:
        """The address without what only this machine needs."""
        return f"{self.scheme}://{self.place}"


_KEYS: Final = "?keys="

CLOSED_BY_PEER: Final = "closed by the peer"
CONNECTION_LOST: Final = "connection lost"
SERVER_CLOSED: Final = "the server has closed"

SCHEMES: Final = {
    "unix": "unix:///absolute/path",
    "memory": "memory://name",
    "tcp": "tcp://host:port",
    "ipc": "ipc:///absolute/path",
}
"""The known schemes, each with the form that its addresses have."""


def parse_address(text: str) -> Address:
    """Parse an address.

    Raises:
        UsageError: it is none, or its scheme is unknown.
    """
    expect("an address", text, TEXT)
    scheme, separator, place = text.partition("://")
    if not separator or scheme not in SCHEMES:
        raise UsageError(f"{text!r} is not an address; known are {', '.join(SCHEMES.values())}")
    if not place or "\0" in place or (scheme in {"unix", "ipc"} and not place.startswith("/")):
        # A relative path would be another place for every process that changes its directory.
        raise UsageError(f"{text!r} is not of the form {SCHEMES[scheme]}")
    if scheme != "tcp":
        return Address(scheme, place)
    place, _, keys = place.partition(_KEYS)
    if keys and not keys.startswith("/"):
        raise UsageError(f"{text!r}: the directory of keys must be an absolute path")
    return Address(scheme, place, keys)


def with_keys(address: str, keys: str | None) -> str:
    """Add the directory of the keys to an address, so that it is passed on with it.

    Args:
        address: where a server listens.
        keys: the directory; ``None`` to leave the address as it is.

    Raises:
        UsageError: it is no address, or one that takes no keys.
    """
    if keys is None:
        return address
    parsed = parse_address(address)
    if parsed.scheme != "tcp":
        raise UsageError(f"{address}: keys are for tcp:// addresses; here the kernel tells who connects")
    return str(replace(parsed, keys=os.path.abspath(keys)))


def capped(timeout: float) -> float:
    """Clamp a timeout, in seconds, to what the operating system accepts."""
    if math.isnan(timeout):
        raise UsageError("a timeout cannot be NaN")
    return min(max(timeout, 0.0), LONGEST_WAIT)


def over_limit(size: int, limit: int) -> str:
    """Return the message about a frame that is too long, for both sides."""
    return f"frame of {size} bytes is over the limit of {limit}"


def over_backlog(size: int, limit: int) -> str:
    """Return the message about a peer that reads too slowly."""
    return f"backlog of {size} bytes is over the limit of {limit}"


def too_many_peers(limit: int) -> str:
    """Return the message for a peer that is one too many."""
    return f"the limit of {limit} peers is reached"


def went_by_itself(reason: str) -> bool:
    """Return whether the reason of a `Closed` is that the peer left, rather than that it was cut off."""
    return reason.startswith((CLOSED_BY_PEER, CONNECTION_LOST))


def no_hello(limit: float) -> str:
    """Return the message for a peer that was not allowed in time."""
    return f"no hello within the handshake limit of {limit:g} s"


def ended_by_server(reason: str) -> str:
    """Return the message for a client whose server gave a reason."""
    return f"the server has ended the connection: {reason}"


def listener_closed() -> UsageError:
    """Return the error for a listener that is used after its end."""
    return UsageError("this listener is closed, or was inherited by a fork")


def channel_closed() -> UsageError:
    """Return the error for a channel that is used after its end."""
    return UsageError("this channel is closed, or was inherited by a fork; connect anew")


def address_in_use(address: str, holder: str) -> UsageError:
    """Return the error for an address that is in use.

    Args:
        address: the address.
        holder: who uses it, as far as known.
    """
    return UsageError(f"{address}: address in use by {holder}; connect to it, or listen at another")
