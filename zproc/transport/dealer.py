"""The client's side of ``tcp://`` and ``ipc://``: one DEALER socket, one connection.

The law: a channel is its first connection and ends with it; ZeroMQ's automatic reconnection, and resending what was
still queued, would repeat and reorder frames. Only the thread inside a call touches ZeroMQ's sockets; ``close`` by
another thread rings a bell, and the thread inside closes on its way out. The guarantees are those of ``base.Channel``.
"""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import select
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

import zmq

from zproc.exceptions import (
    AuthenticationError,
    Error,
    LimitExceeded,
    ProtocolError,
    Unavailable,
    UsageError,
    WaitTimeout,
)
from zproc.transport.base import (
    CONNECT_TIMEOUT,
    MAX_FRAME,
    Address,
    capped,
    channel_closed,
    ended_by_server,
    over_limit,
)
from zproc.transport.bell import Bell
from zproc.transport.endpoint import Endpoint, endpoint_of, is_deserted, nobody
from zproc.transport.fork import disown_after_fork
from zproc.transport.link import (
    ACK,
    BYE,
    DATA,
    FROM_CLIENT,
    FROM_SERVER,
    KEEPING,
    PROBE,
    TOKEN,
    WINDOW,
    Assembly,
    greeting,
    pieces,
    read_goodbye,
)
from zproc.transport.zmq import Monitor, descriptor_of, open_dealer, release_context, shared_context

__all__ = ["DealerChannel"]

_NOBLOCK: Final = (zmq.NOBLOCK,)
_FLUSH: Final = 500  # milliseconds that ZeroMQ may take to send what is queued, after a close
_FAR: Final = 3.0  # seconds to connect to another machine, at least
_LOST: Final = "the connection is lost"

_DESERTED: Final = "the server has ended before it has answered, or has no descriptors left"
_WRONG_SERVER: Final = (
    "the server is not the one whose key this client has, or is no zproc server, or has no descriptors left"
)
_FAILURES: Final[Mapping[int, str]] = {
    zmq.EVENT_HANDSHAKE_FAILED_AUTH: "the server does not know this client's key; add it to its list of clients",
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL: "the server wants keys where this client has none, or none where it has some",
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL: _WRONG_SERVER,
    zmq.EVENT_DISCONNECTED: _WRONG_SERVER,
}


class DealerChannel:
    """A connection to an endpoint; see ``base.Channel`` for what each method promises."""

    def __init__(self, address: Address, timeout: float = CONNECT_TIMEOUT, limit: int = MAX_FRAME) -> None:
        """Connect.

        Args:
            address: where the server listens, and where our keys are.
            timeout: how long to wait for a server that does not answer, in seconds; at least 3 over ``tcp://`` to
                another machine.
            limit: the longest frame in either direction, in bytes.

        Raises:
            AuthenticationError: it does not know our key, or has not the key that we expect.
            Unavailable: nobody listens there.
            UsageError: it is no address, or there are no keys where they should be.
        """
        self._address = str(address)
        self._limit = limit
        self._end: Callable[[], Error] | None = None  # why nothing goes any more
        self._lost = False  # whether the connection has ended
        self._goodbye: str | None = None
        self._lock = threading.Lock()  # held by the thread inside
        self._closing = False
        self._token = secrets.token_bytes(TOKEN)
        self._number = 0  # of the last piece that was sent
        self._taken = 0  # what has come, as it counts in the window
        self._confirmed = 0  # how much of it the server was told
        self._inbox: deque[bytes] = deque()
        self._assembly = Assembly()
        self._ear: select.epoll | None = None  # what `fileno` has handed out
        endpoint = endpoint_of(address, timeout)
        self._bell = Bell()
        context = shared_context()
        self._dealer = open_dealer(context, endpoint.keys)
        self._monitor = Monitor(context, self._dealer)
        self._parts = _Parts(self._dealer, self._monitor, self._bell)
        self._finalizer = weakref.finalize(self, _give_up, self._parts, self._lock)
        self._recv = self._dealer.recv
        try:
            self._connect(address, endpoint, timeout)
        except BaseException:
            self._finalizer.detach()
            self._parts.close(0)
            raise
        self._reading = self._poller(zmq.POLLIN)
        self._writing = self._poller(zmq.POLLIN | zmq.POLLOUT)
        disown_after_fork(self)

    def _connect(self, address: Address, endpoint: Endpoint, timeout: float) -> None:
        near = endpoint.place.startswith(("ipc://", "tcp://127.", "tcp://[::1]"))
        deadline = time.monotonic() + (timeout if near else max(timeout, _FAR))
        try:
            self._dealer.connect(endpoint.place)
        except zmq.ZMQError as error:
            raise Unavailable(self._address, f"cannot connect: {error.strerror}") from error
        self._shake_hands(address, endpoint, deadline)
        self._dealer.send(greeting(self._token), zmq.NOBLOCK)

    def _shake_hands(self, address: Address, endpoint: Endpoint, deadline: float) -> None:
        """Wait until both sides have authenticated each other."""
        while self._monitor.wait(max(0.0, deadline - time.monotonic())):
            for event in self._monitor.events():
                if event.kind == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                    return
                self._explain(event.kind, address, endpoint)
        raise Unavailable(self._address, "no answer; is there a server at this address, and does it run?")

    def _explain(self, event: int, address: Address, endpoint: Endpoint) -> None:
        """Raise what an event of a handshake means, if it means failure."""
        # A server that is killed in the middle of a handshake looks like one that refuses our key.
        reason = _FAILURES.get(event)
        if reason is _WRONG_SERVER and (address.scheme == "ipc" or is_deserted(endpoint, CONNECT_TIMEOUT)):
            raise Unavailable(self._address, _DESERTED)
        if reason is not None:
            raise AuthenticationError(self._address, reason)
        if event == zmq.EVENT_CLOSED:
            raise nobody(address)

    def _poller(self, event: int) -> zmq.Poller:
        poller = zmq.Poller()
        poller.register(self._dealer, event)
        poller.register(self._monitor.socket, zmq.POLLIN)
        poller.register(self._bell.fileno(), zmq.POLLIN)
        return poller

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more, because of ``close``, an error or a fork."""
        return self._end is not None

    # -- sending

    def send(self, frame: bytes, timeout: float | None = None) -> None:
        """Send a frame."""
        size = len(frame)
        if size > self._limit:
            raise LimitExceeded("frame", size, self._limit)
        self._enter()
        begun = False
        try:
            deadline = _deadline(timeout)
            for piece in pieces(frame):
                message = self._message(DATA, self._number + 1, size) + piece
                self._put(message, deadline, timeout, begun=begun)
                self._number += 1
                self._confirmed = self._taken
                begun = True
            if self._ear is not None and self._dealer.poll(0):
                # Sending makes ZeroMQ process what has come, of which its descriptor then tells no more.
                self._bell.ring()
        except Error:
            raise
        except BaseException:
            self._finish(channel_closed)  # nobody knows whether it went
            raise
        finally:
            self._leave()

    def _message(self, kind: int, number: int, size: int) -> bytes:
        return FROM_CLIENT.pack(kind, self._token, number, self._taken, size)

    def _put(self, message: bytes, deadline: float | None, timeout: float | None, *, begun: bool) -> None:
        """Pass a message to ZeroMQ as soon as that accepts one."""
        while True:
            try:
                self._dealer.send(message, zmq.NOBLOCK)
            except zmq.Again:
                pass
            else:
                return
            if self._has_ended():
                while self._assembled() is not None:
                    pass  # what else came before the end is lost with the channel
                raise self._ended()
            if not self._wait(self._writing, deadline):
                assert timeout is not None, "a wait without a deadline has ended without an event"
                if begun:
                    self._finish(lambda: Unavailable(self._address, "the server stopped reading in a frame's middle"))
                raise WaitTimeout(f"sending to {self._address}", timeout)

    def _has_ended(self) -> bool:
        """Return whether waiting for the server to read is pointless; keep what has come for later."""
        with contextlib.suppress(zmq.Again):
            while True:
                self._inbox.extend(map(self._recv, _NOBLOCK))
        return self._lost or (bool(self._inbox) and self._inbox[-1][0] == BYE)

    # -- receiving

    def recv(self, timeout: float | None = None) -> bytes:
        """Take the next frame."""
        self._enter()
        try:
            deadline = _deadline(timeout)
            while True:
                frame = self._assembled()
                if frame is not None:
                    return frame
                if self._lost or self._goodbye is not None:
                    raise self._ended()
                if not self._wait(self._reading, deadline):
                    assert timeout is not None, "a wait without a deadline has ended without an event"
                    raise WaitTimeout(f"a frame from {self._address}", timeout)
        finally:
            self._leave()

    def _assembled(self) -> bytes | None:
        """Process what has come up to the end of a frame; return the frame, if it is complete."""
        while self._goodbye is None:
            if not self._inbox:
                try:
                    # Appended by C code: a KeyboardInterrupt comes before a message is taken or after it is kept.
                    self._inbox.extend(map(self._recv, _NOBLOCK))
                except zmq.Again:
                    return None
            frame = self._open(self._inbox.popleft())
            if self._taken - self._confirmed >= WINDOW // 2:
                self._confirm()
            if frame is not None:
                return frame
        return None

    def _open(self, message: bytes) -> bytes | None:
        if len(message) < FROM_SERVER.size:
            raise self._out_of_step(f"the server sent a message of {len(message)} bytes, without a head")
        kind, number, size = FROM_SERVER.unpack_from(message)
        if kind == DATA:
            piece = message[FROM_SERVER.size :]
            self._taken += len(piece) + KEEPING
            if size > self._limit:
                raise self._out_of_step(over_limit(size, self._limit))
            try:
                return self._assembly.take(number, size, piece)
            except ProtocolError as error:
                raise self._out_of_step(str(error)) from None
        if kind == BYE:
            self._goodbye = read_goodbye(message[FROM_SERVER.size :])
        elif kind != PROBE:
            raise self._out_of_step(f"the server sent a message of unknown kind {kind}")
        return None

    def _confirm(self) -> None:
        with contextlib.suppress(zmq.Again):  # then with the next piece
            self._dealer.send(self._message(ACK, 0, 0), zmq.NOBLOCK)
            self._confirmed = self._taken

    # -- waiting

    def _wait(self, poller: zmq.Poller, deadline: float | None) -> bool:
        """Wait for one of the sockets; return whether there is something to process."""
        remaining = None if deadline is None else max(0.0, deadline - time.monotonic())
        # ZeroMQ counts whole milliseconds: a wait that is rounded down would end in a busy loop.
        ready = dict(poller.poll(None if remaining is None else math.ceil(remaining * 1000)))
        if self._monitor.socket in ready:
            self._lost = any(event.kind == zmq.EVENT_DISCONNECTED for event in self._monitor.events()) or self._lost
        if self._end is not None:
            raise self._end()
        if self._bell.fileno() in ready:
            self._bell.hush()
        return bool(ready)

    # -- ending

    def fileno(self) -> int:
        """Return a descriptor that is readable when ``recv`` may have something, or the channel is closed."""
        if self._end is not None:
            raise self._end()
        if self._ear is None:
            if not hasattr(select, "epoll"):
                raise UsageError(f"{self._address} has no file descriptor to wait for here; use recv with a timeout")
            self._ear = select.epoll()
            for fd in (descriptor_of(self._dealer), self._monitor.fileno(), self._bell.fileno()):
                self._ear.register(fd, select.EPOLLIN)
            # The bell tells whoever waits for it of a close, and so has to outlive that.
            self._parts.keep_bell = True
            weakref.finalize(self, _close_ear, self._ear, self._bell)
        return self._ear.fileno()

    def close(self) -> None:
        """End the connection; a ``recv`` of another thread raises UsageError."""
        self._end = self._end or channel_closed
        self._closing = True
        self._bell.ring()
        self._close_unless_inside()

    def disown(self) -> None:
        """Give up what a forked child has inherited; see ``fork``."""
        self._end = channel_closed
        self._finalizer.detach()
        self._bell.disown()
        if self._ear is not None:
            self._ear.close()

    def _enter(self) -> None:
        if not self._lock.acquire(blocking=False):
            raise UsageError("this channel is in use by another thread; each needs its own")
        if self._end is not None:
            self._leave()
            raise self._end()

    def _leave(self) -> None:
        self._lock.release()
        if self._closing:
            self._close_unless_inside()

    def _close_unless_inside(self) -> None:
        # Whoever sets the flag tries the lock afterwards, and whoever releases the lock checks the flag afterwards.
        if self._lock.acquire(blocking=False):
            try:
                if self._finalizer.detach() is not None:
                    self._say_goodbye()
            finally:
                self._lock.release()

    def _say_goodbye(self) -> None:
        if not self._lost:
            with contextlib.suppress(zmq.ZMQError):
                self._dealer.send(self._message(BYE, 0, 0), zmq.NOBLOCK)
        self._parts.close(0 if self._lost or self._goodbye is not None else _FLUSH)

    def _finish(self, end: Callable[[], Error]) -> None:
        """Close, for a reason that later calls raise."""
        self._end = self._end or end
        self._closing = True

    def _out_of_step(self, fault: str) -> Error:
        self._finish(lambda: ProtocolError(fault))
        assert self._end is not None, "_finish has set it"
        return self._end()

    def _ended(self) -> Error:
        """Close for the best known reason, and return the error."""
        goodbye = self._goodbye
        torn = "" if self._assembly.size is None else " in the middle of a frame"
        reason = _LOST + torn if goodbye is None else ended_by_server(goodbye)
        self._finish(lambda: Unavailable(self._address, reason))
        assert self._end is not None, "_finish has set it"
        return self._end()


class _Parts:
    """The resources of a channel, to be released once, by whoever uses it last."""

    __slots__ = ("_bell", "_dealer", "_monitor", "_pid", "keep_bell")

    def __init__(self, dealer: zmq.Socket[bytes], monitor: Monitor, bell: Bell) -> None:
        self._dealer = dealer
        self._monitor = monitor
        self._bell = bell
        self._pid = os.getpid()
        self.keep_bell = False

    def close(self, flush: int) -> None:
        if self._pid != os.getpid():
            return
        self._monitor.close()
        self._dealer.close(flush)
        if not self.keep_bell:
            self._bell.close()
        release_context(self._pid)


def _give_up(parts: _Parts, inside: threading.Lock) -> None:
    """Release what is no longer used; at the end of the program a thread may still use it."""
    if inside.acquire(blocking=False):
        parts.close(0)


def _close_ear(ear: select.epoll, bell: Bell) -> None:
    ear.close()
    bell.close()


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + capped(timeout)
