"""What is printed: JSON that loses nothing, and lines for people."""

from __future__ import annotations

import json
from datetime import date, timedelta
from decimal import Decimal
from pathlib import PurePosixPath
from uuid import UUID

import pytest

from zproc.cli.show import commit_as_data, commit_as_text, in_json, print_value, table
from zproc.schema.event import Author, Change, Commit
from zproc.typing import Revision


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        ("ä", '"ä"'),
        (None, "null"),
        (date(2026, 1, 31), '"2026-01-31"'),
        (timedelta(hours=1), '"PT1H"'),
        (Decimal("1.10"), '"1.10"'),
        (UUID(int=7), '"00000000-0000-0000-0000-000000000007"'),
        (PurePosixPath("/a"), '"/a"'),
        ((1, 2), "[1,2]"),
        ({1: "x"}, '{"1":"x"}'),
        (b"\xff", '"_w=="'),
        (float("inf"), "Infinity"),
        (1 + 2j, '"1+2j"'),
        (1 << 100, str(1 << 100)),
    ],
)
def test_every_value_that_can_be_shared_has_a_form_in_json(value: object, text: str) -> None:
    assert in_json(value) == text or json.loads(in_json(value)) == json.loads(text)


def test_people_are_shown_texts_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    print_value("two\nlines")
    print_value([1])
    assert capsys.readouterr().out == "two\nlines\n[\n  1\n]\n"


def test_a_commit_is_one_line_whatever_is_in_it() -> None:
    change = Change("name", "set", "a\nb", "x" * 100)
    commit = Commit(Revision(3), "e", 0.5, Author(7, "p", "f"), (change, Change("row", "splice", [], [1], 4)))
    text = commit_as_text(commit)
    assert "\n" not in text
    assert text.startswith("3  ")
    assert 'p[7] f  name: set "a\\nb" -> "xxx' in text
    assert text.endswith("...; row[4:]: splice [] -> [1]")
    assert commit_as_text(Commit(Revision(3), "e", 0.5, Author(7, "p", ""), ())).endswith("p[7]  nothing")
    assert commit_as_data(commit)["changes"] == [
        {"path": "name", "kind": "set", "old": "a\nb", "new": "x" * 100},
        {"path": "row", "kind": "splice", "old": [], "new": [1], "at": 4},
    ]


def test_columns_are_as_wide_as_they_must_be() -> None:
    assert table(("a", "long"), [("xyz", None), (1, 2)]) == "a    long\nxyz\n1    2"
