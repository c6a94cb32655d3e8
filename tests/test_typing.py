"""What the types promise: every wrong use in `tests/typing` is rejected, and no right one.

The files there are a project of its own, as a user has one: models, the clients that are generated from them, and uses
of a context that is known by its model alone (``plain``), that is the client's (``generated``), or that the model is
linked to (``linked``). Each checker is run once, strictly and without settings or plugins.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = ROOT / "tests" / "typing"
FILES = sorted(PROJECT.glob("*.py"))
CLIENTS = ["cookie/client.py", "nasty/client.py", "shop/client.py"]

Lines = Mapping[str, set[int]]

FEWEST = 60
"""How many wrong uses there are at least."""

COMPLETE = 0.99
"""Which part of the public names has a type that is written down or cannot be inferred differently."""


def marked() -> Lines:
    return {
        file.name: {
            number for number, line in enumerate(file.read_text("utf-8").splitlines(), 1) if line.endswith("# E")
        }
        for file in FILES
    }


def run(*command: str, cwd: Path = PROJECT) -> str:
    # By the path, pyright finds the environment whose packages it is asked about.
    environment = {**os.environ, "PATH": os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])}
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def pyright(*options: str, cwd: Path = PROJECT) -> Any:
    output = run("pyright", "--outputjson", *options, cwd=cwd)
    try:
        return json.loads(output[output.index("{") :])
    except ValueError:
        pytest.skip(f"pyright cannot run here, it fetches its own program at the first run: {output[:200]}")


def test_there_are_enough_wrong_uses() -> None:
    assert sum(map(len, marked().values())) >= FEWEST
    for model in ("cookie", "shop", "nasty"):
        for kind in ("plain", "generated", "linked"):
            assert marked()[f"{model}_{kind}.py"], "each model is used wrongly in each way"


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_mypy_rejects_the_wrong_uses_and_nothing_else() -> None:
    cache = ROOT / ".mypy_cache" / "typing"
    files = [*(file.name for file in FILES), *CLIENTS]
    output = run("mypy", "--strict", "--config-file=", f"--cache-dir={cache}", "--no-error-summary", *files)
    found: dict[str, set[int]] = {file.name: set() for file in FILES}
    for name, line in re.findall(r"^(\S+\.py):(\d+): error:", output, re.MULTILINE):
        found.setdefault(name, set()).add(int(line))
    assert found == marked(), output


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_pyright_rejects_the_wrong_uses_and_nothing_else() -> None:
    listed = pyright("--pythonpath", sys.executable, "--project", ".")["generalDiagnostics"]
    found: dict[str, set[int]] = {file.name: set() for file in FILES}
    for one in listed:
        if one["severity"] == "error":
            name = Path(one["file"]).relative_to(PROJECT).as_posix()
            found.setdefault(name, set()).add(one["range"]["start"]["line"] + 1)
    assert found == marked(), json.dumps(listed, indent=1)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_every_public_name_has_a_type_that_all_checkers_agree_on(tmp_path: Path) -> None:
    found = pyright("--verifytypes", "zproc", "--ignoreexternal", cwd=tmp_path)["typeCompleteness"]
    lacking = {
        symbol["name"]: [each["message"] for each in symbol["diagnostics"]]
        for symbol in found["symbols"]
        if not symbol["isTypeKnown"] or symbol["isTypeAmbiguous"]
    }
    assert found["completenessScore"] >= COMPLETE, json.dumps(lacking, indent=1)
