"""The checkers themselves, and then what real processes see of one number."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import pytest

from tests.integration.linearizability import NEVER, UNKNOWN, Call, Illegal, counter, search, witness


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
