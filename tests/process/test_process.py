"""Processes as futures: waited for, told to stop, and tried again."""

from __future__ import annotations

import asyncio
import concurrent.futures
import errno
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import psutil
import pytest

import zproc.process as zp
from zproc.core.supervisor import Stage
from zproc.exceptions import ProcessError, RemoteError, UsageError, WaitTimeout
from zproc.process import Incarnation, Options, Process, StartMethod
from zproc.process.supervision import supervision
from zproc.process.task import Task

WITHIN = 20.0
Eventually = Callable[[Callable[[], object]], None]


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "zproc")


def make(target: Callable[..., Any], *args: object, options: Options | None = None, **kwargs: object) -> Process[Any]:
    process = Process(Task.of(target, args, kwargs, (), {"retry_delay": 0.01, **(options or {})}))
    if (options or {}).get("start", True):
        process.start()
    return process


def pause() -> NoReturn:
    signal.alarm(60)  # for the day when what is tested here does not work
    while True:
        signal.pause()


def count(file: str) -> int:
    """Note a try, and tell which it is."""
    with open(file, "a", encoding="ascii") as notes:
        notes.write(".")
    return len(Path(file).read_text("ascii"))


def succeed_at(number: int, file: str, fail: Callable[[], object]) -> int:
    tried = count(file)
    if tried < number:
        fail()
    return tried


def burn() -> NoReturn:
    raise ValueError("burnt")


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def crash() -> None:
    os.abort()


class Unsendable(Exception):
    def __reduce__(self) -> NoReturn:
        raise TypeError("I stay")


def raise_unsendable() -> NoReturn:
    raise Unsendable


@pytest.fixture
def notes(tmp_path: Path) -> str:
    return str(tmp_path / "notes")


# -------------------------------------------------------------------------------------------------------------- futures


def test_a_process_is_a_future(method: StartMethod) -> None:
    process = make(lambda: 42, options={"start_method": method})
    assert isinstance(process, concurrent.futures.Future)
    assert process.result(WITHIN) == process.wait(0) == 42
    assert process.exception(0) is None
    assert process.done()
    assert not process.running()
    assert not process.cancel()
    assert (process.exitcode, process.signal, process.restarts, process.last_error) == (0, None, 0, None)
    assert not process.is_alive


def test_an_error_is_raised_and_told_anew_each_time(method: StartMethod) -> None:
    process = make(burn, options={"name": "oven", "start_method": method})
    with pytest.raises(RemoteError, match="burnt") as caught:
        process.wait(WITHIN)
    cause = caught.value.__cause__
    assert isinstance(cause, ValueError)
    assert cause.__notes__ == [f"raised in process oven (pid {process.pid}), try 1"]
    again = process.exception(0)
    assert isinstance(again, RemoteError)
    assert again is not caught.value
    assert again.__cause__ is cause
    assert process.stage is Stage.FAILED


def test_what_takes_futures_takes_processes() -> None:
    processes = [make(int, number) for number in range(3)]
    done, rest = concurrent.futures.wait(processes, WITHIN)
    assert done == set(processes)
    assert not rest
    assert sorted(each.result() for each in concurrent.futures.as_completed(processes)) == [0, 1, 2]


def test_a_process_can_be_awaited() -> None:
    async def wait() -> int:
        return int(await asyncio.wait_for(asyncio.wrap_future(make(lambda: 7)), WITHIN))

    assert asyncio.run(wait()) == 7


def test_who_asked_is_called_back_once_with_the_process() -> None:
    called: list[object] = []
    heard = threading.Event()
    process = make(pause)
    process.add_done_callback(called.append)
    process.add_done_callback(lambda _: heard.set())
    assert called == []
    process.stop()
    assert heard.wait(WITHIN)
    assert called == [process]


def test_a_callback_that_stops_another_process_is_no_deadlock() -> None:
    other, process = make(pause), make(int)
    process.add_done_callback(lambda _: other.stop())
    with pytest.raises(ProcessError):
        other.wait(WITHIN)


def test_a_callback_that_raises_harms_nobody() -> None:
    process = make(time.sleep, 0.05)
    process.add_done_callback(lambda _: sys.exit("mine"))
    process.wait(WITHIN)
    assert make(int).wait(WITHIN) == 0


def test_a_wait_that_is_too_short_says_so_and_costs_nothing() -> None:
    process = make(pause)
    before, began = time.process_time(), time.monotonic()
    with pytest.raises(WaitTimeout, match="pause"):
        process.wait(0.3)
    assert 0.3 <= time.monotonic() - began < 3
    assert time.process_time() - before < 0.1
    assert process.running()
    process.kill()


def test_what_was_not_started_is_not_waited_for() -> None:
    process = make(int, options={"start": False})
    with pytest.raises(UsageError, match="not started"):
        process.wait()
    assert (process.pid, process.exitcode, process.is_alive, process.stage) == (None, None, False, Stage.NEW)
    process.start()
    assert process.wait(WITHIN) == 0
    with pytest.raises(UsageError, match="before"):
        process.start()


def test_a_process_whose_end_nobody_would_see_is_not_left_running(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Incarnation[Any]] = []

    def refuse(incarnation: Incarnation[Any], _ended: object) -> NoReturn:
        started.append(incarnation)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(supervision, "watch", refuse)
    process = make(pause, options={"start": False})
    with pytest.raises(ProcessError, match="Too many open files"):
        process.start()
    assert not started[0].is_alive
    assert process.stage is Stage.NEW


def test_what_is_cancelled_never_begins() -> None:
    process = make(int, options={"start": False})
    assert process.cancel()
    assert process.cancel()
    assert process.cancelled()
    with pytest.raises(concurrent.futures.CancelledError):
        process.wait(0)
    with pytest.raises(UsageError):
        process.start()
    process.stop()


def test_what_runs_cannot_be_cancelled() -> None:
    process = make(pause)
    assert not process.cancel()
    process.kill()


def test_a_fork_may_not_use_it() -> None:
    process = make(int)
    process.wait(WITHIN)
    pid = os.fork()
    if pid == 0:
        try:
            process.wait(0)
        except UsageError:
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_it_cannot_be_sent_to_another_process() -> None:
    with pytest.raises(UsageError, match="belongs to the process that made it") as caught:
        make(print, make(int))
    assert "ctx.processes" in str(caught.value)


def test_its_repr_tells_name_pid_and_stage() -> None:
    process = make(int, options={"name": "zero"})
    process.wait(WITHIN)
    assert repr(process) == f"<Process zero (pid {process.pid}): returned>"
    assert repr(make(int, options={"start": False})) == "<Process int: new>"


# -------------------------------------------------------------------------------------------------------------- the end


def test_a_process_that_is_stopped_stays_stopped(method: StartMethod) -> None:
    process = make(pause, options={"restart": "always", "start_method": method})
    process.stop()
    assert process.stage is Stage.STOPPED
    assert process.signal is signal.SIGTERM
    assert process.restarts == 0
    with pytest.raises(ProcessError, match="as asked"):
        process.wait(0)
    process.stop()


def test_a_process_that_is_killed_stays_dead() -> None:
    process = make(pause, options={"restart": "always"})
    process.kill()
    assert (process.stage, process.signal) == (Stage.STOPPED, signal.SIGKILL)


def test_an_answer_to_a_stop_counts() -> None:
    def leave() -> str:
        # By an exception: a handler that sets an event would wait for the lock of who waits for the event.
        zp.signal_to_exception(signal.SIGTERM)
        try:
            zp.announce_ready()
            signal.pause()
        except zp.SignalException:
            return "in good order"
        return "not asked"

    process = make(leave, options={"restart": "always", "start": False})
    process.launch(ready=True)
    process.stop()
    assert process.wait(0) == "in good order"


def test_a_process_that_rests_is_stopped_at_once(notes: str, eventually: Eventually) -> None:
    process = make(succeed_at, 5, notes, burn, options={"restart": "on_failure", "retry_delay": 30.0, "name": "rester"})
    eventually(lambda: process.stage is Stage.RESTING)
    assert not process.is_alive
    assert process.running()
    began = time.monotonic()
    process.stop()
    assert time.monotonic() - began < 5
    with pytest.raises(ProcessError, match="before its next try") as caught:
        process.wait(0)
    assert isinstance(caught.value.__cause__, RemoteError)


def test_stopping_and_failing_at_the_same_time_is_settled_once() -> None:
    for _ in range(20):
        process = make(burn, options={"restart": "always", "retry_delay": 0.0, "intensity": None})
        process.stop()
        assert process.stage in (Stage.STOPPED, Stage.FAILED)
        assert process.done()
        assert not process.is_alive


def test_an_interrupt_is_a_command(caplog: pytest.LogCaptureFixture) -> None:
    process = make(pause, options={"restart": "always", "retry_for": Exception})
    process.send_signal(signal.SIGINT)
    with pytest.raises(ProcessError):
        process.wait(WITHIN)
    assert (process.signal, process.restarts) == (signal.SIGINT, 0)
    assert not caplog.records, "every process of a terminal gets it, and nobody wants to hear of each"


# ------------------------------------------------------------------------------------------------------- tried again


@pytest.mark.parametrize("fail", [burn, kill_self, crash, lambda: os._exit(3), raise_unsendable])
def test_any_failure_is_tried_again(fail: Callable[[], object], notes: str, method: StartMethod) -> None:
    """Those, too, of which nobody in the process could tell."""
    process = make(succeed_at, 2, notes, fail, options={"restart": "on_failure", "start_method": method})
    assert process.wait(WITHIN) == 2
    assert process.restarts == 1
    assert isinstance(process.last_error, ProcessError), "what went wrong is known although it went well at last"
    assert process.exception(0) is None
    assert process.stage is Stage.RETURNED


def test_what_returns_is_tried_again_if_that_was_agreed(notes: str, eventually: Eventually) -> None:
    process = make(count, notes, options={"restart": "always", "intensity": None})
    eventually(lambda: process.restarts >= 3)
    process.stop()


@pytest.mark.parametrize(
    ("fail", "reason"),
    [
        (burn, ValueError),
        (burn, (KeyError, Exception)),
        (burn, [RemoteError]),
        (raise_unsendable, Unsendable),
        (kill_self, signal.SIGKILL),
        (kill_self, (signal.SIGTERM, signal.SIGKILL)),
        (kill_self, ProcessError),
    ],
)
def test_what_is_listed_is_tried_again(fail: Callable[[], object], reason: Any, notes: str) -> None:
    process = make(succeed_at, 3, notes, fail, options={"retry_for": reason})
    assert process.wait(WITHIN) == 3


@pytest.mark.parametrize(
    ("fail", "reason"), [(burn, KeyError), (kill_self, ValueError), (kill_self, signal.SIGTERM), (burn, signal.SIGKILL)]
)
def test_what_is_not_listed_is_not_tried_again(fail: Callable[[], object], reason: Any, notes: str) -> None:
    process = make(succeed_at, 3, notes, fail, options={"retry_for": reason})
    with pytest.raises(ProcessError):
        process.wait(WITHIN)
    assert len(Path(notes).read_text("ascii")) == 1


@pytest.mark.parametrize("most", [0, 1, 2])
def test_there_is_one_try_more_than_retries(most: int, notes: str) -> None:
    process = make(succeed_at, 99, notes, burn, options={"retry_for": ValueError, "max_retries": most})
    with pytest.raises(RemoteError) as caught:
        process.wait(WITHIN)
    assert len(Path(notes).read_text("ascii")) == most + 1
    assert process.restarts == most
    assert isinstance(caught.value.__cause__, ValueError)
    assert caught.value.__cause__.__notes__ == [f"raised in process succeed_at (pid {process.pid}), try {most + 1}"]


def test_a_retry_has_arguments_of_its_own(notes: str) -> None:
    def task(first: str, second: str, *, third: str) -> tuple[str, str, str]:
        if count(notes) == 1:
            burn()
        return first, second, third

    options: Options = {"retry_for": ValueError, "retry_args": ("b",), "retry_kwargs": {"third": "c"}}
    process = Process(Task.of(task, ("x",), {"third": "y"}, ("state",), {**options, "retry_delay": 0}))
    process.start()
    assert process.wait(WITHIN) == ("state", "b", "c")


def test_a_crash_loop_is_given_up_and_its_last_error_kept(notes: str, caplog: pytest.LogCaptureFixture) -> None:
    began, cpu = time.monotonic(), time.process_time()
    process = make(succeed_at, 1000, notes, burn, options={"restart": "on_failure", "intensity": (4, 60.0)})
    with pytest.raises(RemoteError) as caught:
        process.wait(WITHIN)
    assert len(Path(notes).read_text("ascii")) == 5
    assert "gave up: it failed 5 times within 60 s" in caught.value.__notes__
    assert "burn" in caught.value.traceback
    assert time.process_time() - cpu < 1
    assert time.monotonic() - began >= 0.01 * (1 + 2 + 4 + 8) * 0.75
    assert len(caplog.records) == 5


def test_a_crash_is_one_record_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    process = make(burn, options={"name": "oven"})
    with pytest.raises(RemoteError):
        process.wait(WITHIN)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("zproc", logging.ERROR)
    assert f"process oven (pid {process.pid}): raised" in record.getMessage()
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ValueError)
    assert "in burn" in caplog.text


def test_words_are_recorded_of_what_could_not_travel(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(RemoteError):
        make(raise_unsendable).wait(WITHIN)
    (record,) = caplog.records
    assert "in raise_unsendable" in record.getMessage()


def test_a_command_leaves_no_record(caplog: pytest.LogCaptureFixture) -> None:
    make(pause).stop()
    assert not caplog.records


def test_a_restart_on_command_is_no_failure(notes: str, eventually: Eventually) -> None:
    def task() -> None:
        count(notes)
        pause()

    process = make(task, options={"max_retries": 0})
    for number in range(1, 4):
        eventually(lambda number=number: Path(notes).exists() and len(Path(notes).read_text()) == number)  # type: ignore[misc]
        old = process.pid
        process.restart()
        assert process.pid != old
        assert process.restarts == number
    assert process.is_alive
    process.stop()
    with pytest.raises(UsageError, match="ended for good"):
        process.restart()


def test_a_restart_begins_what_rests_or_is_new(notes: str, eventually: Eventually) -> None:
    process = make(succeed_at, 2, notes, burn, options={"start": False, "restart": "on_failure", "retry_delay": 30.0})
    process.restart()
    eventually(lambda: process.stage is Stage.RESTING)
    process.restart()
    assert process.wait(WITHIN) == 2


def test_a_try_that_cannot_be_made_is_one_that_failed(notes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the next is made when that is possible again."""
    real, failed = zp.start, threading.Event()

    def fail_once(*args: Any, **kwargs: Any) -> Any:
        if not failed.is_set():
            failed.set()
            raise ProcessError("no more processes")
        return real(*args, **kwargs)

    process = make(succeed_at, 2, notes, burn, options={"start": False, "restart": "on_failure"})
    with monkeypatch.context() as patch:
        process.start()
        patch.setattr("zproc.process.process.start", fail_once)
        assert process.wait(WITHIN) == 2
    assert failed.is_set()


def test_a_start_that_fails_is_raised_and_may_be_repeated() -> None:
    process = make(len, threading.Lock(), options={"start": False, "start_method": "spawn"})
    with pytest.raises(UsageError, match="cannot be sent"):
        process.start()
    assert process.stage is Stage.NEW
    process.cancel()


def test_a_signal_reaches_the_process_and_nobody_else(eventually: Eventually) -> None:
    process = make(pause)
    assert process.pid is not None
    kernel = psutil.Process(process.pid)
    process.send_signal(signal.SIGSTOP)
    eventually(lambda: kernel.status() == psutil.STATUS_STOPPED)
    process.stop(grace=5)
    process.send_signal(signal.SIGKILL)  # to nobody


def test_a_hundred_processes_end_in_any_order() -> None:
    processes = [make(int, number) for number in range(100)]
    assert [each.wait(60) for each in processes] == list(range(100))
    assert not [thread for thread in threading.enumerate() if thread.name == "zproc-supervision" and not thread.daemon]
