"""What the types promise: every wrong use in `tests/typing` is rejected, and no right one.

The files there are a project of its own, as a user has one: models, the clients that are generated from them, and uses
of a context that is known by its model alone (``plain``), that is the client's (``generated``), or that the model is
linked to (``linked``). Each checker is run once, strictly and without settings or plugins.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from zproc.cli.command import OK
from zproc.cli.program import main

ROOT = Path(__file__).parent.parent
PROJECT = ROOT / "tests" / "typing"
FILES = sorted(PROJECT.glob("*.py"))
CLIENTS = {
    "cookie/client.py": "cookie.state:CookieState",
    "nasty/client.py": "nasty.state:NastyState",
    "shop/client.py": "shop.state:ShopState",
}

Lines = Mapping[str, set[int]]

FEWEST = 60
"""How many wrong uses there are at least."""


def marked() -> Lines:
    return {
        file.name: {
            number for number, line in enumerate(file.read_text("utf-8").splitlines(), 1) if line.endswith("# E")
        }
        for file in FILES
    }


def run(*command: str) -> str:
    done = subprocess.run([sys.executable, "-m", *command], cwd=PROJECT, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


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
    output = run("pyright", "--outputjson", "--pythonpath", sys.executable, "--project", ".")
    try:
        listed = json.loads(output[output.index("{") :])["generalDiagnostics"]
    except ValueError:
        pytest.skip(f"pyright cannot run here, it fetches its own program at the first run: {output[:200]}")
    found: dict[str, set[int]] = {file.name: set() for file in FILES}
    for one in listed:
        if one["severity"] == "error":
            name = Path(one["file"]).relative_to(PROJECT).as_posix()
            found.setdefault(name, set()).add(one["range"]["start"]["line"] + 1)
    assert found == marked(), json.dumps(listed, indent=1)


@pytest.mark.parametrize(("client", "model"), CLIENTS.items())
def test_a_client_is_what_its_model_gives(
    client: str, model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(PROJECT)
    monkeypatch.syspath_prepend(str(PROJECT))
    assert main(["generate", model, "--out", client, "--check"]) == OK, capsys.readouterr().out
