"""The mark of a run, and the last guard."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import NoReturn

import psutil
import pytest

import zproc.process as zp
from zproc.exceptions import UsageError
from zproc.process import run

Eventually = Callable[[Callable[[], object]], None]
Alive = Callable[[psutil.Process], bool]


@pytest.fixture
def own_run(monkeypatch: pytest.MonkeyPatch) -> str:
    """A run that is not that of the test runner."""
    monkeypatch.setenv(run.VARIABLE, f"test-{os.getpid()}")
    return run.run_id()


def test_the_first_process_names_the_run_and_is_its_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(run.VARIABLE, raising=False)
    monkeypatch.setattr(run, "_named", None)
    assert not run.is_root()
    name = run.run_id()
    assert run.is_root()
    assert run.run_id() == name
    assert run.environment() == {**os.environ, run.VARIABLE: name}


def test_what_a_program_starts_without_zproc_is_not_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(run.VARIABLE, raising=False)
    monkeypatch.setattr(run, "_named", None)
    name = run.run_id()
    pause = "import signal; signal.alarm(30); signal.pause()"
    pid = os.fork()
    if pid == 0:
        signal.alarm(30)
        signal.pause()
    with subprocess.Popen([sys.executable, "-c", pause]) as process:
        assert run.sweep(name) == set()
        assert process.poll() is None
        process.kill()
    os.kill(pid, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def test_a_fork_of_the_root_is_of_its_run_and_not_its_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(run.VARIABLE, raising=False)
    monkeypatch.setattr(run, "_named", None)
    name = run.run_id()
    pid = os.fork()
    if pid == 0:
        os._exit(0 if run.run_id() == name and not run.is_root() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_child_is_of_the_same_run_and_not_its_root(method: zp.StartMethod) -> None:
    assert zp.start(lambda: (run.run_id(), run.is_root()), method=method).wait(20) == (run.run_id(), False)


def test_a_sweep_finds_what_nobody_is_related_to(own_run: str, eventually: Eventually, alive: Alive) -> None:
    code = (
        "import os, signal\nif os.fork(): os._exit(0)\n"
        "os.setsid(); signal.alarm(30); print(os.getpid(), flush=True); signal.pause()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        orphan = psutil.Process(int(process.stdout.readline()))
    assert alive(orphan)
    assert run.sweep(own_run) == {orphan.pid}
    eventually(lambda: not alive(orphan))
    assert run.sweep(own_run) == set()


def test_a_sweep_spares_whom_it_is_told(own_run: str) -> None:
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.alarm(30); signal.pause()"]) as process:
        assert run.sweep(own_run, spare={process.pid}) == set()
        assert process.poll() is None
        assert run.sweep(own_run) == {process.pid}


def test_a_sweep_leaves_other_runs_alone(own_run: str) -> None:
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.alarm(30); signal.pause()"]) as process:
        assert run.sweep(own_run[:-1]) == run.sweep(own_run + "0") == set()
        assert process.poll() is None
        process.kill()


def test_a_sweep_finds_what_was_only_forked(
    monkeypatch: pytest.MonkeyPatch, eventually: Eventually, alive: Alive
) -> None:
    """The kernel shows the environment that a program began with, and a fork begins with none."""
    name = f"forks-{os.getpid()}"
    monkeypatch.setenv(run.VARIABLE, name)

    def leave_an_orphan() -> NoReturn:
        pid = os.fork()
        if pid == 0:
            os.setsid()
            signal.alarm(30)
            signal.pause()
        zp.announce_ready(pid)
        signal.pause()
        raise AssertionError

    process = zp.start(leave_an_orphan, method="fork", ready=True)
    assert isinstance(process.ready_value, int)
    orphan = psutil.Process(process.ready_value)
    os.kill(process.pid, signal.SIGKILL)
    process.exitcode  # noqa: B018 - reaps it, should it be dead already
    killed = run.sweep(name)
    assert orphan.pid in killed
    assert killed <= {orphan.pid, process.pid}
    eventually(lambda: not alive(orphan) and not process.is_alive)


def test_a_sweep_looks_at_the_latest_process_first_although_numbers_begin_anew(
    own_run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or one that forks and leaves, again and again, would be gone by the time that it is looked at."""
    looked_at: list[int] = []
    monkeypatch.setattr(psutil, "pids", lambda: [1, 300, 302, 303, 32_000, 32_700])
    monkeypatch.setattr(run, "_newest_process", lambda: 302)  # 303 is of the round before
    monkeypatch.setattr(run, "_belongs", lambda pid, _run: looked_at.append(pid))
    assert run.sweep(own_run) == set()
    assert looked_at[:6] == [302, 300, 1, 32_700, 32_000, 303]


def test_a_sweep_needs_a_name() -> None:
    with pytest.raises(UsageError, match="name"):
        run.sweep("")
