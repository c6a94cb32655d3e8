from __future__ import annotations

import json
from pathlib import Path

import pytest
import tables
from row import Row, to_json
from tables import Results, UnknownKey, chosen, documents, main, rewritten

ROOT = Path(__file__).parent.parent.parent
KEYS = ["read.manager", "action.echo.1", "action.echo.8", "action.redis-incr.1", "actions"]

MACHINE = {
    "measured": "2026-01-02 03:04 UTC",
    "commit": "abc",
    "processor": "Z80",
    "cores": 2,
    "system": "CP/M",
    "python": "CPython 3.11",
    "versions": {"zproc": "1.0", "redis": "8"},
}
ROWS = [
    Row("", 30_000, 20_000, "/s", 1.5, 1.3, [1.4, 1.6], "action.a", subject="action", ours_name="add", peer_name="a|b"),
    Row("action against b", unit="/s", goal=2, key="action.b", absent="not installed: pip install b"),
    Row("read", 0.25, unit="us", at_most=0.3, key="read"),
]
KEPT = {"machine": MACHINE, "rows": [to_json(row) for row in ROWS]}
RESULTS = Results(KEPT)

DOCUMENT = """
# How fast
<!-- benchmarks: action read -->
old and wrong
<!-- /benchmarks -->
It is <!-- figure: action.a -->9 x<!-- /figure --> as fast,
and reads in <!-- figure: read ours --><!-- /figure -->.
"""
WRITTEN = """
# How fast
<!-- benchmarks: action read -->
| | zproc | peer | ratio | goal | |
|---|--:|--:|--:|---|---|
| action: add | 30,000/s | a\\|b: 20,000/s | 1.50 x | >= 1.3 x | pass |
| action against b |  |  |  | >= 2 x | not installed: pip install b |
| read | 0.25 us |  |  | <= 0.3 us | pass |

Measured 2026-01-02 03:04 UTC at commit abc: Z80, 2 cores, CP/M, CPython 3.11; zproc 1.0, redis 8.
<!-- /benchmarks -->
It is <!-- figure: action.a -->1.50 x<!-- /figure --> as fast,
and reads in <!-- figure: read ours -->0.25 us<!-- /figure -->.
"""


def test_the_documents_quote_the_results_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """``python benchmarks/tables.py`` mends it."""
    assert main(["--check"]) == 0, capsys.readouterr().out


def test_every_document_of_the_project_is_looked_at() -> None:
    assert {ROOT / "README.md", ROOT / "docs" / "design" / "README.md"} <= set(documents())


def test_figures_are_written_between_the_marks_and_nothing_else_is_touched() -> None:
    assert rewritten(DOCUMENT, RESULTS) == WRITTEN
    assert rewritten(WRITTEN, RESULTS) == WRITTEN
    assert rewritten("nothing marked: 9 x", RESULTS) == "nothing marked: 9 x"


@pytest.mark.parametrize("name", ["<!-- figure: reed -->", "<!-- figure: read speed -->"])
def test_a_figure_that_was_not_measured_is_an_error(name: str) -> None:
    with pytest.raises(UnknownKey):
        rewritten(f"{name}1<!-- /figure -->", RESULTS)


def test_a_table_of_rows_that_were_not_measured_is_an_error() -> None:
    with pytest.raises(UnknownKey, match="no row is called 'atomic'"):
        rewritten("<!-- benchmarks: action atomic -->\n<!-- /benchmarks -->", RESULTS)


def test_the_tables_of_stages_are_written_as_they_were_measured() -> None:
    marked = "<!-- stages -->\nold\n<!-- /stages -->"
    written = rewritten(marked, Results(KEPT | {"stages": "| table |\n"}))
    assert written.startswith("<!-- stages -->\n| table |\n\nMeasured 2026-01-02")
    with pytest.raises(UnknownKey, match="the results have no stages"):
        rewritten(marked, RESULTS)


def test_a_figure_that_could_not_be_measured_says_why() -> None:
    assert RESULTS.figure("action.b", "times") == "not installed: pip install b"


def test_the_check_fails_with_the_difference_until_the_documents_are_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results, document = tmp_path / "results.json", tmp_path / "page.md"
    results.write_text(json.dumps(KEPT))
    document.write_text(DOCUMENT)
    files = ["--results", str(results), str(document)]
    assert main(["--check", *files]) == 1
    assert "-old and wrong" in capsys.readouterr().out
    assert document.read_text() == DOCUMENT
    assert main(files) == 0
    assert document.read_text() == WRITTEN
    assert main(["--check", *files]) == 0


def test_without_marks_no_results_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "RESULTS", tmp_path / "none")
    (tmp_path / "page.md").write_text("no marks")
    assert main(["--check", str(tmp_path / "page.md")]) == 0


@pytest.mark.parametrize(
    ("names", "meant"),
    [
        ([], KEYS),
        (["action"], KEYS[1:4]),
        (["action.echo.8", "read"], [KEYS[2], KEYS[0]]),
        (["*.1"], [KEYS[1], KEYS[3]]),
        (["action*"], KEYS[1:]),
    ],
    ids=str,
)
def test_a_name_means_a_key_its_beginning_up_to_a_dot_or_a_pattern(names: list[str], meant: list[str]) -> None:
    assert chosen(KEYS, names) == meant
