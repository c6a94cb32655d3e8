"""Values that fit what a place is declared as."""

from __future__ import annotations

import enum
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import pytest
from annotated_types import Interval, Len
from hypothesis import Phase, find, given, settings, strategies as st
from pydantic import AwareDatetime, BaseModel, Field, JsonValue, NaiveDatetime, StringConstraints, TypeAdapter

from zproc.testing.places import place_of, place_of_model


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Oven(BaseModel):
    temp: Annotated[float, Field(ge=-10, lt=300)] = 20.0
    serial: str = Field(default="x", frozen=True)


class Node(BaseModel):
    name: str = ""
    children: list[Node] = []


class Tree(BaseModel):
    next: Tree | None = None
    left: list[Tree] = []
    right: dict[str, Tree] = {}


def depth(tree: Any) -> int:
    return 1 + max(
        map(depth, [*tree["left"], *tree["right"].values(), *[tree["next"]] * (tree["next"] is not None)]), default=0
    )


@settings(max_examples=50)
@given(st.data())
def test_a_model_that_contains_itself_often_is_drawn_to_an_end(data: st.DataObject) -> None:
    """Hypothesis gave up most of them, a hundred levels down, and complained that too many were."""
    drawn = data.draw(place_of_model(Tree).values)
    Tree.model_validate(drawn)
    assert depth(drawn) <= 4


def test_a_model_is_drawn_within_itself() -> None:
    assert find(
        place_of_model(Tree).values,
        lambda tree: depth(tree) >= 3,
        settings=settings(database=None, phases=[Phase.generate]),
    )


ANNOTATIONS = [
    int,
    bool,
    float,
    str,
    bytes,
    Annotated[int, Field(ge=3, lt=7)],
    Annotated[int, Field(gt=-2, le=0)],
    Annotated[int, Field(multiple_of=4, ge=3, le=90)],
    Annotated[int, Interval(ge=1, lt=3)],
    Annotated[float, Field(gt=0, le=1)],
    Annotated[str, Field(min_length=2, max_length=3)],
    Annotated[str, Field(pattern=r"^[a-c]{2}$")],
    Annotated[str, StringConstraints(pattern=r"^[a-z]+$", max_length=4)],
    Annotated[bytes, Field(max_length=3)],
    Annotated[list[int], Len(1, 2)],
    list[Annotated[int, Field(gt=5)]],
    dict[str, int],
    dict[Literal["a", "b"], Annotated[int, Field(ge=0)]],
    set[Colour],
    frozenset[int],
    tuple[int, str],
    tuple[int, ...],
    Optional[int],  # noqa: UP045 - the other spelling follows
    int | str,
    Oven | None,
    Literal["x", 3],
    Colour,
    datetime,
    timedelta,
    Decimal,
    Path,
    JsonValue,
    AwareDatetime,
    NaiveDatetime,
    Any,
    list,
    Oven,
    Node,
]


@settings(max_examples=15)
@pytest.mark.parametrize("annotation", ANNOTATIONS, ids=str)
@given(data=st.data())
def test_what_is_proposed_is_valid(annotation: Any, data: st.DataObject) -> None:
    value = data.draw(place_of(annotation).values)
    TypeAdapter(annotation).validate_python(value, strict=True)


def test_constraints_reach_their_bounds() -> None:
    values = place_of(Annotated[int, Field(gt=2, le=5)]).values
    assert {find(values, lambda value, wanted=wanted: value == wanted) for wanted in (3, 4, 5)} == {3, 4, 5}  # type: ignore[misc]


def test_numbers_can_be_calculated_with_and_nothing_else() -> None:
    assert [place_of(each).number for each in (int, float, str, bool, list[int])] == [True, True, False, False, False]


def test_a_frozen_field_has_a_value_and_is_no_place_to_go() -> None:
    place = place_of_model(Oven)
    assert list(place.fields) == ["temp"]
    assert set(find(place.values, lambda value: True)) == {"temp", "serial"}  # type: ignore[call-overload]


def test_a_model_that_contains_itself_ends_somewhere() -> None:
    place = place_of_model(Node)
    item = place.fields["children"].item
    assert item is place
    few = settings(max_examples=2_000, phases=[Phase.generate])
    assert find(place.values, lambda value: bool(value["children"]), settings=few)
