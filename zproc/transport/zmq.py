"""What ZeroMQ is told before anything else: contexts, options, and what its monitor says.

The law: every option is set before a socket binds or connects, because later it would say nothing and do nothing. A
socket never connects again by itself: a connection that is lost is the end of its link, and whoever is above decides
what to ask again. Nothing waits for ever: not the end of a context, nor a peer that does not speak.
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
"""The domain that keys are checked for; without its checker nobody is let in."""

HANDSHAKE: Final = 3.0
"""How long a connection may take to say who it is, in seconds."""

_MONITORED: Final = (
    zmq.EVENT_ACCEPTED
    | zmq.EVENT_CLOSED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
)
_SEAL: Final = 64  # bytes that a message grows by when it is encrypted, at most
_places: Final = itertools.count()
_SOCKETS: Final = 65_535
_QUEUED: Final = 64  # messages of a peer that ZeroMQ holds until they are looked at
_AHEAD: Final = 256  # messages of ours that it holds until they are sent


# -- contexts


def libzmq_version() -> str:
    """Return the version of the library."""
    return zmq.zmq_version()


def new_context() -> zmq.Context[zmq.Socket[bytes]]:
    """Return a context: one thread of ZeroMQ's, and whatever sockets are made of it."""
    if not zmq.has("curve"):
        raise UsageError("this build of libzmq has no CURVE, without which nobody can be told from anybody else")
    context = zmq.Context()
    context.set(zmq.MAX_SOCKETS, _SOCKETS)
    return context


@dataclass(slots=True)
class _Shared:
    """The context that the channels of this process share, and how many they are."""

    pid: int = 0
    users: int = 0
    context: zmq.Context[zmq.Socket[bytes]] | None = None


_shared = _Shared()
_lock = threading.RLock()  # a finalizer may run in the middle of anything


def shared_context() -> zmq.Context[zmq.Socket[bytes]]:
    """Return the context of this process's channels; each call is answered by one of `release_context`."""
    with _lock:
        if _shared.context is None or _shared.pid != os.getpid():
            # In a fork the parent's has no threads any more; whatever it holds is left to the end of the process.
            _forgotten.append(_shared.context)
            _shared.context, _shared.pid, _shared.users = new_context(), os.getpid(), 0
        _shared.users += 1
        return _shared.context


_forgotten: list[zmq.Context[zmq.Socket[bytes]] | None] = []


def release_context(pid: int) -> None:
    """Give back what `shared_context` returned in a process; with the last one its thread ends."""
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
    global _lock  # noqa: PLW0603 - a thread that did not come along may have held it
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork either
    os.register_at_fork(after_in_child=_after_fork_in_child)


# -- sockets


def _prepare(socket: zmq.Socket[bytes]) -> None:
    socket.set(zmq.LINGER, 0)
    socket.set(zmq.HANDSHAKE_IVL, round(HANDSHAKE * 1000))
    # Shows a machine that is gone or cut off. That a process is stuck it does not show: ZeroMQ's thread answers.
    socket.set(zmq.HEARTBEAT_IVL, 2000)
    socket.set(zmq.HEARTBEAT_TIMEOUT, 6000)
    socket.set(zmq.HEARTBEAT_TTL, 6000)
    socket.set(zmq.MAXMSGSIZE, MAX_PIECE + _SEAL)
    socket.set(zmq.TCP_KEEPALIVE, 1)
    socket.set(zmq.IPV6, 1)


def open_router(context: zmq.Context[zmq.Socket[bytes]], keys: ServerKeys | None, queue: int) -> zmq.Socket[bytes]:
    """Return a server's socket, not bound yet.

    Args:
        context: what it is made of.
        keys: who the server is; ``None`` where the kernel says who may connect.
        queue: how many connections the kernel keeps until they are accepted.
    """
    router = context.socket(zmq.ROUTER)
    _prepare(router)
    router.set(zmq.ROUTER_MANDATORY, 1)
    router.set(zmq.ROUTER_HANDOVER, 0)
    router.set(zmq.SNDTIMEO, 0)
    # What is on the way to a peer is bounded by its window, in bytes.
    router.set(zmq.SNDHWM, 0)
    router.set(zmq.RCVHWM, _QUEUED)
    router.set(zmq.BACKLOG, queue)
    if keys is not None:
        router.set(zmq.CURVE_SERVER, 1)
        router.set(zmq.CURVE_SECRETKEY, keys.secret)
        router.set(zmq.ZAP_DOMAIN, DOMAIN)
        # Otherwise everybody were let in, as soon as the thread that checks keys is dead.
        router.set(zmq.ZAP_ENFORCE_DOMAIN, 1)
    return router


def open_dealer(context: zmq.Context[zmq.Socket[bytes]], keys: ClientKeys | None) -> zmq.Socket[bytes]:
    """Return a client's socket, not connected yet.

    Args:
        context: what it is made of.
        keys: who the client is, and whom it expects; ``None`` where the kernel says who may connect.
    """
    dealer = context.socket(zmq.DEALER)
    _prepare(dealer)
    dealer.set(zmq.IMMEDIATE, 1)
    dealer.set(zmq.RECONNECT_IVL, -1)
    dealer.set(zmq.CONNECT_TIMEOUT, round(HANDSHAKE * 1000))
    dealer.set(zmq.SNDTIMEO, 0)
    dealer.set(zmq.SNDHWM, _AHEAD)
    # What is on its way here is bounded by the window.
    dealer.set(zmq.RCVHWM, 0)
    if keys is not None:
        dealer.set(zmq.CURVE_PUBLICKEY, keys.public)
        dealer.set(zmq.CURVE_SECRETKEY, keys.secret)
        dealer.set(zmq.CURVE_SERVERKEY, keys.server)
    return dealer


def descriptor_of(socket: zmq.Socket[bytes]) -> int:
    """Return a descriptor that is readable when there may be something that came after the last look."""
    number = socket.get(zmq.FD)
    assert isinstance(number, int), "it is a descriptor"
    return number


# -- what happens to connections


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a connection.

    Attributes:
        kind: what, as ``zmq.EVENT_...``.
        value: the connection's descriptor, or a code for the reason.
    """

    kind: int
    value: int


class Monitor:
    """What happens to the connections of a socket, in order.

    Args:
        context: the socket's.
        socket: the socket, neither bound nor connected yet.
    """

    __slots__ = ("_socket", "_watched")

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], socket: zmq.Socket[bytes]) -> None:
        # A socket that is closed keeps its place a little longer, so that no two may ever have the same.
        place = f"inproc://monitor-{next(_places)}"
        self._watched = socket
        self._socket = context.socket(zmq.PAIR)
        self._socket.set(zmq.LINGER, 0)
        # ZeroMQ's thread waits where its monitor is full, and everybody with it.
        self._socket.set(zmq.RCVHWM, 0)
        socket.monitor(place, _MONITORED)
        self._socket.connect(place)
        # Its descriptor tells of what comes after the last look only, and without a first one of nothing.
        assert not list(self.events()), "nothing has happened yet"

    def fileno(self) -> int:
        """Return a descriptor that is readable when there is something that came after the last look."""
        return descriptor_of(self._socket)

    @property
    def socket(self) -> zmq.Socket[bytes]:
        """What to wait for."""
        return self._socket

    def wait(self, timeout: float) -> bool:
        """Wait until there is something, in seconds; return whether there is."""
        return bool(self._socket.poll(round(timeout * 1000)))

    def events(self) -> Iterator[Event]:
        """Take what there is."""
        with contextlib.suppress(zmq.Again):
            while True:
                parts = self._socket.recv_multipart(zmq.NOBLOCK)
                yield Event(*struct.unpack("=Hi", parts[0]))

    def close(self) -> None:
        """Look no longer. By the thread that uses the socket."""
        with contextlib.suppress(zmq.ZMQError):
            self._watched.disable_monitor()
        self._socket.close(0)
