"""``zproc set``: validated by the server, whether or not the model is at hand."""

from __future__ import annotations

from typing import Any

import pytest

MODEL = ("--model", "appstate:AppState")


@pytest.mark.parametrize("model", [(), MODEL])
@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        ("cookies", "5", 5),
        ("name", "hello world", "hello world"),
        ("name", '"5"', "5"),
        ("stock.flour", "8", 8),
        ("stock.sugar", "1", 1),
        ("stock", '{"salt": 1}', {"salt": 1}),
        ("by_number[1]", "eins", "eins"),
        ("ovens[0].temp", "180", 180),
    ],
)
def test_a_value_is_put_at_its_path(
    zproc: Any, served: Any, model: tuple[str, ...], path: str, value: str, found: object
) -> None:
    assert zproc.json("set", path, value, *model) == [{"revision": 1}]
    assert zproc.json("get", path) == [found]
    assert served.revision == 1


@pytest.mark.parametrize(("path", "value"), [("color", "blue"), ("day", "2026-01-31"), ("tags", '["x"]')])
def test_what_json_has_no_form_for_needs_the_model(zproc: Any, served: Any, path: str, value: str) -> None:
    assert path in zproc("set", path, value, code=1)
    assert zproc("set", path, value, *MODEL) == "revision 1\n"


@pytest.mark.parametrize("model", [(), MODEL])
@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("cookies", "-1", "greater than or equal to 0"),
        ("cookies", "many", "valid integer"),
        ("cookies", "1.5", "integer"),
        ("nope", "1", "no field"),
        ("stock.flour.x", "1", ""),
    ],
)
def test_what_the_schema_refuses_changes_nothing_and_is_explained(
    zproc: Any, served: Any, model: tuple[str, ...], path: str, value: str, reason: str
) -> None:
    assert reason in zproc("set", *model, "--", path, value, code=1)
    assert served.revision == 0


def test_the_history_says_that_it_was_the_command_line(zproc: Any, served: Any) -> None:
    zproc("set", "cookies", "1")
    (commit,) = zproc.json("log")
    assert (commit["process"], commit["function"]) == ("zproc set", "zproc set")
