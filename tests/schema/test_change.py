"""What was done, and how it is taken back."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from zproc.schema.change import Change, Undoing
from zproc.schema.draft import validator_draft
from zproc.schema.ops import Add, Delete, Discard, Op, Set, Splice, Update
from zproc.schema.transaction import Transaction


class State(BaseModel):
    n: int = 1
    table: dict[str, int] = {"a": 1, "b": 2, "c": 3}
    row: list[int] = [1, 2, 3]
    tags: set[int] = {1, 2}


OPS: list[Op] = [
    Set(("n",), 5),
    Update(("n",), "-", 5),
    Set(("table", "b"), 9),
    Set(("table", "new"), 9),
    Delete(("table", "a")),
    Delete(("table", "c")),
    Set(("row", 1), 9),
    Splice(("row",), 1, 1, (7, 8)),
    Splice(("row",), None, 0, (4,)),
    Splice(("row",), -1, 1, ()),
    Add(("tags",), (2, 3)),
    Discard(("tags",), (2, 9)),
]


@pytest.mark.parametrize("op", OPS, ids=repr)
def test_undoing_a_change_restores_the_state_and_the_order_of_its_keys(op: Op) -> None:
    state = State()
    before = state.model_copy(deep=True)
    transaction = Transaction(state, validator_draft)
    transaction.apply(op)
    (change,) = transaction.finish()
    assert state != before
    undoing = Undoing()
    undoing.undo(state, change)
    undoing.finish()
    assert state == before
    assert list(state.table) == list(before.table)


@pytest.mark.parametrize("op", OPS, ids=repr)
def test_the_inverse_is_an_op_that_makes_the_old_state(op: Op) -> None:
    state = State()
    before = state.model_copy(deep=True)
    first = Transaction(state, validator_draft)
    first.apply(op)
    (change,) = first.finish()
    second = Transaction(state, validator_draft)
    second.apply(change.inverse())
    second.finish()
    assert state == before


def test_a_change_never_holds_an_update_because_its_result_is_known() -> None:
    transaction = Transaction(State(), validator_draft)
    transaction.apply(Update(("n",), "+", 2))
    assert transaction.finish() == [Change(Set(("n",), 3), 1)]
