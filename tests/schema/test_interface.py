"""How an action is called: its arguments and its result as data."""

from __future__ import annotations

from enum import Enum

import pytest
from pydantic import BaseModel, ValidationError

from zproc.exceptions import ValidationRefused
from zproc.schema.action import action
from zproc.schema.interface import action_of, actions_of, interface_of
from zproc.schema.model import StateModel


class Color(Enum):
    RED = "red"


class Oven(BaseModel):
    temp: float = 0.0


class State(StateModel):
    n: int = 0

    @action
    def paint(self: State, color: Color, *ovens: Oven, **rest: int) -> tuple[Color, list[Oven]]:
        return color, [*ovens]

    @action
    def loose(self, x, y=2):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201 - that is the point
        return x

    def other(self) -> None: ...


def test_actions_are_found_by_name_and_nothing_else_is_one() -> None:
    assert set(actions_of(State)) == {"paint", "loose"}
    assert action_of(State, "paint") is not None
    assert action_of(State, "other") is None
    assert action_of(State, "n") is None


def test_arguments_of_every_form_become_what_they_are_annotated_with() -> None:
    bound = interface_of(State, "paint").arguments([Color.RED, {"temp": 1}, {"temp": 2}], {"extra": 3})
    assert bound.args[-3:] == (Color.RED, Oven(temp=1), Oven(temp=2))
    assert bound.kwargs == {"extra": 3}


@pytest.mark.parametrize(
    ("positional", "by_name"), [([], {}), (["red"], {}), ([Color.RED, 3], {}), ([Color.RED], {"extra": "x"})]
)
def test_others_are_refused_by_name(positional: list[object], by_name: dict[str, object]) -> None:
    with pytest.raises((ValidationRefused, ValidationError)):
        interface_of(State, "paint").arguments(positional, by_name)


def test_a_result_is_of_the_annotated_type_again() -> None:
    assert interface_of(State, "paint").result((Color.RED, [{"temp": 1}])) == (Color.RED, [Oven(temp=1)])
