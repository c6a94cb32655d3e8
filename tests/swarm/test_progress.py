"""A bar is rich's, a line, or whatever is called like tqdm."""

from __future__ import annotations

import io
import sys
from types import ModuleType
from typing import Any

import pytest

from zproc.swarm.progress import bar_of


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Tqdm:
    def __init__(self, total: int | None) -> None:
        self.total = total
        self.n = 0
        self.closed = False

    def update(self, n: int) -> None:
        self.n += n

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def without_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)


def test_nothing_is_shown_unless_it_is_asked_for() -> None:
    assert bar_of(False, "f", 5) is None


def test_a_bar_of_the_programs_is_given_the_total() -> None:
    bar = bar_of(Tqdm, "f", 5)
    assert isinstance(bar, Tqdm)
    assert bar.total == 5


@pytest.mark.usefixtures("without_rich")
def test_on_a_terminal_a_line_is_rewritten(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Terminal()
    monkeypatch.setattr(sys, "stderr", out)
    bar = bar_of(True, "square", 10)
    assert bar is not None
    bar.update(5)
    bar.update(5)
    bar.close()
    bar.close()
    text = out.getvalue()
    assert text.startswith("\rsquare: 5/10 (50 %)")
    assert text.count("\n") == 1
    assert "square: 10/10 (100 %)" in text


@pytest.mark.usefixtures("without_rich")
def test_elsewhere_one_line_is_written_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    bar = bar_of(True, "square", None)
    assert bar is not None
    bar.update(3)
    bar.close()
    assert out.getvalue().startswith("square: 3, ")
    assert out.getvalue().count("\n") == 1


def test_rich_is_used_when_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    class Progress:
        def __init__(self, **_options: object) -> None:
            calls.append("made")

        def add_task(self, name: str, total: int | None) -> int:
            calls.append((name, total))
            return 1

        def start(self) -> None:
            calls.append("start")

        def update(self, task: int, advance: int) -> None:
            calls.append((task, advance))

        def stop(self) -> None:
            calls.append("stop")

    module = ModuleType("rich.progress")
    module.Progress = Progress  # type: ignore[attr-defined]
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: object())
    monkeypatch.setattr("importlib.import_module", lambda _name: module)
    bar = bar_of(True, "square", 10)
    assert bar is not None
    bar.update(4)
    bar.close()
    assert calls == ["made", ("square", 10), "start", (1, 4), "stop"]
