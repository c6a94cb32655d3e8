"""Futures of calls are settled whatever happens, and cancelling tells the truth."""

from __future__ import annotations

import gc
import os
import threading
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest

from zproc.exceptions import UsageError
from zproc.swarm import Swarm, swarm as swarm_module

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


def test_a_call_runs_from_when_a_worker_is_at_it_until_it_is_done(swarm: Swarm, tmp_path: Path) -> None:
    swarm.count = 1
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    first, second = swarm.submit(pipe.read_text), swarm.submit(ident, 1)
    with pipe.open("w"):  # waits until it is read
        assert (first.running(), second.running()) == (True, False)
    assert first.result(30) == ""
    assert second.result(30) == 1
    assert (first.running(), second.running()) == (False, False)


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
    with pytest.raises(UsageError, match="is a function"):
        swarm.submit(5)  # type: ignore[arg-type]


def test_closing_settles_every_future(swarm: Swarm) -> None:
    futures = [swarm.submit(time.sleep, 60) for _ in range(5)]
    swarm.close()
    assert all(future.cancelled() for future in futures)
    with pytest.raises(UsageError, match="closed"):
        swarm.submit(ident, 1)


def submit_for_ever(swarm: Swarm, futures: list[Any], begun: threading.Event) -> None:
    while True:
        futures.append(swarm.submit(ident, 1))
        begun.set()


def test_what_is_submitted_while_the_swarm_ends_is_settled() -> None:
    """A call that comes too late is refused, by `submit` or by its future; none is forgotten."""
    for _ in range(5):
        swarm = Swarm(1)
        swarm.submit(ident, 0).result(30)
        futures: list[Any] = []
        begun = threading.Event()
        with ThreadPoolExecutor(1) as threads:
            refused = threads.submit(submit_for_ever, swarm, futures, begun)
            assert begun.wait(30)
            swarm.shutdown()
            with pytest.raises(UsageError, match="closed"):
                refused.result(30)
        assert not wait(futures, 30).not_done
        errors = {type(future.exception(0)) for future in futures if not future.cancelled()}
        assert errors <= {type(None), UsageError}


def test_calls_that_cannot_change_and_others_are_done_in_one_message(swarm: Swarm) -> None:
    """The first are packed when they are sent, the others when they are submitted."""
    swarm.count = 1
    list(swarm.map(ident, range(10)))
    busy = swarm.submit(time.sleep, 0.1)
    calls: list[Any] = [[n] if n % 3 else n for n in range(300)]
    futures = [swarm.submit(ident, each) for each in calls]
    large = bytearray(1 << 20)
    futures += [swarm.submit(ident, large) for _ in range(3)]
    for each in calls:
        if isinstance(each, list):
            each.append("too late")
    assert [future.result(30) for future in futures[:300]] == [[n] if n % 3 else n for n in range(300)]
    assert all(future.result(30) == large for future in futures[300:])
    busy.result(30)


def test_a_call_among_others_that_travel_together_can_be_cancelled(swarm: Swarm, tmp_path: Path) -> None:
    """Tiny calls go to a worker in bundles; one in the middle of what waits there is taken out."""
    swarm.count = 1
    wait([swarm.submit(ident, n) for n in range(2000)], timeout=30)  # so that their cost is known, and it is small
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    busy = swarm.submit(pipe.read_text)
    with pipe.open("w"):  # waits until it is read
        calls = [swarm.submit(ident, n) for n in range(50)]
        assert all(call.cancel() for call in calls[1::2])
    assert busy.result(30) == ""
    assert [call.result(30) for call in calls[::2]] == list(range(0, 50, 2))


def test_what_runs_is_settled_although_a_later_call_was_cancelled_before_the_end(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    swarm = Swarm(1)
    busy, later, last = swarm.submit(pipe.read_text), swarm.submit(ident, 1), swarm.submit(ident, 2)
    with pipe.open("w"):
        assert last.cancel()
        swarm.shutdown(wait=False, cancel_futures=True)
    assert busy.result(30) == ""
    assert wait([later], 30).done
    assert later.cancelled() or later.result(0) == 1
    swarm.shutdown()


def test_calls_on_ever_different_terms_are_done_and_forgotten(swarm: Swarm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever gives each call the rest of a deadline has as many terms as calls."""
    monkeypatch.setattr(swarm_module, "_MOST_TERMS", 4)
    for n in range(20):
        assert swarm.run(ident, (n,), timeout=100 + n).result(30) == n
    assert len(swarm._calls) == 4
    assert swarm._engine is not None
    assert swarm._engine.ask(lambda: len(swarm._engine._jobs)) <= 5  # type: ignore[union-attr]  # it is there


def test_no_call_is_lost_between_two_that_take_calls_on_the_same_terms(
    swarm: Swarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swarm_module, "_MOST_TERMS", 1)

    def submit(thread: int) -> list[object]:
        futures = [swarm.run(ident, (n,), timeout=100 + (n + thread) % 3) for n in range(60)]
        return [future.result(30) for future in futures]

    with ThreadPoolExecutor(4) as threads:
        for results in threads.map(submit, range(4)):
            assert results == list(range(60))


def test_swarms_of_others_are_let_go_when_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swarm_module, "_STANDING", 2)
    made = [swarm_module._elsewhere(f"token {n}", 1, None, ()) for n in range(3)]
    assert swarm_module._elsewhere("token 1", 1, None, ()) is made[1]
    assert list(swarm_module._stand_ins) == ["token 2", "token 1"]
    assert swarm_module._elsewhere("token 0", 1, None, ()) is made[0], "somebody has it"
    assert made[0].submit(ident, 3).result(30) == 3
    engine = made[0]._engine
    assert engine is not None
    del made
    gc.collect()
    engine.join()
    swarm_module._stand_ins.clear()
