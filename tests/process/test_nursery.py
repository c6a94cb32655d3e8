"""The fork server from within. What its children see of it is in ``test_forkserver.py`` and ``test_child.py``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import psutil

import zproc.process as zp

Eventually = Callable[[Callable[[], object]], None]
Alive = Callable[[psutil.Process], bool]
WITHIN = 20.0


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
    nursery, fork = program.pids()
    program.process.stdin.close()
    eventually(lambda: not alive(nursery))
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


def test_the_module_is_only_run_as_a_program() -> None:
    code = "import sys; import zproc.process; print('zproc.process.nursery' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(Path(zp.__file__).parent.parent.parent)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "False"
