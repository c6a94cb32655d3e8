"""The server's side of ``unix://``: an AF_UNIX stream socket, epoll, and a queue for each slow peer.

The law: one thread, one ``epoll_wait`` per poll, and for each readable peer one ``recv`` of bounded size, so that no
peer can keep the others waiting. What can be written is written at once; only the rest is queued. The guarantees are
those of ``base.Listener``; who may connect, and where, is defined in ``rendezvous``; what a frame is, in ``frame``.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import resource
import socket
import sys
import time
from collections import deque
from collections.abc import Iterable
from typing import Final

from zproc.exceptions import LimitExceeded, Unavailable, UsageError
from zproc.transport.base import (
    CLOSED_BY_PEER,
    CONNECTION_LOST,
    LONGEST_WAIT,
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
    too_many_peers,
)
from zproc.transport.bell import Bell
from zproc.transport.fork import disown_after_fork
from zproc.transport.frame import CUT, HEADER, FrameReader, farewell, from_bytes, pack, split
from zproc.transport.poller import READABLE, WRITABLE, make_poller
from zproc.transport.probation import Probation
from zproc.transport.rendezvous import Claim, peer_credentials
from zproc.transport.spin import LONGEST, Spin
from zproc.typing import PeerId

__all__ = ["LocalListener"]

_CHUNK: Final = 64 << 10
_LONG_CHUNK: Final = 256 << 10  # in the middle of a frame; more than a socket holds by default, so one recv empties it
_BATCH: Final = 64  # peers a poll; epoll rotates, so that the next poll begins with those that were left
_BUFFERS: Final = 64  # frames a sendmsg
_KEEPING: Final = 64  # bytes that a queued frame costs besides its own
_QUEUE: Final = 1024  # peers that have connected and are not accepted yet; the system may cut it
_SPARE: Final = 32  # file descriptors left for the rest of the process
_PAUSE: Final = 0.1  # seconds without accepting, when the system has no descriptors left
_EXHAUSTED: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

# A peer that has closed must be an error of this call, not a SIGPIPE to a process that asked for the default action.
_FLAGS: Final[int] = getattr(socket, "MSG_NOSIGNAL", 0)


class _Link(FrameReader):
    """One peer's connection: what was received, and what is to be sent."""

    __slots__ = ("backlog", "fd", "heard", "peer", "queue", "recv", "send", "socket")

    def __init__(self, peer: PeerId, connection: socket.socket, limit: int) -> None:
        super().__init__(limit)
        self.peer = peer
        self.socket = connection
        self.fd = connection.fileno()
        self.recv = connection.recv
        self.send = connection.send
        self.queue: deque[bytes | memoryview] = deque()
        self.backlog = 0
        self.heard = False  # whether a frame of it has ever been delivered


_FEW_DESCRIPTORS: Final = ", because the server may open no more files: raise the limit of descriptors (ulimit -n)"


class LocalListener:
    """Listens at a path; see ``base.Listener`` for what each method promises."""

    def __init__(self, path: str, limits: Limits | None = None) -> None:
        """Listen.

        Args:
            path: where, absolute. A socket that a dead server has left there is replaced.
            limits: bounds on what peers can make this listener hold.

        Raises:
            UsageError: the address is in use, too long, or not a socket.
            Unavailable: the system refuses.
        """
        self._limits = limits or Limits()
        self._short = min(CUT, self._limits.frame)
        self._most_peers = min(self._limits.peers, _descriptors_left())
        self._closed = False
        self._links: dict[PeerId, _Link] = {}
        self._by_fd: dict[int, _Link] = {}
        self._numbers = itertools.count(1)
        self._arrivals: list[Arrival] = []
        self._unfinished: dict[int, _Link] = {}  # by descriptor: those with more whole frames than one turn delivers
        self._spin = Spin()
        self._probation = Probation(self._limits.handshake)
        self._accept_again: float | None = None
        self._reserve: int | None = None
        self._claim = Claim(path)
        self._socket = self._claim.bind()
        try:
            self._bell = Bell()
            self._poller = make_poller()
        except OSError as error:
            self._socket.close()
            self._claim.release()
            raise Unavailable(self._claim.address, f"cannot listen here: {error.strerror}") from error
        disown_after_fork(self)
        self._poller.register(self._socket.fileno(), READABLE)
        self._poller.register(self._bell.fileno(), READABLE)
        self._socket.setblocking(False)
        self._socket.listen(_QUEUE)
        self._refill_reserve()

    @property
    def address(self) -> str:
        """Where clients connect."""
        return self._claim.address

    # -- receiving

    def poll(self, timeout: float | None) -> list[Arrival]:
        """Wait until something has arrived, and take it."""
        if self._closed:
            raise listener_closed()
        if timeout is not None and not 0.0 <= timeout <= LONGEST_WAIT:
            timeout = capped(timeout)
        if self._probation.deadlines or self._accept_again is not None:
            timeout = self._until_next_deadline(timeout)
        unfinished = list(itertools.islice(self._unfinished, _BATCH)) if self._unfinished else ()
        if unfinished or self._arrivals:
            timeout = 0.0
        by_fd, arrivals = self._by_fd, self._arrivals
        for fd, events in self._wait(timeout):
            try:
                link = by_fd[fd]
            except KeyError:
                self._serve_own(fd)
                continue
            if events != READABLE or link.chunks:
                self._serve(link, events)
                continue
            # All traffic of a well-behaved client takes the next lines and no others, so they are inlined here.
            try:
                data = link.recv(_CHUNK)
            except OSError as error:
                self._failed(link, error)
                continue
            if from_bytes(data[:HEADER]) == len(data) - HEADER <= link.limit:
                link.heard = True
                arrivals.append(Received(link.peer, data[HEADER:]))
            else:
                self._take(link, data)
        if unfinished:
            self._finish(unfinished)
        self._arrivals = []
        return arrivals

    def _wait(self, timeout: float | None) -> list[tuple[int, int]]:
        """Return the descriptors at which something has happened, as soon as there is one."""
        poll, spin = self._poller.poll, self._spin
        if timeout == 0.0:
            return poll(timeout, _BATCH)
        if not spin.worth:
            begun = time.monotonic()
            ready = poll(timeout, _BATCH)
            spin.slept(time.monotonic() - begun)
            return ready
        if ready := poll(0.0, _BATCH):
            return ready  # where much arrives, nothing is waited for
        until = time.monotonic() + LONGEST
        while not (ready := poll(0.0, _BATCH)) and time.monotonic() < until:
            pass
        spin.looked(found=bool(ready))
        return ready or poll(timeout, _BATCH)

    def _serve(self, link: _Link, events: int) -> None:
        """Handle what is rare: resume writing, or reading in the middle of a frame, or the end of a connection."""
        if events & WRITABLE:
            self._flush(link)
        if events != WRITABLE and link.peer in self._links:
            self._continue(link)

    def _continue(self, link: _Link) -> None:
        """Read more, unless there are complete frames to deliver first."""
        if link.fd in self._unfinished:
            return
        try:
            data = link.recv(_LONG_CHUNK)
        except OSError as error:
            self._failed(link, error)
        else:
            self._take(link, data)

    def _take(self, link: _Link, data: bytes) -> None:
        if data:
            link.chunks.append(data)
            self._deliver(link)
        else:
            self._drop(link, CLOSED_BY_PEER + (" in the middle of a frame" if link.chunks else ""))

    def _deliver(self, link: _Link) -> None:
        """Deliver one turn's frames of a link, and remember it if there may be more."""
        frames = link.take(TURN)
        link.heard = link.heard or bool(frames)
        self._arrivals.extend(Received(link.peer, frame) for frame in frames)
        if link.fault is not None:
            self._drop(link, link.fault)
        elif len(frames) == TURN and link.chunks:
            self._unfinished[link.fd] = link

    def _finish(self, unfinished: Iterable[int]) -> None:
        """Deliver another turn's frames of links that had some left when this poll began, longest waiting first."""
        for fd in unfinished:
            link = self._unfinished.pop(fd, None)
            if link is not None:  # not dropped meanwhile
                self._deliver(link)

    # -- deadlines

    def _until_next_deadline(self, timeout: float | None) -> float | None:
        """Do what is due now, and limit a timeout, in seconds, to the next deadline."""
        now = time.monotonic()
        if self._accept_again is not None and self._accept_again <= now:
            self._accept_again = None
            self._refill_reserve()
            self._poller.register(self._socket.fileno(), READABLE)
        for peer in self._probation.due(now):
            self._judge(self._links[peer], now)
        deadlines = [at for at in (self._probation.next_deadline(), self._accept_again) if at is not None]
        waits = [max(0.0, at - now) for at in deadlines] + ([] if timeout is None else [timeout])
        return min(waits, default=None)

    def _judge(self, link: _Link, now: float) -> None:
        """Drop a peer whose time is over, unless it was this process that was late."""
        silent = not link.heard
        if silent:
            # Its hello may be waiting in the socket, if nobody has polled for that long.
            self._continue(link)
        if link.peer not in self._links:
            return
        if silent and link.heard:
            self._probation.enter(link.peer, now)  # one more term, for the layer above to process it
        else:
            self._drop(link, no_hello(self._limits.handshake))

    # -- sending

    def send(self, peer: PeerId, frame: bytes) -> None:
        """Send a frame to a peer, at once as far as it can be taken and later for the rest; never waits."""
        size, sent = len(frame), 0
        link = self._links.get(peer)
        if link is not None and not link.queue and size <= self._short:
            try:
                sent = link.send(pack(size) + frame, _FLAGS)
            except OSError as error:
                self._failed(link, error)
            if sent == size + HEADER:
                return
        self._send_rest(peer, frame, sent)

    def _send_rest(self, peer: PeerId, frame: bytes, sent: int) -> None:
        """Send a long frame, or the rest of one that the peer could not take at once."""
        if len(frame) > self._limits.frame:
            raise LimitExceeded("frame", len(frame), self._limits.frame)
        link = self._links.get(peer)
        if link is None:
            return
        first, rest = split(frame)
        idle = not link.queue
        self._queue(link, [piece for piece in (memoryview(first)[sent:], rest) if piece])
        if idle and not sent and peer in self._links:
            self._flush(link)

    def _queue(self, link: _Link, pieces: list[memoryview]) -> None:
        """Queue what a peer could not take."""
        if not link.queue:
            self._poller.modify(link.fd, READABLE | WRITABLE)
        link.queue.extend(pieces)
        link.backlog += sum(len(piece) + _KEEPING for piece in pieces)
        if link.backlog > self._limits.backlog:
            self._drop(link, over_backlog(link.backlog, self._limits.backlog))

    def _flush(self, link: _Link) -> None:
        """Write as much of the queue as the peer takes now."""
        queue = link.queue
        try:
            sent = link.socket.sendmsg(itertools.islice(queue, _BUFFERS), (), _FLAGS)
        except OSError as error:
            self._failed(link, error)
            return
        link.backlog -= sent
        while queue and sent >= len(queue[0]):
            sent -= len(queue.popleft())
            link.backlog -= _KEEPING
        if sent:
            queue[0] = queue[0][sent:]
        if not queue:
            assert link.backlog == 0, "what was queued and what was sent do not add up"
            self._poller.modify(link.fd, READABLE)

    # -- peers come and go

    def allow(self, peer: PeerId, max_frame: int) -> None:
        """Take a peer for a client after its hello: lift its time limit and raise its frame limit."""
        link = self._links.get(peer)
        if link is not None:
            self._probation.leave(peer)
            link.limit = min(max_frame, self._limits.frame)

    def disconnect(self, peer: PeerId, reason: str) -> None:
        """End a connection, after what is queued for it as far as it can be taken at once."""
        link = self._links.get(peer)
        if link is not None and link.queue:
            self._flush(link)
        if peer in self._links:
            self._drop(self._links[peer], reason)

    def _failed(self, link: _Link, error: OSError) -> None:
        if not isinstance(error, BlockingIOError):
            self._drop(link, f"{CONNECTION_LOST}: {error.strerror}")

    def _drop(self, link: _Link, reason: str) -> None:
        """Drop a peer, and tell both sides why."""
        del self._links[link.peer], self._by_fd[link.fd]
        self._spin.together = 1 + len(self._links)
        self._unfinished.pop(link.fd, None)
        self._probation.leave(link.peer)
        self._poller.unregister(link.fd)
        _part(link.socket, reason if not link.queue else None)
        self._arrivals.append(Closed(link.peer, reason))

    def _serve_own(self, fd: int) -> None:
        if fd == self._bell.fileno():
            self._bell.hush()
        elif fd == self._socket.fileno():
            self._accept()

    def _accept(self) -> None:
        for _ in range(_BATCH):
            try:
                connection, _ = self._socket.accept()
            except BlockingIOError:
                return
            except ConnectionError:
                continue
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                try:
                    self._turn_away()
                except BlockingIOError:
                    return  # the system looks for a descriptor before it looks whether somebody waits
                except OSError:
                    self._pause()
                    return
            else:
                self._admit(connection)

    def _admit(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        try:
            who = peer_credentials(connection)
        except OSError:  # on macOS, of a peer that has gone already
            connection.close()
            return
        if not who.trusted:
            _part(connection, f"uid {who.uid} may not connect here")
            return
        if len(self._links) >= self._most_peers:
            few = self._most_peers < self._limits.peers
            _part(connection, too_many_peers(self._most_peers) + (_FEW_DESCRIPTORS if few else ""))
            return
        try:
            self._poller.register(connection.fileno(), READABLE)
        except OSError as error:
            _part(connection, f"the server cannot take more peers: {error.strerror}")
            return
        link = _Link(PeerId(next(self._numbers)), connection, self._limits.first_frame)
        self._links[link.peer] = self._by_fd[link.fd] = link
        self._spin.together = 1 + len(self._links)
        self._probation.enter(link.peer, time.monotonic())
        self._arrivals.append(Opened(link.peer, who.pid))

    def _turn_away(self) -> None:
        """Use the reserve descriptor to refuse a newcomer, rather than let it wait.

        Raises:
            BlockingIOError: nobody waits to connect.
            OSError: there is no reserve, or another thread has used it up.
        """
        if self._reserve is not None:
            os.close(self._reserve)
            self._reserve = None
        try:
            _part(self._socket.accept()[0], "the server has no file descriptors left")
        finally:
            self._refill_reserve()

    def _refill_reserve(self) -> None:
        if self._reserve is None:
            with contextlib.suppress(OSError):
                self._reserve = os.open(os.devnull, os.O_RDONLY)

    def _pause(self) -> None:
        """Accept nobody for a while: the newcomer stays in the backlog, and would make every poll return at once."""
        self._poller.unregister(self._socket.fileno())
        self._accept_again = time.monotonic() + _PAUSE

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
        for peer in list(self._links):
            self.disconnect(peer, SERVER_CLOSED)
        self._closed = True
        self._claim.release()
        self._bell.close()
        self._let_go()

    def disown(self) -> None:
        """Close what a forked child has inherited; see ``fork``."""
        if self._closed:
            return
        self._closed = True
        for link in self._links.values():
            link.socket.close()
        self._links.clear()
        self._bell.disown()
        self._let_go()

    def _let_go(self) -> None:
        self._socket.close()
        self._poller.close()
        if self._reserve is not None:
            os.close(self._reserve)
            self._reserve = None


def _part(connection: socket.socket, reason: str | None) -> None:
    """End a connection; a reason is told if the peer can take it at once."""
    with contextlib.suppress(OSError):
        if reason is not None:
            connection.setblocking(False)
            connection.send(farewell(reason), _FLAGS)
        # Where some child has inherited the descriptor, close alone would not end the connection.
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


def _descriptors_left() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, soft - _SPARE) if soft != resource.RLIM_INFINITY else sys.maxsize
