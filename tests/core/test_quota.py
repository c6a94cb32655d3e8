"""The first few of a period are told, and how many the others were."""

from __future__ import annotations

from hypothesis import given, strategies as st

from zproc.core.quota import Quota


def test_the_first_few_of_a_period_are_told_and_the_number_of_the_others_when_it_is_over() -> None:
    quota = Quota(2, 10.0)
    assert [quota.takes(now) for now in (5.0, 6.0, 7.0, 14.9)] == [True, True, False, False]
    assert quota.next_deadline() == 15.0
    assert quota.release(14.9) == 0
    assert quota.release(15.0) == 2
    assert quota.release(15.0) == 0
    assert quota.next_deadline() is None


def test_a_period_begins_with_what_is_told_in_it() -> None:
    quota = Quota(1, 10.0)
    assert quota.takes(0.0)
    assert not quota.takes(9.0)
    assert quota.release(100.0) == 1
    assert quota.takes(100.0)
    assert not quota.takes(109.0)
    assert quota.takes(110.0)


@given(st.lists(st.floats(0, 30), max_size=60), st.integers(1, 4))
def test_nothing_is_lost_and_no_period_has_more_than_its_share(steps: list[float], most: int) -> None:
    quota, now, told, counted = Quota(most, 10.0), 0.0, list[float](), 0
    for step in steps:
        now += step
        counted += quota.release(now)
        if quota.takes(now):
            told.append(now)
        assert (quota.next_deadline() is None) == (quota.held == 0)
    assert len(told) + counted + quota.held == len(steps)
    for first, later in zip(told, told[most:], strict=False):
        assert later - first >= 0
        assert sum(first <= each < first + 10.0 for each in told) <= 2 * most - 1
