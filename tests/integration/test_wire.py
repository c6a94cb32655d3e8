"""The wire as docs/reference/wire.md writes it down, and a client that is written from that page alone.

``python tests/integration/test_wire.py`` writes the generated parts of the page anew.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Any, cast
from uuid import UUID

import msgpack
import pytest
import zmq
from pydantic import Field
from zmq.utils import z85

import zproc
from zproc.core import messages, refusal
from zproc.core.messages import PROTOCOL, decode_command, decode_reply, encode
from zproc.schema.codec import Codec
from zproc.transport import fresh_address, runtime_directory

PAGE = Path(__file__).parent.parent.parent / "docs" / "reference" / "wire.md"


class Color(Enum):
    RED = "red"


VALUES: dict[str, object] = {
    "tuple": (1, 2),
    "set": {1, 2},
    "frozenset": frozenset({1}),
    "datetime": datetime(2026, 1, 31, 12, 30, tzinfo=timezone(timedelta(hours=1))),
    "date": date(2026, 1, 31),
    "time": time(12, 30),
    "timedelta": timedelta(days=1, seconds=2, microseconds=3),
    "Decimal": Decimal("1.50"),
    "UUID": UUID(int=7),
    "int of more than 64 bits": 1 << 64,
    "complex": 1 + 2j,
    "Enum": Color.RED,
    "Path": PurePosixPath("/a"),
}
"""A value of each extension type."""

PAYLOADS = {
    "tuple": "a list",
    "set": "a list, in the order of the bytes of its elements",
    "frozenset": "as set",
    "datetime": "a list: ISO 8601, fold",
    "date": "ISO 8601",
    "time": "a list: ISO 8601, fold",
    "timedelta": "a list: days, seconds, microseconds",
    "Decimal": "text",
    "UUID": "16 bytes",
    "int of more than 64 bits": "decimal text",
    "complex": "a list: real, imaginary",
    "Enum": "a list: position of the enumeration in the schema, value of the member",
    "Path": "text",
}

FIELDS: dict[str, object] = {
    "RequestId": 7,
    "Revision": 3,
    "LeaseId": 2,
    "Revision | None": None,
    "LeaseId | None": None,
    "int": 1,
    "int | None": None,
    "bool": True,
    "str": "s",
    "SessionId": "0123",
    "Epoch": "e",
    "bytes": b"\x91\x01",
    "Mapping[str, str]": {},
    "tuple[str, ...]": ("n",),
    "tuple[bytes, ...]": (b"\xc0",),
}
"""A value for each type that a field of a message has."""


def sample(kind: type[Any]) -> Any:
    return kind(**{field.name: FIELDS[str(field.type)] for field in dataclasses.fields(kind)})


def hexed(data: bytes) -> str:
    return data.hex(" ")


def message_rows() -> Iterator[str]:
    yield f"The version of the protocol is **{PROTOCOL}**."
    yield ""
    yield "| tag | message | fields | example, each field as in the code's tests |"
    yield "|---|---|---|---|"
    for kind, tag in messages._TAGS.items():
        names = ", ".join(f"`{field.name}` {_plain(str(field.type))}" for field in dataclasses.fields(kind))
        yield f"| {tag} | {kind.__name__} | {names} | `{hexed(encode(sample(kind)))}` |"


def _plain(annotation: str) -> str:
    for name in ("RequestId", "Revision", "LeaseId"):
        annotation = annotation.replace(name, "int")
    for name in ("SessionId", "Epoch"):
        annotation = annotation.replace(name, "str")
    known = {
        "Mapping[str, str]": "map of str",
        "tuple[str, ...]": "list of str",
        "tuple[bytes, ...]": "list of bin",
        "bytes": "bin",
    }
    return known.get(annotation, annotation.replace(" | None", " or nil"))


def error_rows() -> Iterator[str]:
    yield "| number | error | fields |"
    yield "|---|---|---|"
    for number, kind in enumerate(refusal._ERRORS):
        yield f"| {number} | {kind.__name__} | {', '.join(f'`{field.name}`' for field in dataclasses.fields(kind))} |"


def value_rows() -> Iterator[str]:
    yield "| type | of Python | payload | example |"
    yield "|---|---|---|---|"
    codec = Codec((Color,))
    for name, value in VALUES.items():
        data = codec.encode(value)
        code = msgpack.unpackb(data, ext_hook=lambda code, _: code)
        yield f"| {code} | {name} | {PAYLOADS[name]} | `{hexed(data)}` |"


PARTS: dict[str, Callable[[], Iterator[str]]] = {"messages": message_rows, "errors": error_rows, "values": value_rows}


def rendered(page: str) -> str:
    for name, rows in PARTS.items():
        begin, rest = page.split(f"<!-- generated: {name} -->\n", 1)
        _, end = rest.split("<!-- end -->", 1)
        body = "\n".join(rows())
        page = f"{begin}<!-- generated: {name} -->\n{body}\n<!-- end -->{end}"
    return page


def test_the_page_says_what_the_code_does() -> None:
    page = PAGE.read_text("utf-8")
    assert rendered(page) == page, (
        "the wire has changed: is that meant? then run `python tests/integration/test_wire.py`"
    )


def test_every_example_of_a_message_is_read_back() -> None:
    for kind, tag in messages._TAGS.items():
        data = encode(sample(kind))
        assert (decode_command if tag < 64 else decode_reply)(data) == sample(kind)


def test_every_example_of_a_value_is_read_back() -> None:
    codec = Codec((Color,))
    for value in VALUES.values():
        assert codec.decode(codec.encode(value)) == value


# A client in another language: below, nothing of zproc is used but what starts a server.


class State(zproc.StateModel):
    n: int = Field(default=0, ge=0)
    table: dict[str, int] = {}

    @zproc.action
    def add(self, by: int) -> int:
        self.n += by
        return self.n


class UnixFrames:
    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(10)
        self._socket.connect(address.removeprefix("unix://"))

    def send(self, frame: bytes) -> None:
        self._socket.sendall(struct.pack(">I", len(frame)) + frame)

    def recv(self) -> bytes:
        (size,) = struct.unpack(">I", self._exactly(4))
        return self._exactly(size)

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            data += self._socket.recv(size - len(data))
        return data

    def close(self) -> None:
        self._socket.close()


class ZmqFrames:
    def __init__(self, address: str) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.set(zmq.LINGER, 0)
        self._socket.set(zmq.RECONNECT_IVL, -1)
        self._socket.set(zmq.RCVTIMEO, 10_000)
        if address.startswith("tcp://"):
            host, port = address.removeprefix("tcp://").split(":")
            name = "localhost" if host == "127.0.0.1" else host
            token = bytes.fromhex((Path(runtime_directory()) / f"tcp-{name}-{port}").read_text())
            client, server = (
                z85.encode(hashlib.blake2b(token, digest_size=32, person=role).digest())
                for role in (b"zproc client", b"zproc server")
            )
            self._socket.set(zmq.CURVE_SECRETKEY, client)
            self._socket.set(zmq.CURVE_PUBLICKEY, zmq.curve_public(client))
            self._socket.set(zmq.CURVE_SERVERKEY, zmq.curve_public(server))
        self._socket.connect(address)
        self._token = os.urandom(16)
        self._number = self._confirmed = 0
        self._say(1, 0, 0, b"zproc link 1")

    def _say(self, kind: int, number: int, size: int, piece: bytes) -> None:
        self._socket.send(struct.pack(">B16sQQI", kind, self._token, number, self._confirmed, size) + piece)

    def send(self, frame: bytes) -> None:
        self._number += 1
        self._say(2, self._number, len(frame), frame)

    def recv(self) -> bytes:
        frame = b""
        while True:
            message = self._socket.recv()
            kind, _, size = struct.unpack_from(">BQI", message)
            if kind != 2:
                continue
            frame += message[13:]
            self._confirmed += len(message) - 13 + 64
            if len(frame) == size:
                return frame

    def close(self) -> None:
        self._socket.close(0)
        self._context.term()


class Foreign:
    """A client of msgpack and a socket."""

    def __init__(self, frames: UnixFrames | ZmqFrames) -> None:
        self._frames = frames
        self._request = 0

    def ask(self, tag: int, *fields: object) -> list[Any]:
        self._frames.send(msgpack.packb([tag, self._request, *fields]))
        reply = cast("list[Any]", msgpack.unpackb(self._frames.recv()))
        assert reply[1] == self._request
        self._request += 1
        return reply


@contextmanager
def foreign(address: str) -> Iterator[Foreign]:
    frames = UnixFrames(address) if address.startswith("unix") else ZmqFrames(address)
    try:
        yield Foreign(frames)
    finally:
        frames.close()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["unix", "ipc", "tcp"])
def test_a_client_that_is_written_from_the_page_alone_works(scheme: str) -> None:
    address = "tcp://127.0.0.1:0" if scheme == "tcp" else fresh_address().replace("unix", scheme)
    with zproc.start_server(State, address=address) as server, foreign(server.address) as client:
        pong = client.ask(9)
        assert pong[0] == 70
        assert pong[2] == server.pid
        welcome = client.ask(0, 1, "default", "", {}, "a session", os.getpid(), "foreign")
        assert welcome[0] == 64
        epoch = welcome[2]
        # A commit of two ops, an action, and a refusal, which changes nothing.
        ops = msgpack.packb([[0, ["n"], 5], [0, ["table", "a"], 1]])
        committed = client.ask(2, None, ops, "")
        assert committed[:3] == [66, 2, 1]
        committed = client.ask(3, "add", msgpack.packb([[], [7], {}]))
        assert (committed[2], msgpack.unpackb(committed[3])) == (2, 12)
        refused = client.ask(2, None, msgpack.packb([[0, ["n"], -1]]), "")
        assert refused[0] == 69
        assert cast("list[Any]", msgpack.unpackb(refused[2]))[0] == 5
        # All of the state, and what has happened to it.
        values = client.ask(1, [], None, None, None)
        assert (values[2], msgpack.unpackb(values[3])) == (2, {"n": 12, "table": {"a": 1}})
        changes = client.ask(6, 0, msgpack.packb([[[]]]), True, False, False, True)
        first, second = (cast("list[Any]", msgpack.unpackb(commit)) for commit in changes[3])
        assert first[0] == 1
        assert first[5] == [[[0, ["n"], 5], True, 0], [[0, ["table", "a"], 1], False, None]]
        assert (second[0], second[4]) == (2, "add")
        # The same request again, by another connection of the session: the same answer, and no other effect.
        with foreign(server.address) as again:
            again.ask(0, 1, "default", "", {}, "a session", os.getpid(), "foreign")
            again._request = 3
            assert again.ask(3, "add", msgpack.packb([[], [7], {}]))[2] == 2
            assert again.ask(0, 1, "default", "", {}, "a session", 0, "twice")[0] == 69
        with foreign(server.address) as other:
            assert other.ask(0, 1, "default", "", {}, "another", os.getpid(), "foreign")[2] == epoch
        with foreign(server.address) as old:
            refused = old.ask(0, 99, "default", "", {}, "old", os.getpid(), "foreign")
            assert refused[0] == 69
            assert "version 1" in cast("list[Any]", msgpack.unpackb(refused[2]))[1]


if __name__ == "__main__":
    PAGE.write_text(rendered(PAGE.read_text("utf-8")), "utf-8")
    sys.exit(0)
