"""What the generated client promises of a model that has everything."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Literal, assert_type

import zproc
from nasty.client import (
    BoxBoxStrHandle,
    BoxIntHandle,
    CatHandle,
    DogHandle,
    InnerHandle,
    NastyContext,
    NastyStateHandle,
    NodeHandle,
    OvenHandle,
    OvenHandle2,
)
from nasty.parts.oven import Address, Colour, Level, Names, Oven as OtherOven, Point, UserId
from nasty.state import Base, Box, Cat, Dog, NastyState, Node, Outer, Oven
from zproc.generated import DictHandle, ListHandle, SetHandle

ctx = NastyContext()
state = ctx.state

# Inheritance
assert_type(state, NastyStateHandle)
assert_type(state.created, dt.datetime)
assert_type(state.oven, OvenHandle)
assert_type(state.heat(3.0, quickly=True), float)
state.heat("3")  # E
base: Base = state
state.cool()
assert_type(state.hot, bool)
assert_type(state.whatever, object)
state.hot = True  # E
ctx.when.created.equals("now")  # E

# Equal names
assert_type(state.other, OvenHandle2)
state.other = OtherOven()
state.other = Oven()  # E
state.oven = OtherOven()  # E
state.other.colour = Colour.BLUE
state.other.colour = "blue"  # E
state.oven.colour  # E
state.other.path = "x"
state.other.get += 1
ctx.when.other.path_.equals("x")
ctx.when.other.get_.equals(3)
assert_type(ctx.when.other.path, str)
assert_type(ctx.when.other.get(), OtherOven)
ctx.when.other.get_.equals("x")  # E
state.get_when_equal("other.path", "x")
state.get_when_equal("other.path", 3)  # E

# Annotated, enumerations, literals
assert_type(state.amount, int)
state.amount = 3.5  # E
state.few.append(3)
state.few.append("3")  # E
state.colour = Colour.RED
state.colour = Level.LOW  # E
state.get_when_equal("colour", Colour.BLUE)
state.get_when_equal("colour", "blue")  # E
assert_type(state.favourite, Literal[Colour.RED, "none", 3, True] | None)
state.favourite = Colour.RED
state.favourite = "none"
state.favourite = Colour.BLUE  # E
state.favourite = "some"  # E
state.get_when_equal("favourite", 3)
state.get_when_equal("favourite", 4)  # E

# Unions and optionals
assert_type(state.maybe, int | None)
state.maybe = "x"  # E
assert_type(state.spare, OvenHandle | None)
assert_type(state.either, int | str | ListHandle[str])
state.either = ["x"]
state.either = [3]  # E
assert_type(state.pet, CatHandle | DogHandle)
state.pet = Dog(name="rex")
state.pet = Oven()  # E
pet = state.pet
if isinstance(pet, Cat):
    assert_type(pet, CatHandle)
    pet.lives -= 1
    pet.name  # E
assert_type(state.pets, ListHandle[CatHandle | DogHandle, Cat | Dog])
state.pets.append(Cat())
state.pets.append(Oven())  # E
state.get_when_equal("pet.name", "rex")
state.get_when_equal("pet.nme", "rex")  # E
state.get_when_equal("spare.temp", 3.0)
state.get_when_equal("either", "x")
state.get_when_equal("either", b"x")  # E
ctx.when.spare.temp.equals(3.0)
ctx.when.spare.equals(None)
ctx.when.spare.equals(3)  # E

# Recursive models
assert_type(state.root.next, NodeHandle | None)
assert_type(state.root.children[0].children[0].value, int)
state.root.children[0].children.append(Node())
state.root.children[0].children.append(Oven())  # E
state.root.children[0].value = "3"  # E
ctx.when.root.next.next.next.value.equals(3)
ctx.when.root.next.next.next.valu  # E
ctx.when.root.children[0].children[1].value.equals(3)
state.get_when_equal("root.value", 3)
state.get_when_equal("root.value", "3")  # E

# Generics
assert_type(state.ints, BoxIntHandle)
assert_type(state.ints.inside, int)
assert_type(state.ints.first(), int)
state.ints.inside = "3"  # E
state.ints = Box[int](inside=3)
state.ints = Box[str](inside="3")  # E
assert_type(state.boxes, BoxBoxStrHandle)
assert_type(state.boxes.inside.inside, str)
state.boxes.inside.inside = 3  # E
state.boxes.inside.spare += ["x"]
ctx.when.boxes.inside.inside.equals("x")
ctx.when.boxes.inside.inside.equals(3)  # E

# Classes within classes, frozen models
assert_type(state.inner, InnerHandle)
assert_type(state.outer.inner, InnerHandle)
state.outer.inner = Outer.Inner(deep=3)
state.outer.inner.deep = "3"  # E
assert_type(state.point, Point)
state.point = Point(x=3.0)
assert_type(state.points["x"].x, float)
ctx.when.point.x.equals(3.0)
ctx.when.point.x.equals("x")  # E

# Containers of containers
assert_type(state.matrix, ListHandle[ListHandle[float], list[float]])
state.matrix[0][0] += 1.5
state.matrix[0] += [1.0]
state.matrix.append([1.0])
state.matrix.append(["x"])  # E
state.matrix[0][0] = "x"  # E
assert_type(state.by_level[Level.LOW][0].temp, float)
state.by_level[Level.LOW].append(Oven())
state.by_level["low"]  # E
ctx.when.matrix[0][1].equals(1.5)
ctx.when.by_level[Level.HIGH][0].temp.equals(1.5)
ctx.when.by_level[Level.HIGH][0].temp.equals("x")  # E
state.get_when_change("by_level.*.*.temp", "matrix.*.*")
state.get_when_change("by_level.*.temp")  # E
assert_type(state.state, ListHandle[DictHandle[Colour, tuple[Oven, ...]], dict[Colour, tuple[Oven, ...]]])

# New types, typed dicts, aliases, JSON
assert_type(state.owner, UserId)
state.owner = UserId(3)
state.owner = 3  # E
assert_type(state.seen, SetHandle[UserId])
state.seen.add(UserId(3))
state.seen.add(3)  # E
state.names = Names(["x"])
state.names.append("y")
state.names.append(3)  # E
assert_type(state.sizes, DictHandle[str, int])
state.sizes["x"] = 3
state.sizes["x"] = "3"  # E
home: Address = {"street": "x", "tags": []}
state.home = home
state.home = {"streat": "x", "tags": []}  # E
assert_type(state.home, DictHandle[str, str | int | ListHandle[str], str | int | list[str]])
state.anything = {"a": [1, None, "x"]}
state.anything = Colour.RED  # E
state.get_when_equal("anything", [1, 2])
assert_type(state.when_made, dt.datetime)
state.price = Decimal(3)
state.price = 3.5  # E
state.file = Path("x")
state.file = "x"  # E
assert_type(state.pair, tuple[int, str])
state.pair = (1, "x")
state.pair = (1, 2)  # E
state.fixed = frozenset({"x"})
state.fixed = {"x"}  # E

# Names that hide others
assert_type(state.shadows.int, float)
assert_type(state.shadows.str, bytes)
assert_type(state.shadows.list, tuple[bool, ...])
state.shadows.property = "x"  # E
state.shadows.overload = dt.date.min
state.shadows.overload = 3  # E
state.get_when_equal("shadows.str", b"x")
state.get_when_equal("shadows.str", "x")  # E
ctx.when.shadows.Watch.equals(True)
ctx.when.shadows.Watch.equals(3)  # E


@zproc.atomic
def touch(anything: Base) -> None:
    anything.oven.temp += 1


touch(state)
assert_type(state.snapshot(), NastyState)
state.snapshot().oven.tmp  # E
