"""The drawings show what is so."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "docs"))

import drawings

from zproc.core.supervisor import LIFE


@pytest.fixture(scope="module")
def drawn() -> dict[Path, str]:
    """Everything, drawn once: it takes seconds, and so nothing of it may happen while tests are collected."""
    return drawings.drawings()


def test_the_drawings_of_lives_are_up_to_date(drawn: dict[Path, str]) -> None:
    lives = {path: text for path, text in drawn.items() if path.name.startswith("life")}
    assert lives
    stale = [path.name for path, text in lives.items() if path.read_text("utf-8") != text]
    assert stale == [], "run: python docs/drawings.py"


def test_a_picture_is_well_formed_and_has_a_title(drawn: dict[Path, str]) -> None:
    pictures = {path.name: text for path, text in drawn.items() if path.suffix == ".svg"}
    assert pictures
    for name, text in pictures.items():
        assert ET.fromstring(text).find("{http://www.w3.org/2000/svg}title") is not None, name


def test_the_lines_between_layers_are_the_imports() -> None:
    graph = drawings.imports()
    assert {"core", "transport"} <= graph["server"]
    assert graph["exceptions"] == set()
    order = [part for row in drawings.layers() for part in row]
    for part, targets in graph.items():
        assert all(order.index(part) < order.index(target) for target in targets), part


def test_a_line_that_follows_from_others_is_left_out() -> None:
    assert drawings.reduced({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == {"a": {"b"}, "b": {"c"}, "c": set()}


def test_the_life_of_a_process_is_that_of_the_rules() -> None:
    table = drawings.lifecycles()["life-of-a-process"].table
    assert {state: dict(row) for state, row in table.items()} == {
        stage.name.lower(): {event.name.lower(): after.name.lower() for event, after in row.items()}
        for stage, row in LIFE.items()
    }


def test_a_drawing_that_is_stale_is_reported_and_then_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(drawings, "ROOT", tmp_path)
    monkeypatch.setattr(drawings, "drawings", lambda: {tmp_path / "new" / "x.svg": "text"})
    assert drawings.main(["--check"]) == 1
    assert not (tmp_path / "new").exists()
    assert drawings.main([]) == 0
    assert drawings.main(["--check"]) == 0
    assert capsys.readouterr().out.splitlines() == ["stale: new/x.svg", "written: new/x.svg"]
