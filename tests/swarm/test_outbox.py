"""Results are kept until somebody asks for them by their id, once, and not for ever."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import pytest

from tests.swarm.conftest import Eventually
from zproc.exceptions import RemoteError, SchemaError, Unavailable, UsageError, WaitTimeout
from zproc.process import start
from zproc.swarm import outbox as module
from zproc.swarm.outbox import Outbox, fetch
from zproc.transport import connect

pytestmark = pytest.mark.slow


@pytest.fixture
def outbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Outbox]:
    made = Outbox()
    monkeypatch.setattr(module, "_outbox", made)
    yield made
    made.close()


def elsewhere(task_id: str, timeout: float | None = 30) -> Any:
    """Ask from another process."""
    return start(fetch, [task_id, timeout], method="forkserver").wait(60)


Ask = Callable[[str], Any]


@pytest.fixture(params=["here", "elsewhere"])
def ask(request: pytest.FixtureRequest) -> Ask:
    return elsewhere if request.param == "elsewhere" else lambda task_id: fetch(task_id, 30)


def test_results_are_given_once(outbox: Outbox, ask: Ask) -> None:
    task_id = outbox.keep([1, "two", (3.0, date(2020, 1, 2)), None], 60)
    assert ask(task_id) == [1, "two", (3.0, date(2020, 1, 2)), None]
    assert outbox.holds() == 0
    with pytest.raises((UsageError, Unavailable, RemoteError)):
        ask(task_id)


def test_no_results_are_results(outbox: Outbox, ask: Ask) -> None:
    assert ask(outbox.keep([], 60)) == []


def test_many_results_come_in_parts(outbox: Outbox) -> None:
    values = [bytes([number % 256]) * 100_000 for number in range(100)]
    assert elsewhere(outbox.keep(values, 60)) == values


def test_who_asks_too_early_waits(outbox: Outbox, ask: Ask) -> None:
    go = threading.Event()

    def later() -> Iterator[int]:
        go.wait(30)
        yield 5

    timer = threading.Timer(0.3, go.set)
    task_id = outbox.keep(later(), 60)
    timer.start()
    assert ask(task_id) == [5]
    timer.join()


def test_who_waits_waits_no_longer_than_he_said(outbox: Outbox) -> None:
    go = threading.Event()

    def later() -> Iterator[int]:
        go.wait(30)
        yield 5

    task_id = outbox.keep(later(), 60)
    with pytest.raises(WaitTimeout):
        fetch(task_id, 0.05)
    with pytest.raises(RemoteError, match="WaitTimeout"):
        elsewhere(task_id, 0.05)
    go.set()
    assert fetch(task_id, 30) == [5]


def test_an_error_is_given_in_words(outbox: Outbox) -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise ValueError("reasons")

    with pytest.raises(RemoteError, match="reasons"):
        elsewhere(outbox.keep(failing(), 60))
    with pytest.raises(ValueError, match="reasons"):
        fetch(outbox.keep(failing(), 60), 30)


@pytest.mark.parametrize("message", ["a name: \udcff", "x" * (17 << 20)])
def test_an_error_that_cannot_be_sent_as_it_is_is_no_harm(outbox: Outbox, message: str) -> None:
    """It ended the thread that answers, and with it the results of all other maps."""

    def failing() -> Iterator[int]:
        yield 1
        raise ValueError(message)

    other = outbox.keep([1], 60)
    with pytest.raises(RemoteError) as caught:
        elsewhere(outbox.keep(failing(), 60))
    assert isinstance(caught.value.__cause__, RemoteError)
    assert "ValueError" in caught.value.__cause__.error
    assert elsewhere(other) == [1]


def test_a_fork_ends_although_a_thread_held_the_lock(outbox: Outbox) -> None:
    outbox.keep([1], 60)
    with outbox._lock:
        pid = os.fork()
        if pid == 0:
            signal.alarm(10)
            outbox.close()
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_what_is_no_data_is_refused_elsewhere_and_stays(outbox: Outbox) -> None:
    task_id = outbox.keep([object], 60)
    with pytest.raises(RemoteError) as caught:
        elsewhere(task_id)
    assert isinstance(caught.value.__cause__, SchemaError)
    assert fetch(task_id, 30) == [object]


def test_when_their_time_is_over_they_are_gone(outbox: Outbox, eventually: Eventually) -> None:
    task_id = outbox.keep([1], 0.1)
    eventually(lambda: outbox.holds() == 0)
    with pytest.raises(UsageError, match="no results of this id"):
        fetch(task_id, 1)


def test_a_stranger_s_question_is_no_harm(outbox: Outbox) -> None:
    address = outbox.keep([1], 60).partition("#")[0]
    channel = connect(address)
    channel.send(b"\xc1 nonsense")
    with contextlib.suppress(Unavailable):
        channel.recv(10)
    channel.close()
    assert elsewhere(f"{address}#{next(iter(outbox._parcels))}") == [1]


@pytest.mark.parametrize("wrong", ["", "nonsense", "unix:///tmp/nowhere"])
def test_what_is_no_id_is_refused(wrong: str) -> None:
    with pytest.raises(UsageError, match="not the id of a map"):
        fetch(wrong, 1)


def test_a_process_that_is_gone_is_not_waited_for(outbox: Outbox) -> None:
    task_id = outbox.keep([1], 60)
    outbox.close()
    began = time.monotonic()
    with pytest.raises((Unavailable, RemoteError)):
        elsewhere(task_id)
    assert time.monotonic() - began < 20


def test_each_process_has_one_of_its_own() -> None:
    first = module.outbox()
    assert module.outbox() is first
    assert first.owner == os.getpid()
    first.close()
    assert module.outbox() is not first
