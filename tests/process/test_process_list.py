"""Several processes as one, and who goes down with whom."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from zproc.core.supervisor import Stage
from zproc.exceptions import ProcessError, RemoteError, UsageError, WaitTimeout
from zproc.process import Options, Process, ProcessList
from zproc.process.task import Task

WITHIN = 20.0
Eventually = Callable[[Callable[[], object]], None]


def make(target: Callable[..., Any], *args: object, **options: Any) -> Process[Any]:
    given: Options = {"retry_delay": 0.01, **options}  # type: ignore[typeddict-item]
    process = Process(Task.of(target, args, None, (), given))
    if options.get("start", True):
        process.start()
    return process


def pause() -> NoReturn:
    signal.alarm(60)  # for the day when what is tested here does not work
    while True:
        signal.pause()


def burn(after: float = 0.0) -> NoReturn:
    time.sleep(after)
    raise ValueError("burnt")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_list_is_a_sequence_of_its_processes() -> None:
    one, two, three = (make(int, start=False) for _ in range(3))
    processes = ProcessList([one, two, three])
    assert len(processes) == 3
    assert processes[0] is one
    assert processes[1:] == [two, three] == ProcessList([two, three])
    assert list(reversed(processes)) == [three, two, one]
    assert two in processes
    assert processes != [one]
    assert processes != 3
    assert repr(processes[:1]) == "ProcessList([<Process int: new>])"
    processes.stop()
    assert {each.stage for each in processes} == {Stage.CANCELLED}


def test_start_starts_those_that_were_not_started() -> None:
    """The first one that was started already does not keep the others from it."""
    processes = ProcessList([make(int, 1), make(int, 2, start=False), make(int, 3), make(int, 4, start=False)])
    processes.start()
    assert processes.wait(WITHIN) == [1, 2, 3, 4]


def test_results_come_in_the_order_of_the_list() -> None:
    def slow() -> str:
        time.sleep(0.1)
        return "slow"

    assert ProcessList([make(slow), make(lambda: "fast")]).wait(WITHIN) == ["slow", "fast"]
    assert ProcessList([]).wait(0) == []


def test_one_timeout_goes_for_all() -> None:
    processes = ProcessList([make(pause) for _ in range(3)])
    began = time.monotonic()
    with pytest.raises(WaitTimeout):
        processes.wait(0.5)
    assert time.monotonic() - began < 3 * 0.5
    processes.stop()


def test_a_failure_ends_the_wait_although_others_run_on() -> None:
    processes = ProcessList([make(pause), make(burn)])
    with pytest.raises(RemoteError, match="burnt"):
        processes.wait(WITHIN)
    processes.stop()


def test_a_failure_does_not_hide_the_others() -> None:
    processes = ProcessList([make(burn, name="first"), make(die, name="second")])
    for each in processes:
        each.exception(WITHIN)
    with pytest.raises(RemoteError, match="first") as caught:
        processes.wait(WITHIN)
    assert "process second" in caught.value.__notes__[-1]
    assert "SIGKILL" in caught.value.__notes__[-1]


def test_a_safe_wait_gives_errors_in_the_places_of_results() -> None:
    processes = ProcessList([make(burn), make(int, 5), make(pause), make(die)])
    processes[3].exception(WITHIN)
    processes[0].exception(WITHIN)
    processes[1].wait(WITHIN)
    burnt, five, late, dead = processes.wait(0.1, safe=True)
    assert isinstance(burnt, RemoteError)
    assert five == 5
    assert isinstance(late, WaitTimeout)
    assert isinstance(dead, ProcessError)
    processes.stop()


@pytest.mark.parametrize("safe", [True, False])
def test_what_was_not_started_is_not_waited_for(safe: bool) -> None:
    with pytest.raises(UsageError, match="not started"):
        ProcessList([make(int, start=False)]).wait(safe=safe)


def test_the_last_one_is_asked_first_to_stop(tmp_path: Path) -> None:
    file = str(tmp_path / "order")

    def note(number: int) -> None:
        def leave(*_: object) -> NoReturn:
            with open(file, "a", encoding="ascii") as notes:
                notes.write(str(number))
            raise SystemExit

        signal.signal(signal.SIGTERM, leave)
        Path(f"{file}{number}").touch()
        pause()

    processes = ProcessList([make(note, number) for number in range(3)])
    for number in range(3):
        _until(Path(f"{file}{number}").exists)
    # One at a time, so that what is seen is the order of the asking and not that of the waking.
    asked = [(each, each._send) for each in (process._incarnation for process in processes) if each is not None]
    for incarnation, send in asked:
        incarnation._send = lambda *signums, each=incarnation, send=send: (send(*signums), each.wait(WITHIN))  # type: ignore[method-assign, assignment]
    processes.stop()
    assert Path(file).read_text("ascii") == "210"


def test_an_unknown_strategy_lists_the_choices() -> None:
    with pytest.raises(UsageError, match="rest_for_one"):
        ProcessList([], "none_for_all")  # type: ignore[arg-type]


# --------------------------------------------------------------------------------------------------------------- groups


@pytest.mark.parametrize(
    ("strategy", "again"),
    [("one_for_one", [False, True, False]), ("one_for_all", [True, True, True]), ("rest_for_one", [False, True, True])],
)
def test_who_begins_again_with_a_member_that_died(strategy: Any, again: list[bool], eventually: Eventually) -> None:
    processes = ProcessList([make(pause, restart="on_failure") for _ in range(3)], strategy)
    before = [each.pid for each in processes]
    processes[1].send_signal(signal.SIGKILL)
    eventually(lambda: [each.restarts > 0 for each in processes] == again and all(each.is_alive for each in processes))
    assert [each.pid != old for each, old in zip(processes, before, strict=True)] == again
    processes.stop()
    assert {each.stage for each in processes} == {Stage.STOPPED}


def test_a_member_that_has_ended_for_good_does_not_begin_again(eventually: Eventually) -> None:
    processes = ProcessList([make(int, 7), make(pause, restart="on_failure")], "one_for_all")
    assert processes[0].wait(WITHIN) == 7
    processes[1].send_signal(signal.SIGKILL)
    eventually(lambda: processes[1].restarts == 1 and processes[1].is_alive)
    assert (processes[0].restarts, processes[0].stage) == (0, Stage.RETURNED)
    processes.stop()


@pytest.mark.parametrize(("strategy", "stopped"), [("one_for_all", [0, 2]), ("rest_for_one", [2])])
def test_who_depends_on_a_member_that_is_given_up_is_stopped(
    strategy: Any, stopped: list[int], eventually: Eventually
) -> None:
    middle = make(burn, restart="on_failure", max_retries=1, start=False)
    processes = ProcessList([make(pause, restart="always"), middle, make(pause, restart="always")], strategy)
    middle.start()
    eventually(lambda: [n for n, each in enumerate(processes) if each.stage is Stage.STOPPED] == stopped)
    eventually(lambda: all(processes[number].done() for number in stopped))
    assert middle.stage is Stage.FAILED
    assert middle.restarts == 1
    processes.stop()


def test_members_that_die_together_come_back_together(eventually: Eventually) -> None:
    processes = ProcessList([make(pause, restart="on_failure") for _ in range(4)], "one_for_all")
    for each in processes:
        each.send_signal(signal.SIGKILL)
    eventually(lambda: all(each.restarts >= 1 and each.is_alive for each in processes))
    processes.stop()
    assert not any(each.is_alive for each in processes)


def test_a_group_that_is_stopped_while_it_comes_back_stays_stopped() -> None:
    for _ in range(5):
        processes = ProcessList([make(pause, restart="on_failure") for _ in range(2)], "one_for_all")
        processes[0].send_signal(signal.SIGKILL)
        processes.stop()
        assert {each.stage for each in processes} == {Stage.STOPPED}
        assert not any(each.is_alive for each in processes)


def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WITHIN
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
