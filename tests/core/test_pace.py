"""How many items travel together follows from how long they take."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, strategies as st

from zproc.core.assignment import Terms
from zproc.core.pace import Pace

TINY = 1e-6
LONG = 1.0


def known(cost: float, terms: Terms | None = None, workers: int = 2) -> Pace:
    return Pace(terms or Terms(), workers, cost)


def test_the_first_item_goes_alone() -> None:
    assert Pace(Terms(), 2).size == 1


def test_tiny_items_travel_together_and_long_ones_alone() -> None:
    assert known(TINY).size >= 1000
    assert known(LONG).size == 1


def test_a_chunk_does_not_grow_by_leaps() -> None:
    pace = Pace(Terms(), 2)
    sizes = []
    for _ in range(4):
        pace.learn(pace.size, pace.size * TINY)
        sizes.append(pace.size)
    assert sizes == sorted(sizes)
    assert sizes[0] <= 64


def test_what_takes_less_than_was_thought_is_believed_sooner_than_what_takes_more() -> None:
    faster, slower = known(1.0), known(1.0)
    faster.learn(1, 0.5)
    slower.learn(1, 1.5)
    assert faster.cost is not None
    assert slower.cost is not None
    assert 1.0 - faster.cost > slower.cost - 1.0 > 0


def test_what_another_job_took_leaves_no_worker_idle() -> None:
    """Its items may have been tiny, and these be long: three on three workers are to take as long as one."""
    assert known(TINY, workers=3).share(3) == 1
    learned = known(TINY, workers=3)
    learned.learn(1, TINY)
    assert learned.share(3) > 1


def test_one_long_item_among_tiny_ones_does_not_stop_them_from_travelling_together() -> None:
    pace = known(TINY)
    pace.learn(100, 99 * TINY + 100 * TINY)
    assert pace.size >= 1000


@given(cost=st.floats(1e-9, 10), forced=st.integers(2, 10_000), rest=st.integers(0, 10**6))
def test_a_forced_chunksize_is_kept(cost: float, forced: int, rest: int) -> None:
    pace = known(cost, Terms(chunksize=forced))
    assert pace.size == forced == pace.share(rest)


def test_items_that_do_not_share_their_fate_go_in_one_message_only_if_they_are_tiny() -> None:
    assert known(TINY, Terms(chunksize=1)).size == 128
    assert known(0.0004, Terms(chunksize=1)).size == 2
    assert known(0.01, Terms(chunksize=1)).size == 1


@given(cost=st.floats(1e-9, 10), workers=st.integers(1, 64), rest=st.integers(0, 10**7))
def test_the_last_items_are_shared_among_the_workers(cost: float, workers: int, rest: int) -> None:
    pace = known(cost, workers=workers)
    share = pace.share(rest)
    assert 1 <= share <= pace.size
    assert share * cost <= 0.0005 + cost or share <= rest // (2 * workers)


@given(cost=st.floats(1e-9, 10), workers=st.integers(1, 64))
def test_the_window_keeps_every_worker_busy_and_is_bounded(cost: float, workers: int) -> None:
    pace = known(cost, workers=workers)
    assert pace.window >= 2 * workers
    assert pace.window >= min(4 * pace.size, 4) * workers
    assert pace.window * cost <= workers * max(0.25 + cost, 4 * cost, 4 * pace.size * cost)


def test_the_caller_says_how_far_ahead_and_is_heard() -> None:
    assert known(TINY, Terms(ahead=3)).window == 3


def test_large_items_make_the_window_small() -> None:
    pace = known(0.001)
    before = pace.window
    pace.weigh(64 << 20)
    assert 4 <= pace.window < before


def test_in_a_hurry_nothing_is_waited_for() -> None:
    pace = known(LONG, Terms(ahead=1))
    pace.hurry()
    assert pace.window == sys.maxsize


def test_more_workers_have_a_wider_window() -> None:
    pace = known(LONG)
    before = pace.window
    pace.resize(8)
    assert pace.window == 4 * before


@pytest.mark.parametrize("seconds", [0.0, 1e-12])
def test_items_that_take_no_time_do_not_divide_by_it(seconds: float) -> None:
    pace = Pace(Terms(), 2)
    pace.learn(1, seconds)
    assert pace.size >= 1
    assert pace.window >= 1
