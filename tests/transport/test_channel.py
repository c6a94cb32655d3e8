"""The client's side of a Unix socket, against servers that are broken, stopped, foreign or dead, and signals."""

from __future__ import annotations

import itertools
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from zproc.exceptions import ProtocolError, Unavailable, UsageError, WaitTimeout
from zproc.transport import Closed, Received, channel as channels, connect, fresh_address
from zproc.transport.channel import LocalChannel
from zproc.transport.frame import farewell, pack
from zproc.transport.rendezvous import Credentials

if TYPE_CHECKING:
    Wire = Any  # the fixtures of conftest.py, which cannot be imported from


@pytest.fixture
def door() -> Iterator[socket.socket]:
    """A server's socket, with a queue of one."""
    path = fresh_address().removeprefix("unix://")
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(path)
        door.listen(0)
        yield door
    os.unlink(path)


@pytest.fixture(params=["sleeping", "restless"])
def raw(door: socket.socket, request: pytest.FixtureRequest) -> Iterator[tuple[LocalChannel, socket.socket]]:
    """A channel, which may look before it sleeps, and the server's end of it, which does what it wants."""
    if request.param == "restless":
        request.getfixturevalue("restless")
    channel = LocalChannel(door.getsockname())
    server, _ = door.accept()
    with server:
        yield channel, server
    channel.close()


Raw = tuple[LocalChannel, socket.socket]


class TestReceiving:
    def test_takes_frames_out_of_whatever_they_come_in(self, raw: Raw) -> None:
        """Several in one piece, and one in many pieces."""
        channel, server = raw
        server.sendall(b"\0\0\0\1a\0\0\0\0\0\0\0\2bc\0")
        assert [channel.recv(20) for _ in range(3)] == [b"a", b"", b"bc"]
        for byte in b"\0\0\3de":
            with pytest.raises(WaitTimeout):
                channel.recv(0)
            server.sendall(bytes([byte]))
        server.sendall(b"f")
        assert channel.recv(None) == b"def"

    def test_keeps_a_part_through_a_timeout(self, raw: Raw) -> None:
        """The clock counts for the whole frame, not for each piece."""
        channel, server = raw
        server.sendall(pack(100_000) + bytes(50_000))
        begin = time.monotonic()
        with pytest.raises(WaitTimeout, match=r"not within 0.05 s"):
            channel.recv(0.05)
        assert time.monotonic() - begin < 5
        server.sendall(bytes(50_000) + b"\0\0\0\1x")
        assert channel.recv(20) == bytes(100_000)
        assert channel.recv(20) == b"x"

    @pytest.mark.parametrize("part", [b"\0", b"\0\0\0\5", b"\0\0\0\5abcd"])
    def test_of_half_a_frame_is_no_frame(self, raw: Raw, part: bytes) -> None:
        """The server was killed while it wrote."""
        channel, server = raw
        server.sendall(b"\0\0\0\1x" + part)
        server.close()
        assert channel.recv(20) == b"x"
        for _ in range(2):
            with pytest.raises(Unavailable, match="has closed the connection in the middle of a frame"):
                channel.recv(20)

    @pytest.mark.parametrize("garbage", [b"HTTP/1.1 400 Bad Request\r\n", b"\x7f\xff\xff\xff"])
    def test_of_garbage_closes(self, raw: Raw, garbage: bytes) -> None:
        """Where the next frame would begin nobody knows."""
        channel, server = raw
        server.sendall(b"\0\0\0\1x" + garbage)
        assert channel.recv(20) == b"x"
        for _ in range(2):
            with pytest.raises(ProtocolError, match="is over the limit of 16777216"):
                channel.recv(20)
        with pytest.raises(ProtocolError):
            channel.send(b"x")
        assert channel.closed

    def test_goes_on_to_the_last_frame_of_a_server_that_is_gone(self, raw: Raw) -> None:
        """Then it tells the server's reason."""
        channel, server = raw
        server.sendall(b"\0\0\0\1a\0\0\0\1b" + farewell("so long"))
        server.close()
        assert [channel.recv(20), channel.recv(20)] == [b"a", b"b"]
        with pytest.raises(Unavailable, match="the server has ended the connection: so long"):
            channel.recv(20)

    def test_from_a_server_that_has_ended_without_reading_says_so(self, raw: Raw) -> None:
        """The system calls that a reset."""
        channel, server = raw
        channel.send(b"never read")
        server.close()
        with pytest.raises(Unavailable, match="the connection is lost: Connection reset by peer"):
            channel.recv(20)

    def test_can_be_waited_for_with_others(self, raw: Raw) -> None:
        """By the descriptor."""
        channel, server = raw
        assert select.select([channel], [], [], 0)[0] == []
        server.sendall(b"\0\0\0\1a")
        assert select.select([channel], [], [], 20)[0] == [channel]


class TestSending:
    def test_to_a_server_that_is_gone_says_so(self, raw: Raw) -> None:
        """Without a farewell, with the system's word."""
        channel, server = raw
        server.close()
        for _ in range(2):
            with pytest.raises(Unavailable, match="the connection is lost: Broken pipe"):
                channel.send(b"x")
        assert channel.closed

    def test_half_a_frame_in_time_closes(self, raw: Raw) -> None:
        """The other half could not be told from the next frame."""
        channel, _ = raw
        with pytest.raises(WaitTimeout, match=r"sending to .*: not within 0.01 s"):
            channel.send(bytes(5 << 20), timeout=0.01)
        assert channel.closed
        with pytest.raises(Unavailable, match="stopped reading in the middle of a frame"):
            channel.send(b"x")

    def test_nothing_of_a_frame_in_time_does_not(self, raw: Raw) -> None:
        """The next frame may begin where this one would have."""
        channel, server = raw
        server.setblocking(False)
        sent = 0
        while not channel.closed:
            try:
                channel.send(b"x" * 1000, timeout=0)
                sent += 1
            except WaitTimeout:
                break
        if channel.closed:
            pytest.skip("this system took a part of a short frame")
        server.setblocking(True)
        left = sent * 1004
        while left:
            left -= len(server.recv(left))
        channel.send(b"next", timeout=20)
        assert server.recv(100) == b"\0\0\0\4next"

    def test_interrupted_closes(self, raw: Raw, interrupted: Any) -> None:
        """Nobody knows how much of it the system took."""
        channel, _ = raw
        interrupted(lambda: channel.send(bytes(5 << 20)))
        assert channel.closed
        with pytest.raises(UsageError, match="closed"):
            channel.send(b"x")

    def test_goes_on_after_a_signal_that_raises_nothing(self, raw: Raw, helper: Any) -> None:
        """Nor does it end the wait for an answer, or make it longer."""
        channel, server = raw
        before = signal.signal(signal.SIGALRM, lambda *_: None)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        try:
            begin = time.monotonic()
            with pytest.raises(WaitTimeout):
                channel.recv(0.1)
            assert 0.1 <= time.monotonic() - begin < 5
            drain = helper(lambda: _read(server, (3 << 20) + 4))
            channel.send(bytes(3 << 20))
            drain.outcome()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    def test_by_two_threads_at_once_is_refused(self, raw: Raw, helper: Any) -> None:
        """Each needs a channel of its own."""
        channel, server = raw
        recv = helper(channel.recv)
        recv.wait_until_asleep()
        while not channel._inside:
            pass  # it was asleep for another reason, and is not there yet
        for call in (lambda: channel.send(b"x"), channel.recv):
            with pytest.raises(UsageError, match="in use by another thread"):
                call()
        server.sendall(b"\0\0\0\1x")
        assert recv.outcome() == b"x"


class Alarm(BaseException):
    """Comes like KeyboardInterrupt, at any point."""


def test_signals_at_any_moment_never_put_a_channel_out_of_step(raw: Raw, helper: Any) -> None:
    """A handler raises some thousand times a second, at whatever instruction the main thread is.

    Frames may be lost, because the exception may come after the channel has given one out. None is ever torn, doubled
    or made of the parts of others.
    """
    if sys.gettrace() is not None:
        pytest.skip("coverage has locks that such an exception leaves locked")
    channel, server = raw
    frames = [pack(length) + b"%06d" % number * (length // 6) for number, length in _lengths(6000)]
    sender = helper(lambda: server.sendall(b"".join(frames)))
    received = interrupts = 0
    last = -1

    def interrupt(*_: object) -> None:
        raise Alarm

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        while last < len(frames) - 1:
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0002)
                while last < len(frames) - 1:
                    frame = channel.recv(20)
                    number = int(frame[:6])
                    assert frame == b"%06d" % number * (len(frame) // 6)
                    assert number > last
                    last, received = number, received + 1
            except Alarm:
                interrupts += 1
                if sender.is_alive():
                    continue
                # The last frames may be the lost ones.
                signal.setitimer(signal.ITIMER_REAL, 0)
                try:
                    while last < len(frames) - 1:
                        last, received = int(channel.recv(0)[:6]), received + 1
                except WaitTimeout:
                    break
    except Alarm:
        pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    sender.outcome()
    assert not channel.closed
    assert interrupts > 10
    assert received >= len(frames) - interrupts
    server.sendall(b"\0\0\0\3end")
    assert channel.recv(20) == b"end"


def _lengths(count: int) -> Iterator[tuple[int, int]]:
    for number, length in zip(range(count), itertools.cycle([6, 6, 60, 6, 600, 60_000, 6, 300_000]), strict=False):
        yield number, length if number % 50 == 0 or length < 10_000 else 12


def _read(server: socket.socket, count: int) -> None:
    while count:
        count -= len(server.recv(min(count, 1 << 20)))


class TestConnecting:
    def test_to_a_server_that_does_not_accept_ends(self, door: socket.socket) -> None:
        """Its queue is full; after the timeout the error says so."""
        address = f"unix://{door.getsockname()}"
        first = connect(address)
        begin = time.monotonic()
        with pytest.raises(Unavailable, match="does not accept connections; it is overloaded or stopped"):
            connect(address, timeout=0.05)
        assert 0.05 <= time.monotonic() - begin < 5
        first.close()

    def test_to_a_server_that_accepts_in_time_succeeds(self, door: socket.socket, helper: Any) -> None:
        """The wait ends when there is room."""
        address = f"unix://{door.getsockname()}"
        first = connect(address)
        second = helper(lambda: connect(address, timeout=20))
        second.wait_until_asleep()
        door.accept()[0].close()
        second.outcome().close()
        first.close()

    def test_to_a_foreign_server_is_refused(self, door: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nothing is sent to it."""
        monkeypatch.setattr(channels, "peer_credentials", lambda _: Credentials(1, 12345))
        with pytest.raises(Unavailable, match="the server is of uid 12345, which is neither ours nor root"):
            LocalChannel(door.getsockname())
        server, _ = door.accept()
        with server:
            assert server.recv(10) == b""

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
    def test_to_a_server_that_is_closed_to_us_is_refused(self, door: socket.socket, in_fork: Any) -> None:
        """The system says no, and the error whose it is."""
        os.chmod(os.path.dirname(door.getsockname()), 0o755)
        os.chmod(os.path.dirname(os.path.dirname(door.getsockname())), 0o755)
        os.chmod(door.getsockname(), 0o600)

        def intrude() -> None:
            os.setuid(65534)
            LocalChannel(door.getsockname())

        try:
            assert "permission denied; the server belongs to another user" in in_fork(intrude)
        finally:
            os.chmod(os.path.dirname(os.path.dirname(door.getsockname())), 0o700)
            os.chmod(os.path.dirname(door.getsockname()), 0o700)

    def test_to_what_is_no_directory_is_told_in_the_systems_words(self) -> None:
        """Errors that nobody has foreseen are told as they are."""
        with pytest.raises(Unavailable, match="Not a directory"):
            LocalChannel("/dev/null/s")


def test_a_forked_child_does_not_hide_that_its_parent_has_left(unix: Wire) -> None:
    """The child lives on with what it has inherited; the server learns of the parent's end at once."""
    listener, channel, peer = unix.pair()
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:  # pragma: no cover  the parent measures
        os.close(write)
        os.read(read, 1)
        os._exit(0)
    try:
        channel._socket.close()  # as the kernel does when a process dies: without a shutdown
        assert unix.arrivals(listener, 1) == [Closed(peer, "closed by the peer")]
    finally:
        os.close(read)
        os.close(write)
        os.waitpid(pid, 0)


def test_a_child_that_exits_as_python_does_leaves_its_parents_channel_alone(unix: Wire) -> None:
    """Its destructors run, and shut nothing down."""
    listener, channel, peer = unix.pair()
    pid = os.fork()
    if pid == 0:  # pragma: no cover  the parent measures
        channel.close()
        del channel
        os._exit(0)
    os.waitpid(pid, 0)
    channel.send(b"alive")
    assert unix.arrivals(listener, 1) == [Received(peer, b"alive")]
