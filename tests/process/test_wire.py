"""Frames on a line."""

from __future__ import annotations

import itertools
import os
import select
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, strategies as st

from zproc.exceptions import WaitTimeout
from zproc.process import descriptor, wire
from zproc.process.wire import Decoder, Frame, Kind


@pytest.fixture
def line() -> Iterator[tuple[int, int]]:
    near, far = descriptor.pair()
    yield near, far
    descriptor.close(near, far)


def test_what_is_sent_arrives(line: tuple[int, int]) -> None:
    near, far = line
    wire.send(near, Frame(Kind.CALL, b"do it"))
    assert wire.receive(far, Kind.CALL) == b"do it"


def test_a_line_that_ends_early_is_an_end_of_file() -> None:
    near, far = descriptor.pair()
    os.write(near, b"\x01\x00")
    descriptor.close(near)
    with pytest.raises(EOFError):
        wire.receive(far, Kind.SETUP)
    descriptor.close(far)


def test_a_frame_out_of_turn_is_a_bug(line: tuple[int, int]) -> None:
    near, far = line
    wire.send(near, Frame(Kind.CALL, b""))
    with pytest.raises(AssertionError, match="SETUP"):
        wire.receive(far, Kind.SETUP)


def test_a_line_is_abandoned_when_the_other_side_has_closed_it_and_all_is_read() -> None:
    near, far = descriptor.pair()
    assert not wire.is_abandoned(far)
    os.write(near, b"x")
    descriptor.close(near)
    assert not wire.is_abandoned(far)
    assert os.read(far, 9) == b"x"
    assert wire.is_abandoned(far)
    descriptor.close(far)


frames = st.builds(Frame, st.sampled_from(Kind), st.binary(max_size=40))


@given(st.lists(frames, max_size=8), st.lists(st.integers(1, 30), min_size=1))
def test_frames_come_out_whole_however_the_bytes_come(sent: list[Frame], sizes: list[int]) -> None:
    near, far = descriptor.pair()
    for frame in sent:
        wire.send(near, frame)
    descriptor.close(near)
    decoder, got = Decoder(), []
    for size in itertools.cycle(sizes):
        if not (chunk := os.read(far, size)):
            break
        got += list(decoder.feed(chunk))
    descriptor.close(far)
    assert got == sent


def test_sending_waits_for_a_slow_listener(line: tuple[int, int]) -> None:
    near, far = line
    os.set_blocking(near, False)
    body = bytes(5_000_000)
    got: list[bytes] = []
    thread = threading.Thread(target=lambda: got.append(wire.receive(far, Kind.CALL)))
    thread.start()
    wire.send_before(time.monotonic() + 20, near, wire.packed(Frame(Kind.CALL, body)))
    thread.join()
    assert got == [body]


def test_sending_to_nobody_who_listens_ends_at_the_deadline(line: tuple[int, int]) -> None:
    near, _ = line
    os.set_blocking(near, False)
    with pytest.raises(WaitTimeout):
        wire.send_before(time.monotonic() + 0.05, near, wire.packed(Frame(Kind.CALL, bytes(5_000_000))))


def test_what_can_be_said_without_waiting_is_said(line: tuple[int, int]) -> None:
    near, far = line
    os.set_blocking(near, False)
    sent = wire.packed(Frame(Kind.SETUP, b"who"), Frame(Kind.CALL, bytes(5_000_000)))
    rest = wire.send_now(near, sent)
    assert 0 < len(rest) < len(sent)
    assert wire.receive(far, Kind.SETUP) == b"who"
    assert not wire.send_now(near, wire.packed())


def test_sending_to_the_dead_is_an_error() -> None:
    near, far = descriptor.pair()
    os.set_blocking(near, False)
    descriptor.close(far)
    with pytest.raises(OSError, match="pipe"):
        wire.send_before(time.monotonic() + 1, near, wire.packed(Frame(Kind.CALL, b"")))
    with pytest.raises(OSError, match="pipe"):
        wire.send(near, Frame(Kind.CALL, b""))
    descriptor.close(near)


def test_a_poll_ends_when_something_happens_and_not_before_its_deadline(line: tuple[int, int]) -> None:
    near, far = line
    began = time.monotonic()
    assert not wire.poll({far: 1}, began + 0.02)
    assert time.monotonic() >= began + 0.02
    os.write(near, b"x")
    assert wire.poll({far: 1}, None)


def test_a_look_takes_no_time() -> None:
    """It once took the millisecond that waits are rounded up by, in a loop that looked once for each request."""
    reading, writing = os.pipe()

    def thousand() -> float:
        began = time.monotonic()
        for _ in range(1000):
            assert not wire.poll({reading: select.POLLIN}, time.monotonic())
        return time.monotonic() - began

    assert min(thousand() for _ in range(3)) < 0.6
    os.close(reading)
    os.close(writing)
