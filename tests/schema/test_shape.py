"""What is relied on of pydantic's core schema, which it calls private: each test pins a part of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

import pytest
from pydantic import AfterValidator, BaseModel, Field, ValidationError, ValidationInfo, field_validator, model_validator

from zproc.schema import shape as shape_module
from zproc.schema.shape import ANYTHING, Kind, Shape, shape_of


class Oven(BaseModel):
    temp: float = Field(default=20.0, ge=0)


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"


class Node(BaseModel):
    below: list[Node] = []
    beside: Node | None = None


class State(BaseModel):
    n: int = Field(default=0, ge=0)
    oven: Oven = Oven()
    spare: Oven | None = None
    row: list[Oven] = Field(default=[], min_length=0, max_length=3)
    table: dict[str, list[int]] = {}
    tags: set[str] = set()
    pair: tuple[int, int] = (0, 0)
    pet: Cat | Dog = Cat()
    checked: Annotated[list[int], AfterValidator(sorted)] = []
    fixed: int = Field(default=1, frozen=True)
    node: Node = Node()


def field(name: str) -> Shape:
    return shape_of(State).fields[name]


@pytest.mark.parametrize(
    ("name", "kind", "whole"),
    [
        ("oven", Kind.MODEL, False),
        ("spare", Kind.MODEL, False),
        ("row", Kind.LIST, False),
        ("table", Kind.DICT, False),
        ("tags", Kind.SET, False),
        ("pet", Kind.UNION, True),
        ("checked", Kind.LIST, True),
    ],
)
def test_a_field_is_of_its_kind_and_is_whole_where_its_parts_depend_on_each_other(
    name: str, kind: Kind, whole: bool
) -> None:
    assert (field(name).kind, field(name).whole) == (kind, whole)


def test_constraints_of_length_and_frozen_fields_are_read() -> None:
    assert (field("row").shortest, field("row").longest) == (0, 3)
    assert shape_of(State).frozen_fields == {"fixed"}


def test_a_value_is_validated_strictly_and_by_its_constraints() -> None:
    assert field("n").validate(3) == 3
    assert field("oven").validate({"temp": 1}) == Oven(temp=1)
    for name, wrong in (("n", "3"), ("n", True), ("n", -1), ("oven", {"temp": -1}), ("row", [{}] * 4)):
        with pytest.raises(ValidationError):
            field(name).validate(wrong)


def test_a_recursive_model_finds_itself_also_where_it_is_optional() -> None:
    node = field("node")
    below = node.fields["below"].item
    assert below is not None
    assert below.fields.keys() == node.fields["beside"].fields.keys() == {"below", "beside"}


def test_below_a_union_the_value_tells_what_is_there() -> None:
    assert field("pet").child(Cat(), "kind").kind is Kind.VALUE
    assert field("n").child(3, "x") is ANYTHING


class After(BaseModel):
    a: int = 0

    @model_validator(mode="after")
    def first(self) -> Self:
        return self

    @model_validator(mode="after")
    def second(self) -> Self:
        return self


class AfterWithInfo(BaseModel):
    a: int = 0

    @model_validator(mode="after")
    def check(self, info: ValidationInfo) -> Self:
        return self


class Before(BaseModel):
    a: int = 0

    @model_validator(mode="before")
    @classmethod
    def check(cls, data: object) -> object:
        return data


class LooksAtOthers(BaseModel):
    a: int = 0
    b: int = 0

    @field_validator("b")
    @classmethod
    def check(cls, value: int, info: ValidationInfo) -> int:
        return value


def test_model_validators_that_run_after_are_known_innermost_first() -> None:
    shape = shape_of(After)
    assert [getattr(one, "__name__", "") for one in shape.after] == ["first", "second"]
    assert not shape.whole


@pytest.mark.parametrize("model", [AfterWithInfo, Before, LooksAtOthers])
def test_a_model_whose_validators_see_all_of_it_is_whole(model: type[BaseModel]) -> None:
    assert shape_of(model).whole


def test_a_shape_is_made_once_per_class() -> None:
    assert shape_of(Oven) is shape_of(Oven)


class Scalars(BaseModel):
    whole: int = Field(default=0, ge=0, multiple_of=2)
    lax: int = Field(default=0, strict=False)
    real: float = 0.0
    flag: bool = False
    text: str = Field(default="", min_length=1, max_length=3)
    maybe: int | None = None
    pattern: str = Field(default="", pattern="^a*$")
    even: Annotated[int, AfterValidator(lambda n: n - n % 2)] = 0
    row: list[int] = []


_GIVEN: list[object] = [
    -1,
    0,
    1,
    2,
    3,
    True,
    None,
    1.0,
    1.5,
    float("inf"),
    "",
    "a",
    "1",
    "long",
    b"a",
    2**70,
    1j,
    [1],
    {},
]


def outcome(function: Callable[[object], object], value: object) -> object:
    try:
        valid = function(value)
    except ValidationError as error:
        return error.errors()
    return type(valid), valid


@pytest.mark.parametrize("name", list(Scalars.model_fields))
def test_the_shortest_way_to_check_a_value_comes_to_what_validating_it_does(name: str) -> None:
    shape = shape_of(Scalars).fields[name]
    for value in _GIVEN:
        assert outcome(shape.check, value) == outcome(shape.validate, value)


def test_only_where_no_code_of_the_users_runs_is_there_no_frame_to_be_interrupted_in() -> None:
    fields = shape_of(Scalars).fields
    quick = {name for name, shape in fields.items() if shape.check != shape.validate}
    assert quick == {"whole", "lax", "real", "flag", "text", "maybe"}


def test_a_thread_never_meets_a_shape_that_another_is_still_compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    class Inner(BaseModel):
        n: int = 0

    class Outer(BaseModel):
        inner: Inner = Inner()
        again: list[Outer] = []

    met: list[tuple[int, int]] = []
    compile_one = shape_module._compile

    def look() -> None:
        met.append((len(shape_of(Outer).fields), len(shape_of(Inner).fields)))

    def compile_and_look(*arguments: Any) -> Shape:
        monkeypatch.setattr(shape_module, "_compile", compile_one)  # the other thread compiles in peace
        other = threading.Thread(target=look)
        other.start()
        other.join(10)
        monkeypatch.setattr(shape_module, "_compile", compile_and_look)
        return compile_one(*arguments)

    monkeypatch.setattr(shape_module, "_compile", compile_and_look)
    assert set(shape_of(Outer).fields) == {"inner", "again"}
    assert set(met) == {(2, 1)}
