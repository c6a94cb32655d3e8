"""What the tests of processes share: start methods, programs of their own, and waiting for a condition."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Protocol

import cloudpickle
import psutil
import pytest

import zproc.process as zp
from zproc.process import forkserver, run

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="session", autouse=True)
def what_stays() -> Iterator[None]:
    """Have the things that zproc keeps from one start to the next, so that they are nobody's leak."""
    zp.start(int, method=zp.StartMethod.FORKSERVER).wait(30)
    yield
    zp.shut_down()


@pytest.fixture(autouse=True)
def only_that_fork_server() -> Iterator[None]:
    before = forkserver.fork_server_pid()
    yield
    if forkserver.fork_server_pid() != before:
        zp.shut_down()


@pytest.fixture(scope="module", autouse=True)
def targets_travel_by_value(request: pytest.FixtureRequest) -> Iterator[None]:
    """Spare every child the import of its test module, and of pytest with it."""
    module: ModuleType = request.module
    cloudpickle.register_pickle_by_value(module)
    yield
    with contextlib.suppress(ValueError):
        cloudpickle.unregister_pickle_by_value(module)


@pytest.fixture(params=list(zp.StartMethod), ids=str)
def method(request: pytest.FixtureRequest) -> zp.StartMethod:
    chosen: zp.StartMethod = request.param
    return chosen


class Eventually(Protocol):
    def __call__(self, condition: Callable[[], object], within: float = 5.0) -> None: ...


@pytest.fixture
def eventually() -> Eventually:
    """Wait until a condition holds, and fail if it does not in time."""

    def wait(condition: Callable[[], object], within: float = 5.0) -> None:
        deadline = time.monotonic() + within
        while not condition():
            assert time.monotonic() < deadline, f"not within {within} s"
            time.sleep(0.005)

    return wait


@pytest.fixture
def alive() -> Callable[[psutil.Process], bool]:
    def tell(process: psutil.Process) -> bool:
        with contextlib.suppress(psutil.NoSuchProcess):
            return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        return False

    return tell


class Program:
    """A Python program in a session of its own, with zproc at hand."""

    def __init__(self, arguments: list[str], stdin: str | None, directory: Path, lines: str) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([lines, str(ROOT)])}
        environment.pop(run.VARIABLE, None)  # a program that somebody starts is a run of its own
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=directory,
            env=environment,
            start_new_session=True,
        )
        self._stdin = stdin

    def finish(self, timeout: float = 30.0) -> tuple[str, str]:
        """Return what it wrote, when it has ended and nobody can write any more."""
        return self.process.communicate(self._stdin, timeout)

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def pids(self) -> list[psutil.Process]:
        """Read a line of process ids."""
        return [psutil.Process(int(word)) for word in self.line().split()]

    def interrupt(self) -> None:
        """Press Ctrl-C: the terminal sends it to the whole group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()


class Launch(Protocol):
    def __call__(self, source: str, *arguments: str, how: str = "file") -> Program: ...


@pytest.fixture
def launch(tmp_path: Path, whole_lines: str) -> Iterator[Launch]:
    """Run a source text as a program: from a file, from standard input, or from the command line."""
    programs: list[Program] = []

    def begin(source: str, *arguments: str, how: str = "file") -> Program:
        text = textwrap.dedent(source)
        head = {"file": ["program.py"], "stdin": ["-"], "command": ["-c", text]}[how]
        (tmp_path / "program.py").write_text(text, encoding="utf-8")
        programs.append(Program([*head, *arguments], text if how == "stdin" else None, tmp_path, whole_lines))
        return programs[-1]

    yield begin
    for program in programs:
        program.close()
