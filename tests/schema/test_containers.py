"""Drafts of lists, dicts and sets behave as lists, dicts and sets do: the same random calls, side by side."""

from __future__ import annotations

import copy
from collections.abc import Callable, MutableMapping, MutableSequence, MutableSet
from typing import cast

import pytest
from hypothesis import given, settings, strategies as st
from pydantic import BaseModel

from tests.containers import (
    KEY,
    NUMBERS,
    ON_DICTS,
    ON_GROUPS,
    ON_LISTS,
    ON_NESTED,
    ON_SETS,
    STOCK,
    TAGS,
    Call,
    all_of,
    assert_same,
    some,
)
from zproc.exceptions import UsageError
from zproc.schema.action import run
from zproc.schema.draft import Draft, Session, validator_draft
from zproc.schema.model import StateModel
from zproc.schema.ops import Set, Splice
from zproc.schema.transaction import Transaction
from zproc.schema.values import plain, same


class Item(BaseModel):
    name: str = "x"
    rank: int = 0
    parts: list[int] = []

    def __lt__(self, other: Item) -> bool:
        return self.rank < other.rank


class State(StateModel):
    numbers: list[int] = []
    nested: list[list[int]] = []
    items: list[Item] = []
    stock: dict[str, int] = {}
    groups: dict[str, list[int]] = {}
    tags: set[int] = set()
    names: set[str] = set()


# Lists ---------------------------------------------------------------------------------------------------------------


def does_the_same(start: State, field: str, calls: list[Call], *, refill: bool = False) -> None:
    """In place and in private, and in both the real thing is what comes of it."""
    for private in (False, True):
        state = start.model_copy(deep=True)
        real = copy.deepcopy(getattr(start, field))
        transaction = Transaction(state, validator_draft, private=private)
        session = Session(transaction)
        draft = getattr(session.root(State), field)
        for name, call, arguments in calls:
            if refill and len(real) < 2:  # where there is nothing, many calls come to the same
                setattr(session.root(State), field, getattr(start, field))
                draft, real = getattr(session.root(State), field), copy.deepcopy(getattr(start, field))
            assert_same(call, draft, real, arguments, name)
            assert type(plain(draft)) is type(real)
        transaction.finish()
        assert same(getattr(transaction.root, field), real)
        assert isinstance(real, set) or list(getattr(transaction.root, field)) == list(real)


@pytest.mark.parametrize(
    ("field", "table"), [("numbers", ON_LISTS), ("stock", ON_DICTS), ("tags", ON_SETS)], ids=["list", "dict", "set"]
)
@given(data=st.data())
@settings(max_examples=30)
def test_each_thing_that_can_be_done(field: str, table: list[st.SearchStrategy[Call]], data: st.DataObject) -> None:
    """Where there is something, in any order; at random, some come too seldom to be wrong."""
    start = State(numbers=[3, 1, 2], stock={"c": 3, "a": 1}, tags={1, 2, 3})
    does_the_same(start, field, data.draw(all_of(table)), refill=True)


@given(NUMBERS, some(ON_LISTS))
@settings(max_examples=300)
def test_a_list_draft_does_what_a_list_does(start: list[int], calls: list[Call]) -> None:
    does_the_same(State(numbers=start), "numbers", calls)


@given(st.lists(NUMBERS, max_size=4), some(ON_NESTED))
@settings(max_examples=150)
def test_so_does_a_draft_of_lists_within_a_list(start: list[list[int]], calls: list[Call]) -> None:
    does_the_same(State(nested=start), "nested", calls)


# Dicts ---------------------------------------------------------------------------------------------------------------


@given(STOCK, some(ON_DICTS))
@settings(max_examples=300)
def test_a_dict_draft_does_what_a_dict_does(start: dict[str, int], calls: list[Call]) -> None:
    """The order of its keys included."""
    does_the_same(State(stock=start), "stock", calls)


@given(st.dictionaries(KEY, NUMBERS, max_size=3), some(ON_GROUPS))
@settings(max_examples=150)
def test_so_does_a_draft_of_lists_within_a_dict(start: dict[str, list[int]], calls: list[Call]) -> None:
    does_the_same(State(groups=start), "groups", calls)


# Parts that move -----------------------------------------------------------------------------------------------------

Shelf = MutableSequence[Item]
Moves = Callable[["Shelves"], object]


class Shelves(StateModel):
    left: list[Item] = []
    right: list[Item] = []
    named: dict[str, Item] = {}

    def shelf(self, name: str) -> Shelf:
        return cast("Shelf", getattr(self, name))


def swap(state: Shelves, one: str, i: int, other: str, j: int) -> None:
    a, b = state.shelf(one), state.shelf(other)
    a[i], b[j] = b[j], a[i]
    b[j].rank += 1


def rotate(state: Shelves, one: str, i: int, j: int, k: int) -> None:
    a = state.shelf(one)
    if len({place % (len(a) or 1) for place in (i, j, k)}) == 3:  # or else one stands at two places
        a[i], a[j], a[k] = a[j], a[k], a[i]


def move(state: Shelves, one: str, i: int, other: str, j: int) -> None:
    state.shelf(other).insert(j, state.shelf(one).pop(i))


def take_out_and_put_in(state: Shelves, one: str, i: int, other: str, j: int) -> None:
    item = state.shelf(one)[i]
    del state.shelf(one)[i]
    state.shelf(other).insert(j, item)


def replace_and_keep(state: Shelves, one: str, i: int, other: str, j: int) -> None:
    if one != other:  # or else the same may be put in, and kept
        kept = state.shelf(one)[i]
        state.shelf(one)[i] = state.shelf(other).pop(j)
        state.shelf(other).append(kept)


def pop_to_front(state: Shelves, one: str) -> None:
    a = state.shelf(one)
    a[0] = a.pop()


def turn(state: Shelves, one: str, i: int) -> None:
    a = state.shelf(one)
    a[:] = [*a[i:], *a[:i]]


def reverse_part(state: Shelves, one: str, part: slice) -> None:
    a = state.shelf(one)
    a[part] = reversed(a[part])


def rename(state: Shelves, key: str, new: str) -> None:
    state.named[new] = state.named.pop(key)


def swap_named(state: Shelves, key: str, other: str) -> None:
    state.named[key], state.named[other] = state.named[other], state.named[key]


def name(state: Shelves, one: str, i: int, key: str) -> None:
    state.named[key] = state.shelf(one).pop(i)


def unname(state: Shelves, one: str, key: str) -> None:
    state.shelf(one).append(state.named.pop(key))


def swap_shelves(state: Shelves) -> None:
    state.left, state.right = state.right, state.left


def work_on(state: Shelves, one: str, i: int) -> None:
    item = state.shelf(one)[i]
    item.rank += 10
    item.parts.append(item.rank)


SHELF = st.sampled_from(["left", "right"])
STEP = st.integers(-3, 3)
NAME = st.sampled_from("abc")
MOVES: st.SearchStrategy[tuple[Callable[..., object], tuple[object, ...]]] = st.one_of(
    *(st.tuples(st.just(call), st.tuples(SHELF, STEP, SHELF, STEP)) for call in (swap, move, take_out_and_put_in)),
    st.tuples(st.just(replace_and_keep), st.tuples(SHELF, STEP, SHELF, STEP)),
    st.tuples(st.just(rotate), st.tuples(SHELF, STEP, STEP, STEP)),
    st.tuples(st.just(pop_to_front), st.tuples(SHELF)),
    st.tuples(st.just(turn), st.tuples(SHELF, STEP)),
    st.tuples(st.just(reverse_part), st.tuples(SHELF, st.builds(slice, st.none() | STEP, st.none() | STEP))),
    st.tuples(st.just(rename), st.tuples(NAME, NAME)),
    st.tuples(st.just(swap_named), st.tuples(NAME, NAME)),
    st.tuples(st.just(name), st.tuples(SHELF, STEP, NAME)),
    st.tuples(st.just(unname), st.tuples(SHELF, NAME)),
    st.tuples(st.just(swap_shelves), st.tuples()),
    st.tuples(st.just(work_on), st.tuples(SHELF, STEP)),
)


@given(st.integers(0, 4), st.integers(0, 3), st.lists(MOVES, max_size=12))
@settings(max_examples=120)
def test_models_that_move_arrive_as_they_were(left: int, right: int, moves: list[tuple[Moves, tuple[object]]]) -> None:
    """Swapped, rotated, taken out and put in elsewhere: as models move between real lists and dicts.

    None stands at two places: a state is a tree, and in one it would be two.
    """
    start = Shelves(
        left=[Item(name=f"left {number}") for number in range(left)],
        right=[Item(name=f"right {number}", parts=[number]) for number in range(right)],
        named={"a": Item(name="a"), "b": Item(name="b")},
    )
    for private in (False, True):
        real, state = start.model_copy(deep=True), start.model_copy(deep=True)
        transaction = Transaction(state, validator_draft, private=private)
        draft = Session(transaction).root(Shelves)
        for call, arguments in moves:
            assert_same(call, draft, real, arguments, call.__name__)
        transaction.finish()
        assert same(transaction.root, real)
        assert list(cast("Shelves", transaction.root).named) == list(real.named)


# Sets ----------------------------------------------------------------------------------------------------------------


@given(TAGS, some(ON_SETS))
@settings(max_examples=300)
def test_a_set_draft_does_what_a_set_does(start: set[int], calls: list[Call]) -> None:
    state = State(tags=start)
    for private in (False, True):
        mine = state.model_copy(deep=True)
        real = set(start)
        transaction = Transaction(mine, validator_draft, private=private)
        draft = Session(transaction).root(State).tags
        for name, call, arguments in calls:
            assert_same(call, draft, real, arguments, name)
        transaction.finish()
        assert cast("State", transaction.root).tags == real


def test_what_is_popped_off_a_set_was_in_it_and_is_gone() -> None:
    """Which element that is nobody promises."""

    def work(state: State) -> None:
        popped = state.tags.pop()
        assert popped in {1, 2}
        assert state.tags == {1, 2} - {popped}
        state.tags.pop()
        with pytest.raises(KeyError):
            state.tags.pop()

    run(State(tags={1, 2}), work, len)


# What only drafts do -------------------------------------------------------------------------------------------------


def test_a_draft_is_an_instance_of_what_it_stands_for() -> None:
    def work(state: State) -> None:
        assert isinstance(state.numbers, list)
        assert isinstance(state.numbers, MutableSequence)
        assert isinstance(state.stock, dict)
        assert isinstance(state.stock, MutableMapping)
        assert isinstance(state.tags, set)
        assert isinstance(state.tags, MutableSet)
        assert isinstance(state.tags, Draft)

    run(State(), work, len)


def test_elements_are_handed_out_as_drafts_and_change_with_the_state() -> None:
    def work(state: State) -> None:
        for item in state.items:
            item.rank += 1
        state.items[-1].parts.append(5)
        state.items[0:1][0].name = "first"

    state = State(items=[Item(), Item()])
    run(state, work, len)
    assert state.items == [Item(name="first", rank=1), Item(rank=1, parts=[5])]


def test_drafts_of_elements_move_with_them() -> None:
    """Under insertions, removals, sorting and reversing."""

    def work(state: State) -> None:
        a, b, c = state.items
        state.items.insert(0, Item(name="new"))
        b.name = "B"
        state.items.sort(key=lambda item: item.rank)
        a.name = "A"
        state.items.reverse()
        c.name = "C"
        del state.items[0]
        b.parts.append(1)
        state.items[0:0] = [Item(name="one"), Item(name="two")]
        c.parts.append(2)
        assert [item.name for item in state.items] == ["one", "two", "B", "C", "new"]

    state = State(items=[Item(name="a", rank=3), Item(name="b", rank=2), Item(name="c", rank=1)])
    run(state, work, len)
    assert [(item.name, item.parts) for item in state.items[2:]] == [("B", [1]), ("C", [2]), ("new", [])]


def test_what_leaves_the_state_can_be_read_and_no_longer_changed() -> None:
    def work(state: State) -> None:
        first, second = state.items
        parts = first.parts
        gone = state.items.pop(0)
        assert isinstance(gone, Item)
        assert not isinstance(gone, Draft)
        assert (first.name, list(parts)) == ("a", [1])
        gone.name = "mine"
        with pytest.raises(UsageError, match="no longer in the state"):
            first.name = "b"
        with pytest.raises(UsageError, match="no longer in the state"):
            parts.append(2)
        second.name = "still here"
        state.items[0] = Item()
        with pytest.raises(UsageError, match="no longer in the state"):
            second.name = "replaced"

    run(State(items=[Item(name="a", parts=[1]), Item()]), work, len)


def test_elements_can_be_swapped() -> None:
    def work(state: State) -> None:
        state.items[0], state.items[1] = state.items[1], state.items[0]
        state.groups["a"], state.groups["b"] = state.groups["b"], state.groups["a"]

    state = State(items=[Item(name="a"), Item(name="b")], groups={"a": [1], "b": [2]})
    run(state, work, len)
    assert [item.name for item in state.items] == ["b", "a"]
    assert state.groups == {"a": [2], "b": [1]}


def test_a_draft_put_elsewhere_is_a_copy_there() -> None:
    def work(state: State) -> None:
        state.groups["copy"] = state.groups["a"]
        state.groups["copy"].append(2)
        state.items.append(state.items[0])
        state.items[1].name = "second"
        state.nested.append(state.numbers)
        state.numbers.append(9)

    state = State(groups={"a": [1]}, items=[Item()], numbers=[7])
    run(state, work, len)
    assert state.groups == {"a": [1], "copy": [1, 2]}
    assert [item.name for item in state.items] == ["x", "second"]
    assert state.nested == [[7]]


def test_the_second_half_of_an_in_place_operator_does_nothing() -> None:
    """``draft.numbers += [1]`` changes the list, and then assigns it to where it is."""

    def work(state: State) -> None:
        state.numbers += [1]
        state.numbers *= 2
        state.tags |= {1}
        state.stock |= {"a": 1}
        state.nested[0] += [5]
        state.groups["a"] += [6]

    state = State(nested=[[]], groups={"a": []})
    _, changes = run(state, work, list)
    assert not any(isinstance(change.op, Set) and isinstance(change.op.value, (list, set)) for change in changes)
    assert state == State(numbers=[1, 1], tags={1}, stock={"a": 1}, nested=[[5]], groups={"a": [6]})


def test_a_change_is_said_by_the_smallest_op() -> None:
    def work(state: State) -> None:
        state.numbers.append(4)
        state.numbers.insert(0, 9)
        del state.numbers[1]
        state.stock.clear()

    state = State(numbers=[1, 2, 3], stock={"a": 1, "b": 2})
    _, changes = run(state, work, list)
    assert [change.op for change in changes] == [
        Splice(("numbers",), 3, 0, (4,)),
        Splice(("numbers",), 0, 0, (9,)),
        Splice(("numbers",), 1, 1, ()),
        Set(("stock",), {}),
    ]


def test_changes_that_change_nothing_are_none() -> None:
    def work(state: State) -> None:
        state.numbers.extend([])
        state.numbers.sort()
        state.numbers[3:1] = []
        state.tags.add(1)
        state.tags.discard(7)
        state.tags &= {1, 2, 3}
        state.stock.update({})
        state.names.clear()
        state.groups.clear()

    assert run(State(numbers=[1, 2], tags={1}), work, list)[1] == []


def test_sorting_models_uses_their_own_order() -> None:
    state = State(items=[Item(rank=2), Item(rank=1)])
    run(state, lambda draft: draft.items.sort(), len)
    assert [item.rank for item in state.items] == [1, 2]


def test_a_default_is_in_the_state_when_it_was_asked_for() -> None:
    state = State()
    run(state, lambda draft: draft.groups.setdefault("a", []).append(1), len)
    assert state.groups == {"a": [1]}
