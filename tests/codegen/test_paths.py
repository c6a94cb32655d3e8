from __future__ import annotations

from typing import Any, NewType

from pydantic import BaseModel, computed_field

from zproc.codegen.catalog import Catalog
from zproc.codegen.names import Names
from zproc.codegen.paths import paths_of
from zproc.schema import StateModel
from zproc.schema.condition import Scope
from zproc.schema.path import parse_path, parse_pattern

UserId = NewType("UserId", int)
Tags = NewType("Tags", list[str])


class Oven(BaseModel):
    temp: float = 0.0
    racks: list[list[int]] = []

    @computed_field
    def hot(self) -> bool:
        return self.temp > 100


class Cat(BaseModel):
    name: str = ""


class Dog(BaseModel):
    name: bytes = b""


class Node(BaseModel):
    value: int = 0
    next: Node | None = None


class Kitchen(StateModel):
    cookies: int = 0
    owner: UserId = UserId(0)
    oven: Oven | None = None
    ovens: dict[str, Oven] = {}
    pet: Cat | Dog = Cat()
    root: Node = Node()
    tags: Tags = Tags([])
    pair: tuple[Oven, int] = (Oven(), 1)
    maybe: int | None = None
    either: int | list[int] = 0

    @computed_field
    def total(self) -> int:
        return 0


def found(model: type[StateModel]) -> Any:
    catalog = Catalog(Names([]))
    return paths_of(catalog, catalog.add(model))


def test_paths_lead_through_models_and_stop_where_one_contains_itself() -> None:
    assert {path: " | ".join(types) for path, types in found(Kitchen).types.items()} == {
        "cookies": "int",
        "owner": "UserId",
        "oven": "Oven | None",
        "oven.temp": "float",
        "oven.racks": "list[list[int]]",
        "oven.hot": "bool",
        "ovens": "dict[str, Oven]",
        "pet": "Cat | Dog",
        "pet.name": "str | bytes",
        "root": "Node",
        "root.value": "int",
        "root.next": "Node | None",
        "tags": "Tags",
        "pair": "tuple[Oven, int]",
        "maybe": "int | None",
        "either": "int | list[int]",
        "total": "int",
    }


def test_patterns_lead_through_containers() -> None:
    assert list(found(Kitchen).patterns) == [
        "oven.racks.*",
        "oven.racks.*.*",
        "ovens.*",
        "ovens.*.temp",
        "ovens.*.racks",
        "ovens.*.racks.*",
        "ovens.*.racks.*.*",
        "ovens.*.hot",
        "tags.*",
        "either.*",
    ]


def test_all_of_them_are_what_a_state_takes() -> None:
    paths = found(Kitchen)
    for path in paths.types:
        parse_path(path, Kitchen)
    for pattern in paths.patterns:
        parse_pattern(pattern, Kitchen)
    Scope.of(Kitchen, [*paths.types, *paths.patterns])


def test_a_change_tells_the_value_where_nothing_stands_above_or_below() -> None:
    assert found(Kitchen).whole == ["cookies", "owner", "pair", "maybe"]


def test_paths_are_grouped_by_the_type_of_what_stands_there() -> None:
    paths = found(Kitchen)
    groups = paths.by_type()
    assert groups["int"] == ["cookies", "root.value", "total"]
    assert sorted(path for some in groups.values() for path in some) == sorted(paths.types)
    assert paths.by_type(paths.whole) == {
        "int": ["cookies"],
        "UserId": ["owner"],
        "tuple[Oven, int]": ["pair"],
        "int | None": ["maybe"],
    }
