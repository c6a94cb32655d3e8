"""Knowing when a process has ended."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import psutil
import pytest

from zproc.process import watch
from zproc.process.watch import watch_process

Eventually = Callable[[Callable[[], object]], None]


@pytest.fixture(params=["handle", "lookout"])
def _kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once as on Linux, and once as where the kernel has no handle of a process."""
    if request.param == "lookout":
        monkeypatch.delattr(os, "pidfd_open")


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.alarm(30); signal.pause()"]) as process:
        yield process
        process.kill()


@pytest.mark.usefixtures("_kernel")
def test_a_watch_tells_of_the_end_and_stays_readable(sleeper: subprocess.Popen[bytes]) -> None:
    seen = watch_process(sleeper.pid)
    assert not seen.gone()
    assert not seen.wait(0.01)
    sleeper.kill()
    assert seen.wait(5)
    assert seen.gone()
    sleeper.wait()
    assert select.select([seen], [], [], 0)[0] == [seen]
    seen.close()


@pytest.mark.usefixtures("_kernel")
def test_a_zombie_has_ended(sleeper: subprocess.Popen[bytes], eventually: Eventually) -> None:
    sleeper.kill()
    eventually(lambda: psutil.Process(sleeper.pid).status() == psutil.STATUS_ZOMBIE)
    seen = watch_process(sleeper.pid)
    assert seen.wait(5)
    seen.close()


@pytest.mark.usefixtures("_kernel")
def test_what_is_gone_already_is_gone(sleeper: subprocess.Popen[bytes]) -> None:
    sleeper.kill()
    sleeper.wait()
    seen = watch_process(sleeper.pid)
    assert seen.gone()
    seen.close()


@pytest.mark.usefixtures("_kernel")
def test_another_process_of_the_same_number_is_not_the_one(sleeper: subprocess.Popen[bytes]) -> None:
    born = psutil.Process(sleeper.pid).create_time()
    same, other = watch_process(sleeper.pid, born), watch_process(sleeper.pid, born - 1)
    assert (same.gone(), other.gone()) == (False, True)
    same.close()
    other.close()


@pytest.mark.usefixtures("_kernel")
def test_a_closed_watch_leaves_nothing(sleeper: subprocess.Popen[bytes]) -> None:
    before = threading.active_count(), len(os.listdir("/proc/self/fd"))
    watch_process(sleeper.pid).close()
    assert (threading.active_count(), len(os.listdir("/proc/self/fd"))) == before


@pytest.mark.usefixtures("_kernel")
def test_a_stopped_process_has_not_ended(sleeper: subprocess.Popen[bytes]) -> None:
    sleeper.send_signal(signal.SIGSTOP)
    seen = watch_process(sleeper.pid)
    assert not seen.wait(0.1)
    seen.close()


def test_a_process_has_a_handle_of_itself_or_an_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    assert watch.handle_of_self() == watch.handle_of_self() >= 0
    assert watch.identity_of_self() is None
    monkeypatch.delattr(os, "pidfd_open")
    monkeypatch.setattr(watch, "_own", (0, -1))
    assert watch.handle_of_self() == -1
    assert watch.identity_of_self() == psutil.Process().create_time()


@pytest.mark.usefixtures("_kernel")
def test_a_signal_is_for_the_process_that_is_meant_or_for_nobody(sleeper: subprocess.Popen[bytes]) -> None:
    seen = watch_process(sleeper.pid)
    seen.send_signal(signal.SIGTERM)
    assert sleeper.wait(5) == -signal.SIGTERM
    seen.send_signal(signal.SIGTERM)
    seen.close()
    gone = watch_process(sleeper.pid)
    gone.send_signal(signal.SIGTERM)
    gone.close()
