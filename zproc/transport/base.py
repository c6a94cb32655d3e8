"""What every transport promises, in the words that the layers above use.

The law: a transport moves frames, and does not know what they mean. A frame is a ``bytes`` of at most the peer's limit;
it arrives whole, once and in order, or not at all. A server's side (``Listener``) never blocks on a peer and never
raises because of one: whatever a peer does is an arrival. For each peer the arrivals are one ``Opened``, any number of
``Received``, one ``Closed``, in that order, and nothing after. What a peer can make the other side hold is bounded by
``Limits``.

No sockets here, and no clock: transports beside this module have them.
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
"""Longer waits are cut to this, in seconds: the system counts them in milliseconds and in 31 bits."""


@record
class Opened:
    """A peer has connected; it is held to the limits of a stranger until ``Listener.allow``.

    Attributes:
        peer: the number that the peer has from now on; never given again by this listener.
        pid: its process id as the kernel tells it, or ``None`` where the kernel does not.
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
    """A peer is gone, by its own will, by a limit or by ``Listener.disconnect``; nothing more of it arrives.

    Attributes:
        peer: its number.
        reason: why, in words.
    """

    peer: PeerId
    reason: str


Arrival: TypeAlias = Opened | Received | Closed
"""Whatever a poll can bring."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What peers can make a listener hold: at most ``peers * (frame + backlog)`` bytes and one file descriptor each.

    Attributes:
        first_frame: the longest frame of a peer that has not been allowed more, in bytes.
        frame: the longest frame that ``Listener.send`` takes and ``Listener.allow`` can allow, in bytes.
        backlog: what may be queued for a peer that does not read, in bytes; each frame costs 64 more for keeping it.
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
    """The server's side of a transport. One thread uses it; only ``wake`` may be called from others.

    Signal handlers of that thread set something and ``wake``; one that raises may tear a frame.

    A forked child inherits none of it: there the listener is closed, and the parent's is unharmed.
    """

    @property
    def address(self) -> str:
        """Where clients connect."""
        ...

    def poll(self, timeout: float | None) -> list[Arrival]:
        """Wait until something has arrived, and take it.

        Args:
            timeout: how long to wait at most, in seconds; ``None`` for as long as it takes.

        Returns:
            What has arrived, in order; nothing after a timeout or a wake-up, and now and then nothing for no reason to
            be seen.

        Raises:
            UsageError: the listener is closed.
        """
        ...

    def send(self, peer: PeerId, frame: bytes) -> None:
        """Send a frame to a peer, at once as far as it can be taken and later for the rest; never waits.

        A peer whose backlog grows over its limit is disconnected. One that is gone is ignored: its ``Closed`` says so.

        Raises:
            LimitExceeded: the frame is longer than ``Limits.frame``. Nothing was sent.
        """
        ...

    def disconnect(self, peer: PeerId, reason: str) -> None:
        """End a connection, after what is queued for it as far as it can be taken at once.

        Args:
            peer: whose. One that is gone is ignored.
            reason: told to the peer where it can still be told, and in the ``Closed`` that follows.
        """
        ...

    def allow(self, peer: PeerId, max_frame: int) -> None:
        """Take a peer for a client after its hello: lift its time limit and raise its frame limit.

        Args:
            peer: which. One that is gone is ignored.
            max_frame: its new frame limit, in bytes; cut to ``Limits.frame``.
        """
        ...

    def add_waker(self, fileno: int) -> None:
        """Have ``poll`` return while this file descriptor is readable, until it is closed.

        What is to be read there is the caller's to read: a poll returns at once for as long as it is not.

        Raises:
            UsageError: it is not a descriptor that can be waited for.
        """
        ...

    def wake(self) -> None:
        """Make the poll under way, or else the next one, return. For other threads and for signal handlers."""
        ...

    def close(self) -> None:
        """Disconnect everybody and give the address up. Does nothing the second time, nor in a forked child."""
        ...


class Channel(Protocol):
    """A client's side of a transport. One thread at a time uses it; only ``close`` may be called from others.

    An exception that is not of zproc, such as KeyboardInterrupt, leaves it usable or closed, never out of step: no
    frame is ever taken for another. A forked child cannot use its parent's: there it is closed.
    """

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more, because of ``close``, an error or a fork."""
        ...

    def send(self, frame: bytes, timeout: float | None = None) -> None:
        """Send a frame.

        Args:
            frame: what to send.
            timeout: how long to wait at most until the server takes it, in seconds.

        Raises:
            LimitExceeded: the frame is longer than the channel's limit. Nothing was sent.
            WaitTimeout: the server did not take it; when it took a part, the channel is closed now.
            Unavailable: the server is gone. It may have taken the frame.
            UsageError: the channel is closed.
        """
        ...

    def recv(self, timeout: float | None = None) -> bytes:
        """Take the next frame.

        Args:
            timeout: how long to wait at most, in seconds.

        Raises:
            WaitTimeout: none came; a part that did is kept for the next call.
            Unavailable: the server is gone; the reason is its own where it gave one. The channel is closed now.
            ProtocolError: the server sent what is not a frame. The channel is closed now.
            UsageError: the channel is closed, or was closed by another thread meanwhile.
        """
        ...

    def fileno(self) -> int:
        """Return a descriptor that is readable when ``recv`` may have something.

        Part of what it reads may be held already: wait on it only after a ``recv`` with a timeout of 0 found nothing.

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
        keys: the directory of the keys to prove oneself by; empty for none.
    """

    scheme: str
    place: str
    keys: str = ""

    def __str__(self) -> str:
        return f"{self.scheme}://{self.place}" + (f"{_KEYS}{self.keys}" if self.keys else "")

    @property
    def public(self) -> str:
        """The address as others than this machine's need it."""
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
    """Take an address apart.

    Raises:
        UsageError: it is none, or of no known scheme.
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
    """Put the directory of the keys into an address, so that it goes wherever the address goes.

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
    """Make a timeout one that the operating system takes: neither negative nor beyond its range, in seconds."""
    if math.isnan(timeout):
        raise UsageError("a timeout cannot be NaN")
    return min(max(timeout, 0.0), LONGEST_WAIT)


def over_limit(size: int, limit: int) -> str:
    """Say that a frame is too long, in the words that both sides get."""
    return f"frame of {size} bytes is over the limit of {limit}"


def over_backlog(size: int, limit: int) -> str:
    """Say that a peer reads too slowly."""
    return f"backlog of {size} bytes is over the limit of {limit}"


def too_many_peers(limit: int) -> str:
    """Say that a peer is one too many."""
    return f"the limit of {limit} peers is reached"


def went_by_itself(reason: str) -> bool:
    """Whether the reason of a `Closed` is that the peer went, and not that it was cut off."""
    return reason.startswith((CLOSED_BY_PEER, CONNECTION_LOST))


def no_hello(limit: float) -> str:
    """Say that a peer was not allowed in time."""
    return f"no hello within the handshake limit of {limit:g} s"


def ended_by_server(reason: str) -> str:
    """Say what a client is told when the server has given a reason."""
    return f"the server has ended the connection: {reason}"


def listener_closed() -> UsageError:
    """Make the error of a listener that is used after its end."""
    return UsageError("this listener is closed, or was inherited by a fork")


def channel_closed() -> UsageError:
    """Make the error of a channel that is used after its end."""
    return UsageError("this channel is closed, or was inherited by a fork; connect anew")


def address_in_use(address: str, holder: str) -> UsageError:
    """Make the error of an address that somebody else listens at.

    Args:
        address: which.
        holder: who has it, as far as known.
    """
    return UsageError(f"{address}: address in use by {holder}; connect to it, or listen at another")
