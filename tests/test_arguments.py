"""What arguments may be: the words and the test of each kind say the same."""

from __future__ import annotations

import math
import pickle
from decimal import Decimal
from fractions import Fraction

import pytest

from zproc.arguments import (
    FLAG,
    FUNCTION,
    ITERABLE,
    NAMED,
    NUMBER,
    PATIENCE,
    PERIOD,
    POSITIONAL,
    REVISION,
    SECONDS,
    TEXT,
    WHOLE,
    Kind,
    between,
    count_of,
    expect,
    expect_all,
    or_none,
)
from zproc.exceptions import UsageError


class Number(int):
    """A number that is more than its value, as live ones are."""


GOOD: list[tuple[Kind, list[object]]] = [
    (SECONDS, [0, 0.5, 3, Fraction(1, 3), Number(2), 1e9]),
    (PERIOD, [0.001, 3]),
    (PATIENCE, [None, 0, -0.5, 3]),
    (REVISION, [0, 3, Number(3)]),
    (count_of("items", 1), [1, Number(3), 1 << 62]),
    (between("a part", 0, 1), [0, 1, 0.5]),
    (NUMBER, [1, 1.5, math.inf]),
    (WHOLE, [-1, 0]),
    (FLAG, [True, False]),
    (TEXT, ["", "a"]),
    (FUNCTION, [len, int, lambda: 0]),
    (ITERABLE, [[], "ab", iter(()), range(3), {}]),
    (POSITIONAL, [(), [1], iter(())]),
    (NAMED, [{}, {"a": 1}]),
    (or_none(FLAG), [None, True]),
]
BAD: list[tuple[Kind, list[object]]] = [
    (SECONDS, [-1, -0.001, math.nan, math.inf, 1e10, "1", None, True, Decimal(1), 1j, []]),
    (PERIOD, [0, 0.0, -1]),
    (PATIENCE, [math.nan, math.inf, "1", True]),
    (REVISION, [-1, 1.0, "1", True, None, 1 << 63]),
    (count_of("items", 1), [0, 1.5, True, "3", None]),
    (between("a part", 0, 1), [-0.1, 1.1, "0", math.nan]),
    (NUMBER, ["1", None, True]),
    (WHOLE, [1.0, True, "1"]),
    (FLAG, [0, 1, "yes", None]),
    (TEXT, [b"a", 3, None]),
    (FUNCTION, [3, "len", None]),
    (ITERABLE, [3, None, len]),
    (POSITIONAL, ["ab", b"ab", 3, None]),
    (NAMED, [{1: 2}, [("a", 1)], None, "a"]),
    (or_none(FLAG), [0, "yes"]),
]


@pytest.mark.parametrize(("kind", "values"), GOOD)
def test_what_fits_passes(kind: Kind, values: list[object]) -> None:
    for value in values:
        expect("it", value, kind)


@pytest.mark.parametrize(("kind", "values"), BAD)
def test_what_does_not_is_named_with_what_it_may_be_and_what_it_was(kind: Kind, values: list[object]) -> None:
    for value in values:
        with pytest.raises(UsageError) as refused:
            expect("it", value, kind)
        assert str(refused.value) == f"it is {kind.words}, not {value!r}"


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(UsageError) as refused:
        expect_all(("one", 3, FLAG), ("two", "a", TEXT), ("three", 4, TEXT))
    assert str(refused.value) == "one is True or False, not 3; three is a text, not 4"


def test_what_may_be_left_out_says_what_that_means() -> None:
    with pytest.raises(UsageError, match="it is True or False, or None for whatever comes, not 3"):
        expect("it", 3, or_none(FLAG, " for whatever comes"))


def test_what_was_given_is_cut_short_and_never_harms() -> None:
    class Rude:
        def __repr__(self) -> str:
            raise KeyError("no")

    with pytest.raises(UsageError, match="not <Rude>"):
        expect("it", Rude(), FLAG)
    with pytest.raises(UsageError) as refused:
        expect("it", "x" * 10_000, FLAG)
    assert len(str(refused.value)) < 200
    assert str(pickle.loads(pickle.dumps(refused.value))) == str(refused.value)
