"""Addresses as people write them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, strategies as st
from pydantic import BaseModel, computed_field

from zproc.exceptions import ProtocolError, UnknownPath, UsageError
from zproc.schema.path import (
    ANY,
    format_path,
    matches,
    no_field,
    parse_path,
    parse_pattern,
    pattern_from_plain,
    pattern_to_plain,
    selected,
)


class User(BaseModel):
    age: int = 0


class Colour(Enum):
    RED = "red"
    BLUE = 3


class State(BaseModel):
    cookies: int = 0
    users: dict[str, User] = {}
    by_number: dict[int, int] = {}
    by_day: dict[date, int] = {}
    by_moment: dict[datetime, int] = {}
    by_colour: dict[Colour, int] = {}
    by_id: dict[UUID, int] = {}
    by_price: dict[Decimal, int] = {}
    by_pair: dict[tuple[int, int], int] = {}
    by_either: dict[int | str, int] = {}
    row: list[User] = []
    best: User | None = None
    other: User | int = 0

    @computed_field  # type: ignore[prop-decorator]  # as pydantic documents it
    @property
    def total(self) -> int:
        return self.cookies


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("cookies", ("cookies",)),
        ("users.bob.age", ("users", "bob", "age")),
        ("users['a.b'].age", ("users", "a.b", "age")),
        ("users.*.age", ("users", ANY, "age")),
        ("by_number.3", ("by_number", 3)),
        ("by_number[3]", ("by_number", 3)),
        ("row.2.age", ("row", 2, "age")),
        ("row[2]", ("row", 2)),
        ("*", (ANY,)),
    ],
)
def test_a_text_is_read_by_the_model(text: str, pattern: tuple[object, ...]) -> None:
    assert parse_pattern(text, State) == pattern


@pytest.mark.parametrize(
    ("text", "nearest"),
    [("cookie", ("cookies",)), ("users.bob.agee", ("age",)), ("row.0.ages", ("age",))],
)
def test_an_unknown_name_is_refused_with_the_nearest(text: str, nearest: tuple[str, ...]) -> None:
    with pytest.raises(UnknownPath) as caught:
        parse_pattern(text, State)
    assert caught.value.nearest == nearest


@pytest.mark.parametrize("text", ["", "cookies.deeper", "row.x", "row.-1", "by_number.x", "users[", "..", "a b["])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UnknownPath):
        parse_pattern(text, State)


@pytest.mark.parametrize("path", [("users", "a.b", "age"), ("row", 3), ("by_number", -1), ("users", "it's"), ("x",)])
def test_a_path_is_printed_so_that_it_can_be_told_from_others(path: tuple[str | int, ...]) -> None:
    assert format_path(path) != format_path((*path, "more"))
    assert format_path(("stock", "flour")) == "stock.flour"
    assert format_path(("users", "a.b")) == "users['a.b']"


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        (("a",), ("a", "b"), True),
        (("a", "b"), ("a",), True),
        (("a", "b"), ("a", "c"), False),
        ((ANY, "b"), ("x", "b"), True),
        ((ANY, "b"), ("x", "c"), False),
        ((), ("a",), True),
    ],
)
def test_a_pattern_concerns_what_is_at_above_and_below_it(
    pattern: tuple[str, ...], path: tuple[str, ...], expected: bool
) -> None:
    assert matches(pattern, path) is expected


def test_the_error_for_a_name_knows_computed_fields_too() -> None:
    assert no_field(State, "cokies", "cokies").nearest == ("cookies",)


@given(st.text())
def test_any_text_may_be_a_key(key: str) -> None:
    """The star and whatever has a meaning in a path included."""
    path = ("users", key, "age")
    assert parse_path(format_path(path), State) == path


@pytest.mark.parametrize(
    ("field", "key", "text"),
    [
        ("by_number", -3, "by_number[-3]"),
        ("by_day", date(2026, 1, 31), "by_day[2026-01-31]"),
        ("by_moment", datetime(2026, 1, 31, 12), "by_moment[2026-01-31T12:00:00]"),
        ("by_colour", Colour.RED, "by_colour[red]"),
        ("by_colour", Colour.BLUE, "by_colour[3]"),
        ("by_id", UUID(int=3), "by_id[00000000-0000-0000-0000-000000000003]"),
        ("by_price", Decimal("3.40"), "by_price[3.40]"),
    ],
)
def test_keys_of_other_types_are_printed_as_they_are_read(field: str, key: object, text: str) -> None:
    assert format_path((field, key)) == text
    assert parse_path(text, State) == (field, key)


class TestSelectors:
    @pytest.mark.parametrize(
        ("selector", "path"),
        [
            (lambda s: s.cookies, ("cookies",)),
            (lambda s: s.total, ("total",)),
            (lambda s: s.users["a.b"].age, ("users", "a.b", "age")),
            (lambda s: s.users["*"], ("users", "*")),
            (lambda s: s.by_number[3], ("by_number", 3)),
            (lambda s: s.by_colour[Colour.RED], ("by_colour", Colour.RED)),
            (lambda s: s.by_day[date(2026, 1, 31)], ("by_day", date(2026, 1, 31))),
            (lambda s: s.row[2].age, ("row", 2, "age")),
            (lambda s: s.best.age, ("best", "age")),
            (lambda s: s.other.age, ("other", "age")),
        ],
    )
    def test_it_picks_a_place(self, selector: Callable[[State], object], path: tuple[object, ...]) -> None:
        assert selected(State, selector) == path
        assert parse_path(format_path(path), State) == path

    @pytest.mark.parametrize(
        ("selector", "message"),
        [
            (lambda s: s.cookie, "did you mean 'cookies'"),
            (lambda s: s.best.agee, "did you mean 'age'"),
            (lambda s: s.row[0].agee, "did you mean 'age'"),
            (lambda s: s.users.bob, "'users' has no fields"),
            (lambda s: s["cookies"], "'the state' has no keys"),
            (lambda s: s.best["age"], "'best' has no keys"),
            (lambda s: s.row[-1], "is not an index"),
            (lambda s: s.row[1:2], "is not an index"),
            (lambda s: s.by_number["x"], "is not a key"),
            (lambda s: s.by_pair[1, 2], "is not a key"),
            (lambda s: s.by_either[3], "is not a key that a path can name"),
            (lambda s: s.cookies.deeper, "'cookies' has no fields"),
        ],
    )
    def test_where_there_is_no_place_it_says_so(self, selector: Callable[[Any], object], message: str) -> None:
        with pytest.raises(UnknownPath, match=message):
            selected(State, selector)

    @pytest.mark.parametrize(
        "selector",
        [
            lambda s: s,
            lambda _: 3,
            lambda s: s.cookies == 3,
            lambda s: s.cookies != 3,
            lambda s: s.cookies > 3,
            lambda s: s.cookies + 1,
            lambda s: not s.cookies,
            lambda s: s.cookies and s.users,
            lambda s: list(s.row),
            lambda s: len(s.row),
            lambda s: s.users["x"]("y"),
            lambda s: {s.cookies},
            lambda s: 3 in s.row,
            lambda: None,
        ],
    )
    def test_a_selector_does_nothing_but_pick(self, selector: Callable[[Any], object]) -> None:
        with pytest.raises(UsageError, match=r"picks out one place .*when\(lambda temp: temp > 180\)"):
            selected(State, selector)


@pytest.mark.parametrize("pattern", [(), ("oven", "temp"), (ANY, 3, ("a", "b"))])
def test_a_pattern_is_a_list_of_lists_on_the_wire(pattern: tuple[Any, ...]) -> None:
    data = pattern_to_plain(pattern)
    assert data == [[] if step is ANY else [step] for step in pattern]
    assert pattern_from_plain(data, "here") == pattern


@pytest.mark.parametrize("data", [None, "oven", ["oven"], [["a", "b"]], [[[]]]])
def test_what_is_no_pattern_is_refused(data: object) -> None:
    with pytest.raises(ProtocolError, match=r"^here: "):
        pattern_from_plain(data, "here")
