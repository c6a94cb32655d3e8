"""Large values are copied once, and what is read from shared memory keeps it."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from zproc.process import INLINE, Cargo, Loan, Packer, Segment, unpack_cargo

LARGE = 4 * INLINE


class Array:
    """What numpy's arrays do when they are pickled."""

    def __init__(self, data: object) -> None:
        self.data = data

    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        return Array, (pickle.PickleBuffer(self.data),)  # type: ignore[arg-type]  # whatever has a buffer

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Array) and bytes(self.data) == bytes(other.data)  # type: ignore[call-overload]

    __hash__ = None  # type: ignore[assignment]


@pytest.fixture
def segment() -> Iterator[Segment]:
    made = Segment(1 << 20)
    yield made
    made.close_descriptor()


def round_trip(value: object) -> object:
    cargo = Packer().pack(value)
    if cargo.is_short:
        return unpack_cargo(cargo.joined())
    segment = Segment.room_for(cargo)
    loan = Loan(segment, segment.fill(cargo))
    read: object = loan.read()
    segment.close_descriptor()
    return read


@pytest.mark.parametrize(
    "value",
    [
        None,
        5,
        "text",
        b"x" * 10,
        b"x" * LARGE,
        [1, b"y" * LARGE, [b"z" * LARGE, "end"]],
        Array(b"x" * 10),
        Array(b"x" * LARGE),
        [Array(b"x" * LARGE), Array(bytearray(b"y" * (LARGE + 1))), 7],
        list(range(50_000)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_goes_in_comes_out(value: object) -> None:
    assert round_trip(value) == value


def test_large_bytes_are_not_copied_when_they_are_packed() -> None:
    data = b"x" * (4 << 20)
    cargo = Packer().pack(["before", data, "after"])
    assert any(piece is data for piece in cargo.pieces)
    assert not cargo.is_short


def test_large_buffers_stay_outside_and_small_ones_do_not() -> None:
    large, small = bytearray(LARGE), bytearray(10)
    cargo = Packer().pack([Array(large), Array(small)])
    (outside,) = cargo.buffers
    assert outside.obj is large
    assert cargo.nbytes > LARGE
    with pytest.raises(ValueError, match="parts outside"):
        cargo.joined()


def test_a_buffer_that_is_not_contiguous_is_left_to_pickle() -> None:
    with pytest.raises(pickle.PicklingError, match="non-contiguous"):
        Packer().pack(Array(memoryview(bytearray(2 * LARGE))[::2]))


def test_what_is_read_only_stays_so() -> None:
    frozen, free = round_trip([Array(b"x" * LARGE), Array(bytearray(LARGE))])  # type: ignore[misc]  # a list
    assert memoryview(frozen.data).readonly  # type: ignore[has-type]
    assert not memoryview(free.data).readonly  # type: ignore[has-type]


def test_a_loan_is_given_back_when_nothing_of_it_is_held(segment: Segment) -> None:
    loan = Loan(segment, segment.fill(Packer().pack(Array(bytes(LARGE)))))
    array = loan.read()
    assert not loan.give_back()
    del array
    assert loan.give_back()


def test_bytes_that_were_read_do_not_lie_in_the_segment(segment: Segment) -> None:
    loan = Loan(segment, segment.fill(Packer().pack(b"x" * LARGE)))
    data = loan.read()
    assert loan.give_back()
    assert data == b"x" * LARGE


def test_what_was_read_outlives_the_segment() -> None:
    array = round_trip(Array(b"x" * LARGE))
    assert array == Array(b"x" * LARGE)


def test_a_segment_fits_what_is_about_as_long() -> None:
    cargo = Packer().pack(b"x" * LARGE)
    segment = Segment.room_for(cargo)
    assert segment.fits(cargo)
    assert segment.fits(Packer().pack(b"x" * (LARGE - LARGE // 4)))
    assert not segment.fits(Packer().pack(b"x" * (2 * LARGE)))
    assert not segment.fits(Packer().pack(b"x"))
    segment.close_descriptor()


def test_a_segment_is_seen_by_who_has_its_descriptor(segment: Segment) -> None:
    layout = segment.fill(Packer().pack("hello"))
    other = Segment(segment.size, os.dup(segment.descriptor))
    try:
        assert Loan(other, layout).read() == "hello"
    finally:
        os.close(other.descriptor)
        other.descriptor = -1


def test_a_segment_that_is_forgotten_takes_its_descriptor_along() -> None:
    number = Segment(4096).descriptor
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


class Nosy:
    """Packs something while it is packed."""

    def __init__(self, packer: Packer) -> None:
        self.packer = packer

    def __reduce__(self) -> tuple[Any, ...]:
        return bytes, (self.packer.pack("inner").joined(),)


def test_what_packs_while_it_is_packed_does_no_harm() -> None:
    packer = Packer()
    inner = unpack_cargo(packer.pack([1, Nosy(packer), 2]).joined())
    assert [inner[0], unpack_cargo(inner[1]), inner[2]] == [1, "inner", 2]


class Unwilling:
    def __reduce__(self) -> tuple[Any, ...]:
        raise ValueError("not me")


def test_after_a_failure_a_packer_packs_the_next_thing_as_if_nothing_had_been() -> None:
    packer = Packer()
    with pytest.raises(ValueError, match="not me"):
        packer.pack(["x" * 100_000, bytes(LARGE), Unwilling()])
    assert packer.pack("next") == Cargo((pickle.dumps("next", 5),), [], len(pickle.dumps("next", 5)))


def test_lambdas_travel() -> None:
    assert unpack_cargo(Packer(names=True).pack(lambda: 7).joined())() == 7
    assert unpack_cargo(Packer().pack_whole(lambda: 8))() == 8


def test_what_another_process_would_not_find_travels_by_value() -> None:
    module = ModuleType("zproc_made_by_hand")
    module.__file__ = "/nowhere.py"
    exec("class Made:\n    value = 5", module.__dict__)
    sys.modules[module.__name__] = module
    try:
        data = Packer().pack(module.Made(), module).joined()
    finally:
        del sys.modules[module.__name__]
    assert unpack_cargo(data).value == 5
