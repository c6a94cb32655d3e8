"""A dict that is elsewhere is, to whoever uses it, the dict that it stands for, and costs what is looked at."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given, settings, strategies as st
from pydantic import BaseModel

from zproc.exceptions import Error
from zproc.schema import StateModel
from zproc.schema.draft import Session, validator_draft
from zproc.schema.lazy import CannotAsk, LazyDict, type_of
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
)
# Rare, since it ends what is tried here.
AT_ONCE = (named("popitem"), named("clear"))


def outcome(step: Step, table: object) -> object:
    try:
        return detached(step(table))
    except (LookupError, TypeError, Error) as error:
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
    st.builds(lambda key: lambda table: table.__ior__({key: 5}) is None, KEYS),
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
    return outcomes, transaction.requested, [list(draft.stock.items()), repr(draft.ovens)]


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
    lazy = Shop.model_construct(**fields)
    assert drafted(lazy, steps) == drafted(whole, steps)
    assert plain(lazy) == plain(whole) == {"stock": stock, "ovens": plain(ovens)}


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
