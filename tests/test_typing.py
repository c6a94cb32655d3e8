"""What the types promise: every wrong use in `tests/typing` is rejected, and no right one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "tests" / "typing").glob("*.py"))

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def marked(file: Path) -> set[int]:
    return {number for number, line in enumerate(file.read_text("utf-8").splitlines(), 1) if line.endswith("# E")}


def run(*command: str) -> str:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_mypy_rejects_the_wrong_uses_and_nothing_else(file: Path) -> None:
    output = run("mypy", "--strict", str(file))
    assert {int(line) for line in re.findall(rf"{file.name}:(\d+): error:", output)} == marked(file), output


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_pyright_rejects_the_wrong_uses_and_nothing_else(file: Path) -> None:
    output = run("pyright", "--outputjson", "--pythonpath", sys.executable, str(file))
    try:
        found = json.loads(output[output.index("{") :])["generalDiagnostics"]
    except ValueError:
        pytest.skip(f"pyright cannot run here, it fetches its own program at the first run: {output[:200]}")
    errors = {one["range"]["start"]["line"] + 1 for one in found if one["severity"] == "error"}
    assert errors == marked(file), json.dumps(found, indent=1)
