"""What commands print: for people, or as JSON for programs.

The law: JSON is one value a line, and loses nothing that has a JSON form; what has none is written as text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic_core import to_json

if TYPE_CHECKING:
    from zproc.schema.event import Change, Commit

__all__ = ["commit_as_data", "commit_as_text", "in_json", "print_json", "print_value", "table"]


def in_json(value: object, *, indent: int | None = None) -> str:
    """Return a value as JSON."""
    text = to_json(value, fallback=str, bytes_mode="base64", inf_nan_mode="constants", indent=indent)
    return text.decode("utf-8")


def print_json(value: object) -> None:
    """Print a value as one line of JSON, at once."""
    print(in_json(value), flush=True)


def print_value(value: object) -> None:
    """Print a value for people: a text as it is, anything else as JSON."""
    print(value if isinstance(value, str) else in_json(value, indent=2), flush=True)


def commit_as_data(commit: Commit) -> Mapping[str, object]:
    """Return a commit as JSON has it."""
    return {
        "revision": commit.revision,
        "epoch": commit.epoch,
        "time": commit.time,
        "pid": commit.author.pid,
        "process": commit.author.process,
        "function": commit.author.function,
        "changes": [change_as_data(change) for change in commit.changes],
    }


def change_as_data(change: Change) -> Mapping[str, object]:
    """Return a change as JSON has it."""
    data: dict[str, object] = {"path": change.path, "kind": change.kind, "old": change.old, "new": change.new}
    return data if change.at is None else {**data, "at": change.at}


def change_as_text(change: Change) -> str:
    """Return a change in a line."""
    where = change.path if change.at is None else f"{change.path}[{change.at}:]"
    return f"{where}: {change.kind} {_short(change.old)} -> {_short(change.new)}"


def commit_as_text(commit: Commit) -> str:
    """Return a commit in a line."""
    from datetime import datetime

    when = datetime.fromtimestamp(commit.time).astimezone().isoformat(" ", "milliseconds")
    who = f"{commit.author.process}[{commit.author.pid}]"
    function = f" {commit.author.function}" if commit.author.function else ""
    return f"{commit.revision}  {when}  {who}{function}  {'; '.join(map(change_as_text, commit.changes)) or 'nothing'}"


def _short(value: object) -> str:
    text = in_json(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


_LONGEST = 60


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return rows in columns, each as wide as it must be."""
    cells = [list(head), *[["" if cell is None else str(cell) for cell in row] for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )
