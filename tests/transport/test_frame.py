"""Frames come out of a stream as they went in, however it was cut."""

from __future__ import annotations

import itertools
import random
import tracemalloc

import pytest
from hypothesis import given, strategies as st

from zproc.transport.frame import CUT, FrameReader, farewell, split


def on_the_wire(frame: bytes) -> bytes:
    first, rest = split(frame)
    return first + (b"" if rest is None else bytes(rest))


def read(reader: FrameReader, chunks: list[bytes], most: int = 64) -> list[bytes]:
    frames = []
    for chunk in chunks:
        reader.chunks.append(chunk)
        while taken := reader.take(most):
            frames += taken
    return frames


@pytest.mark.parametrize("size", [0, 1, 255, 256, CUT - 1, CUT, CUT + 1, 3 * CUT])
def test_a_frame_travels_behind_its_length(size: int) -> None:
    """Four bytes, big-endian; long ones in two pieces, of which the second is not copied."""
    frame = random.Random(size).randbytes(size)
    assert on_the_wire(frame) == size.to_bytes(4, "big") + frame
    _, rest = split(frame)
    assert (rest is None) == (size <= CUT)
    assert rest is None or rest.obj is frame


@given(
    frames=st.lists(st.binary(max_size=40), max_size=20),
    cuts=st.lists(st.integers(0, 900), max_size=30),
    most=st.integers(1, 5),
)
def test_frames_survive_every_way_of_cutting_the_stream(frames: list[bytes], cuts: list[int], most: int) -> None:
    """Nothing is left over, and nothing taken twice, whoever takes how many at a time."""
    stream = b"".join(map(on_the_wire, frames))
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    chunks = [stream[begin:end] for begin, end in itertools.pairwise(edges)]
    reader = FrameReader(40)
    assert read(reader, chunks, most) == frames
    assert sum(map(len, reader.chunks)) == 0
    assert reader.fault is None


@given(frames=st.lists(st.binary(max_size=10), max_size=20), most=st.integers(1, 25))
def test_no_more_are_taken_than_asked_for(frames: list[bytes], most: int) -> None:
    """Fewer mean that there are no more whole ones."""
    reader = FrameReader(10)
    reader.chunks.append(b"".join(map(on_the_wire, frames)) + b"\0\0")
    assert reader.take(most) == frames[:most]


def test_an_empty_reader_has_nothing() -> None:
    """And an unfinished frame stays where it is."""
    reader = FrameReader(10)
    assert reader.take(1) == []
    assert read(reader, [b"\0", b"\0\0", b"\0", b"\0\0\0\3ab"]) == [b""]
    assert reader.take(1) == []
    assert read(reader, [b"c"]) == [b"abc"]


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 5, 9])
def test_a_length_over_the_limit_is_a_fault(cut: int) -> None:
    """The frames before it are taken, and nothing after it."""
    stream = on_the_wire(b"x") + (11).to_bytes(4, "big") + bytes(11) + on_the_wire(b"y")
    reader = FrameReader(10)
    assert read(reader, [stream[begin : begin + cut] for begin in range(0, len(stream), cut)]) == [b"x"]
    assert reader.fault == "frame of 11 bytes is over the limit of 10"
    assert reader.goodbye is None
    assert reader.take(1) == []


def test_a_length_over_the_limit_is_found_when_two_chunks_came_before_the_first_look() -> None:
    """An exception between two reads must not make the reader wait for 2 GiB."""
    reader = FrameReader(10)
    reader.chunks += [b"\x70\0\0\0", b"abc"]
    assert reader.take(1) == []
    assert reader.fault == "frame of 1879048192 bytes is over the limit of 10"


def test_garbage_is_a_fault() -> None:
    """Most of it announces a frame that is too long."""
    for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\0\x01\0", b"\xff" * 100):
        reader = FrameReader(16 << 20)
        assert read(reader, [garbage]) == []
        assert reader.fault is not None
        assert "is over the limit" in reader.fault


def test_a_farewell_is_the_reason_for_the_end() -> None:
    """It comes behind the last frames, and is cut to a length that always fits."""
    reader = FrameReader(10)
    assert read(reader, [on_the_wire(b"last") + farewell("grüße")]) == [b"last"]
    assert reader.goodbye == "grüße"
    assert reader.fault is not None
    reader = FrameReader(10)
    assert read(reader, [farewell("x" * 5000)]) == []
    assert reader.goodbye == "x" * 512


def test_a_farewell_that_is_cut_short_is_told_as_far_as_it_came() -> None:
    """The middle of a letter is no reason to fail."""
    reader = FrameReader(10)
    assert read(reader, [farewell("grüße")[:7]]) == []
    assert reader.goodbye == "gr\N{REPLACEMENT CHARACTER}"


def test_memory_is_for_bytes_that_came_and_not_for_those_announced() -> None:
    """A header alone costs nothing, however much it announces."""
    tracemalloc.start()
    try:
        readers = [FrameReader(16 << 20) for _ in range(100)]
        before, _ = tracemalloc.get_traced_memory()
        for reader in readers:
            read(reader, [(16 << 20).to_bytes(4, "big") + b"x"])
        assert tracemalloc.get_traced_memory()[0] - before < 100_000
    finally:
        tracemalloc.stop()


def test_a_long_frame_in_single_bytes_costs_little_more_than_itself() -> None:
    """Neither in chunks kept, which are merged, nor in time, which is why this test ends."""
    frame = bytes(100_000)
    reader = FrameReader(len(frame))
    most = 0
    for byte in on_the_wire(frame)[:-1]:
        reader.chunks.append(bytes([byte]))
        assert reader.take(1) == []
        most = max(most, len(reader.chunks))
    assert most < 32
    assert read(reader, [b"\0"]) == [frame]


def test_the_chunks_of_a_long_frame_are_copied_a_few_times_at_most() -> None:
    """Those that are long already are left alone."""
    chunk = bytes(256 << 10)
    reader = FrameReader(16 << 20)
    reader.chunks.append(((16 << 20) - 1).to_bytes(4, "big") + b"x")
    assert reader.take(1) == []
    for _ in range(20):
        reader.chunks.append(chunk)
        assert reader.take(1) == []
    assert len(reader.chunks) >= 10
