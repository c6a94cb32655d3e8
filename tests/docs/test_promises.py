"""The page of promises names each of them, as the README does, and tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "design" / "consistency.md").read_text("utf-8")
ROWS = {number: line for line in PAGE.splitlines() for number in re.findall(r"^\| (P\d+) \|", line)}
NUMBERS = [f"P{number}" for number in range(1, 13)]


def test_every_promise_has_its_row_and_the_readme_makes_the_same_ones() -> None:
    assert list(ROWS) == NUMBERS
    assert re.findall(r"^\| (P\d+) \|", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE) == NUMBERS


@pytest.mark.parametrize("number", NUMBERS)
def test_a_promise_names_tests_that_there_are(number: str) -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", ROWS[number])
    assert named
    for path, test in named:
        text = (ROOT / path).read_text("utf-8")
        assert re.search(rf"def {test}\(" if test else r"def test_", text), f"{path}::{test}"
