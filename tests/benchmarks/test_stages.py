from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import stages
from probes import Event
from stages import BACK, BEFORE, CLIENT, LOOP, THERE, middle, split

ENCODE, DECODE = "client: encode the request", "client: decode the answer"
TAKE, WORK, APPLY = "server: decode the request", "server: dispatch, turns, outcomes", "server: apply"

ASKING = [Event(ENCODE, 10, 13), Event("send", 15, 20), Event("recv", 21, 70), Event(DECODE, 72, 76)]
SERVER = [
    Event("poll", 0, 25),
    Event(TAKE, 27, 30),
    Event(WORK, 31, 50),
    Event(APPLY, 35, 45),
    Event("reply", 55, 58),
    Event("poll", 60, 110),
]


def test_a_call_is_split_at_what_both_sides_noted() -> None:
    found = split(5, 80, ASKING, SERVER, ASKING)
    assert {name: took for name, took in found.items() if took} == {
        CLIENT: 5 + 2 + 2 + 4,
        ENCODE: 3,
        THERE: 10,
        TAKE: 3,
        WORK: 9,
        APPLY: 10,
        LOOP: 2 + 1 + 5,
        BACK: 15,
        DECODE: 4,
    }
    assert sum(found.values()) == 75


def test_several_round_trips_are_one_call() -> None:
    later = [Event(event.name, event.begin + 100, event.end + 100) for event in ASKING]
    server = SERVER + [Event(event.name, event.begin + 100, event.end + 100) for event in SERVER[1:]]
    found = split(5, 180, ASKING + later, server, ASKING + later)
    assert sum(found.values()) == 175
    assert (found[ENCODE], found[APPLY]) == (6, 20)


def test_who_is_woken_waits_for_the_answer_to_who_committed_and_not_for_what_he_does_with_it() -> None:
    server = [*SERVER[:-1], Event("reply", 61, 63), Event("poll", 64, 110)]
    watcher = [Event("recv", 1, 75), Event(DECODE, 77, 79)]
    found = split(5, 90, ASKING, server, watcher)
    assert sum(found.values()) == 85
    assert (found[BEFORE], found[BACK], found[DECODE]) == (3, 75 - 61, 2)


@pytest.mark.parametrize(("count", "those"), [(1, [0]), (2, [0, 1]), (5, [2]), (10, [4, 5]), (11, [4, 5, 6])])
def test_those_calls_count_that_took_about_as_long_as_the_median(count: int, those: list[int]) -> None:
    assert middle(range(count)[::-1], float) == those


@pytest.mark.slow
def test_every_stage_of_real_calls_is_measured(tmp_path: Path) -> None:
    """Every probe is at a function that there still is; in a process of its own, since it forks."""
    results = tmp_path / "results.json"
    results.write_text('{"rows": []}')
    command = [sys.executable, stages.__file__, "--rounds", "1", "--times", "30", "--into", str(results)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True).stdout
    cells = [[cell.strip(" *") for cell in line.split("|")[1:-1]] for line in said.splitlines() if line.startswith("|")]
    lines = {cell[0]: cell[1:] for cell in cells}
    assert [len(lines[name]) for name in (THERE, BACK, "sum of the stages")] == [len(stages.CALLS)] * 3
    assert all(float(cell) > 0 for name in (CLIENT, THERE, LOOP, TAKE, WORK, BACK) for cell in lines[name])
    assert all(float(cell) > 0 for cell in lines[APPLY][1:]), "only a read applies nothing"
    assert json.loads(results.read_text()) == {"rows": [], "stages": said.partition("\n\n")[2]}
