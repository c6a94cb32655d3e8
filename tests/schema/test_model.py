"""Models that are declared to be shared."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel, Field

from zproc.exceptions import SchemaError, UsageError
from zproc.schema.model import RESERVED, Schema, StateModel


class Oven(BaseModel):
    temp: float = 20.0


class State(StateModel):
    n: int = Field(default=0, ge=0)
    oven: Oven = Oven()


def test_a_model_is_registered_once() -> None:
    assert Schema.of(State) is Schema.of(State)
    assert Schema.of(State).initial() == State()


@pytest.mark.parametrize("model", [BaseModel, int, 3, Oven, State(), {"n": 3}])
def test_only_state_models_are_states(model: type[StateModel]) -> None:
    with pytest.raises(SchemaError, match="StateModel"):
        Schema.of(model)


def test_an_undeclared_field_is_forbidden() -> None:
    with pytest.raises(ValueError, match="extra"):
        State(m=1)  # type: ignore[call-arg]  # that is the point


@pytest.mark.filterwarnings("ignore:Field name:UserWarning")  # pydantic says so too
@pytest.mark.parametrize("name", ["changes", "update", "reset"])
def test_names_of_live_handles_cannot_be_fields(name: str) -> None:
    assert name in RESERVED
    taken = type("Taken", (StateModel,), {"__annotations__": {name: int}, name: 0, "__module__": __name__})
    with pytest.raises(SchemaError, match="taken"):
        Schema.of(taken)


def test_a_field_without_a_default_is_named() -> None:
    class Needy(StateModel):
        name: str

    with pytest.raises(SchemaError, match="name"):
        Schema.of(Needy).initial()


def test_defaults_that_break_the_schema_are_refused() -> None:
    class Wrong(StateModel):
        n: int = Field(default=-1, ge=0)

    with pytest.raises(SchemaError, match="n: "):
        Schema.of(Wrong).initial()


def test_a_validator_that_never_comes_to_rest_is_refused() -> None:
    class Restless(StateModel):
        n: Annotated[int, AfterValidator(lambda value: value + 1)] = 0

    with pytest.raises(SchemaError, match="validator"):
        Schema.of(Restless).initial()


def test_a_plain_instance_has_snapshots_and_cannot_wait() -> None:
    state = State()
    snapshot = state.snapshot()
    state.n = 5
    assert snapshot == State()
    with pytest.raises(UsageError):
        snapshot.n = 3
    for wait in (lambda: state.get_when_change("n"), lambda: state.get_when_equal("n", 3)):
        with pytest.raises(UsageError, match="live state"):
            wait()


@pytest.mark.parametrize(
    ("given", "cure"),
    [
        (BaseModel, "let it inherit from that, and not from pydantic's BaseModel"),
        ("tcp://127.0.0.1:5000", "the address of a server is given as address="),
        ({"n": 1}, "a subclass of zproc.StateModel"),
        (None, "a subclass of zproc.StateModel"),
    ],
)
def test_what_is_no_model_of_a_state_is_refused_with_what_to_give(given: Any, cure: str) -> None:
    with pytest.raises(SchemaError, match=cure):
        Schema.of(given)


def test_a_field_without_a_default_is_refused_with_the_cure() -> None:
    class Bare(StateModel):
        n: int

    with pytest.raises(SchemaError, match=r"n: Field required .*; give each field a default"):
        Schema.of(Bare).initial()
