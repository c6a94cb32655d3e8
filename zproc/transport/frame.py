"""Frames on a stream: four bytes of length, big-endian, then as many bytes.

The law: no byte is lost or read twice, and no length is believed. Memory is used for bytes that have come, never for
those that were announced. A length over the limit ends the stream: what follows it cannot be told apart. Lengths have
31 bits; the highest bit marks a farewell, the last thing that a server may say on a stream: why it ends, as UTF-8.

Nothing here reads or writes: chunks are put in by whoever has the socket.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from zproc.transport.base import over_limit

__all__ = ["CUT", "HEADER", "FrameReader", "farewell", "from_bytes", "pack", "split"]

HEADER: Final = 4
"""Bytes before each frame."""

CUT: Final = 64 << 10
"""Frames up to this are copied behind their header and sent in one piece; of longer ones only so much is copied."""

_FAREWELL: Final = 1 << 31
_LONGEST_FAREWELL: Final = 512
_MERGED: Final = 256 << 10

pack: Callable[[int], bytes] = struct.Struct(">I").pack
"""Turns a length into a header."""

from_bytes: Callable[[bytes | memoryview], int] = int.from_bytes
"""Turns a header back into a length."""


def split(frame: bytes) -> tuple[bytes, memoryview | None]:
    """Put a frame into the form that travels.

    Returns:
        The first piece, and the rest of a long frame, not copied.
    """
    size = len(frame)
    if size <= CUT:
        return pack(size) + frame, None
    return pack(size) + frame[:CUT], memoryview(frame)[CUT:]


def farewell(reason: str) -> bytes:
    """Put the reason for an end into the form that travels, cut to a length that fits everywhere."""
    text = reason.encode("utf-8", "replace")[:_LONGEST_FAREWELL]
    return pack(_FAREWELL | len(text)) + text


class FrameReader:
    """Takes the frames out of the chunks that a stream came in.

    Attributes:
        chunks: what has come and is not taken yet, in order, beginning where a frame begins. Whoever reads the socket
            appends here, and nothing else: bytes that are in are safe from an exception at any point.
        limit: the longest frame that is taken, in bytes.
        fault: what is wrong with the next frame, in words, once it is known to be too long; the stream is at its end
            then.
        goodbye: the reason that the other side gave for its end, once it has come.
    """

    __slots__ = ("chunks", "fault", "goodbye", "limit")

    def __init__(self, limit: int) -> None:
        self.chunks: list[bytes | memoryview] = []
        self.limit: int = limit
        self.fault: str | None = None
        self.goodbye: str | None = None

    def take(self, most: int) -> list[bytes]:
        """Take whole frames, in order.

        Args:
            most: how many at most. Fewer than that come only when no more whole ones are there.
        """
        if not self.chunks or self.fault is not None or not self._promising():
            return []
        data = memoryview(b"".join(self.chunks)) if len(self.chunks) > 1 else memoryview(self.chunks[0])
        frames: list[bytes] = []
        begin, have = 0, len(data)
        while len(frames) < most and have - begin >= HEADER:
            size = from_bytes(data[begin : begin + HEADER])
            end = begin + HEADER + size
            if size > self.limit:
                self._end(size, data[begin + HEADER : end])
                break
            if end > have:
                break
            frames.append(bytes(data[begin + HEADER : end]))
            begin = end
        # One step, so that an exception between two of these lines cannot leave a frame half taken.
        self.chunks[:] = [data[begin:]] if begin < have else []
        return frames

    def _promising(self) -> bool:
        """Whether a whole frame may have come; if not, keep the number of chunks small.

        A frame of 16 MiB may come in 16 million chunks, one byte each. Neighbours of like size are merged, so that
        there are few and a byte is copied a few times at most.
        """
        chunks = self.chunks
        if len(chunks) == 1 or len(chunks[0]) < HEADER:
            return True
        size = from_bytes(chunks[0][:HEADER])
        if size > self.limit or HEADER + size <= sum(map(len, chunks)):
            return True
        while len(chunks) > 1 and len(chunks[-2]) <= min(len(chunks[-1]), _MERGED):
            chunks[-2:] = [b"".join(chunks[-2:])]
        return False

    def _end(self, size: int, rest: memoryview) -> None:
        if size & _FAREWELL:
            self.goodbye = str(rest[:_LONGEST_FAREWELL], "utf-8", "replace")
        self.fault = over_limit(size, self.limit)
