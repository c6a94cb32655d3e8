"""The protocol between a worker and its parent.

The law: tasks are messages, whole or not at all, over a socket of which the parent holds both ends: so it can take back
what the worker has not received, and the kernel makes sure that each message goes to one of the two. Everything else
goes over a line, as frames: functions down, results up. A body is a pickled value; long ones lie in a shared segment
whose descriptor is passed along, and then the body says where.
"""

from __future__ import annotations

import array
import enum
import os
import socket
import struct
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias

from zproc.process import Segment, descriptor

__all__ = [
    "ANCILLARY",
    "MESSAGE",
    "Ancillary",
    "Flag",
    "Frame",
    "Kind",
    "Reader",
    "Task",
    "adopt",
    "attached",
    "locate",
    "located",
    "pairs",
    "rights",
]

Ancillary: TypeAlias = "list[tuple[int, int, bytes]]"

MESSAGE: Final = 64 << 10
"""The receive buffer, for a message or a few frames, in bytes. A larger one would cost page faults each time."""

ANCILLARY: Final = socket.CMSG_SPACE(16 * array.array("i").itemsize)
"""Room for the descriptors that are passed along."""

_FRAME: Final = struct.Struct("!BQIBdI")
_TASK: Final = struct.Struct("!QQIBd")
_WORD: Final = struct.Struct("!Q")


class Kind(enum.IntEnum):
    """The kinds of frames."""

    HELLO = 1
    """Up: the worker is ready."""
    FUNCTION = 2
    """Down: a function; its number is in place of the chunk's."""
    FORGET = 3
    """Down: the function with that number is no longer needed."""
    DONE = 4
    """Up: the outcomes of the next items of a chunk."""
    REST = 5
    """Up: the rest of a chunk is given back."""


class Flag:  # plain numbers, because combining members of an `IntFlag` takes microseconds
    """How a body is to be read."""

    SEGMENT: Final = 1
    """It lies in a segment."""
    CAREFUL: Final = 2
    """Of items: the result of each is sent before the next is begun."""
    ALONE: Final = 4
    """The body is one value rather than a list."""
    FAILED: Final = 8
    """That value is an error."""
    MIXED: Final = 16
    """The body is a list of values, and a dict of the errors among them."""
    RETURNED: Final = 32
    """The segment in which the items came may be reused."""
    PACKED: Final = 64
    """Of items: each is pickled separately."""


class Frame(NamedTuple):
    """One message over the line."""

    kind: int
    chunk: int
    items: int
    flags: int
    seconds: float
    body: memoryview | bytes

    def packed(self) -> bytes:
        """Return its encoding."""
        head = _FRAME.pack(self.kind, self.chunk, self.items, self.flags, self.seconds, len(self.body))
        return head + self.body


class Task(NamedTuple):
    """A chunk, as it is sent to a worker.

    Attributes:
        chunk: its number.
        function: the number of the function to call with each item.
        items: how many there are.
        flags: how the body is to be read.
        budget: after how many seconds to give the rest back; 0 for never.
        body: the items.
    """

    chunk: int
    function: int
    items: int
    flags: int
    budget: float
    body: memoryview | bytes

    def packed(self) -> bytes:
        """Return its encoding."""
        return _TASK.pack(self.chunk, self.function, self.items, self.flags, self.budget) + self.body

    @classmethod
    def read(cls, message: bytes) -> Task:
        """Decode one."""
        chunk, function, items, flags, budget = _TASK.unpack_from(message)
        return cls(chunk, function, items, flags, budget, memoryview(message)[_TASK.size :])


class Reader:
    """Decodes frames from a line, and keeps the descriptors passed along until they are asked for."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._rest = b""
        self.descriptors: deque[int] = deque()

    def read(self) -> Iterator[Frame] | None:
        """Receive once, and return the complete frames; ``None`` when the other side is gone.

        Raises:
            BlockingIOError: there is nothing now.
        """
        try:
            data, ancillary, _, _ = self._line.recvmsg(MESSAGE, ANCILLARY)
        except ConnectionResetError:
            return None
        self.descriptors.extend(rights(ancillary))
        return self._frames(self._rest + data if self._rest else data) if data else None

    def _frames(self, data: bytes) -> Iterator[Frame]:
        start, end, view = 0, len(data), memoryview(data)
        while end - start >= _FRAME.size:
            kind, chunk, items, flags, seconds, length = _FRAME.unpack_from(data, start)
            after = start + _FRAME.size + length
            if after > end:
                break
            self._rest = data[after:] if after < end else b""
            yield Frame(kind, chunk, items, flags, seconds, view[after - length : after])
            start = after
        self._rest = data[start:] if start < end else b""

    def close(self) -> None:
        """Close descriptors that nobody has asked for."""
        while self.descriptors:
            descriptor.close(self.descriptors.popleft())


def rights(ancillary: Ancillary) -> list[int]:
    """Extract the descriptors from ancillary data, and register them as this process's own."""
    numbers = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers.frombytes(data[: len(data) - len(data) % numbers.itemsize])
    return [descriptor.keep(number) for number in numbers]


def locate(number: int, segment: Segment, layout: Sequence[int]) -> bytes:
    """Encode where in which segment a value lies."""
    return struct.pack(f"!{len(layout) + 2}Q", number, segment.size, *layout)


def located(body: memoryview | bytes) -> tuple[int, int, tuple[int, ...]]:
    """Decode that: the segment's number, its size, and the layout."""
    number, size, *layout = struct.unpack(f"!{len(body) // _WORD.size}Q", body)
    return number, size, tuple(layout)


def pairs() -> tuple[tuple[socket.socket, int], tuple[socket.socket, int]]:
    """Open the socket for tasks and the line; of each, return this side's end and the worker's descriptor."""
    # Messages with an end of file; where the system has none, datagrams.
    kind = getattr(socket, "SOCK_SEQPACKET", socket.SOCK_DGRAM) if os.uname().sysname == "Linux" else socket.SOCK_DGRAM
    made = []
    for each in (kind, socket.SOCK_STREAM):
        near, far = socket.socketpair(socket.AF_UNIX, each)
        far.setblocking(True)  # whatever `socket.setdefaulttimeout` says; `adopt` sees to the near one
        made.append((adopt(descriptor.keep(near.detach()), each), descriptor.keep(far.detach())))
    return made[0], made[1]


_adopted: weakref.WeakSet[socket.socket] = weakref.WeakSet()


def adopt(number: int, kind: int) -> socket.socket:
    """Return a socket object for a descriptor registered as this process's own; `descriptor.close` closes it.

    The object must not close its number when it is collected in a fork, where that may mean something else by then.
    """
    adopted = _Adopted(socket.AF_UNIX, kind, 0, number)
    adopted.setblocking(True)
    _adopted.add(adopted)
    return adopted


class _Adopted(socket.socket):
    def close(self) -> None:
        number = self.detach()
        if number >= 0:
            descriptor.close(number)


def _after_fork_in_child() -> None:
    for each in list(_adopted):
        each.detach()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def attached(cargo_descriptors: Sequence[int]) -> Ancillary:
    """Return the ancillary data that passes descriptors along with a message."""
    if not cargo_descriptors:
        return []
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", cargo_descriptors).tobytes())]
