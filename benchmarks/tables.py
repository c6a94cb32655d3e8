"""The figures in the documents: written there from the results, never by hand.

The law: a document marks where figures stand and says by key which they are; what stands between the marks is what the
results say, or the check fails. A key that the results do not have is an error, not a gap.

Three marks. A table of rows, by keys, beginnings of keys up to a dot, or patterns::

    <!-- benchmarks: action.manager atomic.manager.8 -->
    <!-- /benchmarks -->

And the ratio of a row, or with a second word another of its figures, in a sentence::

    reading is <!-- figure: read.manager -->109 x<!-- /figure --> as fast

And the tables of `stages`::

    <!-- stages -->
    <!-- /stages -->
"""

from __future__ import annotations

import argparse
import difflib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from row import Row, figure, from_json

__all__ = ["Results", "UnknownKey", "chosen", "documents", "rewritten"]

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs" / "benchmarks" / "results.json"

_TABLE = re.compile(r"(<!-- benchmarks: (.*?) -->\n).*?(<!-- /benchmarks -->)", re.DOTALL)
_FIGURE = re.compile(r"(<!-- figure: (\S+)(?: (\S+))? -->).*?(<!-- /figure -->)", re.DOTALL)

_STAGES = re.compile(r"(<!-- stages -->\n).*?(<!-- /stages -->)", re.DOTALL)

_HEAD = "| | zproc | peer | ratio | goal | |\n|---|--:|--:|--:|---|---|\n"


class UnknownKey(LookupError):
    """A document or a command line asks for what there is not."""


class Results:
    """What was measured, by key.

    Args:
        kept: the content of the file of results.
    """

    def __init__(self, kept: Mapping[str, Any]) -> None:
        self.rows = {row["key"]: from_json(row) for row in kept["rows"]}
        self._machine = kept["machine"]
        self._stages: str | None = kept.get("stages")

    def machine(self) -> str:
        """Say in a line what the figures are of."""
        about = self._machine
        versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
        return (
            f"Measured {about['measured']} at commit {about['commit']}: {about['processor']}, {about['cores']} cores, "
            f"{about['system']}, {about['python']}; {versions}."
        )

    def table(self, names: Sequence[str]) -> str:
        """Return the rows that the names mean, as Markdown, and what machine they are of."""
        lines = (_line(self.rows[key]) for key in chosen(list(self.rows), names))
        return f"{_HEAD}{''.join(lines)}\n{self.machine()}\n"

    def stages(self) -> str:
        """Return where the microseconds go, as Markdown, and what machine that is of."""
        if self._stages is None:
            raise UnknownKey("the results have no stages: python benchmarks/stages.py --into adds them")
        return f"{self._stages}\n{self.machine()}\n"

    def figure(self, key: str, which: str) -> str:
        """Return one figure of one row.

        Args:
            key: the row.
            which: ``times`` for the ratio, ``ours``, ``peer``, ``aim``, ``spread`` or ``verdict``.
        """
        if key not in self.rows:
            raise UnknownKey(f"no row is called {key!r}")
        row = self.rows[key]
        figures = {
            "times": row.times,
            "ours": _with_unit(row.ours, row),
            "peer": _with_unit(row.peer, row),
            "aim": row.aim,
            "spread": row.spread,
            "verdict": row.verdict,
        }
        if which not in figures:
            raise UnknownKey(f"a row has no {which!r}, but {', '.join(figures)}")
        return figures[which] or row.verdict


def _means(name: str, key: str) -> bool:
    return fnmatchcase(key, name) or key.startswith(f"{name}.")


def chosen(keys: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the keys that the names mean, in their order; all for no name.

    Args:
        keys: the keys that there are.
        names: each a pattern, or the beginning of keys up to a dot.

    Raises:
        UnknownKey: a name means none.
    """
    for name in names:
        if not any(_means(name, key) for key in keys):
            raise UnknownKey(f"no row is called {name!r}")
    return list(dict.fromkeys(key for name in names for key in keys if _means(name, key))) if names else list(keys)


def _with_unit(value: float | None, row: Row) -> str:
    unit = row.unit if row.unit.startswith("/") else f" {row.unit}"
    return "" if value is None else f"{figure(value)}{unit}"


def _line(row: Row) -> str:
    what = f"{row.subject or row.what}: {row.ours_name}" if row.ours_name else row.what
    peer = ": ".join(part for part in (row.peer_name, _with_unit(row.peer, row)) if part)
    cells = (what, _with_unit(row.ours, row), peer, row.times, row.aim, row.verdict)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def rewritten(text: str, results: Results) -> str:
    """Return a document with its figures as the results have them.

    Raises:
        UnknownKey: it asks for a row that there is not.
    """
    text = _TABLE.sub(lambda mark: mark[1] + results.table(mark[2].split()) + mark[3], text)
    text = _STAGES.sub(lambda mark: mark[1] + results.stages() + mark[2], text)
    return _FIGURE.sub(lambda mark: mark[1] + results.figure(mark[2], mark[3] or "times") + mark[4], text)


def documents(root: Path = ROOT) -> list[Path]:
    """Return the documents of the project."""
    return [*sorted(root.glob("*.md")), *sorted((root / "docs").rglob("*.md"))]


def marked(paths: Sequence[Path]) -> list[Path]:
    """Return the documents that have marks."""
    texts = {path: path.read_text("utf-8") for path in paths}
    return [path for path, text in texts.items() if any(mark.search(text) for mark in (_TABLE, _FIGURE, _STAGES))]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the figures into the documents, or check them; return 1 if they differed and were only to be checked."""
    parser = argparse.ArgumentParser("tables.py", description="Write the measured figures into the documents.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail with the difference")
    parser.add_argument(
        "--results", type=Path, default=RESULTS, metavar="FILE", help="default: docs/benchmarks/results.json"
    )
    parser.add_argument("documents", nargs="*", type=Path, help="default: README.md and everything else in Markdown")
    asked = parser.parse_args(arguments)
    paths = marked(asked.documents or documents())
    if not paths:
        return 0
    results = Results(json.loads(asked.results.read_text("utf-8")))
    stale = False
    for path in paths:
        before = path.read_text("utf-8")
        after = rewritten(before, results)
        if before == after:
            continue
        stale = True
        if asked.check:
            sides = before.splitlines(keepends=True), after.splitlines(keepends=True)
            sys.stdout.writelines(difflib.unified_diff(*sides, str(path), f"{path} by the results"))
        else:
            path.write_text(after, "utf-8")
            print(f"{path} has new figures")
    return int(stale and asked.check)


if __name__ == "__main__":
    sys.exit(main())
