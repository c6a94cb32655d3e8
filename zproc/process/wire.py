"""The protocol between a parent and its child over their line.

The law: a line is a stream of frames, each a kind, a length and a body. The parent sends first (`Setup`, then the
call); a child that takes orders receives them later, and answers each. The child sends ``READY`` at most once, and
finally ``RETURNED`` or ``RAISED``, or nothing if it died. The meaning of bodies is known to `zproc.process.parcel`;
here they are bytes.
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
from zproc.process.descriptor import lend

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
    """The kinds of frames."""

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
    """One message."""

    kind: Kind
    body: bytes


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The parent's environment at the moment of the start, for a child that does not inherit it.

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
    """What a child is told before its call.

    Attributes:
        name: its name.
        parent: the process id of the process that requested it, which need not be the one that forked it.
        parent_born: when that one was created, where the kernel has no pidfds.
        surroundings: what to take over from it; ``None`` if it is inherited.
        handled: the signals for which it inherits a handler of the parent's; none unless it was forked.
        interruptible: whether Ctrl-C raises KeyboardInterrupt in it.
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
    """Decodes frames from bytes as they come."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take bytes, and yield the frames that are complete."""
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
    """Wait until something happens on one of the descriptors.

    Args:
        descriptors: the events of `select.poll` to wait for, by descriptor.
        deadline: when to give up, by `time.monotonic`; ``None`` for never.

    Returns:
        Whether something happened.
    """
    poller = select.poll()
    for descriptor, events in descriptors.items():
        poller.register(descriptor, events)
    if deadline is None:
        return bool(poller.poll())
    left = deadline - time.monotonic()
    # Rounded up: a wait that ends a fraction of a millisecond early would be repeated in a busy loop. But a deadline
    # that has passed means a look, which takes no millisecond.
    return bool(poller.poll(int(left * 1000) + 1 if left > 0 else 0))


def send(line: int, frame: Frame) -> None:
    """Send a frame, and wait until it is on its way.

    Raises:
        OSError: the other side is gone.
    """
    with lend(line) as stream:  # `os.write` to a dead peer would end a program whose SIGPIPE is at its default
        stream.sendall(_HEADER.pack(frame.kind, len(frame.body)))
        stream.sendall(frame.body)


def packed(*frames: Frame) -> memoryview:
    """Return frames as they are sent."""
    return memoryview(b"".join(_HEADER.pack(frame.kind, len(frame.body)) + frame.body for frame in frames))


def send_now(line: int, data: memoryview) -> memoryview:
    """Send as much as a non-blocking line takes now, and return the rest.

    Raises:
        OSError: the child is gone.
    """
    with lend(line) as stream, contextlib.suppress(BlockingIOError):
        while data:
            data = data[stream.send(data) :]
    return data


def send_before(deadline: float, line: int, data: memoryview) -> None:
    """Send data to a child that may not be listening yet, over a non-blocking line.

    Raises:
        OSError: the child is gone.
        WaitTimeout: it has not received all of it before the deadline.
    """
    began = time.monotonic()
    while data := send_now(line, data):
        if not poll({line: select.POLLOUT}, deadline) and time.monotonic() >= deadline:
            raise WaitTimeout("a new process takes its instructions", deadline - began)


def hand_over(deadline: float, line: int, numbers: Sequence[int]) -> None:
    """Send descriptors to a child that waits for them in `take_over`, over a non-blocking line.

    Raises:
        OSError: the child is gone.
        WaitTimeout: it does not listen.
    """
    began = time.monotonic()
    with lend(line) as stream:
        while True:
            try:
                socket.send_fds(stream, [_HEADER.pack(Kind.DESCRIPTORS, 0)], numbers)
                return
            except BlockingIOError:
                if not poll({line: select.POLLOUT}, deadline) and time.monotonic() >= deadline:
                    raise WaitTimeout("a new process takes its descriptors", deadline - began) from None


def take_over(line: int, count: int) -> list[int]:
    """Wait for descriptors, and return them.

    Raises:
        EOFError: the other side is gone.
    """
    with lend(line) as stream:
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
    """Return whether the other side has closed the line, and nothing is left to be read."""
    with lend(line) as stream, contextlib.suppress(BlockingIOError):
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
