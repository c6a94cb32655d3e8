"""When two models declare the same state."""

from __future__ import annotations

from enum import Enum
from typing import Optional

import pytest
from pydantic import BaseModel, Field, create_model

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


def test_a_field_that_only_the_server_has_is_said_to_be() -> None:
    (line,) = differences({"State.n": "int"}, {})
    assert "only the server" in line
