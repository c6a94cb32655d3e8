from __future__ import annotations

from collections.abc import Callable
from typing import Any, NewType

import pytest
from pydantic import BaseModel, ConfigDict, JsonValue, computed_field, create_model
from typing_extensions import TypedDict

from zproc.codegen.catalog import Catalog, models_in
from zproc.codegen.names import Names
from zproc.exceptions import SchemaError


class Oven(BaseModel):
    temp: float = 0.0


class Point(BaseModel):
    model_config = ConfigDict(frozen=True)

    x: float = 0.0
    oven: Oven = Oven()


class Node(BaseModel):
    next: Node | None = None


class Address(TypedDict):
    street: str
    ovens: list[Oven]


UserId = NewType("UserId", int)
Ovens = NewType("Ovens", list[Oven])

DECLARED: list[tuple[Any, str, str, str]] = [
    (int, "int", "int", "Watch[int]"),
    (Oven, "OvenHandle", "Oven", "OvenWatch[Oven]"),
    (Oven | None, "OvenHandle | None", "Oven | None", "OvenWatch[Oven | None]"),
    (Oven | int, "OvenHandle | int", "Oven | int", "Watch[Oven | int]"),
    (Point, "Point", "Point", "PointWatch[Point]"),
    (Node, "NodeHandle", "Node", "NodeWatch[Node]"),
    (list[int], "ListHandle[int]", "list[int] | ListHandle[int]", "ItemPlace[list[int], int, Watch[int]]"),
    (
        list[Oven],
        "ListHandle[OvenHandle, Oven]",
        "list[Oven] | ListHandle[OvenHandle, Oven]",
        "ItemPlace[list[Oven], int, OvenWatch[Oven]]",
    ),
    (
        dict[str, list[int]],
        "DictHandle[str, ListHandle[int], list[int]]",
        "dict[str, list[int]] | DictHandle[str, ListHandle[int], list[int]]",
        "ItemPlace[dict[str, list[int]], str, ItemPlace[list[int], int, Watch[int]]]",
    ),
    (
        list[int] | None,
        "ListHandle[int] | None",
        "list[int] | ListHandle[int] | None",
        "ItemPlace[list[int] | None, int, Watch[int]]",
    ),
    (set[str], "SetHandle[str]", "set[str] | SetHandle[str]", "Watch[set[str]]"),
    (tuple[Oven, ...], "tuple[Oven, ...]", "tuple[Oven, ...]", "Watch[tuple[Oven, ...]]"),
    (UserId, "UserId", "UserId", "Watch[UserId]"),
    (
        Ovens,
        "ListHandle[OvenHandle, Oven]",
        "Ovens | ListHandle[OvenHandle, Oven]",
        "ItemPlace[Ovens, int, OvenWatch[Oven]]",
    ),
    (JsonValue, "LiveJson", "JsonValue | LiveJson", "Watch[JsonValue]"),
    (
        Address,
        "DictHandle[str, str | ListHandle[OvenHandle, Oven], str | list[Oven]]",
        "Address | DictHandle[str, str | ListHandle[OvenHandle, Oven], str | list[Oven]]",
        "Watch[Address]",
    ),
]


@pytest.mark.parametrize(("annotation", "read", "assigned", "place"), DECLARED, ids=str)
def test_a_field_is_read_assigned_and_waited_for_as_what_it_is(
    annotation: Any, read: str, assigned: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = create_model("Made", x=(annotation, ...), __module__=__name__)
    catalog = Catalog(Names([]))
    monkeypatch.setitem(globals(), "Made", model)
    form = catalog.add(model).fields["x"]
    assert (catalog.read(form), catalog.assigned(form), catalog.place(form, catalog.written(form))) == (
        read,
        assigned,
        place,
    )


class Kitchen(BaseModel):
    ovens: list[dict[str, Oven | None]] = []
    point: Point = Point()
    where: Address

    @computed_field
    def total(self) -> int:
        return 1

    @computed_field
    def anything(self) -> Any:
        return 1

    @computed_field
    def closure(self) -> Callable[[], int]:
        return lambda: 1


def test_all_models_are_found_and_each_is_entered_once() -> None:
    catalog = Catalog(Names([]))
    entry = catalog.add(Kitchen)
    assert entry is catalog.add(Kitchen)
    assert list(catalog.entries) == [Kitchen, Oven, Point]
    assert [model.cls for model in models_in(entry.fields["ovens"])] == [Oven]
    assert [(each.handle, each.watch, each.frozen) for each in catalog.entries.values()] == [
        ("KitchenHandle", "KitchenWatch", False),
        ("OvenHandle", "OvenWatch", False),
        ("PointHandle", "PointWatch", True),
    ]


def test_a_computed_field_may_be_of_any_type() -> None:
    catalog = Catalog(Names([]))
    computed = catalog.add(Kitchen).computed
    assert {name: catalog.written(form) for name, form in computed.items()} == {
        "total": "int",
        "anything": "Any",
        "closure": "object",
    }


@pytest.mark.parametrize("name", ["class", "two words", "None"])
def test_a_field_that_can_be_no_attribute_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fields: Any = {name: (int, 0)}
    model = create_model("Odd", __module__=__name__, **fields)
    monkeypatch.setitem(globals(), "Odd", model)
    with pytest.raises(SchemaError, match="a field can be an attribute only if Python takes its name for one"):
        Catalog(Names([])).add(model)


def test_a_model_that_only_a_recursive_type_leads_to_is_entered_in_the_end(module: Any) -> None:
    made = module(
        """
        from pydantic import BaseModel
        from typing_extensions import TypedDict

        class Leaf(BaseModel):
            n: int = 0

        class Tree(TypedDict):
            kids: "list[Tree]"
            leaf: Leaf

        class Holder(BaseModel):
            tree: Tree
        """
    )
    catalog = Catalog(Names([]))
    form = catalog.add(made.Holder).fields["tree"]
    catalog.complete()
    assert list(catalog.entries) == [made.Holder, made.Leaf]
    assert catalog.read(form) == "TreeLive"
    assert catalog.read(catalog.forms.recursive["TreeLive"]) == (
        "DictHandle[str, ListHandle[TreeLive, Tree] | LeafHandle, list[Tree] | Leaf]"
    )
