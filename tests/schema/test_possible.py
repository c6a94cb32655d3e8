"""What can never stand at a place is refused; what may, or may equal what does, is not."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationInfo, computed_field, field_validator

from zproc.exceptions import UsageError
from zproc.schema import StateModel
from zproc.schema.model import Schema
from zproc.schema.path import parse_path
from zproc.schema.possible import refuse_impossible


class Colour(Enum):
    RED = "red"


class Size(StrEnum):
    SMALL = "small"


class Oven(BaseModel):
    temp: float = 20.0
    on: bool = False


def crashes(value: object) -> object:
    if value == "crash":
        raise SystemExit(3)
    return value


class Shop(StateModel):
    n: int = Field(default=0, ge=0)
    temp: float = 0.0
    name: str = ""
    shout: Annotated[str, AfterValidator(str.upper)] = ""
    odd: Annotated[str, BeforeValidator(crashes)] = ""
    colour: Colour = Colour.RED
    size: Size = Size.SMALL
    oven: Oven = Oven()
    spare: Oven | None = None
    either: int | str = 0
    stock: dict[str, int] = {}
    row: list[Oven] = []
    tags: set[str] = set()
    pair: tuple[int, str] = (0, "")
    at: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    price: Decimal = Decimal(1)
    low: int = 0
    high: int = 10

    @field_validator("high")
    @classmethod
    def above(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("low", 0):
            raise ValueError("too low")
        return value

    @computed_field  # type: ignore[prop-decorator]  # as pydantic documents it
    @property
    def total(self) -> int:
        return self.n + self.low


POSSIBLE = [
    ("n", 5),
    ("n", 5.0),
    ("n", True),
    ("temp", 180),
    ("temp", math.inf),
    ("name", ""),
    ("shout", "ABC"),
    ("odd", "crash"),
    ("colour", Colour.RED),
    ("size", Size.SMALL),
    ("size", "small"),
    ("oven", Oven(temp=3.0)),
    ("oven", Shop().snapshot().oven),
    ("oven.temp", 3),
    ("spare", None),
    ("spare", Oven()),
    ("either", "a"),
    ("stock", {"a": 1}),
    ("stock", Shop(stock={"a": 1}).snapshot().stock),
    ("stock.a", 1),
    ("row", [Oven()]),
    ("row[0].on", True),
    ("tags", {"a"}),
    ("tags", frozenset({"a"})),
    ("pair", (1, "a")),
    ("at", datetime(2026, 1, 1)),
    ("price", Decimal("1.50")),
    ("price", 1),
    ("high", -5),
    ("total", "five"),
]


@pytest.mark.parametrize(("field", "value"), POSSIBLE)
def test_what_may_equal_it_passes(field: str, value: object) -> None:
    refuse_impossible(Shop, parse_path(field, Shop), value)


IMPOSSIBLE = [
    ("n", "five", r"n never equals 'five': Input should be a valid integer; Shop\.n is declared as int, Ge\(ge=0\)"),
    ("n", "5", r"n never equals '5': .* \(is 5 meant\?\); Shop\.n is declared as int"),
    ("n", -1, r"n never equals -1: Input should be greater than or equal to 0; Shop\.n"),
    ("n", 1.5, "valid integer"),
    ("n", None, "never equals None"),
    ("temp", math.nan, "never equals nan: nan would stand there"),
    ("name", 5, "valid string"),
    ("shout", "abc", "'ABC' would stand there in its place"),
    ("colour", "red", r"is <Colour\.RED: 'red'> meant\?\); Shop\.colour is declared as Colour"),
    ("size", "huge", "instance of Size"),
    ("oven", {"temp": 3.0}, r"Oven\(temp=3\.0, on=False\) would stand there"),
    ("oven", {"tmp": 3.0}, "Extra inputs"),
    ("oven.temp", "hot", r"oven\.temp never equals 'hot': .*; Oven\.temp is declared as float"),
    ("either", 1.5, "valid integer"),
    ("stock.a", "five", r"stock\.a never equals 'five': .*; Shop\.stock is declared as dict\[str, int\]"),
    ("stock", {1: 1}, "valid string"),
    ("row[0].on", 2, r"Oven\.on is declared as bool"),
    ("row", (), r"is \[\] meant"),
    ("tags", ["a"], r"is \{'a'\} meant"),
]


@pytest.mark.parametrize(("field", "value", "words"), IMPOSSIBLE)
def test_what_never_does_is_refused_with_field_type_and_reason(field: str, value: object, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        refuse_impossible(Shop, parse_path(field, Shop), value)


def test_the_model_is_one_that_can_be_shared() -> None:
    schema: Schema[Any] = Schema.of(Shop)
    assert schema.initial() == Shop()
