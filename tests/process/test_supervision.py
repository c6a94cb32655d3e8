"""The one thread that looks after the processes of a program, and calls at times."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

import zproc.process as zp
from zproc.process.supervision import Supervision

WITHIN = 20.0
Eventually = Callable[[Callable[[], object]], None]


@pytest.fixture
def supervision(eventually: Eventually) -> Supervision:
    return Supervision()


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "zproc-supervision"]


def test_calls_are_made_in_the_order_of_their_times(supervision: Supervision) -> None:
    made: list[int] = []
    done = threading.Event()
    now = time.monotonic()
    supervision.call_at(now + 0.06, done.set)
    supervision.call_at(now + 0.04, lambda: made.append(2))
    supervision.call_at(now + 0.02, lambda: made.append(1))
    assert done.wait(WITHIN)
    assert made == [1, 2]


def test_no_call_is_made_before_its_time(supervision: Supervision) -> None:
    at = time.monotonic() + 0.05
    called: list[float] = []
    done = threading.Event()

    def call() -> None:
        called.append(time.monotonic())
        done.set()

    supervision.call_at(at, call)
    assert done.wait(WITHIN)
    assert called[0] >= at


def test_a_call_that_is_cancelled_is_not_made(supervision: Supervision) -> None:
    made: list[int] = []
    done = threading.Event()
    now = time.monotonic()
    number = supervision.call_at(now + 0.02, lambda: made.append(1))
    supervision.call_at(now + 0.04, done.set)
    supervision.cancel(number)
    assert done.wait(WITHIN)
    assert made == []


def test_who_asked_is_told_once_of_an_end(supervision: Supervision, method: zp.StartMethod) -> None:
    process = zp.start(int, method=method)
    ended = threading.Semaphore(0)
    supervision.watch(process, ended.release)
    assert ended.acquire(timeout=WITHIN)
    assert not ended.acquire(blocking=False)
    assert process.wait(0) == 0


def test_many_are_looked_after_by_one_thread(supervision: Supervision) -> None:
    ended = threading.Semaphore(0)
    before = len(threads())
    for _ in range(20):
        supervision.watch(zp.start(int), ended.release)
    assert len(threads()) <= before + 1
    for _ in range(20):
        assert ended.acquire(timeout=WITHIN)


def test_the_thread_ends_when_there_is_nothing_to_look_after(supervision: Supervision, eventually: Eventually) -> None:
    before = len(threads())
    done = threading.Event()
    supervision.call_at(time.monotonic(), done.set)
    assert done.wait(WITHIN)
    eventually(lambda: len(threads()) <= before)
    supervision.call_at(time.monotonic(), done.clear)  # and there is another one when there is
    eventually(lambda: not done.is_set())


def test_a_callback_that_raises_costs_the_others_nothing(
    supervision: Supervision, caplog: pytest.LogCaptureFixture
) -> None:
    done = threading.Event()
    now = time.monotonic()
    supervision.call_at(now, lambda: 1 // 0)  # type: ignore[arg-type]  # that is the point
    supervision.call_at(now + 0.01, done.set)
    assert done.wait(WITHIN)
    assert "ZeroDivisionError" in caplog.text
