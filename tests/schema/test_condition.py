"""What is waited for: which commits count, and which states."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import BaseModel, computed_field

from zproc.exceptions import UnknownPath, UsageError
from zproc.schema import StateModel
from zproc.schema.condition import CONDITIONS, Scope, change, on_field, passing, passing_at
from zproc.schema.path import ANY, parse_pattern
from zproc.typing import Path


class Oven(BaseModel):
    temp: float = 20.0
    on: bool = False

    @computed_field  # type: ignore[prop-decorator]  # as pydantic documents it
    @property
    def hot(self) -> bool:
        return self.temp > 100


class Shop(StateModel):
    cookies: int = 0
    sold: int = 0
    oven: Oven = Oven()
    spare: Oven | None = None
    stock: dict[str, int] = {}
    ovens: list[Oven] = []

    @computed_field  # type: ignore[prop-decorator]  # as pydantic documents it
    @property
    def total(self) -> int:
        return self.cookies + self.sold


@pytest.mark.parametrize(
    ("fields", "exclude", "path", "expected"),
    [
        ((), (), ("cookies",), True),
        (("oven",), (), ("oven", "temp"), True),
        (("oven.temp",), (), ("oven",), True),
        (("oven.temp",), (), ("oven", "on"), False),
        (("stock.*",), (), ("stock", "a"), True),
        (("ovens.*.temp",), (), ("ovens", 3, "temp"), True),
        (("ovens.*.temp",), (), ("ovens", 3, "on"), False),
        ((), ("cookies",), ("cookies",), False),
        ((), ("cookies",), ("sold",), True),
        (("oven",), ("oven.temp",), ("oven", "temp"), False),
        (("oven",), ("oven.temp",), ("oven", "on"), True),
        (("oven",), ("oven.temp",), ("oven",), True),
        ((), ("stock.a",), ("stock", "a"), False),
        ((), ("stock.*",), ("stock", "a"), False),
    ],
)
def test_which_changes_count(fields: tuple[str, ...], exclude: tuple[str, ...], path: Path, expected: bool) -> None:
    assert Scope.of(Shop, fields, exclude).concerns(path) is expected


def test_what_is_excluded_as_a_whole_is_not_even_asked_for() -> None:
    assert Scope.of(Shop, (), ("cookies", "oven")).patterns == (("sold",), ("spare",), ("stock",), ("ovens",))


def test_to_exclude_everything_is_refused() -> None:
    with pytest.raises(UsageError, match="excluded"):
        Scope.of(Shop, (), tuple(Shop.model_fields))


@pytest.mark.parametrize(
    ("field", "asked"),
    [
        ("total", (ANY,)),
        ("oven.hot", ("oven",)),
        ("ovens.*.hot", ("ovens", ANY)),
        ("spare.hot", ("spare",)),
        ("*.hot", (ANY,)),
    ],
)
def test_a_computed_field_is_watched_by_what_it_may_be_computed_from(field: str, asked: Path) -> None:
    scope = Scope.of(Shop, (field,))
    assert scope.patterns == (asked,)
    assert scope.computed == (parse_pattern(field, Shop),)


@pytest.mark.parametrize(
    "field", ["cookies", "oven.temp", "spare.temp", "ovens.*.temp", "stock.*", "*", "spare", "oven"]
)
def test_a_stored_field_is_watched_by_its_address(field: str) -> None:
    scope = Scope.of(Shop, (field,))
    assert scope.patterns == (parse_pattern(field, Shop),)
    assert not scope.computed


def test_values_of_computed_fields_are_those_of_the_state() -> None:
    state = Shop(cookies=2, sold=1, ovens=[Oven(), Oven(temp=200.0)])
    assert Scope.of(Shop, ("total", "ovens.*.hot", "spare.hot")).computed_values(state) == [3, False, True]


@pytest.mark.parametrize("field", ["totl", "oven.hott", "stock", ""])
def test_an_unknown_field_is_refused_when_it_is_named(field: str) -> None:
    if field == "stock":
        assert Scope.of(Shop, (field,)).patterns == (("stock",),)
        return
    for make in (
        lambda: Scope.of(Shop, (field,)),
        lambda: Scope.of(Shop, (), (field,)),
        lambda: on_field(Shop, "equal", field, 1),
    ):
        with pytest.raises(UnknownPath):
            make()


SHOP = Shop(cookies=2, stock={"flour": 0}, spare=None)


@pytest.mark.parametrize(
    ("name", "field", "value", "expected"),
    [
        ("equal", "cookies", 2, True),
        ("equal", "cookies", 3, False),
        ("equal", "stock.sugar", 3, False),
        ("equal", "total", 2, True),
        ("equal", "oven", Oven(), True),
        ("not_equal", "cookies", 3, True),
        ("not_equal", "cookies", 2, False),
        ("not_equal", "stock.sugar", 3, False),
        ("none", "spare", None, True),
        ("none", "cookies", None, False),
        ("none", "stock.sugar", None, False),
        ("not_none", "cookies", None, True),
        ("not_none", "spare", None, False),
        ("not_none", "stock.sugar", None, False),
        ("truthy", "cookies", None, True),
        ("truthy", "stock.flour", None, False),
        ("truthy", "spare", None, False),
        ("truthy", "stock.sugar", None, False),
        ("falsy", "stock.flour", None, True),
        ("falsy", "spare", None, True),
        ("falsy", "cookies", None, False),
        ("falsy", "stock.sugar", None, False),
        ("available", "stock.flour", None, True),
        ("available", "stock.sugar", None, False),
        ("available", "spare", None, False),
        ("available", "spare.temp", None, False),
        ("available", "ovens[0]", None, False),
    ],
)
def test_the_table(name: str, field: str, value: object, expected: bool) -> None:
    test = on_field(Shop, name, field, value).test
    assert test is not None
    assert test(SHOP) is expected


def test_every_condition_says_what_it_waits_for() -> None:
    assert {name: on_field(Shop, name, "cookies", 3).text for name in CONDITIONS} == {
        "equal": "cookies == 3",
        "not_equal": "cookies != 3",
        "none": "cookies is None",
        "not_none": "cookies is not None",
        "truthy": "cookies is truthy",
        "falsy": "cookies is falsy",
        "available": "cookies is available",
    }
    assert change(Shop, ("cookies", "oven.temp")).text == "a change of cookies, oven.temp"
    assert "is_rich" in passing(Shop, is_rich).text


def is_rich(state: Shop) -> int:
    return state.cookies


def test_what_a_test_returns_counts_as_true_or_false() -> None:
    test = passing(Shop, is_rich).test
    assert test is not None
    assert test(SHOP) is True


def test_a_change_has_no_test_of_one_state() -> None:
    assert change(Shop, ()).test is None


@pytest.mark.parametrize("make", [lambda test: passing(Shop, test), lambda test: passing_at(Shop, "cookies", test)])
def test_a_test_is_a_function_that_need_not_be_awaited(make: Callable[[object], object]) -> None:
    async def later(_: object) -> bool:
        return False

    with pytest.raises(UsageError, match="function of the state, not 'cookies'"):
        make("cookies")
    with pytest.raises(UsageError, match="later is async"):
        make(later)


def test_what_stands_at_a_field_is_tested() -> None:
    wanted = passing_at(Shop, "stock.flour", lambda found: found == 3)
    assert wanted.test is not None
    assert not wanted.test(Shop())
    assert not wanted.test(Shop(stock={"flour": 2}))
    assert wanted.test(Shop(stock={"flour": 3}))
    assert wanted.scope.patterns == (("stock", "flour"),)
    with pytest.raises(UnknownPath, match="a pattern has no one value"):
        passing_at(Shop, "stock.*", bool)


def test_lists_of_fields_are_told_from_fields() -> None:
    with pytest.raises(UnknownPath, match="several by several arguments"):
        Scope.of(Shop, (["cookies", "sold"],))  # type: ignore[arg-type]  # that is the point
    with pytest.raises(UsageError, match="exclude is a list"):
        Scope.of(Shop, (), "cookies")


@pytest.mark.parametrize("name", ["equal", "not_equal"])
def test_a_value_that_a_field_never_has_is_not_waited_for(name: str) -> None:
    with pytest.raises(UsageError, match="cookies never equals 'five'"):
        on_field(Shop, name, "cookies", "five")
