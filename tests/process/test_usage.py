"""What a process uses, measured when somebody asks."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from zproc.process.usage import usage_of


def test_a_process_that_computes_uses_a_processor() -> None:
    end = time.process_time() + 0.05
    while time.process_time() < end:
        pass
    usage = usage_of(os.getpid(), time.time())
    assert usage is not None
    assert usage.cpu_time >= 0.05
    assert usage.cpu > 0
    assert usage.memory > 1_000_000


def test_one_that_is_younger_than_it_should_be_is_another() -> None:
    assert usage_of(os.getpid(), time.time() - 1e6) is None


@pytest.mark.parametrize(("pid", "started"), [(None, 1.0), (1, None)])
def test_one_that_has_not_begun_uses_nothing(pid: int | None, started: float | None) -> None:
    assert usage_of(pid, started) is None


def test_one_that_has_ended_uses_nothing() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert usage_of(child.pid, time.time()) is None, "a zombie"
    child.wait()
    assert usage_of(child.pid, time.time()) is None
