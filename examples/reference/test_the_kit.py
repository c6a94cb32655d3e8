import threading
from collections.abc import Callable
from typing import Any

import pytest
import zproc
from hypothesis import given, settings
from zproc.testing import (
    Belongings,
    Contexts,
    FakeClock,
    Fault,
    History,
    Interleaving,
    LeakError,
    MemoryServer,
    Operation,
    Strategies,
    leak_check,
    state_machine,
    strategies,
)


class Counter(zproc.StateModel):
    n: int = 0


@zproc.atomic
def count(state: Counter) -> None:
    state.n += 1


def test_memory_server_fault_clock_and_history() -> None:
    clock = FakeClock(wall=1000.0)
    with MemoryServer(Counter, clock=clock) as server:
        history = History(server.context)
        server.break_line(Fault.UNANSWERED)
        count(server.state)
        clock.advance(5)
        count(server.state)
        assert history.values("n") == [0, 1, 2]
        assert [commit.time for commit in history.commits()] == [1000.0, 1005.0]
        history.assert_order(["count", "count"])


def test_interleaving() -> None:
    with Interleaving(Counter, clients=2) as counter:
        counter.start(0, count)
        counter.step(0)  # client 0 has the turn
        counter.crash(0)
        counter.start(1, count)
        counter.finish()
        assert counter.state.n == 1


def test_leak_check() -> None:
    end = threading.Event()
    with pytest.raises(LeakError) as caught, leak_check(grace=0):
        thread = threading.Thread(target=end.wait)
        thread.start()
    left: Belongings = caught.value.left
    assert thread in left.threads
    end.set()
    thread.join()


def test_contexts() -> None:
    with Contexts() as make:  # what the fixture zproc_context is
        count(make(Counter).state)


of_counter: Strategies[Counter] = strategies(Counter)


@settings(max_examples=10, deadline=None)
@given(of_counter.states(), of_counter.operations(max_size=3))
def test_strategies(state: Counter, operations: list[Operation]) -> None:
    assert isinstance(state, Counter)
    assert len(operations) <= 3


def never_negative(state: Counter) -> None:
    assert state.n >= 0


TestCounter = state_machine(Counter, never_negative, count).TestCase
TestCounter.settings = settings(max_examples=5, stateful_step_count=10, deadline=None)


def test_the_fixtures(
    zproc_server: Callable[..., MemoryServer[Any]],
    zproc_clock: FakeClock,
    zproc_history: Callable[[Any], History[Any]],
    zproc_context: Contexts,
) -> None:
    server = zproc_server(Counter, Counter(n=5))
    history = zproc_history(server.context)
    count(server.state)
    zproc_clock.advance(1)
    assert history.functions() == ["count"]
    assert zproc_context(Counter).state.n == 0
