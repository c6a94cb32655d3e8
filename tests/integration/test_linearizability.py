"""The checkers themselves, and then what real processes see of one number."""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.integration.linearizability import (
    NEVER,
    UNKNOWN,
    Call,
    Illegal,
    calls_of,
    counter,
    pair,
    search,
    witness,
)

ROOT = Path(__file__).parent.parent.parent


def explained(calls: Sequence[Call]) -> bool:
    try:
        search(calls, counter, 0)
    except Illegal:
        return False
    return True


def explained_by_trying_everything(calls: Sequence[Call]) -> bool:
    needed = {place for place, call in enumerate(calls) if call.ended != NEVER}
    for length in range(len(needed), len(calls) + 1):
        for order in itertools.permutations(range(len(calls)), length):
            if not needed <= set(order):
                continue
            if any(calls[order[b]].ended < calls[order[a]].begun for a in range(length) for b in range(a + 1, length)):
                continue
            states: list[object] = [0]
            for place in order:
                states = [new for state in states for new in counter(state, calls[place].what, calls[place].answer)]
            if states:
                return True
    return False


class TestSearch:
    def test_agrees_with_trying_everything_on_random_histories(self) -> None:
        chance = random.Random(4)
        verdicts = set()
        for _ in range(600):
            calls = []
            for _ in range(chance.randint(1, 5)):
                begun = chance.random() * 10
                what = chance.choice([("add", 1), ("set", chance.randint(0, 2)), ("read", 0)])
                if what[0] != "read" and chance.random() < 0.2:
                    calls.append(Call(begun, NEVER, what, UNKNOWN))
                else:
                    calls.append(Call(begun, begun + chance.random() * 6, what, chance.randint(0, 2)))
            verdict = explained_by_trying_everything(calls)
            verdicts.add(verdict)
            assert explained(calls) == verdict, calls
        assert verdicts == {True, False}

    def test_no_answer_in_time_is_a_failure(self) -> None:
        calls = [Call(number, number + 9.0, ("add", 1), UNKNOWN) for number in range(20)]
        with pytest.raises(Illegal, match="no answer within the budget"):
            search(calls, counter, 0, budget=19)
        assert len(search(calls, counter, 0, budget=1000)) == 20

    def test_a_stale_read_is_found(self) -> None:
        assert not explained([Call(0, 2, ("add", 1), 1), Call(3, 4, ("read", 0), 0)])

    def test_a_lost_update_is_found(self) -> None:
        assert not explained([Call(0, 2, ("add", 1), 1), Call(0, 2, ("add", 1), 1)])

    def test_a_call_that_never_returned_may_have_happened_at_any_time_or_never(self) -> None:
        lost = Call(0, NEVER, ("add", 5), UNKNOWN)
        assert explained([lost, Call(5, 6, ("read", 0), 5)])
        assert explained([lost, Call(5, 6, ("read", 0), 0)])
        assert not explained([lost, Call(5, 6, ("read", 0), 5), Call(7, 8, ("read", 0), 0)])


class TestWitness:
    def test_an_order_against_real_time_is_found(self) -> None:
        with pytest.raises(Illegal, match="began after"):
            witness([Call(5, 6, ("add", 1), 1, 1), Call(1, 2, ("add", 1), 2, 2)], counter, 0)

    def test_a_revision_given_twice_is_found(self) -> None:
        with pytest.raises(Illegal, match="missing, or was given twice"):
            witness([Call(1, 2, ("add", 1), 1, 1), Call(3, 4, ("add", 1), 2, 1)], counter, 0)

    def test_a_read_that_is_not_its_revision_is_found(self) -> None:
        with pytest.raises(Illegal, match="not the state"):
            witness([Call(1, 2, ("add", 1), 1, 1), Call(3, 4, ("read", 0), 0, 1)], counter, 0)

    def test_a_sound_history_passes(self) -> None:
        witness([Call(1, 2, ("add", 1), 1, 1), Call(1, 4, ("read", 0), 0, 0), Call(3, 4, ("add", 1), 2, 2)], counter, 0)


class TestCalls:
    def test_a_commit_that_nobody_asked_for_is_found(self) -> None:
        notes = [[1, 7, 1, "call", ["add", 1]], [2, 7, 1, "return", None, 1]]
        assert calls_of(notes, [(1, 7, [1])]) == [Call(1, 2, ("add", 1), None, 1)]
        with pytest.raises(Illegal, match="not that often"):
            calls_of(notes, [(1, 7, [1]), (2, 7, [1])])

    def test_a_call_that_never_returned_has_the_commit_that_is_left(self) -> None:
        assert calls_of([[1, 7, 1, "call", ["add", 1]]], [(1, 7, [1])]) == [Call(1, NEVER, ("add", 1), UNKNOWN, 1)]
        assert calls_of([[1, 7, 1, "call", ["add", 1]]], []) == [Call(1, NEVER, ("add", 1), UNKNOWN)]

    def test_of_two_calls_that_never_returned_the_one_has_the_commit_that_can_have_made_it(self) -> None:
        """Taken to be that of the first, it made the next answer look wrong."""
        notes = [[1, 7, 1, "call", ["add", 5]], [2, 7, 1, "unknown"], [3, 7, 2, "call", ["add", 6]]]
        first, second = Call(1, NEVER, ("add", 5), UNKNOWN), Call(3, NEVER, ("add", 6), UNKNOWN, 1)
        assert calls_of(notes, [(1, 7, [6, 6])]) == [second, first]
        with pytest.raises(Illegal, match="never asked"):
            calls_of(notes, [(1, 7, [7])])

    def test_a_call_that_was_refused_must_have_had_no_effect(self) -> None:
        notes = [[1, 7, 1, "call", ["add", 1]], [2, 7, 1, "refused", "LeaseLost"]]
        assert calls_of(notes, []) == []
        with pytest.raises(Illegal):
            calls_of(notes, [(1, 7, [1])])


class Disaster:
    """What came of one run of `disaster`."""

    def __init__(self, folder: Path, seed: int, seconds: float, bug: str | None = None) -> None:
        folder.mkdir()
        program = ROOT / "tests" / "integration" / "disaster.py"
        arguments = [str(seed), str(seconds), str(folder), *([bug] if bug else [])]
        ended = subprocess.run(
            [sys.executable, str(program), *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            timeout=seconds + 50,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        self.notes: list[list[Any]] = []
        for log in folder.glob("*.log"):
            # A process that was killed in the middle of a line never got to what the line was about.
            whole = [line for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
            self.notes += [json.loads(line) for line in whole]
        self.commits = [tuple(commit) for commit in json.loads((folder / "commits.json").read_text())]
        self.fates = Counter(note[3] for note in self.notes)

    def complaints(self) -> list[str]:
        """What each of the two checkers says, if anything."""
        found: list[str] = []
        calls: list[Call] = []
        try:
            calls = calls_of(self.notes, self.commits)
            witness(calls, pair, (0, 0))
        except Illegal as error:
            found.append(f"the witness: {error}")
        calls = calls or calls_of(self.notes, [])  # the search knows nothing of the server's log
        try:
            search(calls, pair, (0, 0))
        except Illegal as error:
            found.append(f"the search: {error}")
        return found


@pytest.mark.slow
def test_p2_p4_p5_a_history_of_disasters_is_strictly_serializable(tmp_path: Path) -> None:
    """Reads, writes, `+=`, actions, atomic functions and blocks of processes that are killed, stopped and cut off.

    The soak test below is this with more seeds, and longer.
    """
    disaster = Disaster(tmp_path / "run", seed=random.randrange(10**6), seconds=3.0)
    assert disaster.complaints() == []
    assert disaster.fates["return"] > 50  # which a machine with twelve times too much to do still comes to


@pytest.mark.slow
@pytest.mark.parametrize("bug", ["stale reads", "no dedup", "no fencing"])
def test_p2_p4_p5_both_checkers_notice_a_bug_that_was_planted(bug: str, tmp_path: Path) -> None:
    """A check that no bug can fail proves nothing. Whether a disaster meets the bug is chance: it has three tries."""
    said: list[str] = []
    for seed in range(3):
        said += Disaster(tmp_path / str(seed), seed, seconds=2.5, bug=bug).complaints()
        if {text.split(":")[0] for text in said} == {"the witness", "the search"}:
            return
    raise AssertionError(f"{bug}: not noticed by both, only {said}")


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(40))
def test_p2_p4_p5_many_histories_of_disasters_are_strictly_serializable(seed: int, tmp_path: Path) -> None:
    disaster = Disaster(tmp_path / "run", seed, seconds=10.0)
    assert disaster.complaints() == []
    assert disaster.fates["unknown"] + disaster.fates["refused"] + disaster.fates["return"] > 300
