"""Bytes in motion: frames between a server and its clients, over whatever the address names.

The law: this package knows nothing of what the bytes mean, and what is above it knows nothing of how they travel. An
address picks the transport; its module is loaded at the first use, so that nobody pays for a transport that is not
used, nor needs what it needs.
"""

from __future__ import annotations

import contextlib

import zproc.transport.fork  # noqa: F401 - before a transport needs it: what is above registers for forks at its import
from zproc.exceptions import Unavailable, UsageError
from zproc.transport.base import (
    CONNECT_TIMEOUT,
    MAX_FRAME,
    Address,
    Arrival,
    Channel,
    Closed,
    Limits,
    Listener,
    Opened,
    Received,
    parse_address,
    went_by_itself,
    with_keys,
)
from zproc.transport.word import NOWHERE, Words, publish, word

__all__ = [
    "MAX_FRAME",
    "NOWHERE",
    "Address",
    "Arrival",
    "Channel",
    "Closed",
    "Limits",
    "Listener",
    "Opened",
    "Received",
    "Words",
    "clear",
    "clear_all",
    "clear_path",
    "connect",
    "fresh_address",
    "left_behind",
    "listen",
    "parse_address",
    "preload",
    "publish",
    "runtime_directory",
    "went_by_itself",
    "with_keys",
    "word",
]


def listen(address: str, limits: Limits | None = None) -> Listener:
    """Start listening.

    Args:
        address: where: ``unix:///absolute/path``, ``ipc:///absolute/path``, ``tcp://host:port`` or ``memory://name``.
        limits: what peers can make the listener hold.

    Returns:
        The server's side. Whoever gets it calls ``close``.

    Raises:
        UsageError: it is not an address, is in use, or can be reached from other machines and has no keys.
        Unavailable: the system refuses.
    """
    parsed = parse_address(address)
    if parsed.scheme == "unix":
        from zproc.transport.local import LocalListener

        return LocalListener(parsed.place, limits)
    if parsed.scheme == "memory":
        from zproc.transport.memory import MemoryListener

        return MemoryListener(parsed.place, limits)
    from zproc.transport.endpoint import place_of
    from zproc.transport.router import RouterListener

    return RouterListener(place_of(parsed), limits)


def connect(address: str, timeout: float = CONNECT_TIMEOUT, limit: int = MAX_FRAME) -> Channel:
    """Connect to a server.

    Args:
        address: where it listens.
        timeout: how long to wait at most for a server that is too busy to accept, in seconds. When nobody listens there
            is no wait.
        limit: the longest frame in both directions, in bytes.

    Returns:
        The client's side. Whoever gets it calls ``close``.

    Raises:
        UsageError: it is not an address.
        Unavailable: nobody listens there.
        AuthenticationError: the server does not know us, or is not the one that we know.
    """
    parsed = parse_address(address)
    if parsed.scheme == "unix":
        from zproc.transport.channel import LocalChannel

        return LocalChannel(parsed.place, timeout, limit)
    if parsed.scheme == "memory":
        from zproc.transport.memory import MemoryChannel

        return MemoryChannel(parsed.place, limit)
    from zproc.transport.dealer import DealerChannel

    return DealerChannel(parsed, timeout, limit)


def clear(address: str) -> None:
    """Remove what a server that was killed has left at an address; nothing happens if somebody listens there.

    Args:
        address: where it listened.
    """
    parsed = parse_address(address)
    if parsed.scheme == "memory":
        return
    with contextlib.suppress(UsageError, Unavailable):
        if parsed.scheme == "tcp":
            from zproc.transport.endpoint import forget

            forget(parsed)
        else:
            from zproc.transport.rendezvous import Claim

            claim = Claim(parsed.place)
            claim.make_room()
            claim.release()


def preload() -> None:
    """Load the transport of this machine, which nearly everybody uses."""
    with contextlib.suppress(ImportError):  # not on every system
        from zproc.transport import local  # noqa: F401


def clear_all() -> None:
    """Remove what servers that were killed have left in the runtime directory."""
    with contextlib.suppress(UsageError):
        from zproc.transport import rendezvous

        for address in rendezvous.abandoned():
            clear(address)


def left_behind() -> list[str]:
    """List the paths in the runtime directory that servers held that were killed, whatever their addresses.

    Raises:
        UsageError: there is no such directory; see ``runtime_directory``.
    """
    from zproc.transport import rendezvous

    return rendezvous.left_behind()


def clear_path(path: str) -> bool:
    """Remove what a server that was killed has left at a path, and tell whether it was dead."""
    from zproc.transport import rendezvous

    return rendezvous.clear_path(path)


def runtime_directory() -> str:
    """Return the directory of this user's sockets, and whatever else lives no longer than processes do.

    Raises:
        UsageError: there is none that only this user can use.
    """
    from zproc.transport import rendezvous

    return rendezvous.runtime_directory()


def fresh_address() -> str:
    """Return a ``unix://`` address that nobody uses, in a directory that nobody else can enter.

    Raises:
        UsageError: there is no such directory and none can be made; the error says what to set.
    """
    from zproc.transport import rendezvous

    return rendezvous.fresh_address()
