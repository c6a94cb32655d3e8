"""``memory://``: server and clients in one process, connected by queues.

The law: the layers above see what they would see over a socket: the same arrivals in the same order, the same limits,
the same errors. One lock per listener guards all state of it and its clients; nobody blocks while holding it. The
server waits for the descriptor of a bell, so that ``add_waker`` works here, too.
"""

from __future__ import annotations

import itertools
import os
import selectors
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from zproc.exceptions import Error, LimitExceeded, ProtocolError, Unavailable, UsageError, WaitTimeout
from zproc.transport.base import (
    CLOSED_BY_PEER,
    MAX_FRAME,
    SERVER_CLOSED,
    TURN,
    Arrival,
    Closed,
    Limits,
    Opened,
    Received,
    address_in_use,
    capped,
    channel_closed,
    ended_by_server,
    listener_closed,
    no_hello,
    over_backlog,
    over_limit,
    too_many_peers,
)
from zproc.transport.bell import Bell
from zproc.transport.fork import disown_after_fork
from zproc.transport.probation import Probation
from zproc.typing import PeerId

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MemoryChannel", "MemoryListener"]

_ROOM: Final = 256 << 10
"""How much a client can send ahead of the server, in bytes: about as much as a socket buffers."""

_KEEPING: Final = 64  # bytes that a queued frame costs besides its own
_BATCH: Final = 64  # peers a poll

_listeners: dict[str, MemoryListener] = {}


class _Link:
    """One connection: two queues. Everything here requires holding the listener's lock, which ``changed`` shares."""

    __slots__ = ("changed", "end", "heard", "inbox", "leaving", "limit", "outbox", "peer", "room", "waiting")

    def __init__(self, peer: PeerId, lock: threading.RLock, limit: int) -> None:
        self.peer: PeerId = peer
        self.changed: threading.Condition = threading.Condition(lock)  # for the client: a frame, room, or the end
        self.inbox: deque[bytes] = deque()  # on the way to the server
        self.outbox: deque[bytes] = deque()  # on the way to the client
        self.room: int = _ROOM
        self.waiting: int = 0  # bytes in the outbox, and what keeping them costs
        self.limit: int = limit
        self.heard: bool = False  # whether a frame of it has ever been delivered
        self.leaving: str | None = None  # why it ends once the inbox is delivered
        self.end: str | None = None  # why it has ended at the server

    def finish(self, reason: str) -> None:
        self.end = reason
        self.inbox.clear()
        self.changed.notify_all()


class MemoryListener:
    """Listens at a name of this process; see ``base.Listener`` for what each method promises."""

    def __init__(self, name: str, limits: Limits | None = None) -> None:
        """Listen.

        Raises:
            UsageError: the name is in use.
        """
        self._name = name
        self._limits = limits or Limits()
        self._lock = threading.RLock()
        self._closed = False
        self._links: dict[PeerId, _Link] = {}
        self._numbers = itertools.count(1)
        self._arrivals: list[Arrival] = []
        self._speaking: dict[PeerId, _Link] = {}  # those with frames in their inbox, or gone; longest waiting first
        self._probation = Probation(self._limits.handshake)
        self._bell = Bell()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._bell, selectors.EVENT_READ)
        # A dict's setdefault is one step: of two threads that want the name, one gets it.
        if _listeners.setdefault(name, self) is not self:
            self._bell.close()
            self._selector.close()
            raise address_in_use(self.address, "this process")
        disown_after_fork(self)

    @property
    def address(self) -> str:
        """Where clients connect."""
        return f"memory://{self._name}"

    # -- receiving

    def poll(self, timeout: float | None) -> list[Arrival]:
        """Wait until something has arrived, and take it."""
        if self._closed:
            raise listener_closed()
        rung = self._bell.hush()
        with self._lock:
            arrivals = self._collect()
            timeout = self._until_next_deadline(None if timeout is None else capped(timeout))
        if arrivals or rung:
            return arrivals
        self._selector.select(timeout)
        self._bell.hush()
        with self._lock:
            return self._collect()

    def _collect(self) -> list[Arrival]:
        """Return what has arrived, one turn of each peer. Requires holding the lock."""
        if self._probation.deadlines:
            now = time.monotonic()
            for peer in self._probation.due(now):
                self._judge(self._links[peer], now)
        for peer in list(itertools.islice(self._speaking, _BATCH)):
            self._deliver(self._speaking.pop(peer))
        arrivals, self._arrivals = self._arrivals, []
        return arrivals

    def _deliver(self, link: _Link) -> None:
        """Deliver one turn's frames of a link, and remember it if there are more."""
        for _ in range(min(TURN, len(link.inbox))):
            frame = link.inbox.popleft()
            link.room += len(frame) + _KEEPING
            link.heard = True
            self._arrivals.append(Received(link.peer, frame))
        link.changed.notify_all()
        if link.inbox:
            self._speaking[link.peer] = link
        elif link.leaving is not None:
            self._drop(link, link.leaving)

    def _judge(self, link: _Link, now: float) -> None:
        """Drop a peer whose time is over, unless it was this process that was late."""
        if link.inbox and not link.heard:
            self._probation.enter(link.peer, now)
        else:
            self._drop(link, no_hello(self._limits.handshake))

    def _until_next_deadline(self, timeout: float | None) -> float | None:
        deadline = self._probation.next_deadline()
        if self._speaking:
            return 0.0
        if deadline is None:
            return timeout
        wait = max(0.0, deadline - time.monotonic())
        return wait if timeout is None else min(wait, timeout)

    # -- sending

    def send(self, peer: PeerId, frame: bytes) -> None:
        """Send a frame to a peer; never waits."""
        if len(frame) > self._limits.frame:
            raise LimitExceeded("frame", len(frame), self._limits.frame)
        if self._closed:
            return
        with self._lock:
            link = self._links.get(peer)
            if link is None:
                return
            link.outbox.append(frame)
            link.waiting += len(frame) + _KEEPING
            if link.waiting > self._limits.backlog:
                backlog, link.waiting = link.waiting, 0
                link.outbox.clear()
                self._drop(link, over_backlog(backlog, self._limits.backlog))
            link.changed.notify_all()

    # -- peers come and go

    def admit(self) -> _Link:
        """Admit a client of this process; for ``MemoryChannel``."""
        with self._lock:
            if self._closed:
                raise _nobody(self.address)
            link = _Link(PeerId(next(self._numbers)), self._lock, self._limits.first_frame)
            if len(self._links) >= self._limits.peers:
                link.end = too_many_peers(self._limits.peers)
                return link
            self._links[link.peer] = link
            self._probation.enter(link.peer, time.monotonic())
            self._arrivals.append(Opened(link.peer, os.getpid()))
        self._bell.ring()
        return link

    def heard_from(self, link: _Link) -> None:
        """Make the next poll attend to a client; for ``MemoryChannel``. Requires holding the lock."""
        if link.end is None:
            self._speaking[link.peer] = link
            self._bell.ring()

    def allow(self, peer: PeerId, max_frame: int) -> None:
        """Take a peer for a client after its hello: lift its time limit and raise its frame limit."""
        if self._closed:
            return
        with self._lock:
            if peer in self._links:
                self._probation.leave(peer)
                self._links[peer].limit = min(max_frame, self._limits.frame)

    def disconnect(self, peer: PeerId, reason: str) -> None:
        """End a connection, after what is queued for it."""
        if self._closed:
            return
        with self._lock:
            if peer in self._links:
                self._drop(self._links[peer], reason)

    def _drop(self, link: _Link, reason: str) -> None:
        """Drop a peer, and tell both sides why. Requires holding the lock."""
        del self._links[link.peer]
        self._speaking.pop(link.peer, None)
        self._probation.leave(link.peer)
        link.finish(reason)
        self._arrivals.append(Closed(link.peer, reason))

    # -- waking and ending

    def add_waker(self, fileno: int) -> None:
        """Have ``poll`` return while this file descriptor is readable, until it is closed."""
        try:
            self._selector.register(fileno, selectors.EVENT_READ)
        except (OSError, ValueError, KeyError) as error:
            raise UsageError(f"file descriptor {fileno} cannot be waited for: {error}") from error

    def wake(self) -> None:
        """Make the poll under way, or else the next one, return."""
        self._bell.ring()

    def close(self) -> None:
        """Disconnect everybody and give the name up."""
        if self._closed:
            return
        with self._lock:
            for link in list(self._links.values()):
                self._drop(link, SERVER_CLOSED)
            self._closed = True
        del _listeners[self._name]
        self._bell.close()
        self._selector.close()

    def disown(self) -> None:
        """Give up what a forked child has inherited; see ``fork``."""
        if not self._closed:
            self._closed = True
            _listeners.pop(self._name, None)
            self._bell.disown()
            self._selector.close()


class MemoryChannel:
    """A connection to a name; see ``base.Channel`` for what each method promises."""

    def __init__(self, name: str, limit: int = MAX_FRAME) -> None:
        """Connect.

        Raises:
            Unavailable: nobody in this process listens at the name.
        """
        self._address = f"memory://{name}"
        listener = _listeners.get(name)
        if listener is None:
            raise _nobody(self._address)
        self._listener = listener
        self._limit = limit
        self._end: Callable[[], Error] | None = None
        self._link = listener.admit()
        disown_after_fork(self)

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more, because of ``close``, an error or a fork."""
        return self._end is not None

    def send(self, frame: bytes, timeout: float | None = None) -> None:
        """Send a frame."""
        if len(frame) > self._limit:
            raise LimitExceeded("frame", len(frame), self._limit)
        self._check()
        link, cost = self._link, len(frame) + _KEEPING
        with link.changed:
            if not link.changed.wait_for(lambda: self._can_send(cost), None if timeout is None else capped(timeout)):
                assert timeout is not None, "a wait without a timeout has ended without an event"
                raise WaitTimeout(f"sending to {self._address}", timeout)
            self._check()
            if link.end is not None:
                raise self._ended(link.end)
            if len(frame) > link.limit:
                link.leaving = over_limit(len(frame), link.limit)
            if link.leaving is None:
                link.inbox.append(frame)
                link.room -= cost
            self._listener.heard_from(link)

    def _can_send(self, cost: int) -> bool:
        link = self._link
        return self.closed or link.end is not None or not link.inbox or link.room >= cost

    def recv(self, timeout: float | None = None) -> bytes:
        """Take the next frame."""
        self._check()
        link = self._link
        with link.changed:
            link.changed.wait_for(self._can_recv, None if timeout is None else capped(timeout))
            self._check()
            if link.outbox:
                return self._take()
            if link.end is not None:
                raise self._ended(link.end)
        assert timeout is not None, "a wait without a timeout has ended without an event"
        raise WaitTimeout(f"a frame from {self._address}", timeout)

    def _can_recv(self) -> bool:
        return self.closed or bool(self._link.outbox) or self._link.end is not None

    def _take(self) -> bytes:
        """Take a frame out of the queue; as over a socket, one that is too long ends the stream."""
        frame = self._link.outbox.popleft()
        self._link.waiting -= len(frame) + _KEEPING
        if len(frame) > self._limit:
            fault = over_limit(len(frame), self._limit)
            self.close()
            self._end = lambda: ProtocolError(fault)
            raise self._end()
        return frame

    def fileno(self) -> int:
        """Raise UsageError: queues have no descriptors."""
        raise UsageError(f"{self._address} has no file descriptor to wait for; use recv with a timeout")

    def close(self) -> None:
        """End the connection; a ``recv`` of another thread raises UsageError."""
        if self._end is not None:
            return
        with self._link.changed:
            self._end = channel_closed
            self._link.leaving = self._link.leaving or CLOSED_BY_PEER
            self._link.outbox.clear()
            self._link.changed.notify_all()
            self._listener.heard_from(self._link)

    def disown(self) -> None:
        """Give up what a forked child has inherited; see ``fork``."""
        self._end = channel_closed

    def _check(self) -> None:
        if self._end is not None:
            raise self._end()

    def _ended(self, reason: str) -> Error:
        self._end = lambda: Unavailable(self._address, ended_by_server(reason))
        return self._end()


def _nobody(address: str) -> Unavailable:
    return Unavailable(address, "nobody in this process listens here; start the server first, or check the name")
