"""Ops as data, and what they do to one container."""

from __future__ import annotations

import time
from typing import cast

import pytest
from hypothesis import given, strategies as st
from pydantic import BaseModel

from zproc.exceptions import CommitRefused, ProtocolError, UnknownPath
from zproc.schema.ops import (
    MISSING,
    OPERATORS,
    Add,
    Delete,
    Discard,
    Op,
    Set,
    Splice,
    Update,
    compute,
    get,
    op_from_plain,
    op_to_plain,
    put,
)


class Oven(BaseModel):
    temp: float = 1.0


OPS: list[Op] = [
    Set(("a", 1), {"x": [1]}),
    Set(("a", "k"), 1, "b"),
    Set(("a", "k"), 1, None),
    Delete(("a", "k")),
    Splice(("a",), None, 0, (1, 2)),
    Splice(("a",), -1, 3, ()),
    Add(("a",), (1,)),
    Discard(("a",), (1,)),
    Update(("a",), "+", 2),
]


@pytest.mark.parametrize("op", OPS, ids=repr)
def test_an_op_is_itself_again_after_the_wire(op: Op) -> None:
    assert op_from_plain(op_to_plain(op)) == op


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        [0],
        [0, [], 1],
        [0, ["a", 1], 1, []],
        [0, ["a"], 1, "b"],
        [0, ["a"], 1, 2, 3],
        [9, ["a"], 1],
        [1, ["a"], 1],
        [2, ["a"], 0, -1, []],
        [2, ["a"], "x", 0, []],
        [3, ["a"], 1],
        [5, ["a"], "@", 2],
        [5, ["a"], "divmod", 2],
        [0, "a", 1],
        [0, [["unhashable"]], 1],
        {"op": 0},
        [2, ["a"], 0, 0],
    ],
    ids=repr,
)
def test_what_is_no_op_is_refused(data: object) -> None:
    with pytest.raises(ProtocolError):
        op_from_plain(data)


@pytest.mark.parametrize("symbol", OPERATORS)
def test_arithmetic_is_pythons(symbol: str) -> None:
    assert compute(Update(("n",), symbol, 3), 14) == eval(f"14 {symbol} 3")


@pytest.mark.parametrize(
    ("now", "symbol", "operand"), [("a", "*", 3), (3, "+", "a"), (1, "/", 0), (1.5, "&", 1), ([1], "+", [2])]
)
def test_arithmetic_on_what_is_no_number_is_refused(now: object, symbol: str, operand: object) -> None:
    with pytest.raises(CommitRefused, match="n: "):
        compute(Update(("n",), symbol, operand), now)


HUGE = 10**4000


@pytest.mark.parametrize(
    ("now", "symbol", "operand"),
    [
        (2, "**", 10**12),
        (-3, "**", 10**6),
        (HUGE, "**", 2),
        (HUGE, "*", HUGE),
        (-HUGE, "*", HUGE),
        (1, "<<", 10**12),
        (HUGE, "<<", 10_000),
        (1, "<<", 2**70),
        (2, "**", HUGE),
    ],
    ids=lambda value: str(value) if type(value) is str or abs(value) < HUGE else "huge",
)
def test_a_result_that_would_be_too_large_is_refused_before_it_is_computed(now: int, symbol: str, operand: int) -> None:
    began = time.process_time()
    with pytest.raises(CommitRefused, match=r"n: .* more than 14284 bits"):
        compute(Update(("n",), symbol, operand), now)
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    ("now", "symbol", "operand"),
    [(0, "<<", 10**12), (0, "**", 10**12), (1, "**", HUGE), (-1, "**", HUGE + 1), (0, "*", HUGE), (HUGE, ">>", 10**9)],
    ids=str,
)
def test_one_that_is_small_is_computed_however_large_the_operand(now: int, symbol: str, operand: int) -> None:
    assert abs(cast("int", compute(Update(("n",), symbol, operand), now))) <= 1


@given(st.integers(-(2**300), 2**300), st.sampled_from(["*", "**", "<<"]), st.integers(-3, 3_000))
def test_nothing_is_refused_for_its_size_that_could_travel(now: int, symbol: str, operand: int) -> None:
    try:
        result = compute(Update(("n",), symbol, operand), now)
    except CommitRefused as refusal:
        if "more than" in str(refusal):
            assert OPERATORS[symbol](abs(now), operand) >= 1 << 14_284  # type: ignore[operator]  # an int
    else:
        assert type(result) is not int or result.bit_length() <= 2 * 14_284


@pytest.mark.parametrize(
    ("container", "key", "found"),
    [
        (Oven(), "temp", 1.0),
        (Oven(), "tmp", MISSING),
        ({"a": None}, "a", None),
        ({}, "a", MISSING),
        ([1, 2], -1, 2),
        ([1, 2], 2, MISSING),
        ([1, 2], True, MISSING),
        (3, "a", MISSING),
    ],
)
def test_reading_a_place_that_is_not_there_gives_missing(container: object, key: str, found: object) -> None:
    assert get(container, key) is found or get(container, key) == found


def test_putting_into_a_place_that_cannot_be_is_refused() -> None:
    for container, key in ((Oven(), "tmp"), ([], 0), (3, "a")):
        with pytest.raises(UnknownPath):
            put(container, key, 1)
