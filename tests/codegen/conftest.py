"""A module for tests to define models in, as a program would."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

_numbers = count(1)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Import a text as a module of a name of its own."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def load(text: str) -> Any:
        name = f"made{next(_numbers)}"
        (tmp_path / f"{name}.py").write_text(dedent(text), "utf-8")
        monkeypatch.delitem(sys.modules, name, raising=False)
        found = __import__(name)
        monkeypatch.setitem(sys.modules, name, found)
        return found

    return load
