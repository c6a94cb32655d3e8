"""What was done, and how it is taken back."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from zproc.schema.change import Change, Replay
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
    replay = Replay()
    replay.do(state, change.inverse())
    replay.finish()
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
    assert list(state.table) == list(before.table)


def test_a_replay_leaves_keys_in_the_order_that_the_original_left_them_in() -> None:
    """Forwards and backwards, on models and on plain data."""
    state, plain_state = State(), State().model_dump()
    ops: list[Op] = [
        Set(("table", "z"), 1, "a"),
        Set(("table", "y"), 1, "z"),
        Set(("table", "x"), 1, "nowhere"),
        Delete(("table", "z")),
        Delete(("table", "a")),
        Set(("table", "a"), 5, "x"),
        Set(("table", "a"), 6, "b"),  # no new key any more
    ]
    transaction = Transaction(state, validator_draft)
    for op in ops:
        transaction.apply(op)
    changes = transaction.finish()
    assert list(state.table) == ["y", "b", "c", "a", "x"]
    forwards, backwards = Replay(), Replay()
    for change in changes:
        forwards.do(plain_state, change.op)
    forwards.finish()
    assert list(plain_state["table"].items()) == list(state.table.items())
    for change in reversed(changes):
        backwards.do(plain_state, change.inverse())
    backwards.finish()
    assert list(plain_state["table"].items()) == list(State().table.items())


def test_a_change_never_holds_an_update_because_its_result_is_known() -> None:
    transaction = Transaction(State(), validator_draft)
    transaction.apply(Update(("n",), "+", 2))
    assert transaction.finish() == [Change(Set(("n",), 3), 1)]
