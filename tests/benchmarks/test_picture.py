from __future__ import annotations

from pathlib import Path

import pytest
from row import Row, to_json

pytest.importorskip("matplotlib", reason="the picture of the benchmarks needs matplotlib: make .venv/.installed-bench")

ROWS = [
    Row("read against a", 2, 1, "us", 0.5, key="read"),
    Row(
        "act, 1 client: add against b",
        3,
        2,
        "/s",
        1.5,
        1.3,
        [1.4, 1.6],
        "act.b.1",
        None,
        "",
        "act, 1 client",
        "add",
        "b",
    ),
    Row("act against c", key="act.c.1", absent="not installed: pip install c"),
]


def test_the_pictures_name_every_row_that_was_measured_and_are_the_same_every_time(tmp_path: Path) -> None:
    from picture import draw

    results = {"rows": [to_json(row) for row in ROWS]}
    ratios, rates = draw(results, tmp_path)
    assert (ratios.name, rates.name) == ("ratios.svg", "rates.svg")
    assert "read against a" in ratios.read_text()
    assert "act against c" not in ratios.read_text()
    assert "zproc: add" in rates.read_text()
    again = [path.read_bytes() for path in draw(results, tmp_path / "again")]
    assert again == [ratios.read_bytes(), rates.read_bytes()]


def test_of_nothing_there_is_no_picture(tmp_path: Path) -> None:
    from picture import draw

    assert draw({"rows": [to_json(ROWS[2])]}, tmp_path) == []
