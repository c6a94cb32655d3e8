"""What every transport promises; each test runs over each of them."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from zproc.exceptions import LimitExceeded, ProtocolError, Unavailable, UsageError, WaitTimeout
from zproc.transport import Closed, Limits, Opened, Received, connect

if TYPE_CHECKING:
    Wire = Any  # the fixtures of conftest.py, which cannot be imported from


class TestFrames:
    def test_arrive_whole_once_and_in_order(self, wire: Wire, helper: Any) -> None:
        """A thousand frames of lengths from 0 bytes to over a chunk, in both directions."""
        listener, channel, peer = wire.pair()
        chance = random.Random(1)
        frames = [chance.randbytes(chance.choice([0, 1, 3, 4, 5, 100, 5000, 70_000])) for _ in range(1000)]
        sender = helper(lambda: [channel.send(frame) for frame in frames])
        assert wire.frames(listener, len(frames)) == frames
        sender.outcome()
        reader = helper(lambda: [channel.recv(20) for _ in frames])
        for frame in frames:
            listener.send(peer, frame)
        while reader.is_alive():
            listener.poll(0.01)
        assert reader.outcome() == frames

    @pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 300_000, 16 << 20])
    def test_of_every_length_up_to_the_limit_pass(self, wire: Wire, helper: Any, size: int) -> None:
        """The limit itself is allowed, in both directions."""
        listener, channel, peer = wire.pair()
        frame = random.Random(size).randbytes(size)
        sender = helper(lambda: channel.send(frame, 20))
        assert wire.frames(listener, 1) == [frame]
        sender.outcome()
        reader = helper(lambda: channel.recv(20))
        listener.send(peer, frame)
        while reader.is_alive():
            listener.poll(0.01)
        assert reader.outcome() == frame

    def test_over_the_limit_are_refused_before_they_are_sent(self, wire: Wire) -> None:
        """Both sides say which limit, and go on."""
        listener, channel, peer = wire.pair(Limits(frame=1000))
        small = wire.connect(limit=10)
        with pytest.raises(LimitExceeded, match="frame: 11 is over the limit of 10"):
            small.send(bytes(11))
        with pytest.raises(LimitExceeded, match="frame: 1001 is over the limit of 1000"):
            listener.send(peer, bytes(1001))
        listener.send(peer, bytes(1000))
        assert channel.recv(20) == bytes(1000)

    def test_over_the_limit_end_the_connection_of_who_sends_them_all_the_same(self, wire: Wire) -> None:
        """What came before is delivered; both sides are told which limit."""
        listener, channel, peer = wire.pair(Limits(frame=100))
        channel.send(b"before")
        channel.send(bytes(101))
        arrivals = wire.arrivals(listener, 2)
        assert arrivals == [Received(peer, b"before"), Closed(peer, "frame of 101 bytes is over the limit of 100")]
        with pytest.raises(Unavailable, match="frame of 101 bytes is over the limit of 100"):
            channel.recv(20)
        assert channel.closed

    def test_over_the_limit_of_a_client_end_its_connection(self, wire: Wire) -> None:
        """A client does not take what it has no room for."""
        listener = wire.listen()
        channel = wire.connect(limit=10)
        (opened,) = wire.arrivals(listener, 1)
        listener.send(opened.peer, bytes(11))
        for _ in range(2):
            with pytest.raises(ProtocolError, match="frame of 11 bytes is over the limit of 10"):
                channel.recv(20)
        assert channel.closed

    def test_of_strangers_are_short(self, wire: Wire) -> None:
        """Before it is allowed more, a peer may send 4 KiB."""
        listener = wire.listen()
        for size in (4096, 4097):
            channel = wire.connect()
            (opened,) = wire.arrivals(listener, 1)
            channel.send(bytes(size))
            (arrival,) = wire.arrivals(listener, 1)
            assert isinstance(arrival, Received if size == 4096 else Closed)
            assert arrival.peer == opened.peer

    def test_of_a_closed_listener_cannot_be_polled(self, wire: Wire) -> None:
        """Its other methods do nothing."""
        listener, channel, peer = wire.pair()
        listener.close()
        listener.close()
        listener.wake()
        listener.send(peer, b"x")
        listener.allow(peer, 1)
        listener.disconnect(peer, "gone")
        with pytest.raises(UsageError, match="closed"):
            listener.poll(0)
        with pytest.raises(Unavailable, match="the server has closed"):
            channel.recv(20)


class TestPeers:
    def test_a_hundred_are_told_apart(self, wire: Wire) -> None:
        """Each gets the answers to its own frames."""
        listener = wire.listen()
        channels = [wire.join(listener) for _ in range(100)]
        assert len({peer for _, peer in channels}) == 100
        for number, (channel, _) in enumerate(channels):
            channel.send(str(number).encode())
        arrivals = wire.arrivals(listener, 100)
        for arrival in arrivals:
            assert isinstance(arrival, Received)
            listener.send(arrival.peer, arrival.frame + b"!")
        assert [channel.recv(20) for channel, _ in channels] == [b"%d!" % number for number in range(100)]
        assert {(each.peer, each.frame) for each in arrivals if isinstance(each, Received)} == {
            (peer, b"%d" % number) for number, (_, peer) in enumerate(channels)
        }

    def test_are_opened_and_closed_once_around_their_frames(self, wire: Wire) -> None:
        """The process id is the kernel's word, where it has one."""
        listener = wire.listen()
        channel = wire.connect()
        channel.send(b"one")
        channel.send(b"two")
        channel.close()
        arrivals = wire.arrivals(listener, 4)
        peer = arrivals[0].peer
        assert arrivals == [
            Opened(peer, wire.pid),
            Received(peer, b"one"),
            Received(peer, b"two"),
            Closed(peer, "closed by the peer"),
        ]
        assert listener.poll(0) == []

    def test_that_are_gone_are_ignored(self, wire: Wire) -> None:
        """Sending to one that has just left is nobody's mistake."""
        listener, channel, peer = wire.pair()
        channel.close()
        listener.send(peer, b"into the void")
        listener.send(peer, b"into the void")
        assert wire.closed(listener, peer)
        listener.send(peer, b"into the void")
        listener.disconnect(peer, "again")
        listener.allow(peer, 5)
        assert listener.poll(0) == []

    def test_that_are_disconnected_read_what_was_sent_and_then_the_reason(self, wire: Wire) -> None:
        """A farewell is not lost behind the last frames."""
        listener, channel, peer = wire.pair()
        listener.send(peer, b"last words")
        listener.disconnect(peer, "the owner is gone")
        assert wire.arrivals(listener, 1) == [Closed(peer, "the owner is gone")]
        assert channel.recv(20) == b"last words"
        for _ in range(2):
            with pytest.raises(Unavailable, match="the owner is gone"):
                channel.recv(20)
        assert channel.closed

    def test_that_were_disconnected_are_told_so_when_they_send(self, wire: Wire) -> None:
        """The reason is found although it was never received."""
        listener, channel, peer = wire.pair()
        listener.send(peer, b"never read")
        listener.disconnect(peer, "out with you")

        def ask() -> None:
            while True:  # where a thread stands between, it takes a moment until it knows
                channel.send(b"hello?", 20)

        with pytest.raises(Unavailable, match="out with you"):
            ask()

    def test_that_were_disconnected_with_frames_unread_send_no_more(self, wire: Wire) -> None:
        """After ``disconnect`` only the ``Closed`` arrives."""
        listener, channel, peer = wire.pair()
        for _ in range(200):
            channel.send(b"x")
        wire.frames(listener, 1)
        listener.disconnect(peer, "enough")
        assert wire.arrivals(listener, 1) == [Closed(peer, "enough")]
        assert listener.poll(0) == []
        with pytest.raises(Unavailable, match="enough"):
            channel.recv(20)

    def test_one_too_many_is_told_so(self, wire: Wire, helper: Any) -> None:
        """When one leaves, there is room for another."""
        listener = wire.listen(Limits(peers=2))
        first, peer = wire.join(listener)
        wire.join(listener)
        third = wire.connect()
        reader = helper(lambda: third.recv(20))
        while reader.is_alive():
            assert listener.poll(0.01) == []
        with pytest.raises(Unavailable, match="the limit of 2 peers is reached"):
            reader.outcome()
        first.close()
        wire.closed(listener, peer)
        wire.join(listener)

    def test_that_stay_silent_are_closed(self, wire: Wire) -> None:
        """A hundred connections that say nothing, while one that was allowed stays."""
        listener = wire.listen(Limits(handshake=0.05))
        channel, _ = wire.join(listener)
        silent = [wire.connect() for _ in range(100)]
        arrivals = wire.gather(listener, lambda all_: sum(isinstance(each, Closed) for each in all_) == 100)
        assert {each.reason for each in arrivals if isinstance(each, Closed)} == {
            "no hello within the handshake limit of 0.05 s"
        }
        with pytest.raises(Unavailable, match="no hello within"):
            silent[0].recv(20)
        channel.send(b"still here")
        assert wire.frames(listener, 1) == [b"still here"]

    def test_that_speak_without_being_allowed_are_closed(self, wire: Wire) -> None:
        """Garbage does not buy time."""
        listener = wire.listen(Limits(handshake=0.05))
        channel = wire.connect()
        channel.send(b"garbage")
        arrivals = wire.arrivals(listener, 3)
        assert [type(each) for each in arrivals] == [Opened, Received, Closed]

    def test_whose_hello_waits_for_a_busy_server_are_heard(self, wire: Wire) -> None:
        """A server that did not poll for longer than the time limit has itself to blame."""
        listener = wire.listen(Limits(handshake=0.02))
        channel = wire.connect()
        (opened,) = wire.arrivals(listener, 1)
        channel.send(b"hello")
        late = time.monotonic() + 0.03
        while time.monotonic() < late:
            pass
        assert wire.arrivals(listener, 1) == [Received(opened.peer, b"hello")]
        listener.allow(opened.peer, 100)
        channel.send(b"thanks")
        assert wire.arrivals(listener, 1) == [Received(opened.peer, b"thanks")]


class TestOneAmongMany:
    def test_a_flood_of_frames_delays_the_others_by_one_turn(self, wire: Wire) -> None:
        """Ten thousand frames wait; another peer's frame is in the next poll, not behind them."""
        listener = wire.listen()
        flooding, flood = wire.join(listener)
        polite, peer = wire.join(listener)
        sent = 0
        try:
            for _ in range(10_000):
                flooding.send(b"x", timeout=0)
                sent += 1
        except WaitTimeout:
            pass  # the socket holds no more: that is the flood
        assert sent > 200
        first = wire.frames(listener, 1)
        polite.send(b"please")
        before = len(first)
        frames: list[bytes] = []
        polls = 0
        while b"please" not in frames:
            frames += [each.frame for each in listener.poll(0) if isinstance(each, Received)]
            polls += 1
        if not wire.relayed:  # else a thread stands between, and may bring it when all of the flood has been taken
            assert polls <= 2
            assert before + len(frames) <= 3 * 64 + 1 < sent
        assert len(wire.frames(listener, sent - before - len(frames) + 1)) == sent - before - len(frames) + 1
        assert flood != peer

    def test_a_flood_of_long_frames_delays_the_others_by_one_turn(self, wire: Wire, helper: Any) -> None:
        """A peer in the middle of 16 MiB is left there while another is served."""
        listener = wire.listen()
        flooding, _ = wire.join(listener)
        polite, _ = wire.join(listener)
        sender = helper(lambda: [flooding.send(bytes(4 << 20)) for _ in range(4)])
        wire.frames(listener, 1)
        for number in range(20):
            polite.send(b"%d" % number)
            polls = 0
            frames: list[bytes] = []
            while b"%d" % number not in frames:
                frames += [each.frame for each in listener.poll(20) if isinstance(each, Received)]
                polls += 1
            assert polls <= 4 or wire.relayed
        while sender.is_alive():
            listener.poll(0.01)
        sender.outcome()

    def test_who_does_not_read_is_closed_alone(self, wire: Wire) -> None:
        """The backlog is bounded, and the other peers get everything."""
        listener = wire.listen(Limits(backlog=1 << 20))
        slow, lagging = wire.join(listener)
        quick, peer = wire.join(listener)
        frame = bytes(10_000)
        count = 0
        closed: list[Closed] = []
        while not closed:
            listener.send(lagging, frame)
            listener.send(peer, frame)
            assert quick.recv(20) == frame
            closed = [each for each in listener.poll(0) if isinstance(each, Closed)]
            count += 1
            assert count < 1000
        assert closed[0].peer == lagging
        assert "is over the limit of 1048576" in closed[0].reason
        listener.send(peer, b"still there")
        assert quick.recv(20) == b"still there"
        with pytest.raises(Unavailable):
            assert [slow.recv(20) for _ in range(count)] == []

    def test_who_reads_late_gets_everything(self, wire: Wire, helper: Any) -> None:
        """What is within the backlog is kept and written when there is room."""
        listener, channel, peer = wire.pair()
        frames = [b"%d" % number * 1000 for number in range(3000)]
        for frame in frames:
            listener.send(peer, frame)
        reader = helper(lambda: [channel.recv(20) for _ in frames])
        while reader.is_alive():
            listener.poll(0.01)
        assert reader.outcome() == frames
        assert listener.poll(0) == []


class TestWaiting:
    def test_poll_returns_nothing_after_its_timeout(self, wire: Wire) -> None:
        """Not before, and a negative timeout is no wait."""
        listener = wire.listen()
        begin = time.monotonic()
        assert listener.poll(0.05) == []
        assert time.monotonic() - begin >= 0.05
        assert listener.poll(-1) == []

    def test_a_timeout_that_is_not_a_number_is_refused(self, wire: Wire) -> None:
        """It would otherwise be an endless wait."""
        listener, channel, _ = wire.pair()
        with pytest.raises(UsageError, match="NaN"):
            listener.poll(float("nan"))
        with pytest.raises(UsageError, match="NaN"):
            channel.recv(float("nan"))

    def test_recv_ends_with_its_timeout_and_can_be_called_again(self, wire: Wire) -> None:
        """The error names what was waited for, and how long."""
        listener, channel, peer = wire.pair()
        with pytest.raises(WaitTimeout, match=r"a frame from .*: not within 0.05 s"):
            channel.recv(0.05)
        with pytest.raises(WaitTimeout):
            channel.recv(0)
        listener.send(peer, b"late")
        assert channel.recv(float("inf")) == b"late"
        assert not channel.closed

    def test_send_ends_with_its_timeout(self, wire: Wire) -> None:
        """Nobody polls; frames that were taken as a whole arrive, and no other."""
        listener, channel, _ = wire.pair()
        sent = 0

        def send_on() -> None:
            nonlocal sent
            while True:
                channel.send(b"%07d" % sent + bytes(993), timeout=0.05)
                sent += 1

        with pytest.raises(WaitTimeout, match=r"sending to .*: not within 0.05 s"):
            send_on()
        assert sent > 10
        assert [int(frame[:7]) for frame in wire.frames(listener, sent)] == list(range(sent))

    def test_wake_ends_a_poll_of_another_thread(self, wire: Wire, helper: Any) -> None:
        """The poll has no timeout, so that only the wake can have ended it."""
        listener = wire.listen()
        poll = helper(lambda: listener.poll(None))
        poll.wait_until_asleep()
        listener.wake()
        assert poll.outcome() == []

    def test_wake_before_a_poll_ends_it(self, wire: Wire) -> None:
        """Otherwise what happens between the look at a flag and the poll would be missed."""
        listener = wire.listen()
        for _ in range(1000):
            listener.wake()
        assert listener.poll(None) == []
        assert listener.poll(0.01) == []

    @pytest.mark.skipif(
        threading.current_thread() is not threading.main_thread(), reason="signals are the main thread's"
    )
    def test_wake_can_be_called_by_a_signal_handler(self, wire: Wire) -> None:
        """The handler runs in the very thread that polls."""
        listener = wire.listen()
        before = signal.signal(signal.SIGALRM, lambda *_: listener.wake())
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            assert listener.poll(None) == []
        finally:
            signal.signal(signal.SIGALRM, before)

    def test_other_descriptors_wake_too(self, wire: Wire) -> None:
        """They do for as long as they are readable, and the wait goes on when they are not."""
        listener = wire.listen()
        read, write = os.pipe()
        listener.add_waker(read)
        os.write(write, b"!")
        assert listener.poll(None) == []
        assert listener.poll(None) == []
        os.read(read, 1)
        begin = time.monotonic()
        assert listener.poll(0.02) == []
        assert time.monotonic() - begin >= 0.02
        with pytest.raises(UsageError, match="cannot be waited for"):
            listener.add_waker(read)
        listener.close()
        os.close(read)
        os.close(write)

    def test_close_ends_a_recv_of_another_thread(self, wire: Wire, helper: Any) -> None:
        """The thread is told that it was its own side."""
        _, channel, _ = wire.pair()
        for timeout in (None, 20.0):
            recv = helper(partial(channel.recv, timeout))
            recv.wait_until_asleep()
            channel.close()
            channel.close()
            with pytest.raises(UsageError, match="closed"):
                recv.outcome()
            channel = wire.connect()

    def test_close_ends_a_send_of_another_thread(self, wire: Wire, helper: Any) -> None:
        """Nobody polls, so that it would wait for ever."""
        _, channel, _ = wire.pair()
        send = helper(lambda: [channel.send(bytes(60_000)) for _ in range(1000)])
        send.wait_until_asleep()
        channel.close()
        with pytest.raises(UsageError, match="closed"):
            send.outcome()

    def test_a_closed_channel_refuses_everything(self, wire: Wire) -> None:
        """Each call says so, again and again."""
        _, channel, _ = wire.pair()
        assert not channel.closed
        channel.close()
        assert channel.closed
        for call in (lambda: channel.send(b"x"), channel.recv, channel.recv, channel.fileno):
            with pytest.raises(UsageError):
                call()

    def test_ctrl_c_ends_a_recv_and_leaves_the_channel_in_step(self, wire: Wire, interrupted: Any) -> None:
        """The next recv gets the next frame, whole."""
        listener, channel, peer = wire.pair()
        for timeout in (None, 20.0):
            interrupted(partial(channel.recv, timeout))
        assert not channel.closed
        listener.send(peer, b"the next")
        assert channel.recv(20) == b"the next"


class TestAddresses:
    def test_are_what_clients_connect_to(self, wire: Wire) -> None:
        """The listener tells its own."""
        assert wire.listen().address == wire.address

    def test_in_use_are_refused_and_their_holder_is_unharmed(self, wire: Wire) -> None:
        """The error says who has it."""
        listener, channel, _ = wire.pair()
        with pytest.raises(UsageError, match=rf"address in use by (this process|process {os.getpid()});"):
            wire.listen()
        channel.send(b"unharmed")
        assert wire.frames(listener, 1) == [b"unharmed"]
        wire.join(listener)

    def test_are_free_after_close(self, wire: Wire) -> None:
        """Again and again."""
        for _ in range(3):
            listener, channel, _ = wire.pair()
            listener.close()
            with pytest.raises(Unavailable):
                channel.recv(20)

    def test_where_nobody_listens_are_refused_at_once(self, wire: Wire) -> None:
        """Before and after there was a listener; the error says what to do."""
        for _ in range(2):
            begin = time.monotonic()
            with pytest.raises(Unavailable, match=r"listens here.*server"):
                connect(wire.address)
            assert time.monotonic() - begin < 1
            wire.listen().close()

    def test_in_use_by_several_threads_at_once_go_to_one(self, wire: Wire, helper: Any) -> None:
        """Of ten that want it, nine are refused."""
        barrier = threading.Barrier(10)

        def contend() -> Any:
            barrier.wait()
            try:
                return wire.listen()
            except UsageError:
                return None

        won = [outcome for outcome in [each.outcome() for each in [helper(contend) for _ in range(10)]] if outcome]
        assert len(won) == 1
        wire.join(won[0])


class TestForks:
    """A connection belongs to one process."""

    pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")

    def test_a_child_cannot_use_its_parents_channel(self, wire: Wire, in_fork: Any) -> None:
        """Nor harm it."""
        listener, channel, peer = wire.pair()
        assert in_fork(lambda: channel.send(b"from the child")).startswith("UsageError: this channel is closed")
        assert in_fork(lambda: channel.recv(1)).startswith("UsageError: this channel is closed")
        assert in_fork(channel.close) == "None"
        channel.send(b"from the parent")
        assert wire.frames(listener, 1) == [b"from the parent"]
        listener.send(peer, b"back")
        assert channel.recv(20) == b"back"

    def test_a_child_cannot_use_its_parents_listener(self, wire: Wire, in_fork: Any) -> None:
        """Nor close it, nor take its address away."""
        listener, channel, _ = wire.pair()
        assert in_fork(lambda: listener.poll(1)).startswith("UsageError: this listener is closed")
        assert in_fork(listener.close) == "None"
        assert in_fork(listener.wake) == "None"
        channel.send(b"unharmed")
        assert wire.frames(listener, 1) == [b"unharmed"]
        wire.join(listener)
