"""The client's side of ``unix://``: one socket, and what was received of an incomplete frame.

The law: what has been read is in ``FrameReader.chunks`` before any exception can occur, so that a ``recv`` that is
interrupted can be repeated. A ``send`` that is interrupted cannot know how much the kernel took, so it closes the
channel. The guarantees are those of ``base.Channel``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import time
from time import monotonic
from typing import TYPE_CHECKING, Final

from zproc.exceptions import Error, LimitExceeded, ProtocolError, Unavailable, UsageError, WaitTimeout
from zproc.transport.base import CONNECT_TIMEOUT, LONGEST_WAIT, MAX_FRAME, TURN, capped, channel_closed, ended_by_server
from zproc.transport.fork import disown_after_fork
from zproc.transport.frame import CUT, HEADER, FrameReader, from_bytes, pack, split
from zproc.transport.rendezvous import check_path, peer_credentials
from zproc.transport.spin import LONGEST, Spin

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LocalChannel"]

_CHUNK: Final = (64 << 10,)
_LONG_CHUNK: Final = (256 << 10,)
_RETRY: Final = 0.005  # seconds

_FLAGS: Final[int] = getattr(socket, "MSG_NOSIGNAL", 0) | getattr(socket, "MSG_DONTWAIT", 0)

_AT_ONCE: Final = (_FLAGS,)


class LocalChannel:
    """A connection to a path; see ``base.Channel`` for what each method promises."""

    __slots__ = (
        "__weakref__",
        "_address",
        "_closing",
        "_end",
        "_inside",
        "_limit",
        "_readable",
        "_reader",
        "_recv",
        "_send",
        "_short",
        "_socket",
        "_spin",
        "_writable",
    )

    def __init__(self, path: str, timeout: float = CONNECT_TIMEOUT, limit: int = MAX_FRAME) -> None:
        """Connect.

        Args:
            path: where the server listens, absolute.
            timeout: how long to wait at most for a server that is too busy to accept, in seconds.
            limit: the longest frame in both directions, in bytes.

        Raises:
            Unavailable: nobody listens there, or somebody who is not of our user.
            UsageError: the path is too long.
        """
        self._address = f"unix://{path}"
        self._limit = limit
        self._socket = _connect(check_path(path), timeout)
        self._reader = FrameReader(limit)
        self._spin = Spin()
        self._end: Callable[[], Error] | None = None  # why nothing goes any more
        self._inside = False  # whether a thread is in send or recv
        self._closing = False
        self._send = self._socket.send
        self._recv = self._socket.recv
        self._short = min(CUT, limit)  # up to which length a frame is sent in one piece
        self._readable = _waiter(self._socket, select.POLLIN)
        self._writable = _waiter(self._socket, select.POLLOUT)
        disown_after_fork(self)

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more, because of ``close``, an error or a fork."""
        return self._end is not None

    # -- sending

    def send(self, frame: bytes, timeout: float | None = None) -> None:
        """Send a frame."""
        if self._inside:
            raise _in_use()
        self._inside = True
        try:
            if self._end is not None:
                raise self._end()
            size, sent = len(frame), 0
            if size <= self._short:
                try:  # noqa: SIM105  contextlib.suppress would cost a tenth of the whole round trip
                    sent = self._send(pack(size) + frame, _FLAGS)
                except BlockingIOError:
                    pass
            if sent != size + HEADER:
                self._send_rest(frame, sent, timeout)
        except Error:
            raise
        except OSError as error:
            raise self._lost(error) from error
        except BaseException:
            self._finish(channel_closed)
            raise
        finally:
            self._inside = False
            if self._closing:
                self._socket.close()

    def _send_rest(self, frame: bytes, sent: int, timeout: float | None) -> None:
        """Send what is long, or what the server could not take at once, as it makes room."""
        if len(frame) > self._limit:
            raise LimitExceeded("frame", len(frame), self._limit)
        deadline = _deadline(timeout, monotonic())
        first, rest = split(frame)
        for piece in filter(None, (memoryview(first)[sent:], rest)):
            left = piece
            while left:
                try:
                    taken = self._send(left, _FLAGS)
                except BlockingIOError:
                    self._wait_for_room(deadline, timeout, untouched=not sent)
                else:
                    sent += taken
                    left = left[taken:]

    def _wait_for_room(self, deadline: float | None, timeout: float | None, *, untouched: bool) -> None:
        if self._writable.poll(_milliseconds(deadline)):
            return
        assert timeout is not None, "a wait without a deadline has ended without an event"
        if not untouched:
            self._finish(lambda: Unavailable(self._address, "the server stopped reading in the middle of a frame"))
        raise WaitTimeout(f"sending to {self._address}", timeout)

    # -- receiving

    def recv(self, timeout: float | None = None) -> bytes:
        """Take the next frame."""
        # First the flag, then the look: close does it in the other order, so that one of the two sees the other.
        if self._inside:
            raise _in_use()
        self._inside = True
        try:
            if self._end is not None:
                raise self._end()
            begun = monotonic()
            chunks = self._reader.chunks
            if chunks:
                return self._assemble(_deadline(timeout, begun), timeout)
            if self._spin.worth and (timeout is None or timeout >= LONGEST):
                self._look(begun + LONGEST)
            if not chunks:
                longest = timeout if timeout is None or 0.0 <= timeout <= LONGEST_WAIT else capped(timeout)
                self._read(None if longest is None else longest * 1000, timeout, _CHUNK)
                self._spin.slept(monotonic() - begun)
            data = chunks[0]
            # The usual: a reply that is one frame and comes in one piece. (One that is so small is no farewell.)
            size = len(data) - HEADER
            if size <= self._short and from_bytes(data[:HEADER]) == size:
                chunks.clear()
                return data[HEADER:]  # type: ignore[return-value]  # only a rest is a memoryview, and there was none
            self._check_end()
            return self._assemble(_deadline(timeout, begun), timeout)
        except Error:
            raise
        except OSError as error:
            raise self._lost(error) from error
        finally:
            self._inside = False
            if self._closing:
                self._socket.close()

    # Both have bytes appended by C code: a KeyboardInterrupt comes before they are read or after they are kept, never
    # between.

    def _look(self, until: float) -> None:
        chunks = self._reader.chunks
        while not chunks and monotonic() < until:
            try:  # noqa: SIM105  contextlib.suppress would look half as often
                chunks.extend(map(self._recv, _CHUNK, _AT_ONCE))
            except BlockingIOError:
                pass
        self._spin.looked(found=bool(chunks))

    def _read(self, milliseconds: float | None, timeout: float | None, size: tuple[int]) -> None:
        """Wait for bytes and take them.

        By a poll, and no read that waits: such a one the kernel wakes as well when the server takes what was sent to
        it, to find nothing and be put to sleep again, which costs more than the poll. What that has found is there, for
        nobody else reads.
        """
        if not self._readable.poll(milliseconds):
            assert timeout is not None, "a wait without a deadline has ended without an event"
            raise WaitTimeout(f"a frame from {self._address}", timeout)
        self._reader.chunks.extend(map(self._recv, size, _AT_ONCE))

    def _assemble(self, deadline: float | None, timeout: float | None) -> bytes:
        """Take a frame that came in several pieces, or with others."""
        reader = self._reader
        while True:
            for frame in reader.take(1):
                return frame
            if reader.fault is not None:
                raise self._ended(reader.fault)
            self._read(_milliseconds(deadline), timeout, _LONG_CHUNK)
            self._check_end()

    def _check_end(self) -> None:
        """Raise if the last read found the end of the stream."""
        chunks = self._reader.chunks
        if not chunks[-1]:
            chunks.pop()
            raise self._ended(None)

    # -- ending

    def fileno(self) -> int:
        """Return a descriptor that is readable when ``recv`` may have something."""
        if self._end is not None:
            raise self._end()
        return self._socket.fileno()

    def close(self) -> None:
        """End the connection; a ``recv`` of another thread raises UsageError."""
        self._end = self._end or channel_closed
        self._closing = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        # A thread inside still uses the descriptor, whose number must not become another file's under its hands. It is
        # awake now, and closes on its way out.
        if not self._inside:
            self._socket.close()

    def disown(self) -> None:
        """Close what a forked child has inherited; see ``fork``."""
        self._end = channel_closed
        self._closing = True
        self._socket.close()

    def _finish(self, end: Callable[[], Error]) -> None:
        """Close for a reason that later calls are told."""
        self._end = self._end or end
        self._closing = True

    def _lost(self, error: OSError) -> Error:
        """Explain a connection that has failed in send or recv."""
        with contextlib.suppress(OSError):
            while data := self._recv(_CHUNK[0], _FLAGS):
                self._reader.chunks.append(data)
        while self._reader.take(TURN):
            pass  # what else came before the end is lost with the channel
        return self._ended(None, f"the connection is lost: {error.strerror}")

    def _ended(self, fault: str | None, symptom: str = "the server has closed the connection") -> Error:
        """Close for the best reason that is known, and make the error."""
        reader = self._reader
        if fault is not None and reader.goodbye is None:
            self._finish(lambda: ProtocolError(fault))
        else:
            torn = " in the middle of a frame" if reader.chunks and reader.goodbye is None else ""
            reason = ended_by_server(reader.goodbye) if reader.goodbye else symptom + torn
            self._finish(lambda: Unavailable(self._address, reason))
        assert self._end is not None, "_finish has set it"
        return self._end()


def _in_use() -> UsageError:
    return UsageError("this channel is in use by another thread; each needs its own")


def _waiter(connection: socket.socket, event: int) -> select.poll:
    waiter = select.poll()
    waiter.register(connection, event)
    return waiter


def _deadline(timeout: float | None, begun: float) -> float | None:
    return None if timeout is None else begun + capped(timeout)


def _milliseconds(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - monotonic()) * 1000


_REFUSALS: Final = {
    errno.ENOENT: "nobody listens here; is the server running, and is this its address?",
    errno.ECONNREFUSED: "nobody listens here any more; the server that did was killed, start it again",
    errno.EACCES: "permission denied; the server belongs to another user",
    errno.EAGAIN: "the server does not accept connections; it is overloaded or stopped",
}


def _connect(path: str, timeout: float) -> socket.socket:
    address = f"unix://{path}"
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        deadline = monotonic() + timeout
        # Only a full queue is worth waiting for; the system does not tell when it has room again.
        while (answer := connection.connect_ex(path)) == errno.EAGAIN and monotonic() < deadline:
            time.sleep(_RETRY)
        if answer:
            raise Unavailable(address, _REFUSALS.get(answer, os.strerror(answer)))
        connection.setblocking(True)
        who = peer_credentials(connection)
        if not who.trusted:
            raise Unavailable(address, f"the server is of uid {who.uid}, which is neither ours nor root")
    except BaseException:
        connection.close()
        raise
    return connection
