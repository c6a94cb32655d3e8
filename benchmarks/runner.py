"""Run the benchmarks: ``make bench``, or ``python benchmarks/runner.py [NAME ...]``.

The law: every case of every ``bench_*.py`` is a row of the table. One that cannot be measured is a row as well, with
the reason; so is a file that declares none. Each case has a process of its own, so that none is measured beside what
another has left in memory, and one that crashes or hangs costs its own row only.
"""

from __future__ import annotations

import argparse
import compileall
import importlib
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alone import adopt_orphans, run_alone
from harness import FULL, QUICK, Case, Effort, Need, header
from machine import busy, machine
from row import Row, from_json, table, to_json
from tables import UnknownKey, chosen

HERE = Path(__file__).parent


def discover(directory: Path = HERE) -> dict[str, Case | None]:
    """Return all cases by key, in the order of the files; a file without cases stands there by its name, with None."""
    found: dict[str, Case | None] = {}
    for path in sorted(directory.glob("bench_*.py")):
        cases = getattr(importlib.import_module(path.stem), "CASES", None)
        if not cases:
            found[path.stem] = None
        for case in cases or ():
            if case.key in found:
                raise ValueError(f"two cases are called {case.key!r}; the second is in {path.name}")
            found[case.key] = case
    return found


def measure_alone(case: Case, effort: Effort, limit: float) -> list[Row]:
    """Measure a case in a process of its own."""
    with tempfile.TemporaryDirectory() as directory:
        into = os.path.join(directory, "rows.json")
        numbers = ["--rounds", str(effort.rounds), "--seconds", str(effort.seconds)]
        ending = run_alone([sys.executable, __file__, "--measure", case.key, "--json", into, *numbers], limit)
        rows = [from_json(kept) for kept in json.loads(Path(into).read_text())] if os.path.exists(into) else []
    if ending.trouble:
        rows.append(case.unmeasured(f"not measured: {ending.trouble}"))
        print(ending.said, file=sys.stderr)
    left = [
        Row(key=f"{case.key}!", what=f"left behind by {case.key}: {process}", absent="falls short: had to be ended")
        for process in ending.left
    ]
    return rows + left


def run(keys: dict[str, Case | None], effort: Effort, limit: float) -> list[Row]:
    """Measure one case after the other, and say so on the way."""
    rows: list[Row] = []
    for number, (key, case) in enumerate(keys.items(), 1):
        print(f"\r[{number}/{len(keys)}] {key:40}", end="", file=sys.stderr, flush=True)
        if case is None:
            rows.append(Row(key=key, what=f"{key}.py", absent="not measured: it declares no CASES"))
        else:
            rows += measure_alone(case, effort, limit)
    print(file=sys.stderr)
    return rows


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("make bench", description="Measure zproc beside its peers.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="a key, its beginning up to a dot, or a pattern")
    parser.add_argument("--list", action="store_true", help="list the keys and measure nothing")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: for a first look")
    parser.add_argument("--rounds", type=int, help=f"how often ours and the peer take turns (default {FULL.rounds})")
    parser.add_argument("--seconds", type=float, help=f"how long a round of a rate lasts (default {FULL.seconds})")
    parser.add_argument("--limit", type=float, default=300.0, help="seconds that a case may take (default %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write the results there")
    parser.add_argument("--pictures", metavar="DIRECTORY", help="draw the results there, as SVG")
    parser.add_argument("--measure", metavar="KEY", help=argparse.SUPPRESS)
    return parser


def _write_json(file: str, content: object) -> None:
    path = Path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")


def _draw(results: dict[str, Any], directory: Path) -> None:
    if not Need("matplotlib", "").met():
        print("no pictures: pip install matplotlib", file=sys.stderr)
        return
    from picture import draw  # noqa: PLC0415 (it takes a second, and is not needed for a table)

    draw(results, directory)


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; whatever the verdicts, it is 0: they are for reading."""
    asked = _arguments().parse_args(arguments)
    usual = QUICK if asked.quick else FULL
    effort = Effort(asked.rounds or usual.rounds, asked.seconds or usual.seconds)
    found = discover()
    if asked.measure:
        case = found[asked.measure]
        assert case is not None, asked.measure
        _write_json(asked.json, [to_json(row) for row in case.rows(effort)])
        return 0
    try:
        keys = {key: found[key] for key in chosen(list(found), asked.names)}
    except UnknownKey as error:
        raise SystemExit(f"{error}; --list lists them") from None
    if asked.list:
        print(table([case.unmeasured() if case else Row(key, key=key) for key, case in keys.items()]))
        return 0
    if not adopt_orphans():
        print("this system cannot tell what a benchmark leaves behind", file=sys.stderr)
    # As pip does when it installs; else imports are measured with the compiler, where Python may not write beside them.
    compileall.compile_dir(HERE.parent / "zproc", quiet=1)
    compileall.compile_dir(HERE, quiet=1)
    load = busy()
    rows = run(keys, effort, asked.limit)
    print(f"{header()}\nload before: {load}; {effort.rounds} rounds, of {effort.seconds:g} s for a rate\n{table(rows)}")
    results = {
        "machine": machine(),
        "load": load,
        "effort": {"rounds": effort.rounds, "seconds": effort.seconds},
        "rows": [to_json(row) for row in rows],
    }
    if asked.json:
        _write_json(asked.json, results)
    if asked.pictures:
        _draw(results, Path(asked.pictures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
