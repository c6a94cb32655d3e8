"""When two models declare the same state."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, NotRequired, Optional, cast

import pytest
from annotated_types import Ge
from pydantic import BaseModel, Field, create_model
from typing_extensions import TypedDict

from zproc.schema.action import action
from zproc.schema.fingerprint import differences, fingerprint, table_of


class Color(Enum):
    RED = "red"


class Oven(BaseModel):
    temp: float = 0.0


class State(BaseModel):
    n: int = Field(default=0, ge=0)
    oven: Oven = Oven()
    color: Color = Color.RED
    maybe: int | None = None


def same_state() -> type[BaseModel]:
    oven = create_model("Oven", temp=(float, 1.0))
    oven.__module__ = "elsewhere"
    color: type[Enum] = Enum("Color", {"RED": "red"})  # type: ignore[misc]  # another enumeration of that name
    return create_model(
        "State",
        n=(int, Field(default=5, ge=0, description="documented")),
        oven=(oven, oven()),
        color=(color, color["RED"]),
        maybe=(Optional[int], None),  # noqa: UP045 - another way to write it
    )


def test_equal_declarations_have_one_fingerprint_wherever_they_lie() -> None:
    assert table_of(same_state()) == table_of(State)
    assert fingerprint(table_of(same_state())) == fingerprint(table_of(State))


def test_the_order_of_actions_is_nothing_to_know_a_state_by() -> None:
    """A class that travels by value, as those of a script do, arrives with its methods in alphabetical order."""

    def act(self: BaseModel) -> None: ...

    def state(*names: str) -> type[BaseModel]:
        return type("State", (State,), {"__module__": __name__, **{name: action(act) for name in names}})

    assert fingerprint(table_of(state("submit", "give_back"))) == fingerprint(table_of(state("give_back", "submit")))


def test_the_order_of_fields_counts_and_is_named() -> None:
    one = create_model("State", a=(int, 0), b=(int, 0))
    other = create_model("State", b=(int, 0), a=(int, 0))
    assert fingerprint(table_of(one)) != fingerprint(table_of(other))
    assert differences(table_of(one), table_of(other)) == (
        "State.a: the server has it where this process has State.b; the order of fields counts",
    )


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("n", (str, "")),
        ("n", (int, Field(default=0, ge=1))),
        ("oven", (int, 0)),
        ("extra", (int, 0)),
        ("maybe", (int, 0)),
    ],
)
def test_another_type_constraint_or_field_is_another_state_and_is_named(name: str, kind: object) -> None:
    other = create_model("State", __base__=State, **{name: kind})  # type: ignore[call-overload]  # made at run time
    server, client = table_of(State), table_of(other)
    assert fingerprint(server) != fingerprint(client)
    assert any(f"State.{name}" in line for line in differences(server, client))


class Address(TypedDict):
    street: str
    number: NotRequired[int]


class Renamed(TypedDict):
    road: str
    number: NotRequired[int]


class Complete(TypedDict):
    street: str
    number: int


class Nested(TypedDict):
    street: str
    within: NotRequired[Nested]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (list[Annotated[int, Ge(0)]], list[Annotated[int, Ge(1)]]),
        (dict[str, Annotated[int, Ge(0)]], dict[str, int]),
        (tuple[int], tuple[int, ...]),
        (Address, Renamed),
        (Address, Complete),
        (Address, Nested),
    ],
    ids=str,
)
def test_what_stands_deep_in_a_type_counts(one: object, other: object) -> None:
    tables = [table_of(create_model("State", x=cast("Any", (kind, ...)))) for kind in (one, other)]
    assert fingerprint(tables[0]) != fingerprint(tables[1])


def test_what_is_no_constraint_does_not_count_wherever_it_stands() -> None:
    annotated, bare = (
        table_of(create_model("State", x=cast("Any", (kind, ...)))) for kind in (list[Annotated[int, len]], list[int])
    )
    assert annotated == bare


def test_a_field_that_only_the_server_has_is_said_to_be() -> None:
    (line,) = differences({"State.n": "int"}, {})
    assert "only the server" in line
