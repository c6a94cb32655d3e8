"""Rests between tries: none at first, longer each time, never long, and over when somebody got through."""

from __future__ import annotations

import threading
import time

from zproc.client.backoff import FIRST, LONGEST, Backoff


def rest(backoff: Backoff) -> float:
    begin = time.monotonic()
    backoff.wait()
    return time.monotonic() - begin


def test_who_has_not_failed_does_not_wait() -> None:
    backoff = Backoff()
    assert rest(backoff) < FIRST
    backoff.answered()
    assert rest(backoff) < FIRST


def test_each_failure_makes_the_rest_longer() -> None:
    backoff = Backoff()
    for times in (1, 2, 4):
        backoff.failed()
        assert rest(backoff) >= times * FIRST * 0.95


def test_no_rest_is_longer_than_the_longest() -> None:
    backoff = Backoff()
    for _ in range(100):
        backoff.failed()
    assert backoff._until - time.monotonic() <= LONGEST


def test_an_answer_ends_the_rest_of_all() -> None:
    backoff = Backoff()
    for _ in range(100):
        backoff.failed()
    begin = time.monotonic()
    waiting = [threading.Thread(target=backoff.wait) for _ in range(3)]
    for thread in waiting:
        thread.start()
    backoff.answered()
    for thread in waiting:
        thread.join(10)
    assert time.monotonic() - begin < LONGEST
    assert rest(backoff) < FIRST
    backoff.failed()
    assert rest(backoff) < 4 * FIRST
