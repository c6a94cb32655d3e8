"""Configuring ZeroMQ: contexts, socket options, and monitors.

The law: every option is set before a socket binds or connects, because later it would silently have no effect. A socket
never reconnects by itself: a lost connection is the end of its link, and the layers above decide what to send again.
Nothing waits for ever: neither the termination of a context, nor a silent peer.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import zmq

from zproc.exceptions import UsageError
from zproc.transport.keys import ClientKeys, ServerKeys
from zproc.transport.link import MAX_PIECE

__all__ = [
    "DOMAIN",
    "HANDSHAKE",
    "Event",
    "Monitor",
    "descriptor_of",
    "libzmq_version",
    "new_context",
    "open_dealer",
    "open_router",
    "release_context",
    "shared_context",
]

DOMAIN: Final = b"zproc"
"""The ZAP domain of our sockets; without its handler nobody is admitted."""

HANDSHAKE: Final = 3.0
"""How long a handshake may take, in seconds."""

_MONITORED: Final = (
    zmq.EVENT_ACCEPTED
    | zmq.EVENT_CLOSED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
)
_SEAL: Final = 64  # bytes that encryption adds to a message, at most
_places: Final = itertools.count()
_SOCKETS: Final = 65_535
_QUEUED: Final = 64  # messages of a peer that ZeroMQ holds until they are received
_AHEAD: Final = 256  # messages of ours that it holds until they are sent


# -- contexts


def libzmq_version() -> str:
    """Return the version of the library."""
    return zmq.zmq_version()


def new_context() -> zmq.Context[zmq.Socket[bytes]]:
    """Return a new context: one I/O thread, and whatever sockets are created from it."""
    if not zmq.has("curve"):
        raise UsageError("this build of libzmq has no CURVE, without which nobody can be told from anybody else")
    context = zmq.Context()
    context.set(zmq.MAX_SOCKETS, _SOCKETS)
    return context


@dataclass(slots=True)
class _Shared:
    """The context that the channels of this process share, and their number."""

    pid: int = 0
    users: int = 0
    context: zmq.Context[zmq.Socket[bytes]] | None = None


_shared = _Shared()
_lock = threading.RLock()  # a finalizer may run in the middle of anything


def shared_context() -> zmq.Context[zmq.Socket[bytes]]:
    """Return the context of this process's channels; each call is matched by one of `release_context`."""
    with _lock:
        if _shared.context is None or _shared.pid != os.getpid():
            # In a fork, the parent's context has no threads any more; it is kept until the process exits.
            _forgotten.append(_shared.context)
            _shared.context, _shared.pid, _shared.users = new_context(), os.getpid(), 0
        _shared.users += 1
        return _shared.context


_forgotten: list[zmq.Context[zmq.Socket[bytes]] | None] = []


def release_context(pid: int) -> None:
    """Release what `shared_context` returned in a process; with the last release its thread ends."""
    with _lock:
        if pid != os.getpid() or pid != _shared.pid:
            return
        _shared.users -= 1
        if _shared.users:
            return
        context, _shared.context = _shared.context, None
    assert context is not None, "there was a user of it"
    context.term()


def _after_fork_in_child() -> None:
    global _lock  # noqa: PLW0603 - a thread that does not exist here may have held it
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork either
    os.register_at_fork(after_in_child=_after_fork_in_child)


# -- sockets


def _prepare(socket: zmq.Socket[bytes]) -> None:
    socket.set(zmq.LINGER, 0)
    socket.set(zmq.HANDSHAKE_IVL, round(HANDSHAKE * 1000))
    # Heartbeats show that a machine is gone or unreachable, but not that a process is stuck: ZeroMQ's thread answers.
    socket.set(zmq.HEARTBEAT_IVL, 2000)
    socket.set(zmq.HEARTBEAT_TIMEOUT, 6000)
    socket.set(zmq.HEARTBEAT_TTL, 6000)
    socket.set(zmq.MAXMSGSIZE, MAX_PIECE + _SEAL)
    socket.set(zmq.TCP_KEEPALIVE, 1)
    socket.set(zmq.IPV6, 1)


def open_router(context: zmq.Context[zmq.Socket[bytes]], keys: ServerKeys | None, queue: int) -> zmq.Socket[bytes]:
    """Return a server's socket, not bound yet.

    Args:
        context: its context.
        keys: the server's keys; ``None`` where the kernel identifies clients.
        queue: how many connections the kernel queues until they are accepted.
    """
    router = context.socket(zmq.ROUTER)
    _prepare(router)
    router.set(zmq.ROUTER_MANDATORY, 1)
    router.set(zmq.ROUTER_HANDOVER, 0)
    router.set(zmq.SNDTIMEO, 0)
    # No limit here: what is on the way to a peer is bounded by its window, in bytes.
    router.set(zmq.SNDHWM, 0)
    router.set(zmq.RCVHWM, _QUEUED)
    router.set(zmq.BACKLOG, queue)
    if keys is not None:
        router.set(zmq.CURVE_SERVER, 1)
        router.set(zmq.CURVE_SECRETKEY, keys.secret)
        router.set(zmq.ZAP_DOMAIN, DOMAIN)
        # Otherwise everybody would be admitted as soon as the thread that checks keys has died.
        router.set(zmq.ZAP_ENFORCE_DOMAIN, 1)
    return router


def open_dealer(context: zmq.Context[zmq.Socket[bytes]], keys: ClientKeys | None) -> zmq.Socket[bytes]:
    """Return a client's socket, not connected yet.

    Args:
        context: its context.
        keys: the client's keys; ``None`` where the kernel identifies clients.
    """
    dealer = context.socket(zmq.DEALER)
    _prepare(dealer)
    dealer.set(zmq.IMMEDIATE, 1)
    dealer.set(zmq.RECONNECT_IVL, -1)
    dealer.set(zmq.CONNECT_TIMEOUT, round(HANDSHAKE * 1000))
    dealer.set(zmq.SNDTIMEO, 0)
    dealer.set(zmq.SNDHWM, _AHEAD)
    # No limit here: what is on the way to us is bounded by the window.
    dealer.set(zmq.RCVHWM, 0)
    if keys is not None:
        dealer.set(zmq.CURVE_PUBLICKEY, keys.public)
        dealer.set(zmq.CURVE_SECRETKEY, keys.secret)
        dealer.set(zmq.CURVE_SERVERKEY, keys.server)
    return dealer


def descriptor_of(socket: zmq.Socket[bytes]) -> int:
    """Return a descriptor that is readable when something may have come since the last receive."""
    number = socket.get(zmq.FD)
    assert isinstance(number, int), "it is a descriptor"
    return number


# -- what happens to connections


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a connection.

    Attributes:
        kind: which, as ``zmq.EVENT_...``.
        value: the connection's descriptor, or an error code.
    """

    kind: int
    value: int


class Monitor:
    """The events of the connections of a socket, in order.

    Args:
        context: the socket's context.
        socket: the socket, neither bound nor connected yet.
    """

    __slots__ = ("_socket", "_watched")

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], socket: zmq.Socket[bytes]) -> None:
        # A closed socket keeps its endpoint for a while, so no two may ever have the same.
        place = f"inproc://monitor-{next(_places)}"
        self._watched = socket
        self._socket = context.socket(zmq.PAIR)
        self._socket.set(zmq.LINGER, 0)
        # ZeroMQ's I/O thread would block on a full monitor, and everything with it.
        self._socket.set(zmq.RCVHWM, 0)
        socket.monitor(place, _MONITORED)
        self._socket.connect(place)
        # Its descriptor tells only of what comes after the last receive, and without a first one of nothing.
        assert not list(self.events()), "nothing has happened yet"

    def fileno(self) -> int:
        """Return a descriptor that is readable when something has come since the last receive."""
        return descriptor_of(self._socket)

    @property
    def socket(self) -> zmq.Socket[bytes]:
        """The socket to poll."""
        return self._socket

    def wait(self, timeout: float) -> bool:
        """Wait for an event, for so many seconds; return whether there is one."""
        return bool(self._socket.poll(round(timeout * 1000)))

    def events(self) -> Iterator[Event]:
        """Yield the pending events."""
        with contextlib.suppress(zmq.Again):
            while True:
                parts = self._socket.recv_multipart(zmq.NOBLOCK)
                yield Event(*struct.unpack("=Hi", parts[0]))

    def close(self) -> None:
        """Stop monitoring. For the thread that uses the socket."""
        with contextlib.suppress(zmq.ZMQError):
            self._watched.disable_monitor()
        self._socket.close(0)
