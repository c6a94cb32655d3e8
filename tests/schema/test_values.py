"""Plain data, sameness, and copies that share nothing."""

from __future__ import annotations

import functools
from collections import OrderedDict, defaultdict
from datetime import UTC, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import IntEnum
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest
from pydantic import BaseModel, PrivateAttr

from zproc.exceptions import SchemaError
from zproc.schema.values import View, detached, is_atom, plain, same, shown

NAN = float("nan")


class Size(IntEnum):
    SMALL = 1


class Item(BaseModel):
    name: str = "x"
    tags: list[str] = []
    _note: str = PrivateAttr("private")

    @functools.cached_property
    def loud(self) -> str:
        return self.name.upper()


class Point(NamedTuple):
    x: int
    y: int


class Text(str):
    __slots__ = ("origin",)

    def __str__(self) -> str:
        return "something else"


class Count(int): ...


class Ratio(float): ...


class Blob(bytes): ...


class Window(View):
    def __init__(self, value: object) -> None:
        self.value = value

    def __zproc_value__(self) -> object:
        return self.value


def test_a_model_becomes_a_dict_of_its_fields() -> None:
    """What is kept beside the fields, like the value of a cached property, is not part of it."""
    item = Item(tags=["a"])
    assert item.loud == "X"
    assert plain({"all": [item]}) == {"all": [{"name": "x", "tags": ["a"]}]}


def test_plain_data_shares_nothing_with_what_it_was_made_of() -> None:
    item = Item(tags=["a"])
    made = plain([item, {"k": [1]}, ({1},)])
    item.tags.append("b")
    assert made == [{"name": "x", "tags": ["a"]}, {"k": [1]}, ({1},)]


def test_a_value_that_contains_itself_is_refused() -> None:
    endless: list[object] = []
    endless.append({"a": (endless,)})
    with pytest.raises(SchemaError, match="cannot be shared: maximum recursion depth"):
        plain(endless)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (Text("a"), str),
        (Count(3), int),
        (Ratio(0.5), float),
        (Blob(b"a"), bytes),
        (Point(1, 2), tuple),
        (defaultdict(int, a=1), dict),
        (OrderedDict(a=1), dict),
    ],
)
def test_an_instance_of_a_subclass_becomes_the_builtin_that_it_is(given: object, kind: type) -> None:
    """A number that remembers where it was read must not be stored with its memory."""
    assert type(plain(given)) is kind
    assert plain(given) == kind(given) if kind is not str else plain(given) == "a"  # type: ignore[call-arg]  # it works at run time
    assert plain([given]) == [given]


def test_a_member_of_an_enumeration_stays_one() -> None:
    assert plain(Size.SMALL) is Size.SMALL


def test_a_view_becomes_what_it_stands_for() -> None:
    assert plain({"a": Window([Window(1)])}) == {"a": [1]}
    assert detached([Window(Item())]) == [Item()]


def test_of_a_time_zone_the_offset_is_kept() -> None:
    """Names and rules do not travel, so they are not stored either."""
    noon = datetime(2024, 7, 1, 12, tzinfo=ZoneInfo("Europe/Berlin"))
    assert repr(plain(noon)) == repr(datetime(2024, 7, 1, 12, tzinfo=timezone(timedelta(hours=2))))
    named = datetime(2024, 1, 1, tzinfo=timezone(timedelta(0), "Z"))
    assert repr(plain(named)) == repr(datetime(2024, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (1, True),
        (1, 1.0),
        (0.0, -0.0),
        (Decimal("1.0"), Decimal("1.00")),
        (complex(0.0, 0.0), complex(0.0, -0.0)),
        (Size.SMALL, 1),
        ([1], (1,)),
        ({1}, frozenset({1})),
        ({1}, {True}),
        ({1: "a"}, {True: "a"}),
        ({(1,)}, {(True,)}),
        ({"a": [1]}, {"a": [True]}),
        (Item(), {"name": "x", "tags": []}),
        (Item(), Item(tags=["a"])),
        (datetime(2024, 1, 1), datetime(2024, 1, 1, fold=1)),
        (time(1), time(1, fold=1)),
        (datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))),
        ({1, 2}, {1}),
        ([1, 2], [1]),
        ({"a": 1}, {"b": 1}),
        (frozenset({0.0}), frozenset({-0.0})),
    ],
)
def test_values_that_can_be_told_apart_are_not_the_same(a: object, b: object) -> None:
    assert not same(a, b)
    assert not same(b, a)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (NAN, float("nan")),
        ([NAN], [float("nan")]),
        ({NAN}, {float("nan")}),
        ({"a": Decimal("NaN")}, {"a": Decimal("NaN")}),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({1: [Item()]}, {1: [Item()]}),
        ({(1, 2.5): frozenset({1})}, {(1, 2.5): frozenset({1})}),
        (None, None),
    ],
)
def test_values_that_cannot_be_told_apart_are_the_same(a: object, b: object) -> None:
    """NaN included, which is not equal to itself; the order of a dict's keys does not count."""
    assert same(a, b)


def test_sameness_of_models_does_not_look_beside_their_fields() -> None:
    looked_at = Item()
    assert looked_at.loud == "X"
    assert same(looked_at, Item())


def test_nothing_changeable_is_an_atom() -> None:
    assert all(map(is_atom, [1, "a", None, (1, ("a",)), frozenset({1}), Size.SMALL, Decimal(1)]))
    assert not any(map(is_atom, [[], {}, set(), Item(), ([],), Window(1)]))


def test_a_detached_copy_has_the_same_types_and_shares_nothing() -> None:
    item = Item(tags=["a"])
    item._note = "mine"
    assert item.loud == "X"
    copy = detached({"items": [item], "pair": ([1],), "set": {1}})
    item.tags.append("b")
    item.name = "y"
    assert isinstance(copy, dict)
    assert copy["items"][0]._note == "mine"
    assert same(copy, {"items": [Item(tags=["a"])], "pair": ([1],), "set": {1}})


def test_a_detached_copy_computes_its_cached_properties_anew() -> None:
    item = Item()
    assert item.loud == "X"
    item.name = "y"
    copy = detached(item)
    assert isinstance(copy, Item)
    assert copy.loud == "Y"


def test_what_is_shown_is_short_and_never_fails() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    assert shown("a") == "'a'"
    assert shown([1, 2]) == "[1, 2]"
    assert shown(list(range(1000))) == "<list of 1000 items>"
    assert len(shown("x" * 10_000)) <= 80
    assert shown(10**5000) == "<int>"
    assert shown(Broken()) == "<Broken>"
