"""A state that has everything that can be said of one."""

from __future__ import annotations

import datetime as dt
import decimal
import pathlib
import uuid
from typing import TYPE_CHECKING, Annotated, ClassVar, Generic, Literal, TypeVar

import zproc
from annotated_types import Ge, Len
from nasty.parts import oven as parts
from nasty.parts.oven import Colour, Level, Names, Point, UserId
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, computed_field
from typing_extensions import TypeAliasType

if TYPE_CHECKING:
    from nasty.client import NastyContext

T = TypeVar("T")

Sizes = TypeAliasType("Sizes", dict[str, int])
Amount = Annotated[int, Ge(0)]


class Oven(BaseModel):
    """An oven.

    Of two lines.
    """

    temp: float = 20.0
    on: bool = False


class Box(BaseModel, Generic[T]):
    """A box of something."""

    inside: T
    spare: list[T] = []

    def first(self) -> T:
        return self.inside


class Node(BaseModel):
    value: int = 0
    next: Node | None = None
    children: list[Node] = []


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    name: str = ""


class Outer(BaseModel):
    class Inner(BaseModel):
        deep: int = 0

    inner: Inner = Inner()


class Shadows(BaseModel):
    """Fields by the names of what a generated module has to name."""

    int: float = 0.0
    str: bytes = b""
    property: bool = False
    overload: dt.date = dt.date(2026, 1, 1)
    datetime: dt.datetime | None = None
    Final: bool = False
    Watch: bool = False
    list: tuple[bool, ...] = ()
    Shadows: bool = False
    cls: bool = False


class Base(zproc.StateModel):
    """What is inherited."""

    created: dt.datetime = dt.datetime(2026, 1, 1)
    oven: Oven = Oven()

    @zproc.action
    def heat(self, by: float = 1.0, *, quickly: bool = False) -> float:
        """Make it hotter."""
        self.oven.temp += by if not quickly else 2 * by
        return self.oven.temp


class NastyState(Base):
    """A state, by a docstring with "quotes" at its end: \"\"\"quoted\"\"\""""

    model_config = ConfigDict(use_attribute_docstrings=True)

    if TYPE_CHECKING:
        __client__: ClassVar[type[NastyContext]]

    other: parts.Oven = parts.Oven()
    """The oven of the other module."""
    amount: Amount = 0
    few: Annotated[list[Annotated[int, Ge(0)]], Len(0, 5)] = []
    colour: Colour = Colour.RED
    level: Level = Level.LOW
    favourite: Literal[Colour.RED, "none", 3, True, None] = None
    maybe: int | None = None
    spare: Oven | None = None
    either: int | str | list[str] = 0
    pet: Cat | Dog = Field(default=Cat(), discriminator="kind")
    pets: list[Cat | Dog] = []
    root: Node = Node()
    ints: Box[int] = Box[int](inside=0)
    boxes: Box[Box[str]] = Box[Box[str]](inside=Box[str](inside=""))
    outer: Outer = Outer()
    inner: Outer.Inner = Outer.Inner()
    point: Point = Point()
    points: dict[str, Point] = {}
    matrix: list[list[float]] = []
    ovens: dict[str, Oven] = {}
    by_level: dict[Level, list[Oven]] = {}
    seen: set[UserId] = set()
    owner: UserId = UserId(0)
    names: Names = Names([])
    pair: tuple[int, str] = (0, "")
    many: tuple[int, ...] = ()
    fixed: frozenset[str] = frozenset()
    home: parts.Address = {"street": "", "tags": []}
    anything: JsonValue = None
    sizes: Sizes = {}
    when_made: AwareDatetime = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    price: decimal.Decimal = decimal.Decimal(0)
    key: uuid.UUID = uuid.UUID(int=0)
    file: pathlib.Path = pathlib.Path()
    raw: bytes = b""
    wave: complex = 0j
    state: list[dict[Colour, tuple[Oven, ...]]] = []
    shadows: Shadows = Shadows()

    @computed_field  # type: ignore[prop-decorator]
    @property
    def hot(self) -> bool:
        """Whether it is."""
        return self.oven.temp > 100

    @computed_field  # type: ignore[prop-decorator]
    @property
    def whatever(self) -> object:
        return self.oven

    def cool(self) -> None:
        """Make it colder."""
        self.oven.temp = 20.0
