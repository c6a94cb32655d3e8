"""Rows 1 to 16 of the list of faults, thrown at one server over ``tcp://``; what ``unix://`` is thrown at is elsewhere.

All of them meet the same server, which at the end has grown by little, has no connection left, serves others as if
nothing had been, and has never looked a class up for a pickle: a hook in it would have ended it.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import random
import resource
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import msgpack
import psutil
import pytest

import zproc
from tests.ports import free_port
from zproc.core import messages
from zproc.core.messages import PROTOCOL, Act, Commit, Committed, Hello, Ping, Pong, Read, Refused, Values, Welcome
from zproc.core.refusal import error_from_data
from zproc.schema.codec import Codec
from zproc.transport import Channel, connect
from zproc.typing import RequestId, SessionId

pytestmark = pytest.mark.slow

MODEL = """
    import os, sys

    sys.addaudithook(lambda event, _: os._exit(99) if event == "pickle.find_class" else None)

    from pydantic import Field

    import zproc


    class State(zproc.StateModel):
        n: int = Field(default=0, ge=0)
        name: str = ""
        data: bytes = b""

        @zproc.action
        def add(self, by: int) -> int:
            self.n += by
            return self.n
"""

RUBBISH = {
    "1 an empty frame": b"",
    "2 random bytes": os.urandom(300),
    "2 an HTTP request": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "3 truncated msgpack": messages.encode(Read(RequestId(1), (), None, None, None))[:-1],
    "3 trailing bytes": messages.encode(Read(RequestId(1), (), None, None, None)) + b"\0",
    "3 0xc1": b"\xc1",
    "3 bad UTF-8": b"\x92\x01\xa2\xff\xff",
    "4 a bomb of nested claims": b"\xdd\xff\xff\xff\xff" * 500,
    "4 deep nesting": b"\x91" * 3000 + b"\x01",
    "4 an extension that claims 2^32": b"\xc9\xff\xff\xff\xff\x01",
    "7 an unknown command": msgpack.packb([99, 1]),
    "7 too few fields": msgpack.packb([1, 1]),
    "7 too many fields": msgpack.packb([9, 1, 2, 3]),
    "7 wrong types": msgpack.packb([1, "x", 3, 4, 5]),
    "7 a key twice": b"\x82\xa1a\x01\xa1a\x02",
    "8 an unknown extension": msgpack.packb(msgpack.ExtType(99, b"x")),
    "8 a pickle": pickle.dumps(os.getpid),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, psutil.Process]]:
    directory: Path = tmp_path_factory.mktemp("faults")
    (directory / "faultstate.py").write_text(textwrap.dedent(MODEL))
    address = f"tcp://127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "zproc", "serve", "faultstate:State", "--address", address]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=directory, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == address
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (400, 400))  # few, so that a test can use them up
        watched = psutil.Process(process.pid)
        with Rude(address) as wire:
            wire.commit([0, ["n"], 1])
        before, files = watched.memory_info().rss, watched.num_fds()
        yield address, watched
        assert process.poll() is None, "it has died, or looked up a class for a pickle (99)"
        deadline = time.monotonic() + 15
        while watched.num_fds() > files + 2:
            assert time.monotonic() < deadline, "connections are left"
            time.sleep(0.05)
        grown = watched.memory_info().rss - before
        assert grown < 10 << 20, f"it has grown by {grown / (1 << 20):.1f} MiB"
        process.terminate()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.communicate()


class Rude:
    """A client with the right key that says what it likes."""

    def __init__(self, address: str, *, greet: bool = True, session: str | None = None) -> None:
        self.channel: Channel = connect(address)
        self.request = 0
        if greet:
            reply = self.ask(
                Hello(RequestId(0), PROTOCOL, "default", "", {}, SessionId(session or os.urandom(8).hex()), 1, "rude")
            )
            assert isinstance(reply, Welcome)

    def next(self) -> RequestId:
        self.request += 1
        return RequestId(self.request)

    def ask(self, command: messages.Command) -> messages.Reply:
        self.channel.send(messages.encode(command), 10)
        return messages.decode_reply(self.channel.recv(10))

    def commit(self, *ops: list[object]) -> messages.Reply:
        return self.ask(Commit(self.next(), None, Codec().encode(list(ops)), "rude"))

    def is_cut_off(self) -> bool:
        try:
            while True:
                self.channel.recv(10)
        except (zproc.Unavailable, zproc.ProtocolError):
            return True

    def close(self) -> None:
        self.channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@pytest.fixture
def address(server: tuple[str, psutil.Process]) -> Iterator[str]:
    """The server's address; afterwards, others are served."""
    yield server[0]
    with Rude(server[0]) as one, Rude(server[0]) as other:
        seen: list[messages.Reply] = []
        watch = messages.Watch(one.next(), _revision(one), Codec().encode([[["n"]]]), True, False, False, True)
        thread = threading.Thread(target=lambda: seen.append(one.ask(watch)))
        thread.start()
        assert isinstance(other.commit([0, ["n"], random.randrange(1 << 30)]), Committed)
        thread.join(10)
        assert isinstance(seen[0], messages.Changes)


def _revision(wire: Rude) -> Any:
    reply = wire.ask(Read(wire.next(), ("n",), None, None, None))
    assert isinstance(reply, Values)
    return reply.revision


def refused(reply: messages.Reply) -> BaseException:
    assert isinstance(reply, Refused), reply
    return error_from_data(reply.error)


@pytest.mark.parametrize("rubbish", RUBBISH.values(), ids=RUBBISH.keys())
@pytest.mark.parametrize("greeted", [False, True])
def test_rubbish_ends_the_connection_of_who_sent_it(address: str, rubbish: bytes, greeted: bool) -> None:
    with Rude(address, greet=greeted) as wire:
        wire.channel.send(rubbish, 10)
        assert wire.is_cut_off()


def test_4_bombs_within_a_commit_are_refused_and_the_connection_goes_on(address: str) -> None:
    with Rude(address) as wire:
        for bomb in (b"\xdd\xff\xff\xff\xff" * 500, b"\x91" * 3000 + b"\x01", b"\xc7\xff\x01", b"\x90" * (1 << 20)):
            assert isinstance(refused(wire.ask(Commit(wire.next(), None, bomb, ""))), zproc.Error)
        assert isinstance(wire.commit([0, ["n"], 5]), Committed)


def test_5_the_limit_is_allowed_and_a_byte_more_is_not(address: str) -> None:
    """The client itself does not send it; one that does is cut off."""
    largest = zproc.Limits().message_bytes
    with Rude(address) as wire:
        head = len(messages.encode(Commit(RequestId(1), None, b"x" * (1 << 20), "")))
        body = Codec().encode([[0, ["n"], bytes(largest - (head - (1 << 20)) - 16)]])
        assert len(messages.encode(Commit(RequestId(1), None, body, ""))) <= largest
        # It is answered, by a refusal: the history would rightly keep it.
        assert isinstance(refused(wire.ask(Commit(wire.next(), None, body, ""))), zproc.ValidationRefused)
        with pytest.raises(zproc.LimitExceeded):
            wire.channel.send(bytes(largest + 1))
    with contextlib.closing(connect(address, limit=largest + 1)) as channel:
        channel.send(messages.encode(Hello(RequestId(0), PROTOCOL, "default", "", {}, SessionId("x"), 1, "rude")))
        channel.recv(10)
        with contextlib.suppress(zproc.Unavailable):
            channel.send(bytes(largest + 1), 10)
        with pytest.raises(zproc.Unavailable, match="is over the limit"):
            channel.recv(10)


@pytest.mark.parametrize("version", [0, PROTOCOL + 1])
def test_6_another_version_of_the_protocol_is_told_so(address: str, version: int) -> None:
    with Rude(address, greet=False) as wire:
        error = refused(wire.ask(Hello(RequestId(0), version, "default", "", {}, SessionId("s"), 1, "p")))
        assert f"version {PROTOCOL}" in str(error)
        assert f"version {version}" in str(error)
        assert wire.is_cut_off()


def test_8_a_pickle_in_a_field_is_bytes_and_nothing_else(address: str) -> None:
    with Rude(address) as wire:
        assert isinstance(wire.commit([0, ["data"], pickle.dumps(os.getpid)]), Committed)
        assert isinstance(refused(wire.commit([0, ["name"], pickle.dumps(os.getpid)])), zproc.ValidationRefused)


def test_10_another_schema_is_told_so(address: str) -> None:
    with Rude(address, greet=False) as wire:
        hello = Hello(RequestId(0), PROTOCOL, "default", "f" * 64, {}, SessionId("s"), 1, "p")
        assert isinstance(refused(wire.ask(hello)), zproc.SchemaMismatch)
        assert wire.is_cut_off()


def test_11_a_commit_before_hello_is_not_heard(address: str) -> None:
    with Rude(address, greet=False) as wire:
        assert isinstance(refused(wire.commit([0, ["n"], 99])), zproc.ProtocolError)
        assert wire.is_cut_off()


def test_12_a_request_that_is_sent_again_has_one_effect_and_one_answer(address: str) -> None:
    """A thousand times by one connection, and once more by another of the session."""
    with Rude(address, session="twelve") as wire:
        wire.commit([0, ["n"], 0])
        act = Act(wire.next(), "add", Codec().encode([[], [5], {}]))
        answers = {messages.encode(wire.ask(act)) for _ in range(1000)}
        with Rude(address, session="twelve") as again:
            answers.add(messages.encode(again.ask(act)))
        assert len(answers) == 1
        values = wire.ask(Read(wire.next(), ("n",), None, None, None))
        assert isinstance(values, Values)
        assert Codec().decode(values.values) == {"n": 5}


def test_14_a_stranger_cannot_send_much(address: str) -> None:
    with Rude(address, greet=False) as wire:
        with contextlib.suppress(zproc.Unavailable):
            wire.channel.send(bytes(16 << 20), 10)
        assert wire.is_cut_off()


def test_15_when_connections_have_used_up_the_descriptors_the_known_are_served_and_new_ones_are_told(
    address: str,
) -> None:
    """Silent ones, until there is no room; then they go, and there is."""
    host, port = address.removeprefix("tcp://").split(":")
    with Rude(address) as known, contextlib.ExitStack() as stack:
        for _ in range(450):
            stack.enter_context(socket.create_connection((host, int(port)), 10))
        for _ in range(20):
            assert isinstance(known.ask(Ping(known.next())), Pong)
        begin = time.monotonic()
        try:
            Rude(address).close()  # some may have been closed meanwhile
        except (zproc.Unavailable, zproc.AuthenticationError):
            assert time.monotonic() - begin < 2
    deadline = time.monotonic() + 20
    while True:
        try:
            with Rude(address), Rude(address):  # as many as are made afterwards
                break
        except (zproc.Unavailable, zproc.AuthenticationError):
            assert time.monotonic() < deadline, "it does not recover"
            time.sleep(0.05)
