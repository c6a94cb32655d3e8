"""Frames on a stream: four bytes of length, big-endian, then as many bytes.

The law: no byte is lost or read twice, and no length is trusted. Memory is used for bytes that have arrived, never for
bytes announced. A length over the limit ends the stream, because what follows cannot be parsed. Lengths have 31 bits;
the highest bit marks a farewell, the last that a server may send on a stream: why it ends, in UTF-8.

Nothing here does I/O: chunks are put in by whoever has the socket.
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
"""Encodes a length as a header."""

from_bytes: Callable[[bytes | memoryview], int] = int.from_bytes
"""Decodes a header to a length."""


def split(frame: bytes) -> tuple[bytes, memoryview | None]:
    """Encode a frame.

    Returns:
        The first piece, and the rest of a long frame, not copied.
    """
    size = len(frame)
    if size <= CUT:
        return pack(size) + frame, None
    return pack(size) + frame[:CUT], memoryview(frame)[CUT:]


def farewell(reason: str) -> bytes:
    """Encode the reason for an end, cut to a length that fits everywhere."""
    text = reason.encode("utf-8", "replace")[:_LONGEST_FAREWELL]
    return pack(_FAREWELL | len(text)) + text


class FrameReader:
    """Decodes frames from the chunks of a stream.

    Attributes:
        chunks: what has arrived and was not taken yet, in order, beginning at the start of a frame. Whoever reads the
            socket only appends here: bytes that are in here are safe from an exception at any point.
        limit: the longest frame that is accepted, in bytes.
        fault: what is wrong with the next frame, once it is known to be too long; this is the end of the stream.
        goodbye: the reason that the other side gave for its end, once it has arrived.
    """

    __slots__ = ("chunks", "fault", "goodbye", "limit")

    def __init__(self, limit: int) -> None:
        self.chunks: list[bytes | memoryview] = []
        self.limit: int = limit
        self.fault: str | None = None
        self.goodbye: str | None = None

    def take(self, most: int) -> list[bytes]:
        """Return complete frames, in order.

        Args:
            most: how many at most; fewer only if no more complete ones are there.
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
        # In one step, so that an exception cannot leave a frame half taken.
        self.chunks[:] = [data[begin:]] if begin < have else []
        return frames

    def _promising(self) -> bool:
        """Return whether a complete frame may have arrived; if not, keep the number of chunks small.

        A frame of 16 MiB may come in 16 million chunks of one byte. Neighbours of similar size are merged, so that
        there are few chunks, and each byte is copied a few times at most.
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
