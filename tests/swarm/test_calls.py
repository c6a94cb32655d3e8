"""Futures of calls are settled whatever happens, and cancelling tells the truth."""

from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError, wait

import pytest

from zproc.exceptions import UsageError
from zproc.swarm import Swarm

pytestmark = pytest.mark.slow


def ident(x: object) -> object:
    return x


def test_a_future_that_is_done_cannot_be_cancelled(swarm: Swarm) -> None:
    future = swarm.submit(ident, 1)
    assert future.result(30) == 1
    assert not future.cancel()
    assert not future.cancel(running=True)


def test_a_future_that_was_cancelled_stays_so(swarm: Swarm) -> None:
    swarm.count = 1
    busy = swarm.submit(time.sleep, 0.3)
    future = swarm.submit(ident, 1)
    assert future.cancel()
    assert future.cancel()
    with pytest.raises(CancelledError):
        future.result(0)
    busy.result(30)


def test_who_asked_to_be_told_is_told(swarm: Swarm) -> None:
    told = threading.Event()
    swarm.submit(ident, 1).add_done_callback(lambda _: told.set())
    assert told.wait(30)


def test_a_callback_may_submit_and_cancel(swarm: Swarm) -> None:
    """It is called by the engine's thread, which must not wait for itself."""
    more = []
    told = threading.Event()

    def again(_: object) -> None:
        more.append(swarm.submit(ident, 2))
        more[0].cancel()
        told.set()

    swarm.submit(ident, 1).add_done_callback(again)
    assert told.wait(30)
    assert wait(more, 30).done == set(more)
    assert more[0].cancelled() or more[0].result(0) == 2


def test_what_is_no_function_is_refused(swarm: Swarm) -> None:
    with pytest.raises(UsageError, match="not a function"):
        swarm.submit(5)  # type: ignore[arg-type]


def test_closing_settles_every_future(swarm: Swarm) -> None:
    futures = [swarm.submit(time.sleep, 60) for _ in range(5)]
    swarm.close()
    assert all(future.cancelled() for future in futures)
    with pytest.raises(UsageError, match="closed"):
        swarm.submit(ident, 1)
