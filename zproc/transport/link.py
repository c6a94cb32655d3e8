"""The protocol between a ROUTER and a DEALER: numbered pieces of frames, with acknowledgements.

The law: a link is one connection. A message of ZeroMQ is one piece here, and pieces are numbered from 1 on, so that a
lost, repeated or reordered piece ends the link rather than corrupting it. The routing ids that ZeroMQ assigns carry no
authority: a client sends the token with which it opened the link along with every piece.

A server never has more than `WINDOW` unacknowledged bytes on the way to a client; the rest waits in the server's own
queue, where it is counted. ZeroMQ itself counts messages, and those only roughly.

Nothing here does I/O.
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
"""From a client, first: its token, and the protocol, `GREETING`."""

DATA: Final = 2
"""From both: a piece of a frame."""

ACK: Final = 3
"""From a client: an acknowledgement only."""

BYE: Final = 4
"""From both, last: the end; a server says why, in UTF-8."""

PROBE: Final = 5
"""From a server: a no-op; if it cannot be sent, nobody is there."""

GREETING: Final = b"zproc link 1"
"""The body of OPEN."""

PIECE: Final = 64 << 10
"""How much of a frame fits into one piece, in bytes."""

TOKEN: Final = 16
"""The length of a token, in bytes."""

FROM_CLIENT: Final = struct.Struct(f">B{TOKEN}sQQI")
"""Kind, token, number of the piece, bytes acknowledged so far, length of the whole frame; the piece follows."""

FROM_SERVER: Final = struct.Struct(">BQI")
"""Kind, number of the piece, length of the whole frame; the piece follows."""

MAX_PIECE: Final = FROM_CLIENT.size + PIECE
"""The longest message of a link, in bytes."""

WINDOW: Final = 1 << 20
"""How much a server sends ahead of a client's acknowledgements, in bytes; each piece counts `KEEPING` more."""

KEEPING: Final = 64
"""What each piece counts besides its own bytes."""

_LONGEST_GOODBYE: Final = 512


def cost(piece: bytes) -> int:
    """Return what a piece, without its header, counts in the window."""
    return len(piece) + KEEPING


def greeting(token: bytes) -> bytes:
    """Return the first message of a client."""
    return FROM_CLIENT.pack(OPEN, token, 0, 0, 0) + GREETING


def pieces(frame: bytes) -> list[bytes]:
    """Cut a frame into pieces; an empty one is one piece."""
    if len(frame) <= PIECE:
        return [frame]
    return [frame[begin : begin + PIECE] for begin in range(0, len(frame), PIECE)]


def read_goodbye(body: bytes) -> str:
    """Return the reason in a BYE."""
    return str(body[:_LONGEST_GOODBYE], "utf-8", "replace")


@dataclass(slots=True)
class Assembly:
    """Reassembles frames from their pieces.

    Attributes:
        number: the number of the last piece.
        size: the length of the frame that is incomplete, in bytes; ``None`` between frames.
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
        """Add a piece.

        Returns:
            The frame, if this was its last piece.

        Raises:
            ProtocolError: it is not the next piece. Nothing can be added any more.
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
