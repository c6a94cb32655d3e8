"""A client that knows no schema: it reads what is there, and writes what the server lets it."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from pydantic import BaseModel, Field

import zproc
from zproc.client.guest import Guest
from zproc.exceptions import HistoryGone, SchemaMismatch, UnknownPath, ValidationRefused
from zproc.schema.model import Schema
from zproc.schema.path import ANY


class Color(enum.Enum):
    RED = "red"


class Part(BaseModel):
    size: int = 1


class State(zproc.StateModel):
    n: int = Field(default=0, ge=0)
    color: Color = Color.RED
    day: date = date(2020, 1, 1)
    by_text: dict[str, int] = {"a": 1, "7": 7}
    by_number: dict[int, int] = {7: 70}
    pair: tuple[int, int] = (1, 2)
    parts: list[Part] = [Part()]
    big: dict[str, str] = {}


@pytest.fixture
def served(serving: Any) -> Any:
    return serving(State)


@pytest.fixture(params=["without", "with"])
def guest(request: pytest.FixtureRequest, served: Any) -> Iterator[Guest]:
    schema: Any = Schema.of(State) if request.param == "with" else None
    with Guest(served.address, "default", "a guest", schema) as guest:
        yield guest


def test_the_whole_state_is_plain_data_without_a_model(served: Any) -> None:
    """An enum is its value; nothing of the model's code is needed or loaded."""
    with Guest(served.address, "default", "a guest") as guest:
        state = guest.state()
    assert state["color"] == "red"
    assert state["parts"] == [{"size": 1}]
    assert state["day"] == date(2020, 1, 1)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("n", 0),
        ("by_text.a", 1),
        ("by_text['7']", 7),
        ("by_number[7]", 70),
        ("parts[0].size", 1),
    ],
)
def test_a_path_leads_to_the_key_that_is_there(guest: Guest, text: str, value: object) -> None:
    assert guest.get(text) == value


@pytest.mark.parametrize("text", ["m", "by_text.b", "by_number[8]", "parts[3]", "n.x", "parts[x]", "*", ""])
def test_a_path_that_leads_nowhere_is_an_error(guest: Guest, text: str) -> None:
    with pytest.raises(UnknownPath):
        guest.get(text)


def test_what_is_written_is_validated_like_anybodys(served: Any, guest: Guest) -> None:
    assert guest.set("n", 4, "f") == 1
    assert guest.set("by_text.new", 5, "f") == 2
    assert guest.set("by_number[7]", 71, "f") == 3
    with pytest.raises(ValidationRefused, match="greater than or equal to 0"):
        guest.set("n", -1, "f")
    with pytest.raises(ValidationRefused):
        guest.set("n", "4", "f")
    assert (served.value.n, served.value.by_text["new"], served.value.by_number[7]) == (4, 5, 71)
    assert served.revision == 3


def test_json_is_read_as_the_model_declares_the_place(served: Any) -> None:
    schema: Any = Schema.of(State)
    with Guest(served.address, "default", "a guest", schema) as guest:
        guest.set_json("day", '"2026-01-31"', "f")
        guest.set_json("color", '"red"', "f")
        guest.set_json("parts", '[{"size": 9}]', "f")
    assert served.value.day == date(2026, 1, 31)
    assert served.value.parts == [Part(size=9)]


def test_a_field_that_is_too_large_to_look_at_is_reached_by_its_keys(serving: Any) -> None:
    served = serving(State, limits=zproc.Limits(message_bytes=131_072))
    for number in range(5):
        served.state.big[str(number)] = str(number) * 40_000
    with Guest(served.address, "default", "a guest") as guest:
        assert guest.get("big['3']") == "3" * 40_000


def test_commits_are_told_once_and_in_order(served: Any, guest: Guest) -> None:
    for number in range(1, 600):
        served.state.n = number
    with Guest(served.address, "default", "another") as late:
        assert [commit.revision for commit in late.commits()] == list(range(1, 600))
    assert [commit.changes[0].new for commit in guest.commits(590)] == list(range(591, 600))
    with pytest.raises(HistoryGone):
        list(guest.commits(10_000))


def test_what_the_history_no_longer_holds_is_left_out_only_if_all_was_asked_for(serving: Any) -> None:
    served = serving(State, limits=zproc.Limits(history_commits=5))
    for number in range(1, 20):
        served.state.n = number
    with Guest(served.address, "default", "a guest") as guest:
        assert [commit.revision for commit in guest.commits()] == [15, 16, 17, 18, 19]
        with pytest.raises(HistoryGone):
            list(guest.commits(3))


def test_of_a_commit_only_what_is_watched_is_told(served: Any, guest: Guest) -> None:
    served.state.update(n=1, by_text={"b": 2})
    served.state.by_text["c"] = 3
    told = guest.watch((guest.pattern("by_text.c"),), 0)
    assert [(each.kind, each.path) for each in next(told).changes] == [("set", "by_text")]
    assert [(each.kind, each.path) for each in next(told).changes] == [("create", "by_text.c")]


@pytest.mark.parametrize("text", ["m", "m.*", "m.x"])
def test_a_pattern_that_leads_nowhere_is_refused_with_and_without_a_model(guest: Guest, text: str) -> None:
    with pytest.raises(UnknownPath, match="no field"):
        guest.pattern(text)


def test_patterns_are_read_with_and_without_a_model(guest: Guest) -> None:
    assert guest.pattern("by_text.*") == ("by_text", ANY)
    assert guest.pattern("parts[0].size") == ("parts", 0, "size")
    assert guest.pattern("parts[*].size") == ("parts", ANY, "size")
    assert guest.pattern("by_number[7]") == ("by_number", 7)


def test_with_a_model_that_is_another_one_it_does_not_begin(served: Any) -> None:
    class Other(zproc.StateModel):
        n: str = ""

    schema: Any = Schema.of(Other)
    with pytest.raises(SchemaMismatch):
        Guest(served.address, "default", "a guest", schema)
