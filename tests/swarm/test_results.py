"""Results are given in order, once, and the end is an end."""

from __future__ import annotations

import threading
import time

import pytest

from zproc.swarm.results import Failure, Inbox


def test_results_wait_for_those_before_them() -> None:
    inbox = Inbox(ordered=True)
    inbox.settled(2, ["c", "d"])
    inbox.settled(1, ["b"])
    with pytest.raises(TimeoutError):
        inbox.take(time.monotonic())
    inbox.settled(0, ["a"])
    assert inbox.take(None) == ([["a"], ["b"], ["c", "d"]], 4)


def test_without_an_order_they_come_as_they_come() -> None:
    inbox = Inbox(ordered=False)
    inbox.settled(2, ["c"])
    assert inbox.take(None) == ([["c"]], 1)


def test_an_error_has_its_place() -> None:
    inbox = Inbox(ordered=True)
    inbox.failed(1, ValueError())
    inbox.settled(0, ["a"])
    (first, second), count = inbox.take(None)
    assert (first, type(second), count) == (["a"], Failure, 2)


@pytest.mark.parametrize("ordered", [True, False])
def test_the_end_comes_after_the_last(ordered: bool) -> None:
    inbox = Inbox(ordered=ordered)
    inbox.ended(1, None)
    assert not inbox.is_complete
    inbox.settled(0, ["a"])
    assert inbox.take(None) == ([["a"]], 1)
    assert inbox.take(None) == ([], 0)
    assert inbox.is_complete


def test_what_the_iterable_raised_comes_after_the_last() -> None:
    inbox = Inbox(ordered=True)
    inbox.settled(0, ["a"])
    inbox.ended(1, ValueError("next"))
    assert inbox.take(None) == ([["a"]], 1)
    with pytest.raises(ValueError, match="next"):
        inbox.take(None)


def test_who_waits_hears_that_there_is_nothing_more() -> None:
    inbox = Inbox(ordered=True)
    timer = threading.Timer(0.05, inbox.broken, [RuntimeError("gone")])
    timer.start()
    with pytest.raises(RuntimeError, match="gone"):
        inbox.take(time.monotonic() + 10)
    timer.join()


def test_who_waits_is_woken_by_the_next_result() -> None:
    inbox = Inbox(ordered=True)
    timer = threading.Timer(0.05, inbox.settled, [0, ["a"]])
    timer.start()
    assert inbox.take(time.monotonic() + 10) == ([["a"]], 1)
    timer.join()
