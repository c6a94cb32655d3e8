"""The examples run, alone and to their end, and the README shows them as they are."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CRASHING = {"job_queue"}  # a process of theirs dies, and that is reported
JUDGED = {
    "atomicity",
    "bank",
    "button_press",
    "chain_reaction",
    "cookie_eater_extreme",
    "cookies",
    "job_queue",
    "luck_test",
    "mapper",
    "nested_processes",
    "peanut_processor",
    "remote_exceptions",
    "restock",
    "sensors",
    "state_watchers",
}
"""Those whose output a test judges, and so runs them."""


def run(example: Path, directory: Path) -> list[str]:
    """Run an example as a user does, elsewhere, and return the lines that it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", example], cwd=directory, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == "" or example.stem in CRASHING
    return done.stdout.splitlines()


def test_the_readme_shows_the_cookie_program_as_it_is() -> None:
    shown = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    assert shown
    assert shown[1] == (ROOT / "examples" / "cookies.py").read_text("utf-8")


def test_each_example_is_run_and_judged() -> None:
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} == JUDGED


METHODS = pytest.mark.parametrize("method", ["forkserver", "spawn", "fork"])


@pytest.mark.slow
@METHODS
def test_the_cookie_program_is_right_every_time(method: str, tmp_path: Path, whole_lines: str) -> None:
    """Five baked, five eaten, no "nom" before its cookie, and it ends by itself, silently; `make soak` runs it more."""
    bake(method, 3, tmp_path, whole_lines)


@pytest.mark.soak
@METHODS
def test_the_cookie_program_is_right_a_thousand_times(method: str, tmp_path: Path, whole_lines: str) -> None:
    bake(method, 350, tmp_path, whole_lines)


def bake(method: str, times: int, tmp_path: Path, whole_lines: str) -> None:
    environment = {**os.environ, "PYTHONPATH": whole_lines, "ZPROC_START_METHOD": method}
    for _ in range(times):
        done = subprocess.run(
            [sys.executable, "-W", "error", ROOT / "examples" / "cookies.py"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        lines = done.stdout.splitlines()
        assert sorted(lines) == ["Here's a cookie!"] * 5 + ["nom nom nom"] * 5
        baked = [line.startswith("Here") for line in lines]
        assert all(sum(baked[: place + 1]) * 2 >= place + 1 for place in range(len(baked))), lines


@pytest.mark.slow
def test_work_is_mapped_over_workers(tmp_path: Path) -> None:
    assert run(ROOT / "examples" / "mapper.py", tmp_path) == [
        "[1, 4, 9, 16]",
        "[0, 1, 8, 27, 64]",
        "[4, 9, 36, 256]",
        "4950 100",
        "[0, 1, 4, 9, 16]",
        "[0, 1, 2, 'WorkerDied', 4]",
        "[1, 2, 4, 8, 16]",
    ]


@pytest.mark.slow
def test_an_action_restocks_from_three_processes(tmp_path: Path) -> None:
    assert run(ROOT / "examples" / "restock.py", tmp_path) == [
        "6 cookies in 3 deliveries",
        "refused: Input should be less than or equal to 12",
        "[1, 2, 3]",
    ]


@pytest.mark.slow
def test_no_job_is_lost_with_the_worker_that_had_it(tmp_path: Path) -> None:
    lines = run(ROOT / "examples" / "job_queue.py", tmp_path)
    assert lines[0] == "crashed, given back: ['job 3']"
    assert lines[1:] == [f"job {number} done 100" for number in range(1, 7)]


@pytest.mark.slow
def test_no_money_is_lost_between_accounts(tmp_path: Path) -> None:
    lines = run(ROOT / "examples" / "bank.py", tmp_path)
    assert lines[0] == "sum: 300 - overdrawn: []"
    assert lines[1].endswith("200 tried")
    assert lines[2:] == [
        "by {'transfer'} in 4 processes",
        "all revisions right: True",
        "refused: Value error, there is 1300 in all",
    ]


@pytest.mark.slow
def test_no_reading_is_lost_and_no_alarm(tmp_path: Path) -> None:
    assert run(ROOT / "examples" / "sensors.py", tmp_path) == [
        "alarms: ['boiler: 97.25', 'valve: 91.5']",
        "boiler   80.00, at most  97.25, 4 readings",
        "pump     12.00, at most  13.00, 4 readings",
        "valve    22.00, at most  91.50, 4 readings",
        "drawn at least once: True",
    ]


@pytest.mark.slow
def test_one_thing_leads_to_another(tmp_path: Path) -> None:
    assert run(ROOT / "examples" / "chain_reaction.py", tmp_path) == [
        "first: it was pushed",
        "second: it is falling",
        "main: it has fallen",
    ]


@pytest.mark.slow
def test_every_way_to_wait_sees_what_happened(tmp_path: Path) -> None:
    assert run(ROOT / "examples" / "state_watchers.py", tmp_path) == [
        "a process: stock is {'flour': 3}",
        "truthy: True",
        "not none: Anna",
        "available: {'flour': 3}",
        "a test: 12",
        "a change: 90.0",
        "one by one: [90.0, 180.0]",
        "event: Change(path='stock.flour', kind='create', old=None, new=3, at=None)",
        "event: Change(path='chef', kind='set', old=None, new='Anna', at=None)",
        "by type: 180.0",
        "a task: 12",
    ]


@pytest.mark.slow
def test_who_is_buffered_misses_nothing_and_who_is_live_is_up_to_date(tmp_path: Path) -> None:
    buffered, hybrid, live = run(ROOT / "examples" / "peanut_processor.py", tmp_path)
    assert buffered == "buffered: 1 2 3 4 5 6 7 8 9 10"
    assert hybrid == "hybrid: 1 2 3 0 11"
    assert live in {"live: 10", "live: 11"}, "ten had been thrown in before it began"


@pytest.mark.slow
def test_everybody_hears_of_his_number(tmp_path: Path) -> None:
    assert sorted(run(ROOT / "examples" / "luck_test.py", tmp_path)) == [
        "1 came after 5 draws",
        "4 came after 3 draws",
        "6 came after 4 draws",
    ]


@pytest.mark.slow
def test_each_press_that_was_waited_for_counts_once(tmp_path: Path) -> None:
    assert run(ROOT / "examples" / "button_press.py", tmp_path) == ["press 1", "press 2", "press 3"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("example", "lines"),
    [
        (
            "nested_processes",
            [
                "7 processes of depths [1, 2, 2, 3, 3, 3, 3]",
                "1 of them was made here,",
                "2 by the root, and each returned",
            ],
        ),
        (
            "remote_exceptions",
            [
                "cook failed: pizza after 7 minutes, which is 7; exit code 1",
                "it was in: raise Burnt(dish, minutes=7)  # here it went wrong",
                "pizza after 1 more try, the last failure: RemoteError",
                "[6, 'ZeroDivisionError', 2]",
            ],
        ),
        ("cookie_eater_extreme", ["100 processes have eaten a cookie each; 0 are left"]),
    ],
)
def test_an_example_of_processes_prints_what_it_says(example: str, lines: list[str], tmp_path: Path) -> None:
    assert run(ROOT / "examples" / f"{example}.py", tmp_path) == lines


@pytest.mark.slow
def test_no_update_is_lost_where_it_is_atomic(tmp_path: Path) -> None:
    assert run(ROOT / "examples" / "atomicity.py", tmp_path)[-1] == "atomic: 200 in place: 200"
