"""``zproc log``: everything that the server still holds, and nothing twice."""

from __future__ import annotations

import re
from typing import Any

import pytest


@pytest.mark.parametrize("model", [(), ("--model", "appstate:AppState")])
def test_each_commit_is_a_line(zproc: Any, served: Any, model: tuple[str, ...]) -> None:
    served.state.cookies = 1
    served.state.stock["sugar"] = 2
    served.state.ovens.append({"temp": 7})
    del served.state.stock["sugar"]
    first, *others = zproc("log", *model).splitlines()
    assert re.match(r"1  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\S*  .+\[\d+\]  cookies: set 0 -> 1$", first)
    assert [line.split("  ", 3)[3].split(" ", 2)[:2] for line in others] == [
        ["stock.sugar:", "create"],
        ["ovens[1:]:", "splice"],
        ["stock.sugar:", "delete"],
    ]
    commits = zproc.json("log", *model)
    assert [commit["revision"] for commit in commits] == [1, 2, 3, 4]
    assert commits[2]["changes"] == [{"path": "ovens", "kind": "splice", "old": [], "new": [{"temp": 7}], "at": 1}]


def test_it_begins_where_it_is_told_to(zproc: Any, served: Any) -> None:
    for number in range(1, 6):
        served.state.cookies = number
    assert [commit["revision"] for commit in zproc.json("log", "--since", "3")] == [4, 5]
    assert zproc.json("log", "--since", "5") == []
    assert "is not in the history" in zproc("log", "--since", "6", code=1)


def test_thousands_are_told_in_order(zproc: Any, served: Any) -> None:
    """More than go into one answer."""
    for number in range(1, 700):
        served.state.cookies = number
    assert [commit["changes"][0]["new"] for commit in zproc.json("log")] == list(range(1, 700))


def test_long_values_are_cut_for_people_only(zproc: Any, served: Any) -> None:
    served.state.name = "x" * 1000
    assert len(zproc("log")) < 250
    assert zproc.json("log")[0]["changes"][0]["new"] == "x" * 1000
