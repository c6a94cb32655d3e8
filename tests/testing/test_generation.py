"""States and operations that a model accepts."""

from __future__ import annotations

import copy
from typing import Annotated, Self

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings, strategies as st
from hypothesis.errors import NoSuchExample, Unsatisfiable
from pydantic import BaseModel, Field, model_validator

import zproc
from zproc.schema.model import Schema
from zproc.schema.values import plain, same
from zproc.testing import MemoryServer, Operation, strategies
from zproc.testing.operations import Call


class Oven(BaseModel):
    temp: Annotated[float, Field(ge=-10, lt=300)] = 20.0


class Shop(zproc.StateModel):
    low: int = 0
    high: int = 10
    oven: Oven = Oven()
    ovens: dict[str, Oven] = {}
    spare: Oven | None = None
    tags: set[Annotated[str, Field(max_length=3)]] = set()
    notes: list[Annotated[int, Field(ge=0)]] = []

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low > self.high:
            raise ValueError("low is over high")
        return self

    @zproc.action
    def widen(self, by: Annotated[int, Field(ge=0, le=5)]) -> int:
        self.high += by
        return self.high

    @zproc.action
    def refuse(self) -> None:
        raise LookupError


class Tight(zproc.StateModel):
    """Hardly any state that is drawn field by field is valid."""

    a: int = 0
    b: int = 0
    c: int = 0

    @model_validator(mode="after")
    def _equal(self) -> Self:
        if not self.a == self.b == self.c:
            raise ValueError("not equal")
        return self

    @zproc.action
    def step(self) -> None:
        self.a, self.b, self.c = self.a + 1, self.b + 1, self.c + 1


shop, tight = strategies(Shop), strategies(Tight)


@given(st.one_of(shop.states(), tight.states()))
def test_states_are_valid(state: zproc.StateModel) -> None:
    assert same(Schema.of(type(state)).shape.validate(plain(state)), state)


FOUND = settings(max_examples=2_000, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
NOT_FOUND = settings(FOUND, max_examples=50)
NONE = (NoSuchExample, Unsatisfiable)


def test_states_differ_even_where_validators_leave_little() -> None:
    assert find(tight.states(), lambda state: state.a > 0, settings=FOUND).c > 0
    assert find(shop.states(), lambda state: bool(state.ovens and state.tags), settings=FOUND).ovens


@given(shop.states(), st.data())
def test_operations_are_valid_one_after_the_other_and_leave_the_state_alone(state: Shop, data: st.DataObject) -> None:
    before = copy.deepcopy(state)
    operations = data.draw(shop.operations(state))
    assert same(state, before)
    for operation in operations:
        with zproc.transaction(state) as draft:
            operation(draft)


@pytest.mark.slow
@settings(max_examples=30)
@given(shop.operations())
def test_operations_mean_the_same_on_a_live_state(operations: list[Operation]) -> None:
    """By way of the real client and the real server."""
    expected = Shop()
    with MemoryServer(Shop) as server:
        for operation in operations:
            operation(server.state)
            with zproc.transaction(expected) as draft:
                operation(draft)
        assert same(plain(server.state.snapshot()), plain(expected))


def test_actions_are_among_the_operations_but_not_what_they_refuse() -> None:
    def calls(name: str) -> object:
        def called(done: list[Operation]) -> bool:
            return any(isinstance(each, Call) and each.name == name for each in done)

        return find(shop.operations(), called, settings=FOUND if name == "widen" else NOT_FOUND)

    assert calls("widen")
    with pytest.raises(NONE):
        calls("refuse")


def test_no_more_operations_are_made_than_asked_for() -> None:
    assert find(shop.operations(max_size=2), lambda done: len(done) == 2, settings=FOUND)
    with pytest.raises(NONE):
        find(shop.operations(max_size=2), lambda done: len(done) > 2, settings=NOT_FOUND)


def test_a_bug_in_an_operation_is_not_taken_for_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: object, state: object) -> None:
        raise LookupError("a bug")

    monkeypatch.setattr("zproc.testing.operations.Edit.__call__", fail)
    with pytest.raises(LookupError, match="a bug"):
        find(shop.operations(), lambda done: len(done) > 5)


def test_a_single_operation_fits_the_state() -> None:
    state = Shop(ovens={"x": Oven()})
    found = find(shop.operation(state), lambda operation: "state.ovens.x.temp" in repr(operation), settings=FOUND)
    assert "state.ovens.x.temp" in repr(found)


def test_a_model_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(zproc.SchemaError):
        strategies(BaseModel)  # type: ignore[type-var]
