"""The server's side of ``tcp://`` and ``ipc://``: one ROUTER socket, and for each peer what is on the way.

The law: ZeroMQ moves bytes and checks keys; which peers are connected is determined here. A peer is connected from its
greeting on. It is gone when it says so, when nothing can be sent to it, or when it breaks the protocol; then it is told
why, and its connection is shut down, which ZeroMQ cannot do but the kernel can. The monitor reports the end of a
connection by its descriptor, whose number may have been reused by then: so a report is only a hint, and is verified.
The guarantees are those of ``base.Listener``.

Not bounded here: a peer whose key was accepted, or over ``ipc://`` any process of this user, could, before its greeting
(also in the old protocol), send a message of endlessly many parts, all of which ZeroMQ would keep.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Final

import zmq

from zproc.exceptions import LimitExceeded, ProtocolError, UsageError
from zproc.transport.base import (
    CLOSED_BY_PEER,
    SERVER_CLOSED,
    TURN,
    Arrival,
    Closed,
    Limits,
    Opened,
    Received,
    capped,
    listener_closed,
    no_hello,
    over_backlog,
    over_limit,
    too_many_peers,
)
from zproc.transport.bell import Bell
from zproc.transport.endpoint import Place
from zproc.transport.fork import disown_after_fork
from zproc.transport.link import (
    ACK,
    BYE,
    DATA,
    FROM_CLIENT,
    FROM_SERVER,
    GREETING,
    KEEPING,
    OPEN,
    PROBE,
    WINDOW,
    Assembly,
    pieces,
)
from zproc.transport.poller import READABLE, make_poller
from zproc.transport.probation import Probation
from zproc.transport.rendezvous import Credentials
from zproc.transport.zap import KeyCheck
from zproc.transport.zmq import HANDSHAKE, Monitor, descriptor_of, new_context, open_router
from zproc.typing import PeerId

__all__ = ["RouterListener"]

_QUEUE: Final = 512  # connections that the kernel keeps until they are accepted
_PROBES: Final = (0.002, 0.01, 0.05, 0.25, 1.0)  # seconds after the hint that a peer is gone
_UNREAD: Final = 0.1  # seconds for reading what a peer had sent before it left
_LEAVING: Final = 1.0  # seconds for a peer to read why it is disconnected
_FLUSH: Final = 250  # milliseconds for sending farewells at the end
_LONGEST_NAME: Final = 32

_Identity = tuple[int, int]


class _Link:
    """One peer's connection: what was received, and what is to be sent."""

    __slots__ = (
        "assembly",
        "backlog",
        "fd",
        "heard",
        "identity",
        "limit",
        "lost",
        "name",
        "number",
        "peer",
        "queue",
        "sent",
        "taken",
        "token",
    )

    def __init__(self, peer: PeerId, name: bytes, token: bytes, fd: int, limit: int) -> None:
        self.peer = peer
        self.name = name  # what ZeroMQ calls it
        self.token = token
        self.fd = fd
        self.identity = _identity(fd)
        self.limit = limit
        self.assembly = Assembly()
        self.heard = False  # whether a frame of it has ever been delivered
        self.number = 0  # of the last piece that was sent
        self.sent = 0  # what counts in the window, all in all
        self.taken = 0  # how much of it the peer has confirmed
        self.queue: deque[tuple[int, bytes]] = deque()  # length of the frame, and a piece of it
        self.backlog = 0
        self.lost: str | None = None  # why nothing more can be sent to it


class RouterListener:
    """Listens at an endpoint; see ``base.Listener`` for what each method promises."""

    def __init__(self, place: Place, limits: Limits | None = None) -> None:
        """Listen.

        Args:
            place: where to listen, and with which keys. It is released at the end, and if this fails.
            limits: bounds on what peers can make this listener hold.

        Raises:
            UsageError: the address is in use, or is not one of this machine.
            Unavailable: the system refuses.
        """
        self._limits = limits or Limits()
        self._place = place
        self._closed = False
        self._links: dict[PeerId, _Link] = {}
        self._by_name: dict[bytes, _Link] = {}
        self._by_fd: dict[int, _Link] = {}
        self._numbers = itertools.count(1)
        self._arrivals: list[Arrival] = []
        self._lost: dict[PeerId, float] = {}  # those that are gone, and until when what they had sent may be read
        self._leaving: set[bytes] = set()  # the names of those that were sent away, for as long as they may stay
        self._silent: dict[int, _Identity | None] = {}  # by descriptor: connections of which no greeting has come
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._timer_numbers = itertools.count()
        self._probation = Probation(self._limits.handshake)
        self._context = new_context()
        self._check = KeyCheck(self._context, place.keys.allowed) if place.keys is not None else None
        self._router = open_router(self._context, place.keys, _QUEUE)
        self._monitor = Monitor(self._context, self._router)
        try:
            self._address = place.bind(self._router)
            self._bell = Bell()
            self._poller = make_poller()
        except BaseException:
            self._end_zmq(0)
            place.release()
            raise
        disown_after_fork(self)
        self._monitor_fd: Final = self._monitor.fileno()
        for fd in (descriptor_of(self._router), self._monitor_fd, self._bell.fileno()):
            self._poller.register(fd, READABLE)

    @property
    def address(self) -> str:
        """Where clients connect."""
        return self._address

    # -- receiving

    def poll(self, timeout: float | None) -> list[Arrival]:
        """Wait until something has arrived, and take it."""
        if self._closed:
            raise listener_closed()
        if timeout is not None:
            timeout = capped(timeout)
        # ZeroMQ's descriptor is edge-triggered: it tells only of what came since the last receive, which so precedes
        # each wait.
        wait = 0.0 if self._take() else timeout
        wait = self._until_next_deadline(wait)
        if self._arrivals:
            wait = 0.0
        for fd, _ in self._poller.poll(wait, TURN):
            if fd == self._bell.fileno():
                self._bell.hush()
            elif fd == self._monitor_fd:
                self._look_after()
        if not self._arrivals:
            self._take()
        arrivals, self._arrivals = self._arrivals, []
        return arrivals

    def _take(self) -> bool:
        """Process one turn's messages, of all peers in rotation; return whether there may be more."""
        router = self._router
        for _ in range(TURN):
            try:
                name = router.recv(zmq.NOBLOCK)
            except zmq.Again:
                self._part_from_lost(None)
                return False
            link = self._by_name.get(name)
            if link is None:
                self._meet(name, router.recv(copy=False))
            else:
                self._hear(link, router.recv())
            if router.get(zmq.RCVMORE):
                self._skip(name)
        if self._lost:
            self._part_from_lost(time.monotonic())
        return True

    def _skip(self, name: bytes) -> None:
        """Skip the rest of a message that has more than one part, and drop the peer that sent it."""
        while self._router.get(zmq.RCVMORE):
            self._router.recv()
        if (link := self._by_name.get(name)) is not None:
            self._drop(link, "a message of more than one part")

    def _hear(self, link: _Link, message: bytes) -> None:
        """Process a message of a peer."""
        if len(message) < FROM_CLIENT.size:
            self._drop(link, f"a message of {len(message)} bytes has no head")
            return
        kind, token, number, taken, size = FROM_CLIENT.unpack_from(message)
        if token != link.token:
            self._drop(link, "a message with another token")
            return
        if taken != link.taken:
            self._confirm(link, taken)
            if link.peer not in self._links:
                return
        if kind == DATA:
            self._receive(link, number, size, message[FROM_CLIENT.size :])
        elif kind == BYE:
            link.lost = CLOSED_BY_PEER
            self._drop(link, CLOSED_BY_PEER)
        elif kind != ACK:
            self._drop(link, f"a message of unknown kind {kind}")

    def _receive(self, link: _Link, number: int, size: int, piece: bytes) -> None:
        if size > link.limit:
            self._drop(link, over_limit(size, link.limit))
            return
        try:
            frame = link.assembly.take(number, size, piece)
        except ProtocolError as error:
            self._drop(link, str(error))
            return
        if frame is not None:
            link.heard = True
            self._arrivals.append(Received(link.peer, frame))

    # -- peers come

    def _meet(self, name: bytes, message: zmq.Frame) -> None:
        """Process the first message of a connection; one that does not begin with a greeting gets no answer."""
        fd = _descriptor(message)
        if name in self._leaving or fd is None:
            return  # from a peer that is being disconnected; or in an old protocol, whose handshake will time out
        body = message.bytes
        if len(body) < FROM_CLIENT.size or body[0] != OPEN or body[FROM_CLIENT.size :] != GREETING:
            _cut(fd, self._silent.pop(fd, None) or _identity(fd))
            return
        who = _credentials(message) if self._place.keys is None else None
        if who is not None and not who.trusted:
            self._refuse(name, fd, f"uid {who.uid} may not connect here")
        elif len(name) > _LONGEST_NAME or name[:1] != b"\0":
            self._refuse(name, fd, "names are given by the server")
        elif len(self._links) >= self._limits.peers:
            self._refuse(name, fd, too_many_peers(self._limits.peers))
        else:
            self._silent.pop(fd, None)
            if (before := self._by_fd.get(fd)) is not None:
                self._lose(before)
            _, token, *_ = FROM_CLIENT.unpack_from(body)
            link = _Link(PeerId(next(self._numbers)), name, token, fd, self._limits.first_frame)
            self._links[link.peer] = self._by_name[name] = self._by_fd[fd] = link
            self._probation.enter(link.peer, time.monotonic())
            self._arrivals.append(Opened(link.peer, who.pid if who is not None else None))

    def _refuse(self, name: bytes, fd: int, reason: str) -> None:
        self._silent.pop(fd, None)
        self._send_away(name, fd, _identity(fd), reason)

    def _look_after(self) -> None:
        """Process what the monitor reports."""
        for event in self._monitor.events():
            if event.kind == zmq.EVENT_ACCEPTED and event.value not in self._by_fd:
                self._expect(event.value, _identity(event.value))
            elif event.kind == zmq.EVENT_DISCONNECTED:
                self._silent.pop(event.value, None)
                if (link := self._by_fd.get(event.value)) is not None:
                    self._probe(link, 0)

    def _expect(self, fd: int, identity: _Identity | None) -> None:
        """Limit the time for a connection's handshake and greeting; ZeroMQ would let some stay for ever."""

        def judge() -> None:
            if identity is not None and self._silent.get(fd) == identity:
                _cut(fd, self._silent.pop(fd))

        self._silent[fd] = identity
        self._after(HANDSHAKE + self._limits.handshake, judge)

    def _probe(self, link: _Link, step: int) -> None:
        """Check whether a peer is there, now and a few times more."""
        if link.peer not in self._links or link.lost is not None:
            return
        self._post(link, FROM_SERVER.pack(PROBE, 0, 0))
        if step < len(_PROBES):
            self._after(_PROBES[step], lambda: self._probe(link, step + 1))

    # -- deadlines

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._timer_numbers), action))

    def _until_next_deadline(self, timeout: float | None) -> float | None:
        """Do what is due now, and limit a timeout, in seconds, to the next deadline."""
        if not (self._timers or self._probation.deadlines or self._lost):
            return timeout
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()
        for peer in self._probation.due(now):
            self._judge(self._links[peer], now)
        self._part_from_lost(now)
        deadlines = [self._timers[0][0]] if self._timers else []
        deadlines += [at for at in (self._probation.next_deadline(), min(self._lost.values(), default=None)) if at]
        waits = [max(0.0, at - now) for at in deadlines] + ([] if timeout is None else [timeout])
        return min(waits, default=None)

    def _judge(self, link: _Link, now: float) -> None:
        """Drop a peer whose time is over, unless what it sent has not been processed yet."""
        if any(isinstance(each, Received) and each.peer == link.peer for each in self._arrivals):
            self._probation.enter(link.peer, now)
        else:
            self._drop(link, no_hello(self._limits.handshake))

    # -- sending

    def send(self, peer: PeerId, frame: bytes) -> None:
        """Send a frame to a peer, at once as far as it can be taken and later for the rest; never waits."""
        size = len(frame)
        if size > self._limits.frame:
            raise LimitExceeded("frame", size, self._limits.frame)
        link = self._links.get(peer)
        if link is None:
            return
        for piece in pieces(frame):
            if link.lost is not None:
                return
            if not link.queue and link.sent - link.taken < WINDOW:
                self._send_piece(link, size, piece)
            else:
                link.queue.append((size, piece))
                link.backlog += len(piece) + KEEPING
        if link.backlog > self._limits.backlog:
            backlog = link.backlog
            link.queue.clear()
            self._drop(link, over_backlog(backlog, self._limits.backlog))

    def _send_piece(self, link: _Link, size: int, piece: bytes) -> None:
        link.number += 1
        link.sent += len(piece) + KEEPING
        self._post(link, FROM_SERVER.pack(DATA, link.number, size) + piece)

    def _post(self, link: _Link, message: bytes) -> None:
        """Pass a message to ZeroMQ; if that fails, the peer is gone."""
        try:
            self._router.send(link.name, zmq.SNDMORE | zmq.NOBLOCK)
            self._router.send(message, zmq.NOBLOCK)
        except zmq.ZMQError:
            self._lose(link)

    def _confirm(self, link: _Link, taken: int) -> None:
        """Process an acknowledgement, and send more."""
        if not link.taken < taken <= link.sent:
            self._drop(link, f"{taken} bytes are confirmed where {link.sent} were sent")
            return
        link.taken = taken
        queue = link.queue
        while queue and link.lost is None and link.sent - taken < WINDOW:
            size, piece = queue.popleft()
            link.backlog -= len(piece) + KEEPING
            self._send_piece(link, size, piece)
        assert queue or link.backlog == 0, "what was queued and what was sent do not add up"

    # -- peers go

    def allow(self, peer: PeerId, max_frame: int) -> None:
        """Take a peer for a client after its hello: lift its time limit and raise its frame limit."""
        link = self._links.get(peer)
        if link is not None:
            self._probation.leave(peer)
            link.limit = min(max_frame, self._limits.frame)

    def disconnect(self, peer: PeerId, reason: str) -> None:
        """End a connection, after what is queued for it as far as it can be taken at once."""
        link = self._links.get(peer)
        if link is not None:
            self._drop(link, reason)

    def _lose(self, link: _Link) -> None:
        """Take note that a peer is gone; what it had sent is processed first."""
        if link.lost is None:
            link.lost = CLOSED_BY_PEER if link.assembly.size is None else f"{CLOSED_BY_PEER} in the middle of a frame"
            link.queue.clear()
            link.backlog = 0
            self._lost[link.peer] = time.monotonic() + _UNREAD

    def _part_from_lost(self, now: float | None) -> None:
        """Drop peers that are gone: all if nothing is left to be received, else those whose time is over."""
        for peer, until in list(self._lost.items()):
            if now is None or until <= now:
                link = self._links[peer]
                assert link.lost is not None, "it was lost"
                self._drop(link, link.lost)

    def _drop(self, link: _Link, reason: str) -> None:
        """Drop a peer, and tell both sides why."""
        del self._links[link.peer], self._by_name[link.name]
        if self._by_fd.get(link.fd) is link:
            del self._by_fd[link.fd]
        self._lost.pop(link.peer, None)
        self._probation.leave(link.peer)
        if link.lost is None:
            self._send_away(link.name, link.fd, link.identity, reason)
        self._arrivals.append(Closed(link.peer, reason))

    def _send_away(self, name: bytes, fd: int, identity: _Identity | None, reason: str) -> None:
        """Tell a peer why it is disconnected, and shut its connection down when it had the time to read that."""
        with contextlib.suppress(zmq.ZMQError):
            self._router.send(name, zmq.SNDMORE | zmq.NOBLOCK)
            self._router.send(FROM_SERVER.pack(BYE, 0, 0) + reason.encode("utf-8", "replace"), zmq.NOBLOCK)
        self._leaving.add(name)

        def end() -> None:
            self._leaving.discard(name)
            _cut(fd, identity)

        self._after(_LEAVING, end)

    # -- waking and ending

    def add_waker(self, fileno: int) -> None:
        """Have ``poll`` return while this file descriptor is readable, until it is closed."""
        try:
            self._poller.register(fileno, READABLE)
        except (OSError, ValueError, KeyError) as error:
            raise UsageError(f"file descriptor {fileno} cannot be waited for: {error}") from error

    def wake(self) -> None:
        """Make the poll under way, or else the next one, return."""
        self._bell.ring()

    def close(self) -> None:
        """Disconnect everybody and give the address up."""
        if self._closed:
            return
        for link in list(self._links.values()):
            self._drop(link, SERVER_CLOSED)
        self._closed = True
        self._poller.close()
        self._end_zmq(_FLUSH)
        self._bell.close()
        self._place.release()

    def _end_zmq(self, flush: int) -> None:
        self._monitor.close()
        self._router.close(flush)
        self._context.term()
        if self._check is not None:
            self._check.join()

    def disown(self) -> None:
        """Give up what a forked child has inherited; see ``fork``."""
        if self._closed:
            return
        self._closed = True
        self._links.clear()
        self._bell.disown()
        self._poller.close()


def _credentials(message: zmq.Frame) -> Credentials:
    """Return the sender's credentials according to the kernel, which ZeroMQ appends to the host's name."""
    *_, uid, _gid, pid = str(message.get("Peer-Address")).split(":")
    return Credentials(int(pid) or None, int(uid))


def _descriptor(message: zmq.Frame) -> int | None:
    """Return the descriptor over which a message came, or ``None`` if in an old version of ZMTP."""
    try:
        fd = message.get(zmq.SRCFD)
    except zmq.ZMQError:
        return None
    assert isinstance(fd, int), "ZeroMQ tells the descriptor as a number"
    return fd


def _identity(fd: int) -> _Identity | None:
    """Return what distinguishes a connection from all others, even from one whose descriptor has its number later."""
    try:
        found = os.fstat(fd)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _cut(fd: int, identity: _Identity | None) -> None:
    """Shut down a connection of ZeroMQ's, if the descriptor still belongs to it."""
    with contextlib.suppress(OSError):
        # A duplicate first: its number cannot be reused between the check and the shutdown.
        own = os.dup(fd)
        if identity is None or _identity(own) != identity:
            os.close(own)
            return
        with socket.socket(fileno=own) as connection:
            connection.shutdown(socket.SHUT_RDWR)
