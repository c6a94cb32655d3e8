"""The rules of restarting, on a clock that the tests turn."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from zproc.core.supervisor import (
    AGAIN,
    LIFE,
    Again,
    Ending,
    Event,
    Over,
    Past,
    Policy,
    Restart,
    Stage,
    Strategy,
    affected,
    decide,
)
from zproc.exceptions import UsageError

ON_FAILURE = Policy(Restart.ON_FAILURE, jitter=0.0)

policies = st.builds(
    Policy,
    restart=st.sampled_from(Restart),
    retry_delay=st.floats(0, 100),
    backoff=st.floats(1, 100),
    max_delay=st.floats(0, 1000),
    jitter=st.floats(0, 1),
    max_retries=st.none() | st.integers(0, 8),
    intensity=st.none() | st.tuples(st.integers(0, 8), st.floats(0.001, 1000)),
)
chances = st.floats(0, 1, exclude_max=True)
lives = st.lists(st.tuples(st.floats(0, 100), st.sampled_from(Ending), chances), max_size=40)


def fail(policy: Policy, *times: float, ending: Ending = Ending.FAILED) -> Again | Over:
    """Fail at these times, and tell what was decided at the last."""
    past = Past()
    decision: Again | Over = Over()
    for now in times:
        decision = decide(policy, past, ending, now=now, chance=0.0)
        if isinstance(decision, Over):
            return decision
        past = decision.past
    return decision


def delays(policy: Policy, *times: float) -> list[float]:
    found = []
    for count in range(1, len(times) + 1):
        decision = fail(policy, *times[:count])
        assert isinstance(decision, Again)
        found.append(decision.at - times[count - 1])
    return found


@pytest.mark.parametrize("ending", [Ending.COMMANDED, Ending.INTERRUPTED])
@pytest.mark.parametrize("restart", Restart)
def test_what_was_told_to_stop_is_never_tried_again(restart: Restart, ending: Ending) -> None:
    assert decide(Policy(restart), Past(), ending, now=0.0, chance=0.5) == Over()


@pytest.mark.parametrize(
    ("restart", "endings"),
    [
        (Restart.NEVER, {Ending.LISTED}),
        (Restart.ON_FAILURE, {Ending.LISTED, Ending.FAILED}),
        (Restart.ALWAYS, {Ending.LISTED, Ending.FAILED, Ending.RETURNED}),
    ],
)
def test_each_policy_tries_again_after_its_endings_and_no_others(restart: Restart, endings: set[Ending]) -> None:
    tried = {each for each in Ending if isinstance(decide(Policy(restart), Past(), each, now=0, chance=0), Again)}
    assert tried == endings == AGAIN[restart]


@pytest.mark.parametrize("most", [1, 2, 7])
def test_there_are_as_many_retries_as_were_allowed_and_no_more(most: int) -> None:
    policy = replace(ON_FAILURE, max_retries=most, intensity=None)
    assert isinstance(fail(policy, *range(most)), Again)
    over = fail(policy, *range(most + 1))
    assert isinstance(over, Over)
    assert f"{most} retries" in over.reason


def test_no_retries_are_not_a_limit_that_was_reached() -> None:
    assert fail(replace(ON_FAILURE, max_retries=0), 1.0) == Over("")


def test_one_failure_too_many_within_the_period_is_the_last() -> None:
    policy = replace(ON_FAILURE, intensity=(3, 10.0))
    assert isinstance(fail(policy, 0, 3, 6), Again)
    over = fail(policy, 0, 3, 6, 9.9)
    assert isinstance(over, Over)
    assert "4 times within 10 s" in over.reason


def test_failures_that_are_far_enough_apart_go_on_for_ever() -> None:
    policy = replace(ON_FAILURE, intensity=(3, 10.0))
    assert isinstance(fail(policy, *(3.4 * number for number in range(100))), Again)
    assert isinstance(fail(policy, 0, 3, 6, 10.0), Again), "the first one is forgotten at that moment"


def test_returning_is_no_failure_however_often() -> None:
    policy = replace(ON_FAILURE, restart=Restart.ALWAYS, retry_delay=1.0, intensity=(3, 10.0))
    past = Past()
    for _ in range(100):
        decision = decide(policy, past, Ending.RETURNED, now=0.0, chance=0.0)
        assert isinstance(decision, Again)
        assert decision.at == 1.0
        past = decision.past
    assert past == Past(100)
    failed = decide(policy, past, Ending.FAILED, now=0.0, chance=0.0)
    assert isinstance(failed, Again)
    assert failed.at == 1.0


def test_an_intensity_of_none_at_all_gives_up_at_the_first_failure() -> None:
    assert isinstance(fail(replace(ON_FAILURE, intensity=(0, 10.0)), 1.0), Over)


def test_rests_double_up_to_a_ceiling_and_are_short_again_when_it_went_well() -> None:
    policy = replace(ON_FAILURE, retry_delay=1.0, max_delay=5.0, intensity=(99, 100.0))
    assert delays(policy, 0, 10, 20, 30, 40) == [1, 2, 4, 5, 5]
    assert delays(policy, 0, 10, 200) == [1, 2, 1]


def test_a_backoff_of_one_is_the_same_rest_each_time() -> None:
    assert delays(replace(ON_FAILURE, retry_delay=5.0, backoff=1.0), 0, 1, 2, 3, 4) == [5.0] * 5


def test_without_a_limit_only_so_much_is_remembered() -> None:
    decision = fail(replace(ON_FAILURE, intensity=None, backoff=100.0), *(number / 1000 for number in range(200)))
    assert isinstance(decision, Again)
    assert decision.past.retries == 200
    assert len(decision.past.recent) == 32


@given(policies, lives)
def test_any_life_keeps_to_the_limits(policy: Policy, life: list[tuple[float, Ending, float]]) -> None:
    now, past = 1000.0, Past()
    failures: list[float] = []
    for gap, ending, chance in life:
        now += gap
        decision = decide(policy, past, ending, now=now, chance=chance)
        if isinstance(decision, Over):
            assert (decision.reason == "") == (ending not in AGAIN[policy.restart] or policy.max_retries == 0)
            return
        assert ending in AGAIN[policy.restart]
        assert now <= decision.at <= now + policy.max_delay
        failures += [now] if ending is not Ending.RETURNED else []
        assert decision.past.retries == past.retries + 1
        past = decision.past
        if policy.intensity is not None:
            limit, period = policy.intensity
            assert sum(now - time < period for time in failures) <= limit
        now = decision.at
    assert policy.max_retries is None or past.retries <= policy.max_retries


@given(policies, chances, chances)
def test_chance_only_ever_shortens_a_rest_by_its_part(policy: Policy, one: float, other: float) -> None:
    rests = []
    for chance in sorted((one, other)):
        decision = decide(
            replace(policy, intensity=None, max_retries=None), Past(), Ending.LISTED, now=0, chance=chance
        )
        assert isinstance(decision, Again)
        rests.append(decision.at)
    full = min(policy.max_delay, policy.retry_delay)
    assert full >= rests[0] >= rests[1] >= full * (1 - policy.jitter) - 1e-9


@given(policies, lives, st.floats(-1e6, 1e6))
def test_no_decision_depends_on_when_the_clock_began(
    policy: Policy, life: list[tuple[float, Ending, float]], shift: float
) -> None:
    """Whole seconds, so that no rounding of the clock decides."""
    ours, theirs, now, offset = Past(), Past(), 0, round(shift)
    policy = replace(policy, intensity=policy.intensity and (policy.intensity[0], math.ceil(policy.intensity[1])))
    for gap, ending, chance in life:
        now += round(gap)
        one = decide(policy, ours, ending, now=now, chance=chance)
        other = decide(policy, theirs, ending, now=now + offset, chance=chance)
        if isinstance(one, Over) or isinstance(other, Over):
            assert one == other
            return
        assert other.at - offset == pytest.approx(one.at, abs=1e-6)
        ours, theirs = one.past, other.past


@pytest.mark.parametrize(
    "wrong",
    [
        {"retry_delay": -1},
        {"retry_delay": math.inf},
        {"backoff": 0.5},
        {"backoff": 101},
        {"max_delay": -1},
        {"max_delay": math.nan},
        {"jitter": 1.5},
        {"max_retries": -1},
        {"intensity": (-1, 1.0)},
        {"intensity": (1, 0.0)},
        {"intensity": (1, math.inf)},
    ],
    ids=str,
)
def test_a_policy_without_sense_is_refused_by_name(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        Policy(**wrong)  # type: ignore[arg-type]


def test_what_has_ended_goes_nowhere_and_everything_else_can_be_stopped() -> None:
    over = {Stage.RETURNED, Stage.FAILED, Stage.STOPPED, Stage.CANCELLED}
    assert set(LIFE) == set(Stage)
    assert {stage for stage, ways in LIFE.items() if not ways} == over
    assert all(ways[Event.STOP] in over for ways in LIFE.values() if ways)


def test_every_stage_can_be_reached() -> None:
    reached = {Stage.NEW}
    for _ in Stage:
        reached |= set(itertools.chain.from_iterable(LIFE[stage].values() for stage in reached))
    assert reached == set(Stage)


def test_who_goes_down_with_a_failed_member_depends_on_the_strategy() -> None:
    assert affected(Strategy.ONE_FOR_ONE, "abcd", 1) == "b"
    assert affected(Strategy.ONE_FOR_ALL, "abcd", 1) == "abcd"
    assert affected(Strategy.REST_FOR_ONE, "abcd", 1) == "bcd"
