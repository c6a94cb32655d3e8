"""Starting, waiting for, and stopping processes, by each start method."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import psutil
import pytest

import zproc.process as zp
from zproc.exceptions import ProcessError, RemoteError, UsageError, WaitTimeout
from zproc.process import StartMethod, wire

Eventually = Callable[[Callable[[], object]], None]
WITHIN = 20.0


def pause() -> NoReturn:
    signal.alarm(60)  # for the day when what is tested here does not work
    while True:
        signal.pause()


def announce_and_pause() -> None:
    zp.announce_ready()
    pause()


def deaf() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    announce_and_pause()


class Wrong(Exception):
    def __init__(self, code: int, *, why: str) -> None:
        super().__init__(f"wrong {code}")
        self.code, self.why = code, why


class NotHere:
    """Can be packed, and cannot be unpacked."""

    def __reduce__(self) -> tuple[object, ...]:
        return int, ("x",)


class NotAnywhere(Exception):
    def __reduce__(self) -> NoReturn:
        raise TypeError("I stay")


# ------------------------------------------------------------------------------------------------------------- outcomes


def test_wait_returns_what_the_target_returned(method: StartMethod) -> None:
    process = zp.start(lambda a, b: (a, b, os.getpid()), (1,), {"b": [2]}, name="adder", method=method)
    assert process.wait(WITHIN) == (1, [2], process.pid)
    assert (process.exitcode, process.is_alive, process.name, process.method) == (0, False, "adder", method)
    assert process.pid != os.getpid()


def test_wait_gives_the_same_answer_again(method: StartMethod) -> None:
    process = zp.start(object, method=method)
    assert process.wait(WITHIN) is process.wait(0)


def test_an_answer_larger_than_any_pipe_arrives(method: StartMethod) -> None:
    process = zp.start(lambda data: data[::-1], (bytes(range(256)) * 40_000,), method=method)
    assert process.wait(WITHIN) == bytes(reversed(range(256))) * 40_000


def test_an_exception_arrives_with_its_traceback_and_cause(method: StartMethod) -> None:
    def inner() -> NoReturn:
        raise KeyError("inner")

    def outer() -> None:
        try:
            inner()
        except KeyError as error:
            raise Wrong(7, why="so") from error

    process = zp.start(outer, name="thrower", method=method)
    with pytest.raises(RemoteError) as caught:
        process.wait(WITHIN)
    error = caught.value
    assert (error.name, error.pid, error.exitcode) == ("thrower", process.pid, 1)
    assert error.error == "Wrong('wrong 7')"
    assert "KeyError: 'inner'" in error.traceback
    original = error.__cause__
    assert isinstance(original, Wrong)
    assert (original.code, original.why, original.args) == (7, "so", ("wrong 7",))
    assert original.__notes__ == [f"raised in process thrower (pid {process.pid}), try 1"]
    assert [frame.name for frame in traceback.extract_tb(original.__traceback__)] == ["outer"]
    assert isinstance(original.__cause__, KeyError)
    assert [frame.name for frame in traceback.extract_tb(original.__cause__.__traceback__)] == ["outer", "inner"]


def test_every_wait_raises_an_error_of_its_own(method: StartMethod) -> None:
    """Raising one error twice would hang two tracebacks on it."""
    process = zp.start(lambda: 1 / 0, method=method)
    errors = []
    for _ in range(2):
        with pytest.raises(RemoteError) as caught:
            process.wait(WITHIN)
        errors.append(caught.value)
    assert errors[0] is not errors[1]
    assert errors[0].__cause__ is errors[1].__cause__
    assert str(errors[0]) == str(errors[1])


@pytest.mark.parametrize("value", [threading.Lock, lambda: (each for each in ""), sys._getframe])
def test_a_result_that_cannot_travel_is_an_error_with_words(method: StartMethod, value: Callable[[], object]) -> None:
    process = zp.start(value, method=method)
    with pytest.raises(RemoteError, match="returned what cannot be sent") as caught:
        process.wait(WITHIN)
    assert "cannot pickle" in caught.value.traceback


def test_a_result_that_cannot_be_rebuilt_is_an_error_with_words(method: StartMethod) -> None:
    with pytest.raises(RemoteError, match="returned what cannot be read here: ValueError"):
        zp.start(NotHere, method=method).wait(WITHIN)


def test_an_exception_that_cannot_travel_arrives_in_words(method: StartMethod) -> None:
    def throw() -> NoReturn:
        raise NotAnywhere("at home")

    with pytest.raises(RemoteError, match="NotAnywhere") as caught:
        zp.start(throw, method=method).wait(WITHIN)
    assert caught.value.__cause__ is None
    assert "in throw" in caught.value.traceback


def test_endless_recursion_arrives_as_itself(method: StartMethod) -> None:
    def down() -> None:
        down()

    with pytest.raises(RemoteError) as caught:
        zp.start(down, method=method).wait(WITHIN)
    assert isinstance(caught.value.__cause__, RecursionError)


@pytest.mark.parametrize(("signum", "words"), [(signal.SIGKILL, "memory"), (signal.SIGUSR1, "SIGUSR1")])
def test_a_process_killed_from_outside_says_so(method: StartMethod, signum: signal.Signals, words: str) -> None:
    process = zp.start(announce_and_pause, method=method, ready=True)
    os.kill(process.pid, signum)
    with pytest.raises(ProcessError, match=words) as caught:
        process.wait(WITHIN)
    assert not isinstance(caught.value, RemoteError)
    assert caught.value.signal is signum
    assert process.exitcode == -signum


def test_a_crash_of_the_interpreter_is_told_by_its_signal(method: StartMethod) -> None:
    def crash() -> None:
        faulthandler.disable()  # inherited by a fork from pytest
        ctypes.string_at(0)

    process = zp.start(crash, method=method)
    with pytest.raises(ProcessError, match="SIGSEGV"):
        process.wait(WITHIN)
    assert process.exitcode == -signal.SIGSEGV


@pytest.mark.parametrize("leave", [os._exit, sys.exit])
def test_an_exit_code_without_an_answer_is_an_error(method: StartMethod, leave: Callable[[int], NoReturn]) -> None:
    process = zp.start(leave, (3,), method=method)
    with pytest.raises(ProcessError, match="exit code 3") as caught:
        process.wait(WITHIN)
    assert caught.value.exitcode == process.exitcode == 3


@pytest.mark.parametrize("code", [0, None])
def test_leaving_in_good_order_returns_nothing(method: StartMethod, code: int | None) -> None:
    leave: Callable[..., object] = sys.exit
    process = zp.start(leave, (code,), method=method)
    assert process.wait(WITHIN) is None
    assert process.exitcode == 0


def test_an_interrupt_in_the_child_is_quiet(method: StartMethod, capfd: pytest.CaptureFixture[str]) -> None:
    process = zp.start(announce_and_pause, method=method, ready=True)
    os.kill(process.pid, signal.SIGINT)
    with pytest.raises(ProcessError, match="SIGINT"):
        process.wait(WITHIN)
    assert process.exitcode == -signal.SIGINT
    assert capfd.readouterr() == ("", "")


def test_what_a_child_prints_is_seen_where_the_parent_writes(
    method: StartMethod, capfd: pytest.CaptureFixture[str]
) -> None:
    """Also if the parent has been redirected since the fork server began, as pytest does here."""

    def speak() -> None:
        os.write(1, b"raw ")
        sys.__stdout__.write("out")  # type: ignore[union-attr]
        sys.__stdout__.flush()  # type: ignore[union-attr]
        os.write(2, b"err")

    zp.start(speak, method=method).wait(WITHIN)
    assert capfd.readouterr() == ("raw out", "err")


# ----------------------------------------------------------------------------------------------------------------- wait


def test_wait_gives_up_after_its_timeout_and_may_be_called_again(method: StartMethod) -> None:
    process = zp.start(announce_and_pause, method=method, ready=True)
    began = time.monotonic()
    with pytest.raises(WaitTimeout, match=process.name):
        process.wait(0.1)
    assert 0.1 <= time.monotonic() - began < 5
    assert process.is_alive
    process.kill()


@pytest.mark.slow
def test_waiting_costs_nothing(method: StartMethod) -> None:
    """The original burnt a core while it waited."""
    process = zp.start(announce_and_pause, method=method, ready=True)
    before = time.process_time()
    with pytest.raises(WaitTimeout):
        process.wait(1.0)
    assert time.process_time() - before < 0.2
    process.kill()


def test_any_number_of_threads_may_wait(method: StartMethod) -> None:
    process = zp.start(lambda: "x" * 1_000_000, method=method)
    with ThreadPoolExecutor(8) as pool:
        answers = {id(each.result(WITHIN)) for each in [pool.submit(process.wait, WITHIN) for _ in range(8)]}
    assert len(answers) == 1


def test_threads_that_wait_for_a_killed_process_all_hear_of_it(method: StartMethod) -> None:
    process = zp.start(announce_and_pause, method=method, ready=True)
    with ThreadPoolExecutor(4) as pool:
        waits = [pool.submit(process.wait, WITHIN) for _ in range(4)]
        os.kill(process.pid, signal.SIGKILL)
        assert [type(each.exception(WITHIN)) for each in waits] == [ProcessError] * 4


def test_a_process_belongs_to_who_started_it(method: StartMethod) -> None:
    process = zp.start(announce_and_pause, method=method, ready=True)

    def wait_in_a_fork() -> str:
        try:
            process.wait(0)
        except UsageError as error:
            return str(error)
        return "no error"

    assert "fork" in str(zp.start(wait_in_a_fork, method="fork").wait(WITHIN))
    assert process.is_alive
    process.kill()


def test_what_ended_unseen_is_reaped_at_the_next_start(method: StartMethod, eventually: Eventually) -> None:
    process = zp.start(int, method=method)
    assert wire.poll({process._offspring.fileno(): select.POLLIN}, time.monotonic() + WITHIN)
    pid = process.pid
    assert psutil.pid_exists(pid) or method is StartMethod.FORKSERVER
    zp.start(int, method=method).wait(WITHIN)
    eventually(lambda: not psutil.pid_exists(pid))


# ----------------------------------------------------------------------------------------------------------------- stop


def test_stop_asks_first(method: StartMethod) -> None:
    process = zp.start(announce_and_pause, method=method, ready=True)
    process.stop()
    assert process.exitcode == -signal.SIGTERM
    with pytest.raises(ProcessError, match="as asked"):
        process.wait()
    process.stop()
    process.kill()


def test_stop_kills_what_does_not_listen(method: StartMethod) -> None:
    process = zp.start(deaf, method=method, ready=True)
    began = time.monotonic()
    process.stop(grace=0.1)
    assert time.monotonic() - began < 2
    assert process.exitcode == -signal.SIGKILL
    with pytest.raises(ProcessError, match="as asked"):
        process.wait()


def test_stop_ends_a_stopped_process(method: StartMethod) -> None:
    process = zp.start(announce_and_pause, method=method, ready=True)
    os.kill(process.pid, signal.SIGSTOP)
    process.stop()
    assert process.exitcode == -signal.SIGTERM


def test_stop_right_after_the_start_is_heard(method: StartMethod) -> None:
    """A signal that comes before the child is ready for it waits for it."""
    process = zp.start(pause, method=method)
    process.stop(grace=10)
    assert process.exitcode == -signal.SIGTERM


def test_stop_takes_the_descendants_along(method: StartMethod, alive: Callable[[psutil.Process], bool]) -> None:
    def family() -> NoReturn:
        first = os.fork()
        if first == 0:
            os.setsid()
            pause()
        inner = zp.start(pause, method=method)
        zp.announce_ready((first, inner.pid))
        pause()

    process = zp.start(family, method=method, ready=True)
    pids: Any = process.ready_value
    relatives = [psutil.Process(pid) for pid in pids]
    process.stop()
    psutil.wait_procs(relatives, timeout=5)
    assert [alive(each) for each in relatives] == [False, False]


def test_stop_all_has_one_grace_for_all(method: StartMethod) -> None:
    processes = [zp.start(deaf, method=method, ready=True) for _ in range(3)]
    began = time.monotonic()
    zp.stop_all(processes, grace=1.0)
    assert time.monotonic() - began < 3, "three of them, one after the other, take longer"
    assert {each.exitcode for each in processes} == {-signal.SIGKILL}


def test_stop_all_asks_in_the_given_order(tmp_path: Path, method: StartMethod) -> None:
    def last_words(name: str) -> None:
        def end(*_: object) -> NoReturn:
            (tmp_path / name).write_text(str(time.monotonic_ns()))
            os._exit(0)

        signal.signal(signal.SIGTERM, end)
        announce_and_pause()

    zp.stop_all([zp.start(last_words, (name,), method=method, ready=True) for name in "ab"])
    assert {each.name for each in tmp_path.iterdir()} == {"a", "b"}


def test_a_repr_tells_name_pid_and_state(method: StartMethod) -> None:
    process = zp.start(int, name="zero", method=method)
    assert f"zero (pid {process.pid})" in repr(process)
    process.wait(WITHIN)
    assert repr(process) == f"<Incarnation zero (pid {process.pid}): exitcode 0>"


def take_orders() -> str:
    orders = zp.Orders()
    zp.announce_ready()
    while True:
        select.select([orders], [], [])
        while (order := orders.take()) is not None:
            if order.target is str:
                orders.close()
                return "told to end"
            try:
                orders.answer(order.perform())
            except ZeroDivisionError as error:
                orders.answer(error)


class TestOrders:
    def test_a_process_answers_what_it_is_asked_while_it_runs(self, method: str) -> None:
        process = zp.start(take_orders, method=method, ready=True)
        assert process.ask(divmod, 17, 5) == (3, 2)
        big = list(range(200_000))
        assert process.ask(lambda numbers: sum(numbers), big) == sum(big)
        with pytest.raises(ZeroDivisionError):
            process.ask(divmod, 17, 0)
        assert process.ask(divmod, 9, 5) == (1, 4)
        with pytest.raises(ProcessError, match="before it answered"):
            process.ask(str)
        assert process.wait(20) == "told to end"

    def test_threads_that_ask_get_each_their_own_answer(self, method: str) -> None:
        process = zp.start(take_orders, method=method, ready=True)
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda number: process.ask(divmod, number, 7), range(100)))
        assert answers == [divmod(number, 7) for number in range(100)]
        process.kill()

    def test_who_does_not_answer_in_time_is_ended(self) -> None:
        process = zp.start(pause)
        with pytest.raises(WaitTimeout):
            process.ask(divmod, 1, 2, timeout=0.05)
        assert not process.is_alive

    def test_the_dead_cannot_be_asked(self) -> None:
        process = zp.start(int)
        process.wait(20)
        with pytest.raises(ProcessError):
            process.ask(divmod, 1, 2)

    def test_what_cannot_be_sent_is_refused(self) -> None:
        process = zp.start(take_orders, ready=True)
        with pytest.raises(UsageError, match="cannot be sent"):
            process.ask(divmod, threading.Lock())
        assert process.ask(divmod, 1, 1) == (1, 0)
        process.kill()

    def test_only_a_child_takes_orders(self) -> None:
        with pytest.raises(UsageError, match="none"):
            zp.Orders()
