"""What has happened to a state, for a test to look at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import BaseModel, Field

import zproc
from zproc.testing.memory import MemoryServer
from zproc.testing.record import History


class Oven(BaseModel):
    temp: int = 20


class Shop(zproc.StateModel):
    cookies: int = 0
    oven: Oven = Oven()
    stock: dict[str, int] = Field(default_factory=dict)
    row: list[Oven] = Field(default_factory=list)


@zproc.atomic
def bake(state: Shop) -> None:
    state.oven.temp = 180
    state.cookies += 1


@zproc.atomic
def eat(state: Shop) -> None:
    state.cookies -= 1


@pytest.fixture
def ctx() -> Iterator[zproc.Context[Shop]]:
    with MemoryServer(Shop) as server:
        yield server.context


def test_it_begins_when_it_is_made(ctx: zproc.Context[Shop]) -> None:
    ctx.state.cookies = 5
    history = History(ctx)
    assert history.commits() == []
    ctx.state.cookies = 6
    assert [(commit.revision, commit.changes[0].new) for commit in history.commits()] == [(2, 6)]


def test_it_tells_who_did_what(ctx: zproc.Context[Shop]) -> None:
    history = History(ctx)
    bake(ctx.state)
    ctx.state.stock["x"] = 1
    eat(ctx.state)
    assert history.functions() == ["bake", "", "eat"]
    history.assert_order(["bake", "eat"])
    with pytest.raises(AssertionError, match="not in this order"):
        history.assert_order(["eat", "bake"])


def test_changes_can_be_asked_for_by_a_path_above_or_below_them(ctx: zproc.Context[Shop]) -> None:
    history = History(ctx)
    bake(ctx.state)
    ctx.state.oven = Oven(temp=3)
    assert [change.path for change in history.changes("oven.temp")] == ["oven.temp", "oven"]
    assert [change.path for change in history.changes("oven")] == ["oven.temp", "oven"]
    assert [change.path for change in history.changes("cookies")] == ["cookies"]
    assert len(history.changes()) == 3


def test_changes_of_elements_and_of_keys_with_dots_belong_to_what_they_are_in(ctx: zproc.Context[Shop]) -> None:
    ctx.state.row.append(Oven())
    history = History(ctx)
    ctx.state.row[0].temp = 30
    ctx.state.stock["a.b"] = 1
    assert [change.path for change in history.changes("row")] == ["row[0].temp"]
    assert [change.path for change in history.changes("row.*.temp")] == ["row[0].temp"]
    assert [change.path for change in history.changes("stock['a.b']")] == ["stock['a.b']"]
    assert history.changes("stock['a.c']") == history.changes("row[1]") == []
    assert [oven.temp for (oven,) in history.values("row")] == [20, 30]


def test_the_values_of_a_place_include_the_one_at_the_beginning(ctx: zproc.Context[Shop]) -> None:
    ctx.state.cookies = 3
    history = History(ctx)
    bake(ctx.state)
    ctx.state.stock["x"] = 1
    eat(ctx.state)
    assert history.values("cookies") == [3, 4, 3]
    assert history.values("oven.temp") == [20, 180]
    assert history.values("stock") == [{}, {"x": 1}]


def test_what_the_server_has_forgotten_is_an_error() -> None:
    with MemoryServer(Shop, limits=zproc.Limits(history_commits=2)) as server:
        history = History(server.context)
        for number in range(4):
            server.state.cookies = number
        with pytest.raises(zproc.HistoryGone):
            history.commits()
