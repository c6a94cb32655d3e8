"""What a parent and its child say to each other over their line.

The law: a line is a stream of frames, each a kind, a length and a body. The parent speaks first (`Setup`, then the
call); a child that takes orders gets them later, and answers each. The child says ``READY`` at most once, and at last
``RETURNED`` or ``RAISED``, or nothing at all, if it died. What bodies mean is known to `zproc.process.parcel`; here
they are bytes.
"""

from __future__ import annotations

import contextlib
import enum
import os
import select
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from zproc.exceptions import WaitTimeout
from zproc.process.descriptor import socket_of

__all__ = [
    "Decoder",
    "Frame",
    "Kind",
    "Setup",
    "Surroundings",
    "hand_over",
    "is_abandoned",
    "packed",
    "poll",
    "receive",
    "send",
    "send_before",
    "send_now",
    "take_over",
]

_HEADER = struct.Struct("!BQ")
_CHUNK = 1 << 18


class Kind(enum.IntEnum):
    """What a frame is."""

    SETUP = 1
    CALL = 2
    READY = 3
    RETURNED = 4
    RAISED = 5
    ORDER = 6
    ANSWER = 7
    DESCRIPTORS = 8


@dataclass(frozen=True, slots=True)
class Frame:
    """One thing that was said."""

    kind: Kind
    body: bytes


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The parent's world at the moment of the start, for a child that does not inherit it.

    Attributes:
        path: ``sys.path``.
        argv: ``sys.argv``.
        directory: the working directory; ``None`` if it is gone.
        environ: the environment variables.
    """

    path: tuple[str, ...]
    argv: tuple[str, ...]
    directory: str | None
    environ: dict[str, str]


@dataclass(frozen=True, slots=True)
class Setup:
    """What a child is told before it is told what to do.

    Attributes:
        name: the process's name.
        parent: the process id of the process that asked for it, which need not be the one that made it.
        parent_born: when that one was created, where the kernel offers no handle of it.
        surroundings: what to take over from it; ``None`` if everything is there by inheritance.
        handled: the signals that have a handler of the parent's in it; none unless it was forked.
        interruptible: whether Ctrl-C is an exception in it.
        detached: whether it has a session of its own.
        linger: how long it may outlive its parent, in seconds.
    """

    name: str
    parent: int
    parent_born: float | None = None
    surroundings: Surroundings | None = None
    handled: tuple[int, ...] = ()
    interruptible: bool = True
    detached: bool = False
    linger: float = 0.0


class Decoder:
    """Makes frames of the bytes as they come."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take what came, and yield what is complete."""
        self._buffer += data
        while len(self._buffer) >= _HEADER.size:
            kind, length = _HEADER.unpack_from(self._buffer)
            end = _HEADER.size + length
            if len(self._buffer) < end:
                return
            frame = Frame(Kind(kind), bytes(memoryview(self._buffer)[_HEADER.size : end]))
            del self._buffer[:end]
            yield frame


def poll(descriptors: dict[int, int], deadline: float | None) -> bool:
    """Wait until something happens on one of the descriptors; costs nothing while it does not.

    Args:
        descriptors: number -> the events of `select.poll` to wait for.
        deadline: when to give up, as `time.monotonic` counts; ``None`` for never.

    Returns:
        Whether something happened.
    """
    poller = select.poll()
    for descriptor, events in descriptors.items():
        poller.register(descriptor, events)
    if deadline is None:
        return bool(poller.poll())
    left = deadline - time.monotonic()
    # Rounded up: a wait that ends a fraction of a millisecond early would be repeated without rest until its end. But a
    # look is a look, and takes no millisecond.
    return bool(poller.poll(int(left * 1000) + 1 if left > 0 else 0))


def send(line: int, frame: Frame) -> None:
    """Say something, and wait until it is on its way.

    Raises:
        OSError: the other side is gone.
    """
    with _as_socket(line) as stream:
        stream.sendall(_HEADER.pack(frame.kind, len(frame.body)))
        stream.sendall(frame.body)


def packed(*frames: Frame) -> memoryview:
    """Give frames as they are sent."""
    return memoryview(b"".join(_HEADER.pack(frame.kind, len(frame.body)) + frame.body for frame in frames))


def send_now(line: int, data: memoryview) -> memoryview:
    """Say as much as can be said without waiting, over a line that does not block, and return the rest.

    Raises:
        OSError: the child is gone.
    """
    with _as_socket(line) as stream, contextlib.suppress(BlockingIOError):
        while data:
            data = data[stream.send(data) :]
    return data


def send_before(deadline: float, line: int, data: memoryview) -> None:
    """Say something to a child that may not be listening yet, over a line that does not block.

    Raises:
        OSError: the child is gone.
        WaitTimeout: it took in less than all of it, and no more.
    """
    began = time.monotonic()
    while data := send_now(line, data):
        if not poll({line: select.POLLOUT}, deadline) and time.monotonic() >= deadline:
            raise WaitTimeout("a new process takes its instructions", deadline - began)


def hand_over(deadline: float, line: int, numbers: Sequence[int]) -> None:
    """Send descriptors to a child that waits for them by `take_over`, over a line that does not block.

    Raises:
        OSError: the child is gone.
        WaitTimeout: it does not listen.
    """
    began = time.monotonic()
    with _as_socket(line) as stream:
        while True:
            try:
                socket.send_fds(stream, [_HEADER.pack(Kind.DESCRIPTORS, 0)], numbers)
                return
            except BlockingIOError:
                if not poll({line: select.POLLOUT}, deadline) and time.monotonic() >= deadline:
                    raise WaitTimeout("a new process takes its descriptors", deadline - began) from None


def take_over(line: int, count: int) -> list[int]:
    """Wait for so many descriptors, and return them.

    Raises:
        EOFError: the other side is gone.
    """
    with _as_socket(line) as stream:
        data, numbers, _, _ = socket.recv_fds(stream, _HEADER.size, count)
    if not data:
        raise EOFError
    assert _HEADER.unpack(data) == (Kind.DESCRIPTORS, 0), "something else where descriptors were due"
    return numbers


def receive(line: int, kind: Kind) -> bytes:
    """Wait for a frame of the given kind, and return its body.

    Raises:
        EOFError: the other side is gone.
    """
    arrived, length = _HEADER.unpack(_exactly(line, _HEADER.size))
    assert arrived == kind, f"frame {arrived} where {kind!r} was due"
    return _exactly(line, length)


def is_abandoned(line: int) -> bool:
    """Tell whether the other side has closed the line and nothing that it has said is left to be read."""
    with _as_socket(line) as stream, contextlib.suppress(BlockingIOError):
        return not stream.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    return False


def _exactly(line: int, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        chunk = os.read(line, min(_CHUNK, count - len(data)))
        if not chunk:
            raise EOFError
        data += chunk
    return bytes(data)


@contextlib.contextmanager
def _as_socket(line: int) -> Iterator[socket.socket]:
    """Write as to a socket: `os.write` to the dead would end a program that has SIGPIPE at its default."""
    stream = socket_of(line)
    try:
        yield stream
    finally:
        stream.detach()
