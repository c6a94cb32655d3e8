"""What travels between a ROUTER and a DEALER: pieces of frames, numbered, with a word on how far the other side is.

The law: a link is one connection. What ZeroMQ calls a message is one piece here, and every piece is numbered from 1 on,
so that whatever a wire loses, repeats or reorders ends the link instead of being taken for something else. The names
that ZeroMQ gives its peers carry no authority: a client shows the token that it opened the link with on every piece.

A server never has more than `WINDOW` bytes on the way to a client that the client has not confirmed; the rest waits in
the server's own queue, where it is counted. ZeroMQ itself counts messages, and those only roughly.

Nothing here reads or writes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from zproc.exceptions import ProtocolError

__all__ = [
    "ACK",
    "BYE",
    "DATA",
    "FROM_CLIENT",
    "FROM_SERVER",
    "KEEPING",
    "MAX_PIECE",
    "OPEN",
    "PIECE",
    "PROBE",
    "TOKEN",
    "WINDOW",
    "Assembly",
    "cost",
    "greeting",
    "pieces",
    "read_goodbye",
]

OPEN: Final = 1
"""From a client, first: this is my token, and I speak `GREETING`."""

DATA: Final = 2
"""From both: a piece of a frame."""

ACK: Final = 3
"""From a client: nothing but how far I am."""

BYE: Final = 4
"""From both, last: I leave; a server says why, as UTF-8."""

PROBE: Final = 5
"""From a server: nothing; if it cannot be sent, nobody is there."""

GREETING: Final = b"zproc link 1"
"""The body of OPEN."""

PIECE: Final = 64 << 10
"""How much of a frame travels in one piece, in bytes."""

TOKEN: Final = 16
"""The length of a token, in bytes."""

FROM_CLIENT: Final = struct.Struct(f">B{TOKEN}sQQI")
"""Kind, token, number of the piece, bytes confirmed so far, length of the whole frame; the piece follows."""

FROM_SERVER: Final = struct.Struct(">BQI")
"""Kind, number of the piece, length of the whole frame; the piece follows."""

MAX_PIECE: Final = FROM_CLIENT.size + PIECE
"""The longest message of a link, in bytes."""

WINDOW: Final = 1 << 20
"""How much a server sends ahead of what a client has confirmed, in bytes, each piece with `KEEPING` more."""

KEEPING: Final = 64
"""What each piece counts beside its own bytes."""

_LONGEST_GOODBYE: Final = 512


def cost(piece: bytes) -> int:
    """Return what a piece, without its head, counts in the window."""
    return len(piece) + KEEPING


def greeting(token: bytes) -> bytes:
    """Return the first message of a client."""
    return FROM_CLIENT.pack(OPEN, token, 0, 0, 0) + GREETING


def pieces(frame: bytes) -> list[bytes]:
    """Cut a frame into what travels at a time; one that is empty is one piece."""
    if len(frame) <= PIECE:
        return [frame]
    return [frame[begin : begin + PIECE] for begin in range(0, len(frame), PIECE)]


def read_goodbye(body: bytes) -> str:
    """Return the reason in a BYE."""
    return str(body[:_LONGEST_GOODBYE], "utf-8", "replace")


@dataclass(slots=True)
class Assembly:
    """The pieces of the next frame, as they come.

    Attributes:
        number: of the last piece.
        size: how long the frame is that is begun, in bytes; ``None`` between frames.
    """

    number: int
    size: int | None
    _parts: list[bytes]
    _have: int

    def __init__(self) -> None:
        self.number = 0
        self.size = None
        self._parts = []
        self._have = 0

    def take(self, number: int, size: int, piece: bytes) -> bytes | None:
        """Take a piece.

        Returns:
            The frame, if this was its last piece.

        Raises:
            ProtocolError: it is not the next piece. Nothing can be taken any more.
        """
        if number != self.number + 1:
            raise ProtocolError(f"piece {number} came after piece {self.number}")
        self.number = number
        if self.size is None and len(piece) == size <= PIECE:
            return piece
        if self.size not in (None, size):
            raise ProtocolError(f"a frame of {self.size} bytes goes on as one of {size}")
        left = size - self._have
        if len(piece) != min(left, PIECE):
            raise ProtocolError(f"a piece of {len(piece)} bytes where {left} are left of a frame")
        self.size = size
        self._parts.append(piece)
        self._have += len(piece)
        if self._have < size:
            return None
        frame = b"".join(self._parts)
        self.size, self._parts, self._have = None, [], 0
        return frame
