"""Addresses as people write them."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from zproc.exceptions import UnknownPath
from zproc.schema.path import ANY, format_path, matches, no_field, parse_pattern


class User(BaseModel):
    age: int = 0


class State(BaseModel):
    cookies: int = 0
    users: dict[str, User] = {}
    by_number: dict[int, int] = {}
    row: list[User] = []


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
