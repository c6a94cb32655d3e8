"""Walking a tree, owning it, and leaving it as it was."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from zproc.exceptions import UnknownPath
from zproc.schema.draft import validator_draft
from zproc.schema.ops import Delete, Op, Set, Splice
from zproc.schema.transaction import Transaction


class Item(BaseModel):
    v: int = 0


class State(BaseModel):
    n: int = 0
    items: list[Item] = [Item(), Item(v=1)]
    table: dict[str, Item] = {"a": Item()}


def test_reading_what_is_not_there_names_where_the_way_ends() -> None:
    transaction = Transaction(State(), validator_draft)
    assert transaction.read(("items", 1, "v")) == 1
    with pytest.raises(UnknownPath, match=r"table\.b"):
        transaction.read(("table", "b", "v"))


def test_a_private_transaction_copies_what_it_changes_and_nothing_else() -> None:
    state = State()
    transaction = Transaction(state, validator_draft, private=True)
    transaction.apply(Set(("items", 0, "v"), 9))
    assert state.items[0].v == 0
    assert transaction.read(("items", 0, "v")) == 9
    assert transaction.read(("table",)) is state.table
    assert transaction.read(("items", 1)) is state.items[1]


def test_what_was_asked_for_is_kept_in_order_for_whoever_sends_it() -> None:
    transaction = Transaction(State(), validator_draft, private=True)
    asked: list[Op] = [Set(("n",), 1), Splice(("items",), 0, 1, ()), Delete(("table", "a"))]
    for op in asked:
        transaction.apply(op)
    assert transaction.requested == asked


def test_two_sets_of_one_place_in_a_row_are_one() -> None:
    transaction = Transaction(State(), validator_draft, private=True)
    transaction.apply(Set(("n",), 1))
    transaction.apply(Set(("n",), 2))
    assert transaction.requested == [Set(("n",), 2)]


def test_rolling_back_restores_the_very_objects() -> None:
    state = State()
    first = state.items[0]
    transaction = Transaction(state, validator_draft)
    transaction.apply(Splice(("items",), 0, 1, ({"v": 5},)))
    transaction.apply(Set(("items", 0, "v"), 6))
    transaction.rollback()
    assert state.items[0] is first
    assert state == State()


def test_the_past_is_restored_in_a_private_transaction_only() -> None:
    state = State()
    present = Transaction(state, validator_draft)
    present.apply(Set(("n",), 5))
    changes = present.finish()
    past = Transaction(state, validator_draft, private=True)
    past.restore(reversed(changes))
    assert (past.read(("n",)), state.n) == (0, 5)


@pytest.mark.parametrize("path", [("items", -3), ("items", -3, "v")])
def test_an_index_before_the_first_element_is_no_place(path: tuple[str | int, ...]) -> None:
    """Counted from the end twice, it would be another one's."""
    state = State()
    transaction = Transaction(state, validator_draft)
    with pytest.raises(UnknownPath, match="no place -3"):
        transaction.apply(Set(path, 5))
    assert [item.v for item in state.items] == [0, 1]
