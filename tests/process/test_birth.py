"""Making children in this process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

import zproc.process as zp
from zproc.exceptions import ProcessError, UsageError
from zproc.process import birth

WITHIN = 20.0


@pytest.fixture
def idle_thread() -> Iterator[None]:
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="idler")
    thread.start()
    yield
    end.set()
    thread.join()


@pytest.mark.usefixtures("idle_thread")
def test_a_fork_with_other_threads_is_warned_of_where_it_is_asked_for() -> None:
    with pytest.warns(RuntimeWarning, match=r"other threads \(.*forkserver") as caught:
        zp.start(int, method="fork").wait(WITHIN)
    assert caught[0].filename == __file__


@pytest.mark.usefixtures("idle_thread")
def test_a_warning_that_is_an_error_comes_before_the_fork() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning, match="start method 'fork'"):
            zp.start(int, method="fork")
        zp.start(int, method="forkserver").wait(WITHIN)
        zp.start(int, method="spawn").wait(WITHIN)


def test_an_exit_code_that_somebody_else_took_is_unknown() -> None:
    process = zp.start(int, method="fork")
    os.waitpid(process.pid, 0)
    assert process.wait(WITHIN) == 0  # the answer counts
    assert process.exitcode == birth.UNKNOWN


def test_signals_are_let_in_again_after_a_start(method: zp.StartMethod) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    zp.start(int, method=method).wait(WITHIN)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


def test_a_new_interpreter_is_like_this_one(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "import sys, zproc.process as zp\n"
        "def look(): return (tuple(sys.flags), sys._xoptions, sys.warnoptions)\n"
        "for method in ('spawn', 'forkserver'):\n"
        "    print(zp.start(look, method=method).wait(20) == look())\n"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-O", "-Wignore", "-Xutf8=1", tmp_path / "program.py"],
        env={**os.environ, "PYTHONPATH": str(Path(birth.__file__).parent.parent.parent)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("True\nTrue\n", "")


def test_an_interpreter_that_does_not_know_itself_cannot_spawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(UsageError, match="executable"):
        zp.start(int, method="spawn")


def test_an_interpreter_that_cannot_be_run_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/does/not/exist")
    with pytest.raises(ProcessError, match="cannot start /does/not/exist"):
        zp.start(int, method="spawn")
