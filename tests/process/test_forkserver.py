"""Asking the fork server."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any, NoReturn

import psutil
import pytest

import zproc.process as zp
from zproc.exceptions import ProcessError, WaitTimeout
from zproc.process import forkserver

Eventually = Callable[[Callable[[], object]], None]
Alive = Callable[[psutil.Process], bool]
WITHIN = 20.0


def pause() -> NoReturn:
    signal.alarm(60)
    zp.announce_ready()
    while True:
        signal.pause()


def begin(**options: Any) -> zp.Incarnation[NoReturn]:
    return zp.start(pause, method="forkserver", ready=True, **options)


def server() -> psutil.Process:
    pid = zp.fork_server_pid()
    assert pid is not None
    return psutil.Process(pid)


def test_one_fork_server_makes_all() -> None:
    processes = [begin() for _ in range(3)]
    assert {psutil.Process(each.pid).ppid() for each in processes} == {zp.fork_server_pid()}
    zp.stop_all(processes)


def test_the_fork_server_has_one_thread() -> None:
    begin().kill()
    assert server().num_threads() == 1


def test_a_child_asks_the_same_fork_server() -> None:
    def nested() -> tuple[int, int]:
        inner = zp.start(os.getppid, method="forkserver")
        return os.getppid(), inner.wait(WITHIN)

    assert zp.start(nested, method="forkserver").wait(WITHIN) == (zp.fork_server_pid(), zp.fork_server_pid())


def test_a_forked_process_has_a_fork_server_of_its_own() -> None:
    """Two that talk over one channel would take each other's answers."""

    def nested() -> tuple[int | None, int | None]:
        before = zp.fork_server_pid()
        zp.start(int, method="forkserver").wait(WITHIN)
        return before, zp.fork_server_pid()

    zp.start(int, method="forkserver").wait(WITHIN)
    before, after = zp.start(nested, method="fork").wait(WITHIN)
    assert before is None
    assert after not in (None, zp.fork_server_pid())


def test_a_fork_server_that_was_killed_is_replaced() -> None:
    zp.start(int, method="forkserver").wait(WITHIN)
    before = server()
    before.kill()
    assert zp.start(lambda: "again", method="forkserver").wait(WITHIN) == "again"
    assert zp.fork_server_pid() != before.pid
    assert not psutil.pid_exists(before.pid)


def test_who_waits_hears_that_the_fork_server_was_killed() -> None:
    process = begin()
    server().kill()
    with pytest.raises(ProcessError, match="together with the fork server"):
        process.wait(WITHIN)
    assert process.exitcode == -signal.SIGKILL
    process.stop()


def test_who_may_linger_survives_the_fork_server() -> None:
    guard = begin(linger=1.0)
    server().kill()
    zp.start(int, method="forkserver").wait(WITHIN)
    with pytest.raises(WaitTimeout):
        guard.wait(0.2)
    assert guard.is_alive
    guard.stop()
    assert guard.exitcode is not None


def test_an_answer_counts_although_the_fork_server_is_dead() -> None:
    def answer() -> str:
        zp.announce_ready()
        signal.sigwait({signal.SIGUSR1})
        return "still here"

    def patient() -> str:
        signal.alarm(60)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        return answer()

    process = zp.start(patient, method="forkserver", ready=True, linger=1.0)
    server().kill()
    os.kill(process.pid, signal.SIGUSR1)
    assert process.wait(WITHIN) == "still here"
    assert process.exitcode == 0


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_fork_server_follows_its_owner_and_nobody_else(signum: signal.Signals) -> None:
    process = begin()
    server().send_signal(signum)
    assert zp.start(int, method="forkserver").wait(WITHIN) == 0
    assert process.is_alive
    process.kill()


def test_a_fork_server_that_is_shut_down_takes_all_along(eventually: Eventually, alive: Alive) -> None:
    process = begin()
    before, child = server(), psutil.Process(process.pid)
    zp.shut_down()
    assert zp.fork_server_pid() is None
    assert not psutil.pid_exists(before.pid)
    eventually(lambda: not alive(child))
    with pytest.raises(ProcessError):
        process.wait(WITHIN)
    zp.shut_down()


def test_a_fork_server_that_does_not_answer_is_not_waited_for_for_ever() -> None:
    zp.start(int, method="forkserver").wait(WITHIN)
    server().suspend()
    with pytest.raises(WaitTimeout, match="fork server"):
        zp.start(int, method="forkserver", timeout=0.1)
    server().resume()
    assert zp.start(int, method="forkserver").wait(WITHIN) == 0


def test_a_fork_server_that_was_stopped_goes_on_when_it_is_needed() -> None:
    """By Ctrl-Z, a debugger or by hand: nothing would be made, and no end told, until somebody continued it."""
    zp.start(int, method="forkserver").wait(WITHIN)
    server().suspend()
    assert zp.start(int, method="forkserver").wait(WITHIN) == 0
    patient, returning = begin(), zp.start(signal.sigtimedwait, ([signal.SIGUSR1], 0.5), method="forkserver")
    server().suspend()
    assert returning.wait(WITHIN) is None
    server().suspend()
    began = time.monotonic()
    patient.stop()
    assert time.monotonic() - began < 4, "it ended by SIGTERM, and that was told"
    other = begin()
    server().suspend()
    other.kill()
    assert other.exitcode == -signal.SIGKILL


def test_a_child_rouses_its_fork_server_too() -> None:
    def nested(pid: int) -> int:
        psutil.Process(pid).suspend()
        return zp.start(int, method="forkserver").wait(WITHIN)

    zp.start(int, method="forkserver").wait(WITHIN)
    assert zp.start(nested, (server().pid,), method="forkserver").wait(WITHIN) == 0


def test_threads_share_the_fork_server_from_its_first_moment() -> None:
    zp.shut_down()
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda: answers.append(zp.start(os.getppid, method="forkserver").wait(WITHIN)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [zp.fork_server_pid()] * 6


def test_a_fork_server_short_of_descriptors_says_so_and_goes_on() -> None:
    """It ended, and all that it had made with it."""
    zp.start(int, method="forkserver").wait(WITHIN)
    soft, hard = server().rlimit(psutil.RLIMIT_NOFILE)
    server().rlimit(psutil.RLIMIT_NOFILE, (40, hard))
    processes: list[zp.Incarnation[NoReturn]] = []
    with pytest.raises(ProcessError, match=r"Too many open files.*ulimit -n"):
        processes.extend(begin() for _ in range(40))
    with pytest.raises(ProcessError, match="Too many open files"):
        begin()
    zp.spare_pid()
    assert len(processes) > 10
    assert all(each.is_alive for each in processes)
    zp.stop_all(processes)
    assert zp.start(int, method="forkserver").wait(WITHIN) == 0
    server().rlimit(psutil.RLIMIT_NOFILE, (soft, hard))


def test_who_is_kept_in_readiness_is_the_next_process() -> None:
    zp.start(int, method="forkserver").wait(WITHIN)
    spare = zp.spare_pid()
    assert spare is not None
    assert psutil.Process(spare).ppid() == zp.fork_server_pid()
    assert zp.start(os.getpid, method="forkserver").wait(WITHIN) == spare
    assert zp.spare_pid() not in (None, spare)


def test_without_a_fork_server_nobody_is_kept_in_readiness() -> None:
    zp.start(int, method="forkserver").wait(WITHIN)
    server().kill()
    assert zp.spare_pid() is None
    assert zp.fork_server_pid() is None
    assert zp.spare_pid() is None


def test_a_closed_standard_stream_is_no_obstacle() -> None:
    saved = os.dup(1)
    os.close(1)
    try:
        assert zp.start(lambda: os.write(1, b"x"), method="forkserver").wait(WITHIN) == 1
    finally:
        os.dup2(saved, 1)
        os.close(saved)


def test_nothing_is_left_of_many_processes(eventually: Eventually) -> None:
    zp.start(int, method="forkserver").wait(WITHIN)
    zp.shut_down()
    zp.start(int, method="forkserver").wait(WITHIN)
    eventually(lambda: [each.pid for each in server().children()] == [zp.spare_pid()])
    here, there = len(os.listdir("/proc/self/fd")), server().num_fds()
    for _ in range(20):
        zp.start(int, method="forkserver").wait(WITHIN)
    # Not more: when it was counted, the pipe of the question who is in readiness may have been open there, too.
    eventually(lambda: len(os.listdir("/proc/self/fd")) == here and server().num_fds() <= there)
    assert forkserver.fork_server_pid() == server().pid
