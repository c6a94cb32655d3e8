"""Commands against a real server: in a thread of this process, over ``unix://``, with a model that can be imported."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from zproc.cli.program import main
from zproc.testing import MemoryServer

MODEL = """
    import datetime
    import enum

    from pydantic import BaseModel, Field

    import zproc


    class Color(enum.Enum):
        RED = "red"
        BLUE = "blue"


    class Oven(BaseModel):
        temp: int = 20


    class AppState(zproc.StateModel):
        cookies: int = Field(default=0, ge=0)
        name: str = ""
        color: Color = Color.RED
        day: datetime.date = datetime.date(2020, 1, 1)
        stock: dict[str, int] = {"flour": 3}
        by_number: dict[int, str] = {1: "one"}
        ovens: list[Oven] = [Oven()]
        tags: set[str] = {"b", "a"}
        data: bytes = b"\\xff"
"""


class Zproc:
    """Runs commands in this process, and returns what they print."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str, code: int = 0) -> str:
        """Run a command; its exit code must be this one. What it printed is returned, where it failed the reason."""
        self._capsys.readouterr()
        assert main(arguments) == code, self._capsys.readouterr()
        out, err = self._capsys.readouterr()
        return err if code else out

    def json(self, *arguments: str) -> list[Any]:
        """Run a command with --json, and return the values that it printed."""
        return [json.loads(line) for line in self(*arguments, "--json").splitlines()]


@pytest.fixture
def zproc(capsys: pytest.CaptureFixture[str]) -> Zproc:
    return Zproc(capsys)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with a model, ``appstate:AppState``, which is the working directory."""
    (tmp_path / "appstate.py").write_text(textwrap.dedent(MODEL))
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    yield tmp_path
    sys.path[:] = path
    sys.modules.pop("appstate", None)


@pytest.fixture
def served(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A server of that model, at the address that ZPROC_ADDRESS says."""
    from zproc.cli.reach import schema_of

    server = MemoryServer(schema_of("appstate:AppState").model)
    monkeypatch.setenv("ZPROC_ADDRESS", server.address)
    yield server
    server.close()
