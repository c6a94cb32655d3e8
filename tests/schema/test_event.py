"""Events: copies of what a commit did, in the types of the model."""

from __future__ import annotations

from datetime import date

import pytest
from pydantic import BaseModel, field_validator

from zproc.schema import StateModel, change
from zproc.schema.event import Change, change_of
from zproc.schema.ops import MISSING, Add, Delete, Discard, Op, Set, Splice
from zproc.schema.shape import shape_of


class User(BaseModel):
    age: int = 0
    born: date = date(2000, 1, 1)


class Picky(BaseModel):
    only: int = 1

    @field_validator("only")
    @classmethod
    def changes_its_mind(cls, value: int) -> int:
        raise ValueError(f"never again {value}")


class State(StateModel):
    cookies: int = 0
    born: date = date(2000, 1, 1)
    users: list[User] = []
    stock: dict[str, User] = {}
    tags: set[str] = set()
    either: User | int = 0
    picky: dict[str, Picky] = {}
    either_picky: Picky | User | None = None


USER = {"age": 3, "born": date(1999, 9, 9)}


@pytest.mark.parametrize(
    ("op", "old", "expected"),
    [
        (Set(("cookies",), 2), 1, Change("cookies", "set", 1, 2)),
        (
            Set(("stock", "a.b"), USER),
            MISSING,
            Change("stock['a.b']", "create", None, User(age=3, born=date(1999, 9, 9))),
        ),
        (Set(("stock", "a", "age"), 4), 3, Change("stock.a.age", "set", 3, 4)),
        (Delete(("stock", "a")), USER, Change("stock.a", "delete", User(age=3, born=date(1999, 9, 9)), None)),
        (
            Splice(("users",), 2, 1, (USER,)),
            [{"age": 1, "born": date(2000, 1, 1)}],
            Change("users", "splice", [User(age=1)], [User(age=3, born=date(1999, 9, 9))], 2),
        ),
        (Add(("tags",), ("a", "b")), None, Change("tags", "add", None, {"a", "b"})),
        (Discard(("tags",), ("a",)), None, Change("tags", "discard", {"a"}, None)),
        (Set(("either",), 3), {"age": 1}, Change("either", "set", User(age=1), 3)),
    ],
)
def test_a_change_is_told_in_the_types_of_the_model(op: Op, old: object, expected: Change) -> None:
    found = change_of(shape_of(State), change.Change(op, old))
    assert found == expected


def test_models_in_events_are_frozen_copies() -> None:
    found = change_of(shape_of(State), change.Change(Set(("stock", "a"), USER), MISSING))
    assert isinstance(found.new, User)
    with pytest.raises(Exception, match="snapshot"):
        found.new.age = 4


def test_a_validator_that_refuses_its_own_value_costs_no_event() -> None:
    found = change_of(shape_of(State), change.Change(Set(("picky", "a"), {"only": 1}), MISSING))
    assert found.new == Picky.model_construct(only=1)
    found = change_of(shape_of(State), change.Change(Set(("either_picky",), {"only": 1}), MISSING))
    assert found.new == {"only": 1}
