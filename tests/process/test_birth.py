"""Making children in this process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import zproc.process as zp
from zproc.exceptions import ProcessError, UsageError
from zproc.process import birth

if TYPE_CHECKING:
    from tests.process.conftest import Launch

WITHIN = 20.0
STRANGERS = birth.strangers
"""Before it is told to overlook the threads of pytest's plugins."""


@pytest.fixture
def idle_thread() -> Iterator[None]:
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="idler")
    thread.start()
    yield
    end.set()
    thread.join()


@pytest.mark.usefixtures("idle_thread")
def test_a_fork_with_other_threads_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(birth, "strangers", STRANGERS)
    with pytest.raises(UsageError, match=r"other threads \(.*idler.*locked in the child.*'forkserver' or 'spawn'"):
        zp.start(int, method="fork")
    zp.start(int, method="forkserver").wait(WITHIN)
    zp.start(int, method="spawn").wait(WITHIN)


def test_threads_of_zproc_and_the_main_thread_are_no_strangers() -> None:
    end, named = threading.Event(), []
    own = threading.Thread(target=end.wait, name="zproc-own")
    own.start()
    other = threading.Thread(target=lambda: named.extend(STRANGERS()))
    other.start()
    other.join()
    end.set()
    own.join()
    assert not {"zproc-own", "MainThread", other.name} & set(named)


def test_a_fork_that_is_tried_again_is_no_fork_with_strangers(launch: Launch) -> None:
    """It is made by a thread of zproc's, while the program's own waits."""
    program = launch(
        """
        import os, zproc

        class S(zproc.StateModel):
            tries: int = 0

        def fail(state):
            state.tries += 1
            if state.tries < 3:
                os.abort()

        with zproc.Context(S, start_method="fork") as ctx:
            ctx.spawn(restart="on_failure", retry_delay=0)(fail).wait(20)
            print(ctx.state.tries)
        """
    )
    out, err = program.finish()
    assert out == "3\n", err


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


def test_a_signal_during_a_fork_is_heard_after_it_and_not_by_what_surrounds_it() -> None:
    """Python drops what a handler raises in there, so Ctrl-C would be lost, and a lock of logging's stay locked."""
    heard: list[str] = []
    before = signal.getsignal(signal.SIGUSR1)
    try:
        signal.signal(signal.SIGUSR1, lambda *_: heard.append("handler"))
        with birth._held({signal.SIGUSR1}):
            # Taken by a thread that does not hold it back, as of threads that were made before.
            other = threading.Thread(target=_take, args=(signal.SIGUSR1,))
            other.start()
            other.join()
            heard.append("fork")
        assert heard == ["fork", "handler"]
        signal.raise_signal(signal.SIGUSR1)
        assert heard == ["fork", "handler", "handler"]
    finally:
        signal.signal(signal.SIGUSR1, before)


def _take(signum: signal.Signals) -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signum})
    signal.raise_signal(signum)


def test_whatever_handlers_raise_after_a_fork_each_is_called_and_all_are_back() -> None:
    signums = [signal.SIGUSR1, signal.SIGUSR2]
    before = {each: signal.getsignal(each) for each in signums}
    heard: list[int] = []

    def fail(signum: int, _: object) -> None:
        heard.append(signum)
        raise KeyboardInterrupt

    def fork() -> None:
        with birth._held(set(signums)):
            for each in signums:
                other = threading.Thread(target=_take, args=(each,))
                other.start()
                other.join()

    try:
        for each in signums:
            signal.signal(each, fail)
        with pytest.raises(KeyboardInterrupt):
            fork()
        assert sorted(heard) == signums
        assert [signal.getsignal(each) for each in signums] == [fail, fail]
        assert not set(signums) & signal.pthread_sigmask(signal.SIG_BLOCK, [])
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
