"""The server's side of a Unix socket, against peers that are broken, silent, many, foreign or in the way."""

from __future__ import annotations

import errno
import os
import resource
import signal
import socket
import stat
import sys
import time
import tracemalloc
from typing import TYPE_CHECKING, Any, Self

import pytest

from zproc.exceptions import Unavailable, UsageError
from zproc.transport import Closed, Limits, Opened, Received, connect, local
from zproc.transport.frame import FrameReader
from zproc.transport.local import LocalListener
from zproc.transport.rendezvous import Credentials

if TYPE_CHECKING:
    Wire = Any  # the fixtures of conftest.py, which cannot be imported from


class Raw:
    """A client that does what it wants."""

    def __init__(self, unix: Wire) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(unix.address.removeprefix("unix://"))
        self.socket.settimeout(20)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def rest(self) -> bytes:
        """Read to the end."""
        told = b""
        while True:
            try:
                chunk = self.socket.recv(65536)
            except ConnectionResetError:
                return told
            if not chunk:
                return told
            told += chunk

    def reason(self) -> str | None:
        """Read to the end, and tell the farewell."""
        reader = FrameReader(16 << 20)
        reader.chunks.append(self.rest())
        reader.take(1)
        return reader.goodbye


class TestBrokenPeers:
    @pytest.mark.parametrize("part", [b"\0", b"\0\0\0\5", b"\0\0\0\5abcd"])
    def test_that_close_in_the_middle_of_a_frame_are_told_from_those_that_do_not(self, unix: Wire, part: bytes) -> None:
        """Nothing of the frame is delivered."""
        listener = unix.listen()
        with Raw(unix) as raw:
            raw.socket.sendall(b"\0\0\0\1x" + part)
        opened, received, closed = unix.arrivals(listener, 3)
        assert received == Received(opened.peer, b"x")
        assert closed == Closed(opened.peer, "closed by the peer in the middle of a frame")

    @pytest.mark.parametrize(
        "garbage",
        [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\0\x01\0\x01", b"\xff" * 70_000, b"\x80\0\0\0", b"[1, 2]"],
    )
    def test_that_speak_another_language_are_closed(self, unix: Wire, garbage: bytes) -> None:
        """They are told why, in ours."""
        listener = unix.listen()
        with Raw(unix) as raw:
            raw.socket.sendall(garbage)
            opened, closed = unix.arrivals(listener, 2)
            assert isinstance(opened, Opened)
            assert closed == Closed(
                opened.peer, f"frame of {int.from_bytes(garbage[:4], 'big')} bytes is over the limit of 4096"
            )
            assert raw.reason() == closed.reason

    def test_that_announce_much_cost_nothing(self, unix: Wire) -> None:
        """Neither over the limit nor within it."""
        listener, _, _ = unix.pair()
        raws = [Raw(unix) for _ in range(50)]
        try:
            for each in unix.gather(listener, lambda all_: len(all_) == 50):
                listener.allow(each.peer, 16 << 20)
            tracemalloc.start()
            for number, raw in enumerate(raws):
                raw.socket.sendall(((16 << 20) + number % 2).to_bytes(4, "big"))
            unix.gather(listener, lambda all_: len(all_) == 25)
            assert listener.poll(0) == []
            assert tracemalloc.get_traced_memory()[1] < 1 << 20
        finally:
            tracemalloc.stop()
            for raw in raws:
                raw.socket.close()

    def test_that_send_byte_by_byte_are_understood(self, unix: Wire) -> None:
        """However the system cuts the stream."""
        listener = unix.listen()
        with Raw(unix) as raw:
            (opened,) = unix.arrivals(listener, 1)
            for byte in b"\0\0\0\2a":
                raw.socket.sendall(bytes([byte]))
                assert listener.poll(0) == []
            raw.socket.sendall(b"b\0\0")
            assert listener.poll(0) == [Received(opened.peer, b"ab")]
            raw.socket.sendall(b"\0\0")
            assert listener.poll(0) == [Received(opened.peer, b"")]

    def test_that_drip_are_closed_when_their_time_is_over(self, unix: Wire) -> None:
        """A byte now and then is no hello."""
        listener = unix.listen(Limits(handshake=0.05))
        with Raw(unix) as raw:
            closed: list[Closed] = []
            raw.socket.sendall(b"\0\0\x10\0")
            drops = iter(range(4000))  # not the whole frame, however fast they fall
            while not closed:
                if next(drops, None) is not None:
                    raw.socket.sendall(b"x")
                closed = [each for each in listener.poll(0.01) if isinstance(each, Closed)]
            assert closed[0].reason.startswith("no hello within")

    def test_that_reset_the_connection_are_gone(self, unix: Wire) -> None:
        """A peer that closes with frames unread is reset by the system."""
        listener = unix.listen()
        with Raw(unix):
            (opened,) = unix.arrivals(listener, 1)
            listener.send(opened.peer, b"never read")
        assert unix.closed(listener, opened.peer) == "connection lost: Connection reset by peer"

    def test_that_say_nothing_and_leave_are_not_blamed_for_their_silence(self, unix: Wire) -> None:
        """Their time is over as well, but that is not why they are gone."""
        listener = unix.listen(Limits(handshake=0.01))
        with Raw(unix):
            (opened,) = unix.arrivals(listener, 1)
        late = time.monotonic() + 0.02
        while time.monotonic() < late:
            pass
        assert unix.arrivals(listener, 1) == [Closed(opened.peer, "closed by the peer")]

    def test_that_flood_and_go_on_are_kept_in_order(self, unix: Wire) -> None:
        """What came later waits in the socket until what came earlier is delivered."""
        listener = unix.listen()
        with Raw(unix) as raw:
            unix.arrivals(listener, 1)
            frames = [b"%03d" % number for number in range(400)]
            received: list[bytes] = []
            for begin in range(0, 400, 100):
                raw.socket.sendall(b"".join(b"\0\0\0\3" + frame for frame in frames[begin : begin + 100]))
                arrivals = listener.poll(0)
                assert 0 < len(arrivals) <= 64
                received += [each.frame for each in arrivals if isinstance(each, Received)]
            assert received + unix.frames(listener, 400 - len(received)) == frames

    def test_that_flood_and_go_without_reading_are_gone_once(self, unix: Wire) -> None:
        """What they had sent is not delivered behind their end, which a failed write has shown first."""
        listener, channel, peer = unix.pair()
        for _ in range(200):
            channel.send(b"x")
        assert 0 < len(listener.poll(0)) <= 64, "some of it has come, and some has not"
        for _ in range(20):
            listener.send(peer, bytes(50_000))
        channel.close()
        arrivals = unix.gather(listener, lambda all_: any(isinstance(each, Closed) for each in all_))
        assert [each for each in arrivals if isinstance(each, Closed)] == arrivals[-1:]
        assert listener.poll(0) == []

    @pytest.mark.parametrize("error", [BlockingIOError(), ConnectionResetError(104, "Connection reset by peer")])
    def test_that_fail_after_they_were_ready_harm_nobody(self, unix: Wire, error: OSError) -> None:
        """A system may say that there is something, and then that there is not."""
        listener, channel, peer = unix.pair()
        link = listener._links[peer]
        real, errors = link.recv, [error]
        link.recv = lambda size: real(size) if not errors else (_ for _ in ()).throw(errors.pop())
        channel.send(b"x")
        (arrival,) = unix.arrivals(listener, 1)
        assert isinstance(arrival, Received if isinstance(error, BlockingIOError) else Closed)

    def test_that_send_without_end_do_not_hold_up_the_end(self, unix: Wire) -> None:
        """A disconnect takes what is queued along, when the peer has room for it by now."""
        listener, channel, peer = unix.pair()
        frame = bytes(50_000)
        for _ in range(10):
            listener.send(peer, frame)
        for _ in range(9):
            assert channel.recv(20) == frame
            listener.poll(0)
        listener.disconnect(peer, "enough")
        assert channel.recv(20) == frame
        with pytest.raises(Unavailable, match="enough"):
            channel.recv(20)

    def test_that_are_gone_are_found_by_a_disconnect(self, unix: Wire) -> None:
        """Its reason is the connection's, which ended first."""
        listener, channel, peer = unix.pair()
        for _ in range(20):
            listener.send(peer, bytes(50_000))
        channel.close()
        listener.disconnect(peer, "too late")
        assert unix.arrivals(listener, 1) == [Closed(peer, "connection lost: Broken pipe")]

    def test_that_are_cut_off_in_the_middle_of_a_frame_see_its_end_missing(self, unix: Wire) -> None:
        """A farewell would be taken for the frame's bytes."""
        listener, channel, peer = unix.pair()
        listener.send(peer, bytes(5 << 20))
        listener.disconnect(peer, "not heard")
        with pytest.raises(Unavailable, match="the server has closed the connection in the middle of a frame"):
            channel.recv(20)


class TestForeignPeers:
    def test_are_refused(self, unix: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
        """The kernel's word counts; nothing of it arrives."""
        listener = unix.listen()
        monkeypatch.setattr(local, "peer_credentials", lambda _: Credentials(1, 12345))
        with Raw(unix) as raw:
            assert listener.poll(0.01) == []
            assert raw.reason() == "uid 12345 may not connect here"

    def test_of_whom_the_kernel_tells_nothing_end_nobody_else_s_connection(
        self, unix: Wire, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As macOS does of one that has gone before it was accepted."""
        listener, channel, peer = unix.pair()

        def tell_nothing(_: socket.socket) -> Credentials:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))

        monkeypatch.setattr(local, "peer_credentials", tell_nothing)
        with Raw(unix):
            assert listener.poll(0.01) == []
        listener.send(peer, b"still there")
        assert channel.recv(5) == b"still there"

    @pytest.mark.slow
    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
    def test_are_refused_although_the_files_let_them_in(self, unix: Wire, program: Any) -> None:
        """Somebody has opened the directory and the socket to everybody."""
        path = unix.address.removeprefix("unix://")
        listener = unix.listen()
        for each in (os.path.dirname(os.path.dirname(path)), os.path.dirname(path), path):
            os.chmod(each, 0o777)
        try:
            other = program(
                "import os, socket, sys\n"
                "os.setgid(65534); os.setuid(65534); peer = socket.socket(socket.AF_UNIX); peer.connect(sys.argv[1])\n"
                "print('ready', flush=True); print(peer.recv(1000)[4:].decode())",
                path,
            )
            assert listener.poll(0.1) == []
            assert other.stdout.read().strip() == "uid 65534 may not connect here"
        finally:
            for each in (os.path.dirname(os.path.dirname(path)), os.path.dirname(path)):
                os.chmod(each, 0o700)


class TestDescriptors:
    EXHAUST = """
import os, resource, socket, sys, time
from zproc.transport import Limits, Opened, Received, connect, listen
resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
address = sys.argv[1]
listener = listen(address)
old = connect(address)
(opened,) = listener.poll(5)
listener.allow(opened.peer, 1000)
newcomers = [connect(address) for _ in range(5)]
more = []
try:
    while True: more.append(os.open(os.devnull, os.O_RDONLY))
except OSError: pass
"""

    def run(self, program: Any, unix: Wire, source: str) -> None:
        process = program(self.EXHAUST + source + "\nlistener.close(); print('ready', flush=True)", unix.address)
        assert process.wait(20) == 0

    @pytest.mark.slow
    def test_when_there_are_none_left_newcomers_are_told_and_others_served(self, unix: Wire, program: Any) -> None:
        """One descriptor is kept for that, and the loop does not spin."""
        self.run(
            program,
            unix,
            """
assert listener.poll(0.05) == []
for newcomer in newcomers:
    try: newcomer.recv(5)
    except ConnectionError as error: assert "no file descriptors left" in str(error), error
    else: raise AssertionError
old.send(b"still served")
assert listener.poll(5) == [Received(opened.peer, b"still served")]
os.close(more.pop())
again = connect(address)   # takes the one that was given back
os.close(more.pop()); os.close(more.pop())
assert isinstance(listener.poll(5)[0], Opened)
""",
        )

    @pytest.mark.slow
    def test_when_there_is_none_to_refuse_with_newcomers_wait(self, unix: Wire, program: Any) -> None:
        """The loop does not spin meanwhile, others are served, and the newcomers are let in when it gets better."""
        self.run(
            program,
            unix,
            """
os.close(listener._reserve); listener._reserve = None
more.append(os.open(os.devnull, os.O_RDONLY))
polls, end = 0, time.monotonic() + 0.3
while time.monotonic() < end:
    assert listener.poll(0.3) == []
    polls += 1
assert polls < 20, polls
old.send(b"still served")
served = []
while not served: served = listener.poll(5)
assert served == [Received(opened.peer, b"still served")]
for each in more: os.close(each)
arrived = []
while len(arrived) < 5: arrived += listener.poll(5)
assert all(isinstance(each, Opened) for each in arrived)
assert listener._reserve is not None
""",
        )

    def test_are_left_for_the_rest_of_the_process(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Fewer peers are let in than there are descriptors."""
        monkeypatch.setattr(resource, "getrlimit", lambda _: (100, 100))
        assert local._descriptors_left() == 68
        monkeypatch.setattr(resource, "getrlimit", lambda _: (10, 10))
        assert local._descriptors_left() == 1
        monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert local._descriptors_left() == sys.maxsize

    def test_are_named_when_it_is_they_that_let_in_so_few(self, unix: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(local, "_descriptors_left", lambda: 0)
        listener = unix.listen()
        with Raw(unix) as raw:
            assert listener.poll(0.01) == []
            assert raw.reason() == (
                "the limit of 0 peers is reached, because the server may open no more files: "
                "raise the limit of descriptors (ulimit -n)"
            )

    def test_that_cannot_be_waited_for_cost_their_peer_its_place(
        self, unix: Wire, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The system's limit of watched descriptors is not the server's end."""
        listener = unix.listen()

        class Full:
            def __init__(self, real: Any) -> None:
                self.poll, self.close = real.poll, real.close

            def register(self, *_: object) -> None:
                raise OSError(28, "No space left on device")

        monkeypatch.setattr(listener, "_poller", Full(listener._poller))
        with Raw(unix) as raw:
            assert listener.poll(0.01) == []
            assert raw.reason() == "the server cannot take more peers: No space left on device"

    def test_that_cannot_be_had_at_the_beginning_leave_nothing_behind(
        self, unix: Wire, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Neither a socket nor a lock."""

        def refuse() -> None:
            raise OSError(24, "Too many open files")

        monkeypatch.setattr(local, "Bell", refuse)
        with pytest.raises(Unavailable, match="cannot listen here: Too many open files"):
            unix.listen()
        monkeypatch.undo()
        unix.listen()

    def test_of_broken_newcomers_are_skipped(self, unix: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
        """Some systems report here what a peer did before it was accepted; every other error is not ours to hide."""
        listener = unix.listen()
        real = listener._socket
        errors: list[OSError] = [ConnectionAbortedError(), ConnectionAbortedError()]

        class Door:
            fileno, close = real.fileno, real.close

            def accept(self) -> Any:
                if errors:
                    raise errors.pop()
                return real.accept()

        monkeypatch.setattr(listener, "_socket", Door())
        unix.join(listener)
        errors.append(OSError(22, "Invalid argument"))
        unix.connect()
        with pytest.raises(OSError, match="Invalid argument"):
            listener.poll(1)


class TestAddresses:
    def test_are_gone_with_their_listener(self, unix: Wire) -> None:
        """Socket and lock; while it lasts they are for us alone."""
        path = unix.address.removeprefix("unix://")
        listener = unix.listen()
        assert stat.S_IMODE(os.lstat(path).st_mode) == stat.S_IMODE(os.lstat(path + ".lock").st_mode) == 0o600
        listener.close()
        assert not os.path.lexists(path)
        assert not os.path.lexists(path + ".lock")

    def test_that_are_too_long_are_refused_by_both_sides(self) -> None:
        """Before anything is made."""
        path = "/tmp/" + "x" * 103
        for call in (LocalListener, lambda path: connect(f"unix://{path}")):
            with pytest.raises(UsageError, match="108 bytes, but a socket's path has at most 107"):
                call(path)

    @pytest.mark.slow
    def test_of_killed_servers_are_taken_over_and_their_clients_told(self, unix: Wire, program: Any) -> None:
        """Even when the server had forked a child that lives on."""
        server = program(
            "import os, sys; from zproc.transport import *; listener = listen(sys.argv[1])\n"
            "print('ready', flush=True); listener.poll(None)\n"
            "if os.fork() == 0: print('forked', flush=True); input(); os._exit(0)\n"
            "listener.poll(None)",
            unix.address,
        )
        channel = unix.connect()
        assert server.stdout.readline() == "forked\n"
        with pytest.raises(UsageError, match=f"in use by process {server.pid};"):
            unix.listen()
        server.send_signal(signal.SIGKILL)
        begin = time.monotonic()
        with pytest.raises(Unavailable, match="the server has closed the connection"):
            channel.recv(20)
        assert time.monotonic() - begin < 5
        server.wait()
        with pytest.raises(Unavailable, match="the server that did was killed"):
            unix.connect()
        unix.pair()

    def test_belong_to_the_parent_when_a_child_has_inherited_the_listener(self, unix: Wire, in_fork: Any) -> None:
        """The child's end, by whatever way, removes nothing."""
        listener = unix.listen()
        assert in_fork(listener.close) == "None"
        assert in_fork(listener.disown) == "None"
        assert os.path.exists(unix.address.removeprefix("unix://"))
        unix.join(listener)
