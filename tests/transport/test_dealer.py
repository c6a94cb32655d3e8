"""A client's side over ZeroMQ, met by servers that do not keep to the rules; what all promise is elsewhere."""

from __future__ import annotations

import contextlib
import gc
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from zproc.exceptions import ProtocolError, Unavailable, UsageError, WaitTimeout
from zproc.transport import connect, fresh_address, parse_address, zmq as settings
from zproc.transport.dealer import DealerChannel
from zproc.transport.link import ACK, BYE, DATA, FROM_CLIENT, FROM_SERVER, KEEPING, OPEN, PROBE, WINDOW
from zproc.transport.zmq import new_context, open_router

Wire = Any  # the fixtures of conftest.py, which cannot be imported from


class Odd:
    """A server that says what it likes, to one client."""

    def __init__(self) -> None:
        self.address = fresh_address().replace("unix://", "ipc://")
        self._context = new_context()
        self.socket = open_router(self._context, None, 5)
        self.socket.set(zmq.RCVTIMEO, 10_000)
        self.socket.bind(self.address)
        self._name = b""

    def accept(self) -> DealerChannel:
        channel = DealerChannel(parse_address(self.address), limit=1 << 20)
        assert self.receive()[0] == OPEN
        return channel

    def receive(self) -> tuple[int, int, int]:
        """Kind, number of the piece and bytes confirmed of the next message."""
        self._name, message = self.socket.recv_multipart()
        kind, _, number, taken, _ = FROM_CLIENT.unpack_from(message)
        return kind, number, taken

    def send(self, message: bytes) -> None:
        self.socket.send_multipart([self._name, message])

    def piece(self, number: int, body: bytes) -> None:
        self.send(FROM_SERVER.pack(DATA, number, len(body)) + body)

    def close(self) -> None:
        self.socket.close(0)
        self._context.term()
        Path(self.address.removeprefix("ipc://")).unlink()


@pytest.fixture
def odd() -> Iterator[Odd]:
    server = Odd()
    yield server
    server.close()


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        (b"", "without a head"),
        (b"x" * 12, "without a head"),
        (FROM_SERVER.pack(DATA, 2, 1) + b"x", "piece 2 came after piece 0"),
        (FROM_SERVER.pack(DATA, 1, 9) + b"x", "where 9 are left"),
        (FROM_SERVER.pack(DATA, 1, 2 << 20) + bytes(65536), "over the limit of 1048576"),
        (FROM_SERVER.pack(OPEN, 0, 0), "unknown kind 1"),
        (FROM_SERVER.pack(77, 0, 0), "unknown kind 77"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_message_against_the_rules_ends_the_channel(odd: Odd, message: bytes, fault: str) -> None:
    channel = odd.accept()
    odd.send(message)
    for _ in range(2):
        with pytest.raises(ProtocolError, match=fault):
            channel.recv(10)
    assert channel.closed


def test_a_probe_says_nothing(odd: Odd) -> None:
    channel = odd.accept()
    odd.send(FROM_SERVER.pack(PROBE, 0, 0))
    odd.piece(1, b"one")
    odd.send(FROM_SERVER.pack(PROBE, 0, 0))
    odd.piece(2, b"two")
    assert [channel.recv(10), channel.recv(10)] == [b"one", b"two"]
    channel.close()


def test_what_was_taken_is_confirmed_with_the_next_request(odd: Odd) -> None:
    """Ask and answer, which is most of the traffic, costs no message more."""
    channel = odd.accept()
    for number in range(1, 4):
        channel.send(b"request")
        assert odd.receive() == (DATA, number, (number - 1) * (5 + KEEPING))
        odd.piece(number, b"reply")
        assert channel.recv(10) == b"reply"
    channel.close()
    assert odd.receive()[0] == BYE


def test_what_was_taken_is_confirmed_by_itself_before_the_server_has_to_wait(odd: Odd) -> None:
    channel = odd.accept()
    body = bytes(60_000)
    count = WINDOW // 2 // (len(body) + KEEPING) + 1
    for number in range(1, count + 1):
        odd.piece(number, body)
    for _ in range(count):
        assert channel.recv(10) == body
    assert odd.receive() == (ACK, 0, count * (len(body) + KEEPING))
    channel.close()


def test_a_goodbye_is_the_reason_also_when_the_connection_is_gone(odd: Odd) -> None:
    channel = odd.accept()
    odd.piece(1, b"last")
    odd.send(FROM_SERVER.pack(BYE, 0, 0) + b"I go")
    assert channel.recv(10) == b"last"
    for _ in range(2):
        with pytest.raises(Unavailable, match="I go"):
            channel.recv(10)
    assert channel.closed


def test_a_server_that_vanishes_is_noticed_at_once_also_in_the_middle_of_a_frame(odd: Odd) -> None:
    """Nothing is sent to whoever may listen at the address next."""
    channel = odd.accept()
    odd.send(FROM_SERVER.pack(DATA, 1, 100_000) + bytes(65536))
    while channel._assembly.size is None:
        with pytest.raises(WaitTimeout):
            channel.recv(0.01)
    odd.socket.close(0)
    with pytest.raises(Unavailable, match="the connection is lost in the middle of a frame"):
        channel.recv(10)
    with pytest.raises(Unavailable, match="the connection is lost"):
        channel.send(b"x")


def test_a_server_that_vanishes_while_the_client_sends_is_noticed(odd: Odd, helper: Any) -> None:
    channel = odd.accept()
    sender = helper(lambda: [channel.send(bytes(60_000)) for _ in range(2000)])
    sender.wait_until_asleep()
    odd.socket.close(0)
    with pytest.raises(Unavailable, match="the connection is lost"):
        sender.outcome()


def test_two_threads_at_once_are_refused(odd: Odd, helper: Any) -> None:
    channel = odd.accept()
    waiting = helper(lambda: channel.recv(10))
    waiting.wait_until_asleep()
    with pytest.raises(UsageError, match="in use by another thread"):
        channel.send(b"x")
    odd.piece(1, b"for the first")
    assert waiting.outcome() == b"for the first"
    channel.close()


def readable(fd: int, within: float) -> bool:
    return bool(select.select([fd], [], [], within)[0])


def drained(channel: DealerChannel) -> list[bytes]:
    frames = []
    with contextlib.suppress(WaitTimeout):
        while True:
            frames.append(channel.recv(0))
    return frames


def test_its_descriptor_tells_of_frames(odd: Odd) -> None:
    channel = odd.accept()
    fd = channel.fileno()
    assert channel.fileno() == fd
    for number in range(1, 50):
        assert drained(channel) == []
        odd.piece(number, b"%d" % number)
        assert readable(fd, 10)
        frames: list[bytes] = []
        while not frames:
            frames = drained(channel)
        assert frames == [b"%d" % number]
    channel.close()


def test_its_descriptor_tells_also_of_what_came_while_something_was_sent(odd: Odd) -> None:
    """ZeroMQ's own does not: to send, it looks what has come, and takes that for seen."""
    channel = odd.accept()
    fd = channel.fileno()
    for number in range(1, 300):
        drained(channel)
        odd.piece(number, b"x")
        channel.send(b"y")
        assert readable(fd, 10), "what has come is not told of"
    channel.close()


def test_its_descriptor_tells_of_the_end(odd: Odd) -> None:
    channel = odd.accept()
    fd = channel.fileno()
    assert drained(channel) == []
    odd.socket.close(0)
    assert readable(fd, 10)
    with pytest.raises(Unavailable, match="the connection is lost"):
        channel.recv(10)


def test_its_descriptor_tells_of_a_close_by_another_thread(odd: Odd) -> None:
    """Also a duplicate, whose owner does not know that the original is closed."""
    channel = odd.accept()
    own = os.dup(channel.fileno())
    assert drained(channel) == []
    thread = threading.Thread(target=channel.close)
    thread.start()
    thread.join(10)
    assert readable(own, 10)
    with pytest.raises(UsageError, match="closed"):
        channel.fileno()
    os.close(own)


def test_a_channel_that_nobody_has_any_more_gives_everything_back(odd: Odd) -> None:
    """Nobody closed it: the server is told all the same, and no thread of ZeroMQ's stays."""
    channel = odd.accept()
    del channel
    gc.collect()
    assert settings._shared.context is None


def test_a_program_that_closes_nothing_ends(odd: Odd) -> None:
    """Not one that waits for ever for what cannot be sent."""
    program = (
        "import sys\nfrom zproc.transport import connect\n"
        "channels = [connect(sys.argv[1]) for _ in range(3)]\n"
        "for channel in channels:\n    channel.send(b'x' * 1000)\n"
        "print('done')"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, odd.address], timeout=20, capture_output=True, text=True, check=True
    )
    assert (run.stdout, run.stderr) == ("done\n", "")


def test_a_program_whose_threads_still_wait_ends_in_silence(odd: Odd) -> None:
    """Nothing is closed under a thread that is at it, which libzmq does not forgive."""
    program = (
        "import sys, threading, time\nfrom zproc.transport import connect\n"
        "channels = [connect(sys.argv[1]) for _ in range(4)]\n"
        "for channel in channels:\n    threading.Thread(target=channel.recv, daemon=True).start()\n"
        "while not all(channel._lock.locked() for channel in channels):\n    time.sleep(0.01)\n"
        "print('done')"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, odd.address], timeout=20, capture_output=True, text=True, check=True
    )
    assert (run.stdout, run.stderr) == ("done\n", "")


def test_a_server_that_ends_in_the_handshake_is_not_there_rather_than_the_wrong_one(helper: Any) -> None:
    """There are no keys here that it could mistake; and who asked will ask the next one."""
    path = fresh_address().removeprefix("unix://")
    with socket.socket(socket.AF_UNIX) as dying:
        dying.settimeout(10)
        dying.bind(path)
        dying.listen()
        connecting = helper(lambda: connect(f"ipc://{path}"))
        dying.accept()[0].close()
    with pytest.raises(Unavailable, match="has ended before it has answered"):
        connecting.outcome()
    os.unlink(path)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_of_a_fork_connects_anew(tcp: Wire, in_fork: Any) -> None:
    """ZeroMQ's thread did not come along; another is started."""
    listener, channel, _ = tcp.pair()

    def child() -> str:
        other = connect(tcp.address)
        other.send(b"from the child")
        other.close()
        return "sent"

    assert in_fork(child) == "sent"
    assert b"from the child" in tcp.frames(listener, 1)
    channel.send(b"from the parent")
    assert b"from the parent" in tcp.frames(listener, 1)
