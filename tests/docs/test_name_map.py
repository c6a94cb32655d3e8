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
PLACES: dict[str, object] = {
    "zproc": zproc,
    "ctx": zproc.Context,
    "state": zproc.StateModel,
    "process": zproc.Process,
    "swarm": zproc.Swarm,
}

ORIGINAL = """
Context Process ProcessExit ProcessWaitError RemoteException SequenceTaskResult SignalException
SimpleTaskResult State Swarm append as_list atomic backend clean_process_tree cleanup clear consume copy count
create_ipc_address create_state create_swarm decrease exception_to_signal exitcode fork get increase is_alive
items keys map map_lazy max_retries namespace pass_context payload pid ping pop popitem process_kwargs
retry_args retry_delay retry_for retry_kwargs run send_signal server_address set setdefault
signal_to_exception spawn spawn_map start start_all start_server stop stop_all task_id time timeout update
value values wait when when_available when_change when_change_raw when_equal when_falsy when_none
when_not_equal when_not_none when_truthy
"""
"""What 0.9.5 has: its public names, the public attributes of its classes, and their options."""


def names(cell: str) -> list[tuple[str, str]]:
    """Return the names in a cell that belong to something of ours, with what they belong to."""
    code = " ".join(re.findall(r"`([^`]+)`", cell))
    return re.findall(r"\b(zproc|ctx|state|process|swarm)\.(\w+)(?=\(|\b(?! [-+*]?=))", code)


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


@pytest.mark.parametrize("name", ORIGINAL.split())
def test_a_name_of_the_original_is_in_the_table(name: str) -> None:
    assert any(re.search(rf"\b{name}\b", row[0]) for row in ROWS)
