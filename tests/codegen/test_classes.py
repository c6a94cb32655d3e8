from __future__ import annotations

import ast
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, computed_field

from zproc.codegen.catalog import Catalog
from zproc.codegen.classes import context_class, handle_class, places_class, root_places_class
from zproc.codegen.names import Names
from zproc.codegen.watchers import Watched
from zproc.schema import StateModel

T = TypeVar("T")


class Oven(BaseModel):
    """An oven."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    temp: float = 0.0
    """In degrees."""
    made: int = Field(default=0, frozen=True)
    path: str = ""

    @computed_field
    def hot(self) -> bool:
        return self.temp > 100


class Box(BaseModel, Generic[T]):
    """A box."""

    inside: T


class Kitchen(StateModel):
    oven: Oven = Oven()
    tags: list[str] = []
    box: Box[int] = Box[int](inside=1)


class Bare(StateModel):
    pass


def made(model: type[BaseModel]) -> tuple[Catalog, Any]:
    catalog = Catalog(Names([]))
    return catalog, catalog.add(model)


def watched(model: str) -> Watched:
    return Watched(Names([]), model, "Call", "Path", "Path", {"IntPath": "int"}, {})


def test_a_handle_is_an_instance_of_its_model_with_its_fields_said_anew() -> None:
    catalog, entry = made(Oven)
    assert handle_class(catalog, entry, None) == [
        "class OvenHandle(Oven):",
        '    """An oven."""',
        "",
        "    def __zproc_value__(self) -> Oven: ...",
        "",
        "    @property",
        "    def temp(self) -> float:",
        '        """In degrees."""',
        "        ...",
        "",
        "    @temp.setter",
        "    def temp(self, value: float) -> None: ...",
        "",
        "    @property",
        "    def made(self) -> int: ...",
        "",
        "    @property",
        "    def path(self) -> str: ...",
        "",
        "    @path.setter",
        "    def path(self, value: str) -> None: ...",
    ]


def test_a_state_is_updated_by_its_fields_and_copied_as_its_model() -> None:
    catalog, entry = made(Kitchen)
    lines = handle_class(catalog, entry, None)
    assert "    def snapshot(self) -> Kitchen: ..." in lines
    fields = "oven: Oven = ..., tags: list[str] | ListHandle[str] = ..., box: Box[int] = ..."
    assert f"    def update(self, *, {fields}) -> None: ..." in lines


def test_a_generic_model_is_documented_as_what_it_is_made_of() -> None:
    catalog, entry = made(Box[int])
    assert handle_class(catalog, entry, None)[:2] == ["class BoxIntHandle(Box[int]):", '    """A box."""']


def test_a_state_without_fields_is_a_class_all_the_same() -> None:
    catalog, entry = made(Bare)
    ast.parse("\n".join(handle_class(catalog, entry, watched("Bare"))))
    ast.parse("\n".join(root_places_class(catalog, entry, "BarePlaces")))


def test_places_are_of_fields_and_of_computed_fields() -> None:
    catalog, entry = made(Oven)
    assert places_class(catalog, entry, "V") == [
        "class OvenWatch(Watch[V]):",
        "    @property",
        "    def temp(self) -> Watch[float]: ...",
        "",
        "    @property",
        "    def made(self) -> Watch[int]: ...",
        "",
        "    @property",
        "    def path_(self) -> Watch[str]: ...",
        "",
        "    @property",
        "    def hot(self) -> Watch[bool]: ...",
    ]


def test_of_the_root_every_field_goes_by_its_name() -> None:
    catalog, entry = made(Oven)
    assert "    def path(self) -> Watch[str]: ..." in root_places_class(catalog, entry, "Places")


def test_a_context_needs_no_model_and_knows_its_state() -> None:
    catalog, entry = made(Kitchen)
    lines = context_class(catalog, entry, "KitchenContext", "KitchenPlaces", watched("Kitchen"))
    assert lines[0] == "class KitchenContext(Context[Kitchen]):"
    assert "    def __init__(self, model: type[Kitchen] = ..., **options: Unpack[ContextOptions]) -> None: ..." in lines
    assert "    def state(self) -> KitchenHandle:" in lines
    assert "    def when(self) -> KitchenPlaces:" in lines
    assert "    def spawn(self) -> Spawn[KitchenHandle, KitchenContext]:" in lines
