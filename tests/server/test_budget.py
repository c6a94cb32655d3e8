"""The time that the user's code may take. It needs the main thread, which is where these tests run."""

from __future__ import annotations

import os
import signal
import sys
import time
from types import FrameType

import pytest

from zproc.core.namespace import BudgetExceeded
from zproc.schema.action import action, call_action, run
from zproc.schema.codec import Codec
from zproc.schema.model import StateModel
from zproc.schema.ops import Op
from zproc.schema.transaction import Transaction
from zproc.server import alarm_budget
from zproc.server.budget import _Alarm, _strike_later


class State(StateModel):
    n: int = 0
    row: list[int] = []
    table: dict[str, int] = {"a": 1, "b": 2}

    @action
    def endless(self) -> None:
        while True:
            pass

    @action
    def stubborn(self) -> None:
        while True:
            try:
                while True:
                    pass
            except Exception:  # noqa: BLE001 - that is the point
                pass

    @action
    def short(self) -> None:
        self.row.append(1)

    @action
    def twice(self) -> None:
        self.n += 1
        self.row.append(1)

    @action
    def churn(self) -> None:
        while True:
            self.n += 1
            self.row.append(self.n)
            self.row.insert(0, 1)
            self.table["new"] = self.n
            del self.table["a"]
            self.table["a"] = 1
            self.row.pop()


def act(state: State, name: str) -> None:
    run(state, lambda draft: call_action(draft, name, [], {}), len)


@pytest.mark.parametrize("name", ["endless", "stubborn"])
def test_an_endless_action_is_interrupted_and_no_except_exception_stops_that(name: str) -> None:
    began = time.monotonic()
    with pytest.raises(BudgetExceeded), alarm_budget(0.05):
        act(State(), name)
    assert time.monotonic() - began < 2


def test_what_is_done_in_time_is_left_alone_and_so_is_what_comes_after_it() -> None:
    with alarm_budget(0.02):
        act(State(), "short")
    spent = time.monotonic() + 0.1
    while signal.getitimer(signal.ITIMER_REAL) != (0.0, 0.0):  # it rings once more, and finds nobody
        assert time.monotonic() < spent + 5
    act(State(), "short")


def test_one_alarm_serves_many_computations(monkeypatch: pytest.MonkeyPatch) -> None:
    set_at: list[float] = []
    set_timer = signal.setitimer

    def counting(which: int, seconds: float, interval: float = 0.0) -> tuple[float, float]:
        set_at.append(seconds)
        return set_timer(which, seconds, interval)

    monkeypatch.setattr(signal, "setitimer", counting)
    for _ in range(100):
        with alarm_budget(5):
            act(State(), "short")
    assert len(set_at) <= 1


@pytest.mark.parametrize("before", [0.05, 5.0])
def test_each_computation_has_its_own_time_whatever_the_alarm_was_set_for(before: float) -> None:
    with alarm_budget(before):
        act(State(), "short")
    began = time.monotonic()
    with pytest.raises(BudgetExceeded), alarm_budget(0.2):
        act(State(), "endless")
    assert 0.2 <= time.monotonic() - began < 2


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a fork beside threads, on later Pythons
def test_a_forked_child_has_an_alarm_of_its_own() -> None:
    with alarm_budget(5):
        act(State(), "short")
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # as in a server that was forked, which begins anew
        try:
            with alarm_budget(0.05):
                act(State(), "endless")
        except BudgetExceeded:
            os._exit(0)
        os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0


def test_an_alarm_that_another_thread_was_handed_is_repeated() -> None:
    """The interpreter does not tell the main thread of it, which would go on for ever."""
    with alarm_budget(5):
        act(State(), "short")
    ring = signal.getsignal(signal.SIGALRM)
    assert callable(ring)
    heard: list[int] = []

    def unheard_at_first(signum: int, frame: FrameType | None) -> None:
        heard.append(signum)
        if len(heard) > 2:
            ring(signum, frame)

    signal.signal(signal.SIGALRM, unheard_at_first)
    try:
        with pytest.raises(BudgetExceeded), alarm_budget(0.01):
            act(State(), "endless")
    finally:
        signal.signal(signal.SIGALRM, ring)
    assert len(heard) >= 3


@pytest.mark.skipif(sys.gettrace() is not None, reason="a debugger or coverage is not to lose its place")
def test_an_alarm_that_goes_off_in_our_code_strikes_as_soon_as_the_users_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And not when another one happens to meet the user's code, which may have hardly any part in what runs."""
    apply = Transaction.apply

    def rung_in(self: Transaction, op: Op) -> None:
        apply(self, op)
        _Alarm.deadline = time.monotonic()
        signal.raise_signal(signal.SIGALRM)

    monkeypatch.setattr(Transaction, "apply", rung_in)
    monkeypatch.setattr("zproc.server.budget._AGAIN", 3600.0)  # not once more
    state = State()
    with pytest.raises(BudgetExceeded) as caught, alarm_budget(3600):
        act(state, "twice")
    assert [each.name for each in caught.traceback][-2:] == ["twice", "_strike"]
    assert (state.n, state.row) == (0, [])
    assert sys.gettrace() is None


@pytest.mark.skipif(sys.gettrace() is not None, reason="a debugger or coverage is not to lose its place")
def test_nothing_is_traced_when_what_was_to_be_cut_off_ended_first() -> None:
    _strike_later(sys._getframe(1))
    with alarm_budget(0.01):
        end = time.monotonic() + 5
        while sys.gettrace() is not None:
            assert time.monotonic() < end


def test_p1_an_interruption_never_tears_our_own_bookkeeping() -> None:
    """Whatever an endless action was just doing to the state, all of it is undone, in order."""
    state = State()
    before = Codec().encode(state)
    for _ in range(40):
        with pytest.raises(BudgetExceeded), alarm_budget(0.01):
            act(state, "churn")
        assert Codec().encode(state) == before
