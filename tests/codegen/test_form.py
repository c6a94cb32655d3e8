from __future__ import annotations

import datetime as dt
import pathlib
import uuid
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Generic, Literal, NewType, NotRequired, Optional, TypeVar, Union

import pytest
from annotated_types import Ge
from pydantic import AwareDatetime, BaseModel, JsonValue, NaiveDatetime
from typing_extensions import TypeAliasType, TypedDict

from zproc.codegen.form import Choice, Form, Forms, Items, Json, Model, Named, Plain, Record, Recursive, Unordered
from zproc.codegen.names import Names
from zproc.exceptions import SchemaError

T = TypeVar("T")


class Colour(Enum):
    RED = "red"


class Oven(BaseModel):
    temp: float = 0.0


class Box(BaseModel, Generic[T]):
    inside: T


class Address(TypedDict):
    street: str
    number: NotRequired[int]


class Tree(TypedDict):
    kids: list[Tree]


UserId = NewType("UserId", int)
Names_ = NewType("Names_", list[str])
Sizes = TypeAliasType("Sizes", dict[str, int])

INT, STR = Plain("int"), Plain("str")
OVEN = Model(Oven, "Oven")


def read(annotation: object, *hiding: str) -> tuple[Form, str]:
    forms = Forms(Names(hiding))
    form = forms.of(annotation, "State.x")
    return form, forms.written(form)


@pytest.mark.parametrize(
    ("annotation", "form", "text"),
    [
        (int, INT, "int"),
        (None, Plain("None"), "None"),
        (type(None), Plain("None"), "None"),
        (dt.datetime, Plain("datetime"), "datetime"),
        (AwareDatetime, Plain("datetime"), "datetime"),
        (NaiveDatetime, Plain("datetime"), "datetime"),
        (Decimal, Plain("Decimal"), "Decimal"),
        (uuid.UUID, Plain("UUID"), "UUID"),
        (pathlib.Path, Plain("Path"), "Path"),
        (Colour, Plain("Colour"), "Colour"),
        (Literal["a", 3, Colour.RED, None], Plain('Literal["a", 3, Colour.RED, None]'), None),  # noqa: PYI061 - another way to write it
        (Annotated[int, Ge(0)], INT, "int"),
        (list[Annotated[int, Ge(0)]], Items(None, INT), "list[int]"),
        (dict[str, list[int]], Items(STR, Items(None, INT)), "dict[str, list[int]]"),
        (set[int], Unordered(INT), "set[int]"),
        (frozenset[int], Plain("frozenset[int]"), "frozenset[int]"),
        (tuple[int, str], Plain("tuple[int, str]"), "tuple[int, str]"),
        (tuple[int, ...], Plain("tuple[int, ...]"), "tuple[int, ...]"),
        (tuple[()], Plain("tuple[()]"), "tuple[()]"),
        (tuple[Oven, ...], Plain("tuple[Oven, ...]"), "tuple[Oven, ...]"),
        (int | None, Choice((INT, Plain("None"))), "int | None"),
        (Optional[int], Choice((INT, Plain("None"))), "int | None"),  # noqa: UP045 - another way to write it
        (Union[int, str], Choice((INT, STR)), "int | str"),  # noqa: UP007 - another way to write it
        (list[int | None], Items(None, Choice((INT, Plain("None")))), "list[int | None]"),
        (Oven, OVEN, "Oven"),
        (list[Oven | int], Items(None, Choice((OVEN, INT))), "list[Oven | int]"),
        (Box[int], Model(Box[int], "Box[int]"), "Box[int]"),
        (Box[list[Oven]], Model(Box[list[Oven]], "Box[list[Oven]]"), "Box[list[Oven]]"),
        (UserId, Named("UserId", INT), "UserId"),
        (Names_, Named("Names_", Items(None, STR)), "Names_"),
        (Sizes, Items(STR, INT), "dict[str, int]"),
        (Address, Record("Address", Choice((STR, INT))), "Address"),
        (JsonValue, Json("JsonValue"), "JsonValue"),
    ],
    ids=str,
)
def test_an_annotation_is_of_one_of_the_forms(annotation: object, form: Form, text: str | None) -> None:
    assert read(annotation) == (form, str(form.text) if text is None and isinstance(form, Plain) else text)


def test_what_is_hidden_goes_by_another_name() -> None:
    assert read(dict[str, list[int]], "int", "dict")[1] == "dict_[str, list[int_]]"


def test_what_is_said_twice_is_said_once() -> None:
    assert read(Annotated[int, Ge(0)] | Annotated[int, Ge(5)] | None)[1] == "int | None"


def test_a_typed_dict_that_contains_itself_has_a_name_for_what_is_read() -> None:
    forms = Forms(Names([]))
    form = forms.of(Tree, "State.x")
    assert form == Recursive("Tree", "TreeLive")
    assert forms.recursive == {"TreeLive": Record("Tree", Items(None, Recursive("Tree", "TreeLive")))}


def test_an_alias_that_contains_itself_has_one_too(module: Any) -> None:
    """As ``type Tree = list[Tree] | int`` of Python 3.12, of which this is what can be had before."""
    made = module(
        """
        class TypeAliasType:
            __name__ = "Nest"

            @property
            def __value__(self):
                return list[Nest] | int

            def __getitem__(self, item): ...

        Nest = TypeAliasType()
        """
    )
    forms = Forms(Names([]))
    nest = Recursive("Nest", "NestLive")
    several: object = list.__class_getitem__(made.Nest)
    assert forms.of(several, "State.x") == Items(None, nest)
    assert forms.of(made.Nest, "State.y") == nest, "the second time as the first"
    assert forms.recursive == {"NestLive": Choice((Items(None, nest), INT))}


def test_a_class_that_cannot_be_imported_is_refused_by_the_field_that_names_it() -> None:
    class Local(BaseModel):
        pass

    with pytest.raises(SchemaError, match=r"State\.x: .*Local to be imported"):
        read(list[Local])
