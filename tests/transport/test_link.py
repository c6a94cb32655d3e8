"""Pieces of frames: whatever a wire does to them, no frame is taken for another."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from zproc.exceptions import ProtocolError
from zproc.transport.link import (
    FROM_CLIENT,
    FROM_SERVER,
    GREETING,
    KEEPING,
    MAX_PIECE,
    OPEN,
    PIECE,
    TOKEN,
    Assembly,
    cost,
    greeting,
    pieces,
    read_goodbye,
)


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 3 * PIECE + 5])
def test_what_is_cut_is_assembled(size: int) -> None:
    frame = bytes(number % 251 for number in range(size))
    cut = pieces(frame)
    assert all(len(piece) <= PIECE for piece in cut)
    assembly = Assembly()
    taken = [assembly.take(number, size, piece) for number, piece in enumerate(cut, 1)]
    assert taken == [None] * (len(cut) - 1) + [frame]
    assert assembly.size is None


@given(st.lists(st.binary(max_size=9), min_size=2, max_size=6), st.data())
def test_a_piece_that_is_lost_repeated_or_out_of_order_is_noticed(frames: list[bytes], data: st.DataObject) -> None:
    """Of every disorder the frames before it are taken, and none after it."""
    numbers = list(range(1, len(frames) + 1))
    disorder = data.draw(st.permutations(numbers) | st.lists(st.sampled_from(numbers), max_size=8))
    assembly = Assembly()
    for position, number in enumerate(disorder, 1):
        frame = frames[number - 1]
        if number == position:
            assert assembly.take(number, len(frame), frame) == frame
            continue
        with pytest.raises(ProtocolError, match=f"piece {number} came after piece {position - 1}"):
            assembly.take(number, len(frame), frame)
        break


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((1, 5, b"1234"), None),
        ((1, 3, b"1234"), None),
        ((1, PIECE + 5, b"x" * 5), None),
        ((1, 2 * PIECE, bytes(PIECE)), (2, 2 * PIECE - 1, bytes(PIECE))),
        ((1, 2 * PIECE, bytes(PIECE)), (2, 2 * PIECE, bytes(PIECE - 1))),
    ],
)
def test_a_piece_of_another_length_than_announced_is_noticed(
    first: tuple[int, int, bytes], second: tuple[int, int, bytes] | None
) -> None:
    assembly = Assembly()
    if second is not None:
        assert assembly.take(*first) is None
    with pytest.raises(ProtocolError):
        assembly.take(*(second or first))


def test_the_heads_are_as_the_wire_is_written_down() -> None:
    """See docs/reference/wire.md: sizes, and the first message."""
    assert (FROM_CLIENT.size, FROM_SERVER.size, MAX_PIECE) == (37, 13, 65_573)
    token = bytes(range(TOKEN))
    assert greeting(token) == bytes([OPEN]) + token + bytes(20) + GREETING


def test_a_piece_counts_what_it_costs_to_keep() -> None:
    assert cost(b"1234") == 4 + KEEPING


def test_a_goodbye_is_text_whatever_it_is() -> None:
    assert read_goodbye("für immer".encode()) == "für immer"
    assert read_goodbye(b"\xff" * 2000) == "\ufffd" * 512
