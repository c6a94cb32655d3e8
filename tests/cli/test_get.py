"""``zproc get``, against a real server's rules."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize("model", [(), ("--model", "appstate:AppState")])
@pytest.mark.parametrize(
    ("path", "people", "programs"),
    [
        ("cookies", "0\n", 0),
        ("name", "\n", ""),
        ("color", "red\n", "red"),
        ("day", "2020-01-01\n", "2020-01-01"),
        ("stock", '{\n  "flour": 3\n}\n', {"flour": 3}),
        ("stock.flour", "3\n", 3),
        ("by_number[1]", "one\n", "one"),
        ("by_number.1", "one\n", "one"),
        ("ovens[0].temp", "20\n", 20),
        ("ovens[0]", '{\n  "temp": 20\n}\n', {"temp": 20}),
    ],
)
def test_what_stands_at_a_path_is_printed(
    zproc: Any, served: Any, model: tuple[str, ...], path: str, people: str, programs: object
) -> None:
    """With the model at hand and without; for people and as JSON."""
    shown = zproc("get", path, *model)
    assert shown == people or shown == f'"{people[:-1]}"\n'
    assert zproc.json("get", path, *model) == [programs]


def test_without_a_path_it_is_all_of_it(zproc: Any, served: Any) -> None:
    served.state.cookies = 5
    (state,) = zproc.json("get")
    assert state["cookies"] == 5
    assert state["ovens"] == [{"temp": 20}]
    assert sorted(state["tags"]) == ["a", "b"]
    assert state["data"] == "_w=="


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("cookie", "no field 'cookie'"),
        ("stock.sugar", "nothing stands there"),
        ("ovens[5]", "nothing stands there"),
        ("ovens.x", ""),
        ("stock.*", "name one place"),
        ("", "name one place"),
        ("a..b", "not a path"),
    ],
)
def test_where_nothing_stands_it_is_said(zproc: Any, served: Any, path: str, reason: str) -> None:
    assert reason in zproc("get", path, code=1)


def test_a_namespace_that_is_none_is_said(zproc: Any, served: Any) -> None:
    assert "the server has 'default'" in zproc("get", "--namespace", "other", code=1)


def test_a_model_that_is_another_one_is_said(zproc: Any, served: Any, project: Any) -> None:
    (project / "other_state.py").write_text("import zproc\n\n\nclass Other(zproc.StateModel):\n    cookies: str = ''\n")
    assert "cookies" in zproc("get", "cookies", "--model", "other_state:Other", code=1)
