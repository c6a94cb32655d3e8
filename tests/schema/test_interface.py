"""What an action is called with and returns is annotated, or its model is refused."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import pytest
from pydantic import BaseModel, Field

from zproc.exceptions import SchemaError, ValidationRefused
from zproc.schema.action import action
from zproc.schema.interface import action_of, actions_of, interface_of
from zproc.schema.model import StateModel


class Colour(Enum):
    RED = 1


class Base(StateModel):
    @action
    def inherited(self) -> None: ...

    @action
    def replaced(self) -> None: ...


class State(Base):
    n: int = 0

    @action
    def paint(self, colour: Colour, /, *rest: int, shade: Annotated[int, Field(ge=0)] = 3, **more: str) -> list[int]:
        return [shade, *rest]

    def replaced(self) -> None: ...


def test_actions_are_found_by_name_those_of_bases_too() -> None:
    assert list(actions_of(State)) == ["inherited", "paint"]
    assert action_of(State, "replaced") is None
    assert action_of(State, "n") is None
    assert action_of(State, "nothing") is None


def test_every_parameter_and_the_result_have_a_type() -> None:
    interface = interface_of(State, "paint")
    assert list(interface.types) == ["colour", "rest", "shade", "more", "return"]
    assert interface.types["colour"] is Colour


def test_arguments_are_checked_one_by_one() -> None:
    interface = interface_of(State, "paint")
    bound = interface.arguments([Colour.RED, 1, 2], {"shade": 5, "tone": "warm"})
    assert (bound.args, bound.kwargs) == ((Colour.RED, 1, 2), {"shade": 5, "tone": "warm"})
    for positional, by_name in (
        ([1], {}),
        ([Colour.RED, "1"], {}),
        ([Colour.RED], {"shade": -1}),
        ([Colour.RED], {"tone": 1}),
    ):
        with pytest.raises(ValidationRefused, match=r"State.paint\(\)"):
            interface.arguments(positional, by_name)


def test_an_annotation_of_self_does_not_matter() -> None:
    class Mine(StateModel):
        @action
        def work(self: Nowhere, n: int) -> int:  # type: ignore[name-defined]  # noqa: F821 - that is the point
            return n

    assert interface_of(Mine, "work").types == {"n": int, "return": int}


def test_annotations_may_name_what_is_local_to_the_model() -> None:
    class Local(BaseModel):
        n: int

    class Mine(StateModel):
        @action
        def work(self, local: Local) -> Mine:
            return self

    assert interface_of(Mine, "work").types == {"local": Local, "return": Mine}


def test_annotations_travel_with_their_method() -> None:
    """What only an annotation names is not among the globals that a function takes along."""

    class Mine(StateModel):
        @action
        def work(self, given: list[Mine]) -> None: ...

    interface_of(Mine, "work")
    assert vars(Mine)["work"].__annotations__ == {"given": list[Mine], "return": type(None)}


def test_what_is_not_annotated_is_refused() -> None:
    class Mine(StateModel):
        @action
        def no_parameter(self, n) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 - that is the point
            ...

        @action
        def no_result(self, n: int):  # type: ignore[no-untyped-def]  # noqa: ANN202 - as above
            ...

        @action
        def unknown(self, n: Nowhere) -> None:  # type: ignore[name-defined]  # noqa: F821 - as above
            ...

        @action
        def default(self, n: int = Field(ge=0)) -> None: ...

    for name, where in (
        ("no_parameter", r"\.n:"),
        ("no_result", r"\.return:"),
        ("unknown", "Nowhere"),
        ("default", "plain default"),
    ):
        with pytest.raises(SchemaError, match=where):
            interface_of(Mine, name)
