"""Snapshots: instances of their model in every respect but assignment."""

from __future__ import annotations

import copy
import functools
import pickle
from collections.abc import Callable

import pytest
from pydantic import BaseModel, ConfigDict, PrivateAttr, TypeAdapter, ValidationError, computed_field

from zproc.exceptions import UsageError
from zproc.schema import StateModel
from zproc.schema.shape import shape_of
from zproc.schema.snapshot import accepted, assemble, snapshot_of
from zproc.schema.values import plain as as_data


class Oven(BaseModel):
    temp: float = 20.0
    racks: list[int] = []


class Badge(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: str = "none"


class Node(BaseModel):
    value: int = 0
    children: list[Node] = []
    by_name: dict[str, Node] = {}


class Kitchen(StateModel):
    cookies: int = 0
    oven: Oven = Oven()
    spare: Oven | None = None
    ovens: list[Oven] = []
    by_name: dict[str, list[Oven]] = {}
    pair: tuple[Oven, int] | None = None
    either: Oven | int = 0
    badge: Badge = Badge()
    tree: Node = Node()
    numbers: list[int] = []
    tags: set[str] = set()
    _notes: int = PrivateAttr(default=7)

    @computed_field  # type: ignore[prop-decorator]  # as pydantic documents it
    @property
    def dozens(self) -> int:
        return self.cookies // 12

    @functools.cached_property
    def doubled(self) -> int:
        return self.cookies * 2

    def noted(self) -> int:
        return self._notes + self.cookies


def values() -> dict[str, object]:
    return {
        "cookies": 30,
        "oven": Oven(temp=1.0),
        "spare": Oven(temp=2.0),
        "ovens": [Oven(temp=3.0)],
        "by_name": {"a": [Oven(temp=4.0)]},
        "pair": (Oven(temp=5.0), 1),
        "either": Oven(temp=6.0),
        "badge": Badge(name="b"),
        "tree": Node(children=[Node(value=1, by_name={"x": Node(value=2)})]),
        "numbers": [1, 2, 3],
        "tags": {"x"},
    }


@pytest.fixture
def plain() -> Kitchen:
    return Kitchen.model_validate(values())


@pytest.fixture
def snapshot() -> Kitchen:
    return snapshot_of(Kitchen, values())


def test_it_is_an_instance(snapshot: Kitchen) -> None:
    assert isinstance(snapshot, Kitchen)
    assert isinstance(snapshot, StateModel)
    assert isinstance(snapshot.oven, Oven)
    assert snapshot.__class__ is Kitchen


def test_it_equals_an_instance_both_ways(snapshot: Kitchen, plain: Kitchen) -> None:
    assert snapshot == plain
    assert plain == snapshot
    assert snapshot == snapshot_of(Kitchen, values())
    assert snapshot.oven == plain.oven
    assert plain.ovens == snapshot.ovens
    plain.cookies = 1
    assert snapshot != plain
    assert plain != snapshot


def test_it_looks_like_an_instance(snapshot: Kitchen, plain: Kitchen) -> None:
    assert repr(snapshot) == repr(plain)
    assert str(snapshot) == str(plain)


def test_it_dumps_like_an_instance(snapshot: Kitchen, plain: Kitchen) -> None:
    assert snapshot.model_dump() == plain.model_dump()
    assert snapshot.model_dump_json() == plain.model_dump_json()
    assert dict(snapshot) == dict(plain)
    assert TypeAdapter(Kitchen).dump_python(snapshot) == plain.model_dump()


def test_pydantic_takes_it_for_an_instance(snapshot: Kitchen) -> None:
    class Outer(BaseModel):
        kitchen: Kitchen

    assert Outer(kitchen=snapshot).kitchen == snapshot
    assert Outer.model_validate({"kitchen": snapshot}, strict=True).kitchen.cookies == 30


@pytest.mark.parametrize(
    "write",
    [
        lambda it: setattr(it, "cookies", 1),
        lambda it: setattr(it, "nothing", 1),
        lambda it: setattr(it, "_notes", 1),
        lambda it: delattr(it, "cookies"),
        lambda it: setattr(it.oven, "temp", 1.0),
        lambda it: setattr(it.spare, "temp", 1.0),
        lambda it: setattr(it.ovens[0], "temp", 1.0),
        lambda it: setattr(it.by_name["a"][0], "temp", 1.0),
        lambda it: setattr(it.pair[0], "temp", 1.0),
        lambda it: setattr(it.either, "temp", 1.0),
        lambda it: setattr(it.tree.children[0].by_name["x"], "value", 1),
    ],
)
def test_no_model_in_it_can_be_assigned_to(snapshot: Kitchen, write: Callable[[Kitchen], None]) -> None:
    with pytest.raises(UsageError, match="a snapshot is a copy"):
        write(snapshot)
    assert snapshot == Kitchen.model_validate(values())


def test_what_is_computed_works(snapshot: Kitchen, plain: Kitchen) -> None:
    assert snapshot.dozens == 2
    assert snapshot.doubled == 60
    assert snapshot == plain, "what was kept of it is no field"


def test_private_attributes_have_their_defaults(snapshot: Kitchen) -> None:
    assert snapshot._notes == 7
    assert snapshot.noted() == 37


def test_it_travels_as_a_snapshot(snapshot: Kitchen, plain: Kitchen) -> None:
    assert snapshot.doubled == 60
    there = pickle.loads(pickle.dumps(snapshot))
    assert there == plain
    for write in (lambda: setattr(there, "cookies", 1), lambda: setattr(there.ovens[0], "temp", 1.0)):
        with pytest.raises(UsageError):
            write()


@pytest.mark.parametrize(
    "make",
    [
        lambda it: it.model_copy(),
        lambda it: it.model_copy(deep=True),
        lambda it: it.model_copy(update={}),
        copy.copy,
        copy.deepcopy,
        lambda it: pickle.loads(pickle.dumps(it)).model_copy(),
    ],
)
def test_a_copy_can_be_changed_anywhere(snapshot: Kitchen, plain: Kitchen, make: Callable[[Kitchen], Kitchen]) -> None:
    """And changes nothing of the snapshot."""
    copied = make(snapshot)
    assert type(copied) is Kitchen
    assert copied == plain
    copied.cookies = 0
    copied.oven.temp = 0.0
    copied.ovens[0].temp = 0.0
    copied.ovens.append(Oven())
    copied.by_name["a"][0].racks.append(1)
    copied.tree.children[0].by_name["x"].value = 0
    copied._notes = 1
    assert snapshot == plain


def test_a_copy_may_be_told_what_to_change(snapshot: Kitchen) -> None:
    copied = snapshot.model_copy(update={"cookies": 3})
    assert (copied.cookies, snapshot.cookies) == (3, 30)
    assert type(copied.oven) is Oven


def test_frozen_models_and_containers_stay_what_they_are(snapshot: Kitchen) -> None:
    assert snapshot.badge == Badge(name="b")
    assert hash(snapshot.badge) == hash(Badge(name="b"))
    assert type(snapshot.ovens) is list
    assert type(snapshot.by_name) is dict
    assert type(snapshot.pair) is tuple
    assert type(snapshot.tags) is set


def test_a_snapshot_of_an_instance_is_detached(plain: Kitchen) -> None:
    taken = plain.snapshot()
    plain.cookies = 0
    plain.oven.temp = 0.0
    plain.numbers.append(4)
    assert taken == Kitchen.model_validate(values())
    with pytest.raises(UsageError):
        taken.cookies = 1
    assert taken.snapshot() == taken


def test_a_million_numbers_are_not_looked_at() -> None:
    numbers = list(range(10))
    assert snapshot_of(Kitchen, {**values(), "numbers": numbers}).numbers is numbers


def test_assembling_does_not_validate() -> None:
    kitchen = assemble(Kitchen, values())
    assert kitchen == Kitchen.model_validate(values())
    kitchen.cookies = 4
    assert kitchen.cookies == 4
    assert kitchen.noted() == 11
    assert kitchen.model_fields_set == set(Kitchen.model_fields)


class TestWhatWasTakenOnce:
    """A validator that would not take it again is not asked; what it is, is told by the schema alone."""

    class Shelf(StateModel):
        ovens: dict[str, list[Oven]] = {}
        tree: Node | None = None
        pair: tuple[int, str] = (0, "")
        tags: set[str] = set()
        either: Oven | Badge | None = None

    STATE = Shelf(ovens={"a": [Oven(temp=3.0)]}, tree=Node(children=[Node(value=1)]), pair=(1, "x"), tags={"t"})

    @pytest.mark.parametrize("name", ["ovens", "tree", "pair", "tags", "either"])
    def test_it_is_what_validating_it_comes_to(self, name: str) -> None:
        value = getattr(self.STATE, name)
        found = accepted(shape_of(self.Shelf).fields[name], as_data(value))
        assert found == value
        assert type(found) is type(value)

    def test_a_constraint_is_not_looked_at(self) -> None:
        found = accepted(shape_of(self.Shelf).fields["ovens"], {"a": [{"temp": "hot", "racks": []}]})
        assert str(found) == "{'a': [Oven(temp='hot', racks=[])]}"

    def test_of_a_union_of_models_only_validating_tells_which_it_is(self) -> None:
        shape = shape_of(self.Shelf).fields["either"]
        assert accepted(shape, {"name": "b"}) == Badge(name="b")
        with pytest.raises(ValidationError):
            accepted(shape, {"name": 3})
