"""The table of old names: what it says is the same is there, and what took the place of others is there, too."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import zproc

PAGE = Path(__file__).parent.parent.parent / "docs" / "howto" / "from-zproc-0.md"
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in PAGE.read_text("utf-8").splitlines()
    if line.startswith("| `")
]
PLACES: dict[str, object] = {"zproc": zproc, "ctx": zproc.Context, "state": zproc.StateModel, "process": zproc.Process}


def names(cell: str) -> list[tuple[str, str]]:
    """Return the names in a cell that belong to something of ours, with what they belong to."""
    code = " ".join(re.findall(r"`([^`]+)`", cell))
    return re.findall(r"\b(zproc|ctx|state|process)\.(\w+)(?=\(|\b(?! [-+*]?=))", code)


def test_the_table_is_found() -> None:
    assert len(ROWS) >= 40


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].replace("`", "")[:40])
def test_a_name_of_the_table_is_there(row: list[str]) -> None:
    old, new = row[0], row[1]
    fields = {"cookies", "k", "list", "stock", "oven"}  # of the reader's own model
    for place, name in [*names(new), *(names(old) if new.startswith("the same") else [])]:
        if name not in fields and (place, name) != ("state", "keys"):
            there = hasattr(PLACES[place], name) or name in getattr(PLACES[place], "model_fields", ())
            assert there, f"{place}.{name}"
