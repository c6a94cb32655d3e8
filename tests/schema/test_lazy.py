"""A dict or list that is elsewhere is, to whoever uses it, what it stands for, and costs what is looked at."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given, settings, strategies as st
from pydantic import BaseModel

from zproc.exceptions import Error
from zproc.schema import StateModel
from zproc.schema.draft import Session, validator_draft
from zproc.schema.lazy import CannotAsk, LazyDict, LazyList, type_of
from zproc.schema.ops import MISSING, Op
from zproc.schema.transaction import Transaction
from zproc.schema.values import detached, plain
from zproc.typing import Key


class There:
    """Where a dict is, with a count of the questions."""

    def __init__(self, contents: dict[Any, Any]) -> None:
        self._contents = contents
        self.looks: list[Key] = []
        self.fetches = 0

    def element(self, key: Key) -> object:
        if isinstance(key, frozenset):
            raise CannotAsk
        self.looks.append(key)
        return detached(self._contents.get(key, MISSING))

    def length(self) -> int:
        return len(self._contents)

    def everything(self) -> dict[Key, object]:
        self.fetches += 1
        return cast("dict[Key, object]", detached(self._contents))


class Oven(BaseModel):
    temp: float = 20.0
    racks: list[int] = []


class Shop(StateModel):
    stock: dict[str, int] = {}
    ovens: dict[str, Oven] = {}
    row: list[int] = []
    shelf: list[Oven] = []


KEYS = st.sampled_from("abcdef")
KEYS_OF_ANY_KIND: st.SearchStrategy[Any] = st.one_of(KEYS, st.just(1), st.just(True), st.just(frozenset()), st.just([]))
NUMBERS = st.integers(0, 3)
Step = Callable[[Any], object]


def named(name: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Step]:
    """A call of a method, with arguments."""
    return st.tuples(*arguments).map(lambda given: lambda table: getattr(table, name)(*given))


READING = (
    named("__getitem__", KEYS_OF_ANY_KIND),
    named("get", KEYS_OF_ANY_KIND),
    named("get", KEYS, NUMBERS),
    named("__contains__", KEYS_OF_ANY_KIND),
    st.just(len),
    st.just(list),
    st.just(lambda table: list(reversed(table))),
    st.just(lambda table: list(table.items())),
    st.just(lambda table: list(table.values())),
    st.just(lambda table: list(table.keys())),
    st.just(repr),
    st.just(lambda table: table == {"a": 1}),
    st.just(lambda table: table | {"z": 1}),
    st.just(lambda table: {"z": 1} | table),
    st.just(lambda table: table.copy()),
)
CHANGING = (
    named("__setitem__", KEYS, NUMBERS),
    named("__delitem__", KEYS_OF_ANY_KIND),
    named("setdefault", KEYS, NUMBERS),
    named("pop", KEYS, NUMBERS),
    named("pop", KEYS),
    named("update", st.dictionaries(KEYS, NUMBERS, max_size=2)),
    st.builds(lambda key: lambda table: len(operator.ior(table, {key: 5})), KEYS),
)
# Rare, since it ends what is tried here.
AT_ONCE = (named("popitem"), named("clear"))


def outcome(step: Step, table: object) -> object:
    try:
        return detached(step(table))
    except (LookupError, TypeError, ValueError, Error) as error:
        return type(error), str(error)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(KEYS, NUMBERS), st.lists(st.one_of(*CHANGING, *READING, *AT_ONCE), max_size=12), NUMBERS)
def test_it_does_what_a_dict_does(contents: dict[Any, Any], steps: list[Step], copied: int) -> None:
    first: Any = LazyDict(There(contents))
    lazy, model, before = first, dict(contents), dict(contents)
    for number, step in enumerate(steps):
        if number == copied:  # and the original stays as it is
            before, lazy = dict(model), copy.copy(lazy)
        assert outcome(step, lazy) == outcome(step, model)
    assert len(lazy) == len(model)
    assert list(lazy.items()) == list(model.items())
    if len(steps) > copied:
        assert list(first.items()) == list(before.items())
    assert dict(LazyDict(There(contents))) == {**LazyDict(There(contents))} == contents
    assert bool(contents == LazyDict(There(contents)))


DRAFTED = (
    *CHANGING,
    named("pop", KEYS_OF_ANY_KIND, NUMBERS),
    *READING,
    *AT_ONCE,
    named("__setitem__", KEYS, st.just("not a number")),
    st.builds(lambda key: lambda table: table.__setitem__(key, table[key] + 1), KEYS),
)
OVENS = (
    named("__setitem__", KEYS, st.builds(Oven, temp=NUMBERS.map(float))),
    named("__delitem__", KEYS),
    named("pop", KEYS, st.none()),
    named("get", KEYS),
    st.just(len),
    st.just(lambda ovens: [oven.temp for oven in ovens.values()]),
    st.builds(lambda key, n: lambda ovens: setattr(ovens[key], "temp", float(n)), KEYS, NUMBERS),
    st.builds(lambda key, n: lambda ovens: ovens[key].racks.append(n), KEYS, NUMBERS),
    st.builds(lambda key: lambda ovens: setattr(ovens[key], "temp", "hot"), KEYS),
    st.builds(lambda one, other: lambda ovens: ovens.__setitem__(one, ovens[other]), KEYS, KEYS),
)


def drafted(shop: Shop, steps: list[tuple[str, Step]]) -> tuple[list[object], list[Op], object]:
    """What came of each step on a draft, what is asked for, and what the draft looks like in the end."""
    transaction = Transaction(shop, validator_draft, private=True)
    session = Session(transaction)
    draft = session.root(Shop)
    outcomes = [outcome(step, getattr(draft, field)) for field, step in steps]
    return (
        outcomes,
        transaction.requested,
        [list(draft.stock.items()), *map(repr, (draft.ovens, draft.row, draft.shelf))],
    )


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(KEYS, NUMBERS),
    st.dictionaries(KEYS, st.builds(Oven)),
    st.lists(
        st.one_of(
            st.one_of(*DRAFTED).map(lambda step: ("stock", step)), st.one_of(*OVENS).map(lambda step: ("ovens", step))
        ),
        max_size=12,
    ),
)
def test_a_draft_of_it_is_a_draft_of_the_dict(
    stock: dict[str, int], ovens: dict[str, Oven], steps: list[tuple[str, Step]]
) -> None:
    """Results, exceptions and ops; and what it stands for stays as it is."""
    whole = Shop(stock=dict(stock), ovens={key: oven.model_copy(deep=True) for key, oven in ovens.items()})
    fields: dict[str, Any] = {"stock": LazyDict(There(stock)), "ovens": LazyDict(There(ovens))}
    lazy = Shop.model_construct(row=[], shelf=[], **fields)
    assert drafted(lazy, steps) == drafted(whole, steps)
    assert plain(lazy) == plain(whole) == {"stock": stock, "ovens": plain(ovens), "row": [], "shelf": []}


def test_what_is_looked_at_is_fetched_once_and_nothing_else() -> None:
    there = There({str(key): key for key in range(1000)})
    lazy = LazyDict(there)
    lazy["3"] = cast("int", lazy["3"]) + 1
    assert (lazy["3"], "x" in lazy, len(lazy), lazy.pop("4")) == (4, False, 1000, 4)
    del lazy["5"]
    lazy["x"] = 1
    assert len(lazy) == 999
    assert there.looks == ["3", "x", "4", "5"]
    assert there.fetches == 0
    assert list(lazy)[-1] == "x"
    assert (there.fetches, lazy["3"], "4" in lazy) == (1, 4, False)


def test_what_was_handed_out_stays_what_it_is_when_the_others_come() -> None:
    lazy = LazyDict(There({"a": [1], "b": [2]}))
    first = cast("list[int]", lazy["b"])
    first.append(3)
    assert dict(lazy.items()) == {"a": [1], "b": [2, 3]}
    assert lazy["b"] is first


def test_who_looks_at_many_has_all_fetched() -> None:
    """A question for each of a thousand costs more than all of them at once."""
    there = There({str(key): key for key in range(1000)})
    lazy = LazyDict(there)
    assert [lazy[str(key)] for key in range(1000)] == list(range(1000))
    assert (len(there.looks), there.fetches) == (64, 1)


def test_a_key_that_cannot_be_sent_is_compared_here() -> None:
    there = There({"a": 1})
    assert frozenset() not in LazyDict(there)
    assert there.fetches == 1


def test_it_is_not_hashable_and_of_the_type_of_a_dict() -> None:
    lazy = LazyDict(There({}))
    with pytest.raises(TypeError, match="unhashable"):
        hash(lazy)
    assert (type_of(lazy), type_of({}), type_of(1)) == (dict, dict, int)
    assert lazy != {"a": 1}


# Lists


class ThereInOrder:
    """Where a list is, with a count of the questions."""

    def __init__(self, contents: list[Any]) -> None:
        self._contents = contents
        self.looks: list[Key] = []
        self.fetches = 0

    def element(self, key: Key) -> object:
        self.looks.append(key)
        return detached(self._contents[cast("int", key)])

    def length(self) -> int:
        return len(self._contents)

    def everything(self) -> list[object]:
        self.fetches += 1
        return cast("list[object]", detached(self._contents))


INDEX = st.integers(-5, 5)
SLICE = st.builds(slice, st.none() | INDEX, st.none() | INDEX)
STEPPED = st.builds(slice, st.none() | INDEX, st.none() | INDEX, st.sampled_from([-1, 1, 2]))
ROW = st.lists(NUMBERS, max_size=5)
ON_ROWS = (
    named("__getitem__", INDEX | STEPPED | st.just("a")),
    named("__setitem__", INDEX, NUMBERS),
    named("__setitem__", SLICE, ROW),
    named("__setitem__", STEPPED, ROW),
    st.just(len),
    named("pop", INDEX),
    named("append", NUMBERS),
    named("insert", INDEX, NUMBERS),
    named("__delitem__", INDEX | SLICE),
    st.just(list),
    st.just(lambda row: list(reversed(row))),
    st.just(repr),
    named("__contains__", NUMBERS),
    named("index", NUMBERS),
    named("count", NUMBERS),
    st.just(lambda row: row == [1]),
    st.just(lambda row: row == [1]),
    st.just(lambda row: row < [2]),
    named("__add__", ROW),
    st.just(lambda row: [9] + row),  # noqa: RUF005 - the operator is what is tried
    st.just(lambda row: row + row),
    st.just(lambda row: row * 2),
    st.just(lambda row: sorted(row)),
    st.just(lambda row: row.sort()),
    st.just(lambda row: row.reverse()),
    st.just(lambda row: row.extend(row)),
    st.just(lambda row: row.copy()),
)
# The only way in which a transaction changes a list, and more often at its ends than not.
SPLICES = (
    st.builds(lambda part, new: lambda row: row.__setitem__(part, new), SLICE, ROW),
    st.builds(lambda n, new: lambda row: row.__setitem__(slice(0, n), new), NUMBERS, ROW),
    st.builds(lambda n, new: lambda row: row.__setitem__(slice(len(row) - n, None), new), NUMBERS, ROW),
)


@settings(max_examples=150, deadline=None)
@given(ROW, st.lists(st.one_of(*SPLICES, named("__setitem__", INDEX, NUMBERS), *ON_ROWS), max_size=12), NUMBERS)
def test_it_does_what_a_list_does(contents: list[int], steps: list[Step], copied: int) -> None:
    first: Any = LazyList(ThereInOrder(contents))
    lazy, model, before = first, list(contents), list(contents)
    for number, step in enumerate(steps):
        if number == copied:  # and the original stays as it is
            before, lazy = list(model), copy.copy(lazy)
        assert outcome(step, lazy) == outcome(step, model)
        assert len(lazy) == len(model)
    assert list(lazy) == model
    if len(steps) > copied:
        assert list(first) == before


@settings(max_examples=150, deadline=None)
@given(ROW, st.lists(st.one_of(*SPLICES, named("__setitem__", INDEX, NUMBERS)), max_size=12))
def test_it_is_what_was_made_of_it_before_anything_was_fetched(contents: list[int], steps: list[Step]) -> None:
    lazy, model = LazyList(ThereInOrder(contents)), list(contents)
    for step in steps:
        assert outcome(step, lazy) == outcome(step, model)
    assert [lazy[index] for index in range(-len(model), len(model))] == [*model, *model]
    assert list(lazy) == model


ON_SHELVES = (
    named("append", st.builds(Oven, temp=NUMBERS.map(float))),
    named("insert", INDEX, st.builds(Oven, temp=NUMBERS.map(float))),
    named("pop"),
    named("pop", INDEX),
    named("__delitem__", INDEX | SLICE),
    named("reverse"),
    st.just(lambda shelf: [oven.temp for oven in shelf]),
    st.builds(lambda at, n: lambda shelf: setattr(shelf[at], "temp", float(n)), INDEX, NUMBERS),
    st.builds(lambda at, n: lambda shelf: shelf[at].racks.append(n), INDEX, NUMBERS),
    st.builds(lambda at: lambda shelf: setattr(shelf[at], "temp", "hot"), INDEX),
    st.builds(lambda one, two: lambda shelf: shelf.__setitem__(one, shelf[two]), INDEX, INDEX),
)


@settings(max_examples=100, deadline=None)
@given(
    ROW,
    st.lists(st.builds(Oven), max_size=4),
    st.lists(
        st.one_of(
            st.one_of(*SPLICES, *ON_ROWS, named("append", st.just("x"))).map(lambda step: ("row", step)),
            st.one_of(*ON_SHELVES).map(lambda step: ("shelf", step)),
        ),
        max_size=12,
    ),
)
def test_a_draft_of_it_is_a_draft_of_the_list(row: list[int], shelf: list[Oven], steps: list[tuple[str, Step]]) -> None:
    whole = Shop(row=list(row), shelf=[oven.model_copy(deep=True) for oven in shelf])
    fields: dict[str, Any] = {"row": LazyList(ThereInOrder(row)), "shelf": LazyList(ThereInOrder(shelf))}
    lazy = Shop.model_construct(stock={}, ovens={}, **fields)
    assert drafted(lazy, steps) == drafted(whole, steps)
    assert plain(lazy) == plain(whole)


def test_a_queue_and_a_stack_stay_where_they_are() -> None:
    there = ThereInOrder(list(range(1000)))
    row: Any = LazyList(there)
    row[len(row) :] = [1000, 1001]
    assert (row[0], row[-1], row[-3]) == (0, 1001, 999)
    row[0:1] = []
    row[0:0] = [7]
    row[len(row) - 3 :] = []
    row[5] = 55
    assert (len(row), row[0], row[1], row[5], row[-1], row[2:4]) == (999, 7, 1, 55, 998, [2, 3])
    assert there.looks == [0, 999, 1, 998, 2, 3]
    assert there.fetches == 0
    assert list(row) == [7, 1, 2, 3, 4, 55, *range(6, 999)]
    assert there.fetches == 1


def test_who_looks_at_many_elements_has_all_fetched() -> None:
    there = ThereInOrder(list(range(1000)))
    row = LazyList(there)
    assert [row[index] for index in range(1000)] == list(range(1000))
    assert (len(there.looks), there.fetches) == (64, 1)
    there = ThereInOrder(list(range(1000)))
    assert LazyList(there)[10:500] == list(range(10, 500))
    assert (there.looks, there.fetches) == ([], 1)


def test_it_is_of_the_type_of_a_list() -> None:
    row = LazyList(ThereInOrder([1]))
    assert type_of(row) is list
    with pytest.raises(TypeError, match="unhashable"):
        hash(row)


def test_lists_are_added_that_are_elsewhere() -> None:
    one, other = LazyList(ThereInOrder([1, 2])), LazyList(ThereInOrder([3]))
    assert [0] + one == [0, 1, 2]  # noqa: RUF005 - the operator is what is tried
    assert one + other == [1, 2, 3]
    fields: dict[str, Any] = {"row": [1, 2], "shelf": []}
    drafted_row: Any = Session(Transaction(Shop.model_construct(**fields), validator_draft)).root(Shop).row
    fields = {"row": LazyList(ThereInOrder([3])), "shelf": []}
    other_row: Any = Session(Transaction(Shop.model_construct(**fields), validator_draft)).root(Shop).row
    assert drafted_row + other_row == [1, 2, 3]


# What tells nothing of the contents, and what no dict can do.
WITHOUT_CONTENTS = {"__class_getitem__", "__doc__", "__getattribute__", "__hash__", "__new__", "__sizeof__", "fromkeys"}
OF_NO_DICT = {"__ge__", "__gt__", "__le__", "__lt__"}


@pytest.mark.parametrize(("lazy", "builtin"), [(LazyDict, dict), (LazyList, list)])
def test_nothing_is_left_to_the_builtin_in_which_nothing_is(lazy: type, builtin: type) -> None:
    missing = vars(builtin).keys() - vars(lazy).keys() - WITHOUT_CONTENTS
    assert missing <= OF_NO_DICT
