"""Starting processes, by each start method."""

from __future__ import annotations

import errno
import os
import signal
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import psutil
import pytest

import zproc.process as zp
from zproc.exceptions import ProcessError, RemoteError, UsageError, WaitTimeout
from zproc.process import StartMethod, incarnation

Eventually = Callable[[Callable[[], object]], None]
WITHIN = 20.0


def pause() -> NoReturn:
    signal.alarm(60)  # for the day when what is tested here does not work
    while True:
        signal.pause()


# ---------------------------------------------------------------------------------------------------------------- ready


def test_a_ready_process_hands_over_a_value(method: StartMethod) -> None:
    def serve() -> NoReturn:
        zp.announce_ready({"address": "unix:///x"})
        pause()

    process = zp.start(serve, method=method, ready=True)
    assert process.ready_value == {"address": "unix:///x"}
    process.kill()


def test_a_failure_before_it_is_ready_is_raised_at_once(method: StartMethod) -> None:
    with pytest.raises(RemoteError) as caught:
        zp.start(lambda: 1 / 0, method=method, ready=True)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("code", [0, 3])
def test_an_end_before_it_is_ready_is_an_error(method: StartMethod, code: int) -> None:
    with pytest.raises(ProcessError):
        zp.start(os._exit, (code,), method=method, ready=True)


def test_a_process_that_is_not_ready_in_time_is_killed(
    method: StartMethod, tmp_path: Path, eventually: Eventually
) -> None:
    def dawdle() -> None:
        (tmp_path / "pid").write_text(str(os.getpid()))
        pause()

    with pytest.raises(WaitTimeout, match="ready"):
        zp.start(dawdle, method=method, ready=True, timeout=1.0 if method is StartMethod.FORK else 4.0)
    pid = int((tmp_path / "pid").read_text())
    eventually(lambda: not psutil.pid_exists(pid))  # the fork server tells of a death just before it reaps


def test_a_failure_is_told_although_a_thread_keeps_the_process(
    method: StartMethod, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incarnation, "_VERIFYING", 0.5)  # for which it is given the time to end by itself

    def fail() -> NoReturn:
        threading.Thread(target=pause_in_thread).start()
        raise LookupError("too late")

    def pause_in_thread() -> None:
        signal.sigwait({signal.SIGUSR2})

    with pytest.raises(RemoteError, match="too late"):
        zp.start(fail, method=method, ready=True)


def test_a_ready_value_that_cannot_be_rebuilt_harms_nobody_else(method: StartMethod) -> None:
    class Broken:
        def __reduce__(self) -> tuple[object, ...]:
            return int, ("x",)

    def serve() -> str:
        zp.announce_ready(Broken())
        return "served"

    process = zp.start(serve, method=method, ready=True)
    with pytest.raises(ValueError, match="invalid literal"):
        process.ready_value  # noqa: B018
    assert process.wait(WITHIN) == "served"


# ------------------------------------------------------------------------------------------------- where it is refused


def short_of_descriptors(*_: object) -> NoReturn:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


@pytest.mark.parametrize("where", ["descriptor.pair", "forkserver.watch_process", "birth.watch_child", "birth.os.fork"])
def test_a_start_that_the_system_refuses_is_an_error_of_ours_and_leaves_no_process(
    where: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, eventually: Eventually
) -> None:
    method = "forkserver" if "forkserver" in where else "fork"
    zp.start(int, method=method).wait(WITHIN)  # which opens what stays open
    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(f"zproc.process.{where}", short_of_descriptors)

    def work() -> None:
        (tmp_path / str(os.getpid())).touch()  # in one step, for it may be killed at any moment
        pause()

    with pytest.raises(ProcessError, match=r"Too many open files.*ulimit -n"):
        zp.start(work, method=method)
    assert len(os.listdir("/proc/self/fd")) == before
    eventually(lambda: not any(psutil.pid_exists(int(each.name)) for each in tmp_path.iterdir()))


def test_a_forked_child_never_goes_on_as_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed before its life began was raised at its parent's call, in the copy of the parent that it was."""
    here = os.getpid()
    monkeypatch.setattr("zproc.process.run.join", short_of_descriptors)
    process = zp.start(int, method="fork")
    if os.getpid() != here:
        os._exit(77)
    with pytest.raises(ProcessError) as caught:
        process.wait(WITHIN)
    assert caught.value.exitcode == 1


def test_a_start_that_was_given_up_is_not_carried_out_later(tmp_path: Path, eventually: Eventually) -> None:
    """Whoever asked was told that there is no such process, and may have asked for another."""
    zp.start(int, method="forkserver").wait(WITHIN)
    spare, server = zp.spare_pid(), psutil.Process(zp.fork_server_pid())
    assert spare is not None
    server.suspend()
    with pytest.raises(WaitTimeout):
        zp.start((tmp_path / "made").mkdir, method="forkserver", timeout=0.1)
    server.resume()
    eventually(lambda: not psutil.pid_exists(spare))
    assert not (tmp_path / "made").exists()


# ------------------------------------------------------------------------------------------- beside the program's own


def test_the_default_timeout_of_the_program_is_not_that_of_instructions(
    method: StartMethod, default_timeout: float
) -> None:
    assert zp.start(len, (bytes(5 << 20),), method=method).wait(WITHIN) == 5 << 20


def test_a_result_waits_for_its_parent_whatever_the_default_timeout(method: StartMethod) -> None:
    """It was given up when that was over, and the result was `None`."""

    def answer() -> bytes:
        socket.setdefaulttimeout(0.05)
        return bytes(5 << 20)

    process = zp.start(answer, method=method)
    watch = zp.watch_process(process.pid)
    assert not watch.wait(0.3)
    watch.close()
    assert len(process.wait(WITHIN)) == 5 << 20


# ------------------------------------------------------------------------------------------------------------- in bulk


@pytest.mark.slow
def test_fifty_starts_from_four_threads(method: StartMethod) -> None:
    if method is StartMethod.FORK:
        pytest.skip("a fork of a process with busy threads is what the other methods are for")
    with ThreadPoolExecutor(4) as pool:
        processes = list(pool.map(lambda number: zp.start(lambda: number, method=method), range(50)))
    assert [each.wait(60) for each in processes] == list(range(50))


def test_what_cannot_be_sent_is_refused_before_anything_is_made() -> None:
    before = set(psutil.Process().children())
    with pytest.raises(UsageError, match="cannot be sent"):
        zp.start(print, (threading.Lock(),), method="forkserver")
    assert set(psutil.Process().children()) == before


def test_a_fork_needs_no_pickling() -> None:
    lock = threading.Lock()
    assert zp.start(lock.locked, method="fork").wait(WITHIN) is False


def test_an_unknown_start_method_is_refused() -> None:
    with pytest.raises(UsageError, match="'thread' is not one of forkserver, spawn, fork"):
        zp.start(print, method="thread")
