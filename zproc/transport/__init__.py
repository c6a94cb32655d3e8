"""Transports: frames between a server and its clients, over whatever the address names.

The law: this package knows nothing of what the bytes mean, and the layers above know nothing of how they travel. The
address selects the transport, whose module is imported at first use, so that an unused transport costs nothing, nor
needs to have its dependencies installed.
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
        address: ``unix:///absolute/path``, ``ipc:///absolute/path``, ``tcp://host:port`` or ``memory://name``.
        limits: bounds on what peers can make the listener hold.

    Returns:
        The server's side; to be closed by the caller.

    Raises:
        UsageError: it is no address, it is in use, or other machines can reach it and it has no keys.
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
        timeout: how long to wait for a server that is too busy to accept, in seconds. If nobody listens, the call fails
            at once.
        limit: the longest frame in either direction, in bytes.

    Returns:
        The client's side; to be closed by the caller.

    Raises:
        UsageError: it is no address.
        Unavailable: nobody listens there.
        AuthenticationError: the server does not know our key, or has not the key that we expect.
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
    """Remove what a killed server has left at an address; do nothing if somebody listens there.

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
    """Import the transport that nearly every program uses."""
    with contextlib.suppress(ImportError):  # it is not available on every system
        from zproc.transport import local  # noqa: F401


def clear_all() -> None:
    """Remove what killed servers have left in the runtime directory."""
    with contextlib.suppress(UsageError):
        from zproc.transport import rendezvous

        for address in rendezvous.abandoned():
            clear(address)


def left_behind() -> list[str]:
    """Return the paths in the runtime directory that belonged to killed servers, whatever their addresses.

    Raises:
        UsageError: there is no such directory; see ``runtime_directory``.
    """
    from zproc.transport import rendezvous

    return rendezvous.left_behind()


def clear_path(path: str) -> bool:
    """Remove what a killed server has left at a path; return whether it was dead."""
    from zproc.transport import rendezvous

    return rendezvous.clear_path(path)


def runtime_directory() -> str:
    """Return the directory for this user's sockets, and for other files that live no longer than processes.

    Raises:
        UsageError: there is none that only this user can access.
    """
    from zproc.transport import rendezvous

    return rendezvous.runtime_directory()


def fresh_address() -> str:
    """Return an unused ``unix://`` address in a directory that only this user can enter.

    Raises:
        UsageError: there is no such directory and none can be made; the error says what to set.
    """
    from zproc.transport import rendezvous

    return rendezvous.fresh_address()
