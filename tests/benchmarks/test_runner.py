from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import harness
import pytest
import runner
from alone import Ending
from row import Row, to_json

BENCHMARKS = Path(runner.__file__).parent
SHORT = harness.Effort(rounds=1, seconds=0.01)


def test_a_name_that_means_nothing_is_refused() -> None:
    with pytest.raises(SystemExit, match="no row is called 'act'; --list lists them"):
        runner.main(["read", "act"])


def test_every_file_of_benchmarks_is_found_and_its_keys_are_its_own() -> None:
    found = runner.discover()
    assert "read.manager" in found
    files = {path.stem for path in BENCHMARKS.glob("bench_*.py")}
    assert {key for key, case in found.items() if case is None} <= files


def test_two_cases_of_one_key_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = "from harness import Case, Row\nCASES = [Case('a', lambda _: Row('a')), Case('a', lambda _: Row('a'))]\n"
    (tmp_path / "bench_twice.py").write_text(case)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="two cases are called 'a'"):
        runner.discover(tmp_path)


def test_a_file_that_declares_nothing_is_a_row_that_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bench_nothing.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    found = runner.discover(tmp_path)
    (row,) = runner.run(found, SHORT, 10)
    assert (row.key, row.verdict) == ("bench_nothing", "not measured: it declares no CASES")


def ended(monkeypatch: pytest.MonkeyPatch, ending: Ending, rows: list[Row] | None = None) -> list[Row]:
    def run_alone(command: list[str], _limit: float) -> Ending:
        if rows is not None:
            Path(command[command.index("--json") + 1]).write_text(json.dumps([to_json(row) for row in rows]))
        return ending

    monkeypatch.setattr(runner, "run_alone", run_alone)
    return runner.measure_alone(harness.Case("a", lambda _effort: [], Row("of a", goal=2)), SHORT, 10)


def test_rows_come_back_from_the_process_that_measured_them(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [Row("x", 2, 1, "/s", 2, goal=1, key="a.x"), Row("y", absent="not installed: pip install y", key="a.y")]
    assert ended(monkeypatch, Ending("", "", []), rows) == rows


def test_a_case_that_fails_or_hangs_is_a_row_that_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (row,) = ended(monkeypatch, Ending("not done after 10 s", "its last words", []))
    assert (row.key, row.what, row.aim) == ("a", "of a", ">= 2 x")
    assert row.verdict == "not measured: not done after 10 s"
    assert "its last words" in capsys.readouterr().err


def test_what_a_case_leaves_behind_is_a_row_beside_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    row, left = ended(monkeypatch, Ending("", "", ["77 redis-server"]), [Row("x", key="a")])
    assert row.key == "a"
    assert (left.what, left.verdict) == ("left behind by a: 77 redis-server", "falls short: had to be ended")


@pytest.mark.slow
def test_a_real_case_is_measured_in_a_process_of_its_own(tmp_path: Path) -> None:
    """Whole way through the command line, with the cheapest peers there are."""
    into = tmp_path / "results.json"
    command = [
        sys.executable,
        runner.__file__,
        "commit.echo.1",
        "--rounds",
        "1",
        "--seconds",
        "0.01",
        "--json",
        str(into),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True)
    assert "commit, 1 client: single-op commit against bare AF_UNIX msgpack echo" in done.stdout
    results = json.loads(into.read_text())
    (row,) = results["rows"]
    assert row["key"] == "commit.echo.1"
    assert row["ours"] > 0
    assert row["verdict"].startswith(("pass", "falls short"))
    assert {"system", "processor", "cores", "python", "versions", "measured"} <= set(results["machine"])
