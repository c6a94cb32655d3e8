"""One attempt to change a state: all of it, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import pytest
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from typing_extensions import TypedDict

from zproc.exceptions import CommitRefused, UnknownPath, ValidationRefused, ValidatorCrashed
from zproc.schema.codec import Codec
from zproc.schema.draft import validator_draft
from zproc.schema.ops import Add, Delete, Discard, Op, Set, Splice, Update
from zproc.schema.transaction import Transaction

CODEC = Codec()
ran: list[str] = []


class Item(BaseModel):
    lo: int = 0
    hi: int = 10

    @model_validator(mode="after")
    def in_order(self) -> Self:
        ran.append("item")
        if self.lo > self.hi:
            raise ValueError("lo is above hi")
        return self


class State(BaseModel):
    n: int = Field(default=0, ge=0)
    double: int = 0
    name: str = ""
    item: Item = Item()
    items: list[Item] = Field(default=[Item(), Item()], max_length=3)
    table: dict[str, int] = {"a": 1, "b": 2, "c": 3}
    tags: set[int] = {1}
    seen: list[str] = []
    fixed: int = Field(default=1, frozen=True)

    @field_validator("name")
    @classmethod
    def upper(cls, value: str) -> str:
        if value == "crash":
            raise KeyError("from a field validator")
        return value.upper()

    @model_validator(mode="after")
    def follow(self) -> Self:
        ran.append("state")
        self.double = 2 * self.n
        if self.name == "LOG":
            self.seen.append("logged")
        if self.name == "EXIT":
            raise SystemExit(3)
        return self


@pytest.fixture
def state() -> State:
    made = State.model_validate(State().model_dump())
    ran.clear()
    return made


def commit(state: BaseModel, *ops: Op) -> list[Op]:
    transaction = Transaction(state, validator_draft)
    try:
        for op in ops:
            transaction.apply(op)
        return [change.op for change in transaction.finish()]
    except BaseException:
        transaction.rollback()
        raise


def test_p1_what_a_validator_rewrites_is_part_of_the_commit(state: State) -> None:
    assert commit(state, Set(("n",), 4)) == [Set(("n",), 4), Set(("double",), 8)]
    assert state.double == 8


def test_what_a_validator_does_to_a_container_is_recorded_too(state: State) -> None:
    assert Splice(("seen",), 0, 0, ("logged",)) in commit(state, Set(("name",), "log"))
    assert state.name == "LOG"


def test_model_validators_run_innermost_first_and_once(state: State) -> None:
    commit(state, Set(("item", "hi"), 20), Set(("item", "lo"), 15))
    assert ran == ["item", "state"]


def test_p3_what_is_wrong_in_the_middle_only_is_accepted(state: State) -> None:
    commit(state, Set(("item", "lo"), 50), Set(("n",), -5), Set(("item", "hi"), 60), Set(("n",), 5))
    assert (state.item.lo, state.item.hi, state.n) == (50, 60, 5)


def test_an_element_that_was_wrong_for_a_moment_may_move_meanwhile(state: State) -> None:
    commit(state, Set(("items", 0, "lo"), "bad"), Splice(("items",), 0, 0, ({"lo": 1},)), Set(("items", 1, "lo"), 2))
    assert [item.lo for item in state.items] == [1, 2, 0]


REFUSED: list[tuple[type[Exception], list[Op]]] = [
    (ValidationRefused, [Set(("n",), -1)]),
    (ValidationRefused, [Set(("n",), "1")]),
    (ValidationRefused, [Set(("n",), True)]),
    (ValidationRefused, [Set(("item", "lo"), 99)]),
    (ValidationRefused, [Set(("items", 1, "lo"), 99)]),
    (ValidationRefused, [Set(("table", 3), 1)]),
    (ValidationRefused, [Set(("table", "new"), "x")]),
    (ValidationRefused, [Splice(("items",), None, 0, ({}, {}, {}))]),
    (ValidationRefused, [Add(("tags",), ("x",))]),
    (ValidationRefused, [Set(("fixed",), 2)]),
    (ValidationRefused, [Set(("item",), {"lo": 1, "hi": 0})]),
    (ValidatorCrashed, [Set(("name",), "crash")]),
    (ValidatorCrashed, [Set(("name",), "exit")]),
    (UnknownPath, [Set(("nope",), 1)]),
    (UnknownPath, [Set(("items", 9, "lo"), 1)]),
    (UnknownPath, [Delete(("table", "nope"))]),
    (CommitRefused, [Delete(("n",))]),
    (CommitRefused, [Splice(("n",), 0, 0, (1,))]),
    (CommitRefused, [Update(("name",), "+", 1)]),
]


@pytest.mark.parametrize(("error", "ops"), REFUSED, ids=repr)
def test_p1_a_refused_transaction_leaves_everything_as_it_was_to_the_byte(
    state: State, error: type[Exception], ops: list[Op]
) -> None:
    before, order = CODEC.encode(state), list(state.table)
    done: list[Op] = [
        Set(("name",), "half"),
        Delete(("table", "a")),
        Set(("table", "z"), 1),
        Splice(("items",), 0, 1, ({"lo": 1},)),
        Discard(("tags",), (1,)),
        Set(("item", "hi"), 11),
    ]
    with pytest.raises(error):
        commit(state, *done, *ops)
    assert (CODEC.encode(state), list(state.table)) == (before, order)


def test_all_faults_of_a_transaction_are_named(state: State) -> None:
    with pytest.raises(ValidationRefused) as caught:
        commit(state, Set(("n",), -1), Set(("item", "lo"), "x"))
    assert {fault.path for fault in caught.value.faults} == {"n", "item.lo"}


def test_ops_that_do_nothing_are_not_recorded(state: State) -> None:
    done = commit(state, Add(("tags",), (1,)), Discard(("tags",), (9,)), Splice(("items",), 0, 0, ()))
    assert done == [Set(("double",), 0)], "only what the validator set again"


def test_what_is_put_is_a_copy(state: State) -> None:
    given = {"lo": 1, "hi": 2}
    commit(state, Set(("item",), given))
    given["lo"] = 99
    assert state.item.lo == 1


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit, MemoryError])
def test_p1_an_interruption_between_two_ops_is_undone(state: State, interrupt: type[BaseException]) -> None:
    before = CODEC.encode(state)
    transaction = Transaction(state, validator_draft)

    def work(apply: Callable[[Op], None]) -> None:
        apply(Set(("n",), 5))
        raise interrupt

    with pytest.raises(interrupt):
        work(transaction.apply)
    transaction.rollback()
    assert CODEC.encode(state) == before


class Oven(BaseModel):
    """As pydantic's models are by default: keys that it does not declare are dropped without a word."""

    temp: float = 20.0


class Shelf(BaseModel):
    model_config = ConfigDict(extra="ignore")

    oven: Oven = Oven()


class Label(TypedDict):
    text: str


class Kitchen(BaseModel):
    oven: Oven = Oven()
    shelf: Shelf = Shelf()
    row: list[Oven] = [Oven()]
    table: dict[str, Oven] = {}
    either: Oven | int = 0
    label: Label = {"text": ""}
    pair: tuple[Oven, int] = (Oven(), 0)


@pytest.mark.parametrize(
    ("op", "place"),
    [
        (Set(("oven",), {"temp": 9.0, "tmp": 1.0}), "oven.tmp"),
        (Set(("shelf",), {"oven": {"tmp": 9.0}}), "shelf.oven.tmp"),
        (Set(("shelf",), {"ofen": {}}), "shelf.ofen"),
        (Set(("row", 0), {"tmp": 9.0}), "row[0].tmp"),
        (Set(("row",), [{"tmp": 9.0}]), "row[0].tmp"),
        (Splice(("row",), 0, 0, ({"tmp": 9.0},)), "row[0].tmp"),
        (Set(("table", "a"), {"tmp": 9.0}), "table.a.tmp"),
        (Set(("either",), {"tmp": 9.0}), "either.Oven.tmp"),
        (Set(("label",), {"text": "", "txt": ""}), "label.txt"),
        (Set(("pair",), ({"tmp": 9.0}, 0)), "pair[0].tmp"),
    ],
)
def test_a_key_that_nobody_declares_is_refused_and_not_dropped(op: Op, place: str) -> None:
    kitchen = Kitchen()
    with pytest.raises(ValidationRefused) as refused:
        commit(kitchen, op)
    assert (place, "extra_forbidden") in [(fault.path, fault.rule) for fault in refused.value.faults]
    assert kitchen == Kitchen()
