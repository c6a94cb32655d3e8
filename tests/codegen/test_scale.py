"""A client of three hundred paths costs its users no more than one of ten: neither time, nor pages of errors."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from zproc.cli.command import OK
from zproc.cli.program import main

MOST = 3.0
"""How many times longer a checker may take."""

LONGEST = 40
"""How many lines one wrong call may print."""

TYPES = ["int", "str", "float", "bool", "list[str]", "dict[str, int]", "int | None", "set[int]"]
DEFAULTS = ["0", '""', "0.0", "False", "[]", "{}", "None", "set()"]


def project(directory: Path, models: int, fields: int) -> int:
    """Write a project whose model has models of fields, and return how many paths that makes."""
    lines = ["import zproc", "from pydantic import BaseModel", ""]
    for model in range(models):
        lines += [f"class Part{model}(BaseModel):"]
        lines += [f"    field{n}: {TYPES[n % 8]} = {DEFAULTS[n % 8]}" for n in range(fields)]
    lines += ["class BigState(zproc.StateModel):"]
    lines += [f"    part{model}: Part{model} = Part{model}()" for model in range(models)]
    directory.mkdir()
    (directory / "state.py").write_text("\n".join(lines) + "\n")
    (directory / "use.py").write_text(
        "from client import BigContext\n"
        "ctx = BigContext()\n"
        "ctx.state.part0.field0 += 1\n"
        "ctx.state.get_when_equal('part0.field0', 3)\n"
        "ctx.state.when_not_equal('part0.field1', 'x')\n"
        "ctx.state.changes('part0', 'part0.field2')\n"
        "ctx.when.part0.field2.equals(3.0)\n"
        "ctx.call_when_equal('part0.field0', 3)\n"
    )
    (directory / "wrong.py").write_text(
        "from client import BigContext\nBigContext().state.get_when_equal('part0.field0', 'x')\n"
    )
    return models * (fields + 1)


def generated(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(directory)
    monkeypatch.setattr(sys, "path", [str(directory), *sys.path])
    monkeypatch.delitem(sys.modules, "state", raising=False)
    assert main(["generate", "state:BigState", "--out", "client.py"]) == OK
    monkeypatch.delitem(sys.modules, "state")


def mypy(directory: Path, file: str) -> tuple[float, str]:
    """Check a file of a project anew, with what it imports of others known; return the seconds of work and the output.

    A comment at the end of each of the project's own files has it looked at anew.
    """
    for own in directory.glob("*.py"):
        with own.open("a") as text:
            text.write("# once more\n")
    cache = directory.parent / "cache"
    command = ["mypy", "--strict", "--config-file=", f"--cache-dir={cache}", "--no-error-summary", file]
    with subprocess.Popen(
        [sys.executable, "-m", *command], cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout
        output = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return used.ru_utime + used.ru_stime, output


@pytest.mark.soak
def test_three_hundred_paths_are_as_quick_to_check_as_ten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Any
) -> None:
    few, many = tmp_path / "few", tmp_path / "many"
    assert project(few, 2, 4) == 10
    assert project(many, 20, 14) == 300
    for directory in (few, many):
        generated(directory, monkeypatch)
        seconds, output = mypy(directory, "use.py")  # the first one reads zproc and pydantic, too
        assert output == ""
    taken: dict[Path, list[float]] = {few: [], many: []}
    for _ in range(3):
        for directory, times in taken.items():
            seconds, output = mypy(directory, "use.py")
            assert output == ""
            times.append(seconds)
    ratio = median(taken[many]) / median(taken[few])
    print(f"10 paths: {median(taken[few]):.2f} s, 300 paths: {median(taken[many]):.2f} s, {ratio:.2f} times as long")
    record_property("ratio", ratio)
    assert ratio <= MOST

    _, output = mypy(many, "wrong.py")
    assert re.match(r"wrong\.py:2: error", output)
    assert len(output.splitlines()) < LONGEST, output
