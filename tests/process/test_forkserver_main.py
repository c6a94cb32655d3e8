"""The fork server from within. What its children see of it is in ``test_forkserver.py`` and ``test_child.py``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import psutil
import pytest

import zproc
import zproc.process as zp
from zproc.exceptions import ProcessError

Eventually = Callable[[Callable[[], object]], None]
Alive = Callable[[psutil.Process], bool]
WITHIN = 20.0


@pytest.fixture
def spare() -> psutil.Process:
    """One that is kept in readiness."""
    zp.start(int, method="forkserver").wait(WITHIN)
    return psutil.Process(zp.spare_pid())


def pause() -> NoReturn:
    signal.alarm(60)
    while True:
        signal.pause()


def test_orphans_come_back_to_the_fork_server_and_are_reaped(eventually: Eventually) -> None:
    def leave_one() -> int:
        pid = os.fork()
        if pid == 0:
            signal.alarm(60)
            signal.pause()
        return pid

    orphan = psutil.Process(zp.start(leave_one, method="forkserver").wait(WITHIN))
    eventually(lambda: orphan.ppid() == zp.fork_server_pid())
    orphan.kill()
    eventually(lambda: not psutil.pid_exists(orphan.pid))


def test_what_a_dead_process_had_asked_for_is_killed_before_its_death_is_told(alive: Alive) -> None:
    def parent() -> NoReturn:
        inner = [zp.start(pause, method="forkserver"), zp.start(nest, method="forkserver", ready=True)]
        zp.announce_ready([each.pid for each in inner] + [inner[1].ready_value])
        pause()

    def nest() -> NoReturn:
        zp.announce_ready(zp.start(pause, method="forkserver").pid)
        pause()

    process = zp.start(parent, method="forkserver", ready=True)
    pids: Any = process.ready_value
    inner = [psutil.Process(pid) for pid in pids]
    assert all(map(alive, inner))
    os.kill(process.pid, signal.SIGKILL)
    while process.is_alive:
        pass
    psutil.wait_procs(inner, timeout=0.5)
    assert not any(map(alive, inner))


def test_a_process_that_returns_leaves_nobody_it_had_asked_for(eventually: Eventually, alive: Alive) -> None:
    pid = zp.start(lambda: zp.start(pause, method="forkserver").pid, method="forkserver").wait(WITHIN)
    eventually(lambda: not psutil.pid_exists(pid))


def test_a_fork_server_whose_owner_becomes_another_program_leaves(
    launch: Any, eventually: Eventually, alive: Alive
) -> None:
    source = """
    import os, signal, sys, zproc.process as zp
    def pause():
        signal.alarm(60)
        signal.pause()
    child = zp.start(pause, method="forkserver")
    print(child.pid, zp.fork_server_pid(), flush=True)
    os.execv(sys.executable, [sys.executable, "-c", "import sys; print('new', flush=True); sys.stdin.read()"])
    """
    program = launch(source)
    family = program.pids()
    assert program.line() == "new"
    eventually(lambda: not any(map(alive, family)))


def test_a_plain_fork_of_the_owner_does_not_keep_its_fork_server_alive(
    launch: Any, eventually: Eventually, alive: Alive
) -> None:
    """It has the channel open, too; the death of the owner is told by the kernel, not by the channel."""
    source = """
    import os, signal, sys, zproc.process as zp
    zp.start(int, method="forkserver").wait(20)
    pid = os.fork()
    if pid == 0:
        signal.alarm(30)
        signal.pause()
    print(zp.fork_server_pid(), pid, flush=True)
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGKILL)
    """
    program = launch(source)
    server, fork = program.pids()
    program.process.stdin.close()
    eventually(lambda: not alive(server))
    assert alive(fork)
    fork.kill()


def test_a_program_that_a_child_started_is_killed_with_the_owner(
    launch: Any, eventually: Eventually, alive: Alive
) -> None:
    """Although its parent has ended long ago, and it has cleared its environment and has a session of its own."""
    source = """
    import subprocess, sys, zproc.process as zp
    def leave():
        code = "import signal; signal.alarm(60); signal.pause()"
        return subprocess.Popen([sys.executable, "-c", code], env={}, start_new_session=True).pid
    print(zp.start(leave, method="forkserver").wait(20), flush=True)
    sys.stdin.read()
    """
    program = launch(source)
    (escaped,) = program.pids()
    assert alive(escaped)
    program.process.stdin.close()
    eventually(lambda: not alive(escaped))


def test_one_in_readiness_that_was_killed_is_replaced(spare: psutil.Process, eventually: Eventually) -> None:
    spare.kill()
    eventually(lambda: not psutil.pid_exists(spare.pid))
    assert zp.start(lambda: "another", method="forkserver").wait(WITHIN) == "another"


def test_one_that_is_killed_before_it_hears_whose_it_is_has_died_as_its_owner_s(spare: psutil.Process) -> None:
    spare.suspend()
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(lambda: zp.start(int, method="forkserver").wait(WITHIN))
        while zp.spare_pid() == spare.pid:  # it is still nobody's
            pass
        spare.kill()
        error = future.exception(WITHIN)
    assert isinstance(error, ProcessError)
    assert (error.pid, error.exitcode) == (spare.pid, -signal.SIGKILL)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_that_came_before_it_was_somebody_s_is_not_for_who_it_is(
    spare: psutil.Process, signum: signal.Signals
) -> None:
    spare.send_signal(signum)
    assert zp.start(os.getpid, method="forkserver").wait(WITHIN) == spare.pid


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_comes_once_the_number_is_known_is_for_who_it_is(signum: signal.Signals) -> None:
    def immortal() -> NoReturn:
        while True:
            signal.pause()

    process = zp.start(immortal, method="forkserver")
    process.send_signal(signum)
    with pytest.raises(ProcessError):
        process.wait(WITHIN)
    assert process.exitcode == -signum


def test_one_in_readiness_goes_with_the_fork_server(
    spare: psutil.Process, eventually: Eventually, alive: Alive
) -> None:
    server = spare.parent()
    assert server is not None
    server.kill()
    eventually(lambda: not alive(spare))


def test_one_in_readiness_goes_with_the_owner(launch: Any, eventually: Eventually, alive: Alive) -> None:
    source = """
    import os, signal, sys, zproc.process as zp
    zp.start(int, method="forkserver").wait(20)
    print(zp.fork_server_pid(), zp.spare_pid(), flush=True)
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGKILL)
    """
    program = launch(source)
    family = program.pids()
    program.process.stdin.close()
    eventually(lambda: not any(map(alive, family)))


def test_many_who_ask_at_the_same_time_are_given_one_each() -> None:
    def ask() -> int:
        signal.alarm(60)
        signal.sigwait({signal.SIGUSR1})
        return zp.start(os.getpid, method="forkserver").wait(WITHIN)

    def patient() -> int:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        zp.announce_ready()
        return ask()

    server = psutil.Process(zp.start(os.getppid, method="forkserver").wait(WITHIN))
    askers = [zp.start(patient, method="forkserver", ready=True) for _ in range(8)]
    server.suspend()  # so that it finds all that they ask at once
    for each in askers:
        each.send_signal(signal.SIGUSR1)
    for each in askers:
        while psutil.Process(each.pid).num_fds() < 9:  # it has opened what it asks with
            pass
    server.resume()
    assert len({each.wait(WITHIN) for each in askers}) == len(askers)


def test_after_one_that_may_linger_the_next_one_has_rehearsed() -> None:
    def rehearsed() -> bool:
        return any(each.__name__ == "Rehearsal" for each in zproc.StateModel.__subclasses__())

    zp.start(int, method="forkserver").wait(WITHIN)
    assert not zp.start(rehearsed, method="forkserver", linger=1.0).wait(WITHIN)
    assert zp.start(rehearsed, method="forkserver").wait(WITHIN)
    assert not zp.start(rehearsed, method="forkserver").wait(WITHIN)


def test_the_fork_server_rests_when_nothing_is_asked(spare: psutil.Process, eventually: Eventually) -> None:
    server = spare.parent()
    assert server is not None
    eventually(lambda: server.status() == psutil.STATUS_SLEEPING)
    before = server.cpu_times()
    for _ in range(20):
        assert zp.start(int, method="fork").wait(WITHIN) == 0
    assert server.cpu_times()[:2] == before[:2]


def test_one_that_waited_has_nothing_open_of_those_before_it() -> None:
    before = [zp.start(pause, method="forkserver") for _ in range(3)]
    try:
        open_there = zp.start(lambda: len(os.listdir("/proc/self/fd")), method="forkserver").wait(WITHIN)
        zp.stop_all(before, grace=0)
        assert zp.start(lambda: len(os.listdir("/proc/self/fd")), method="forkserver").wait(WITHIN) == open_there
    finally:
        zp.stop_all(before, grace=0)


def test_the_module_is_only_run_as_a_program() -> None:
    code = "import sys; import zproc.process; print('zproc.process.forkserver_main' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(Path(zp.__file__).parent.parent.parent)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "False"
