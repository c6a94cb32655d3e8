"""Which field types are let in, and what is said of the others."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NewType
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, Field, JsonValue, RootModel, SecretStr
from typing_extensions import TypedDict

from zproc.exceptions import SchemaError
from zproc.schema.types import check, enums_of


class Color(Enum):
    RED = "red"


class Size(IntEnum):
    BIG = 1


class Oven(BaseModel):
    color: Color = Color.RED
    below: list[Oven] = []


class Loose(BaseModel):
    model_config = ConfigDict(extra="allow")


class LooseTyped(TypedDict):
    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]  # as pydantic documents it

    a: int


class Typed(TypedDict):
    a: int
    b: tuple[int, str]


@dataclasses.dataclass
class Data:
    x: int = 0


class Named(NamedTuple):
    x: int


UserId = NewType("UserId", int)

ALLOWED = [
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    None,
    datetime,
    date,
    time,
    timedelta,
    Decimal,
    UUID,
    Path,
    Color,
    Size,
    Oven,
    list[int],
    dict[str, Oven],
    dict[tuple[int, str], int],
    set[Color],
    frozenset[int],
    tuple[int, ...],
    tuple[int, str],
    int | None,
    Oven | int,
    Literal["a", 1],
    Annotated[int, Field(ge=0)],
    JsonValue,
    Typed,
    UserId,
    list[dict[str, set[int]]],
]


@pytest.mark.parametrize("annotation", ALLOWED, ids=str)
def test_a_type_whose_values_survive_the_wire_is_let_in(annotation: object) -> None:
    check("S.f", annotation)


AROUND: list[Callable[[Any], object]] = [
    lambda inner: inner,
    lambda inner: list[inner],  # type: ignore[valid-type]  # made at run time
    lambda inner: dict[str, inner],  # type: ignore[valid-type]  # made at run time
]

REFUSED = [
    (Any, "JsonValue"),
    (object, "JsonValue"),
    (Callable[[], int], "code does not travel"),
    (SecretStr, "secret"),
    (deque[int], "list"),
    (Sequence[int], "list"),
    (Mapping[str, int], "dict"),
    (list, "say what"),
    (dict, "say what"),
    (Data, "pydantic model"),
    (Named, "pydantic model"),
    (RootModel[int], "wraps"),
    (Loose, "dict field"),
    (BaseModel, "name a model of yours"),
    (bytearray, "use bytes"),
    (OrderedDict[str, int], "keeps the order"),
    (LooseTyped, "dict field"),
    (type[int], "type"),
    (bytearray, "bytearray"),
]


@pytest.mark.parametrize(("annotation", "advice"), REFUSED, ids=str)
@pytest.mark.parametrize("around", AROUND)
def test_any_other_is_refused_by_field_with_what_to_write_instead(
    annotation: object, advice: str, around: Callable[[object], object]
) -> None:
    with pytest.raises(SchemaError) as caught:
        check("S.f", around(annotation))
    assert caught.value.where.startswith("S.f")
    assert advice in str(caught.value)


def test_enumerations_are_found_in_the_order_of_the_fields() -> None:
    assert list(enums_of("S", dict[Size, Oven])) == [Size, Color]
