"""A model by the name of another module's, enumerations, types of the user's own."""

from __future__ import annotations

import enum
from typing import NewType, NotRequired

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

UserId = NewType("UserId", int)
Names = NewType("Names", list[str])


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Oven(BaseModel):
    """The other oven, with a \\ and \"\"\" in what is said of it."""

    colour: Colour = Field(default=Colour.RED, description="What it looks like.")
    path: str = ""  # the name of what a place can do
    get: int = 0


class Point(BaseModel):
    """It cannot be changed in place."""

    model_config = ConfigDict(frozen=True)

    x: float = 0.0
    y: float = 0.0


class Address(TypedDict):
    street: str
    number: NotRequired[int]
    tags: list[str]
