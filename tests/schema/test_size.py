"""The size of a state is kept by its changes, and is what measuring it anew would give."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePosixPath
from uuid import UUID

import pytest
from hypothesis import given, strategies as st
from pydantic import BaseModel

from zproc.schema.change import Change
from zproc.schema.codec import Codec
from zproc.schema.ops import MISSING, Set, Update
from zproc.schema.size import NUMBERS, growth, size_of, size_of_state
from zproc.schema.values import plain


class Color(Enum):
    RED = "red"


class Oven(BaseModel):
    temp: int = 20
    tags: set[str] = {"a"}


class State(BaseModel):
    n: int | None = 1
    oven: Oven = Oven()
    table: dict[str, list[float]] = {"a": [1.0]}


CODEC = Codec((Color,))
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(1 << 4_000), 1 << 4_000),
    st.floats(),
    st.text(),
    st.binary(),
    st.decimals(),
    st.datetimes(timezones=st.just(UTC)),
    st.dates(),
    st.timedeltas(),
    st.uuids(),
    st.just(Color.RED),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner),
        st.lists(st.integers()),
        st.lists(st.text()),
        st.dictionaries(st.text() | st.integers(), inner),
        st.lists(inner).map(tuple),
        st.sets(st.text() | st.integers()),
        st.frozensets(st.floats()),
    ),
    max_leaves=10,
)


@given(VALUES)
def test_p10_a_value_has_at_most_twice_the_bytes_that_it_is_counted_as(value: object) -> None:
    assert len(CODEC.encode(value)) <= 2 * size_of(value)


@given(st.lists(SCALARS))
def test_a_list_is_as_large_as_its_parts(values: list[object]) -> None:
    """Whether they are looked at one by one or together."""
    assert size_of(values) == size_of([]) + sum(map(size_of, values))
    assert size_of(dict(enumerate(values))) == size_of(values) + sum(map(size_of, range(len(values))))


@pytest.mark.parametrize(
    "value",
    [
        Oven(),
        date(2026, 1, 1),
        time(1),
        datetime(2026, 1, 1),
        timedelta(1),
        Decimal(1),
        UUID(int=1),
        1j,
        PurePosixPath("/a/b"),
        "é",
        "\ud800",
        [Oven(), 1],
        {"a": Oven()},
    ],
    ids=repr,
)
def test_a_value_is_as_large_as_the_plain_copy_of_it(value: object) -> None:
    assert size_of(value) == size_of(plain(value)) > 0


@pytest.mark.parametrize(
    "long", ["x" * 1_000, b"x" * 1_000, "é" * 500, 1 << 8_000, Decimal("1" * 1_000), ["", 1 << 8_000]]
)
def test_what_is_long_is_counted(long: object) -> None:
    assert 1_000 <= size_of(long) < 2_100
    assert size_of([long] * 1_000) >= 1_000_000


def test_a_number_in_a_field_of_the_state_has_one_size() -> None:
    """So that whoever keeps count need not look at them."""
    assert size_of_state(State(n=1 << 9_000)) == size_of_state(State(n=None)) == size_of_state(State())
    assert growth(Change(Set(("n",), 1 << 9_000), 1)) == 0
    assert growth(Change(Set(("oven", "temp"), 1 << 9_000), 1)) > 1_000
    assert {int, type(None)} <= NUMBERS


def test_a_new_key_counts_with_its_key() -> None:
    before, after = State(), State(table={"a": [1.0], "new": [2.0]})
    assert growth(Change(Set(("table", "new"), [2.0]), MISSING)) == size_of_state(after) - size_of_state(before)


def test_an_update_is_none_of_the_changes() -> None:
    with pytest.raises(AssertionError, match="Set"):
        growth(Change(Update(("n",), "+", 1), 1))
