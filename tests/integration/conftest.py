"""What the tests with real processes and a real server share.

The models and functions of these tests travel by value, as those of a script do, so that children need not import
pytest.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Protocol

import cloudpickle
import pytest

import zproc
from zproc import process

ROOT = Path(__file__).parent.parent.parent


def pytest_itemcollected(item: pytest.Item) -> None:
    item.add_marker(pytest.mark.xdist_group("processes"))


@pytest.fixture(scope="session", autouse=True)
def what_stays() -> Iterator[None]:
    """Have the things that zproc keeps from one start to the next, so that they are nobody's leak."""
    for method in ("forkserver", "fork"):
        with zproc.Context(_Nothing, start_method=method):
            pass
    yield
    process.shut_down()


class _Nothing(zproc.StateModel):
    x: int = 0


@pytest.fixture(scope="module", autouse=True)
def everything_travels_by_value(request: pytest.FixtureRequest) -> Iterator[None]:
    # Tests of processes end the fork server; here it is to be there before a test begins, or it would be that one's
    # leak.
    process.start(int, method="forkserver").wait(30)
    module: ModuleType = request.module
    for travelling in (module, sys.modules[__name__]):
        cloudpickle.register_pickle_by_value(travelling)
    yield
    for travelling in (module, sys.modules[__name__]):
        with contextlib.suppress(ValueError):
            cloudpickle.unregister_pickle_by_value(travelling)


@pytest.fixture(params=["forkserver", "spawn", "fork"])
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


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


class Script(Protocol):
    def __call__(self, text: str, *arguments: str, method: str = "forkserver") -> subprocess.Popen[str]: ...


@pytest.fixture
def script(tmp_path: Path, whole_lines: str) -> Iterator[Script]:
    """Run a program of its own, with its output to be read; what is left of it at the end is killed."""
    running: list[subprocess.Popen[str]] = []

    def run(text: str, *arguments: str, method: str = "forkserver") -> subprocess.Popen[str]:
        path = tmp_path / f"program{len(running)}.py"
        path.write_text(textwrap.dedent(text))
        environment = {**os.environ, "ZPROC_START_METHOD": method, "PYTHONPATH": whole_lines}
        environment.pop("ZPROC_RUN_ID", None)
        program = subprocess.Popen(
            [sys.executable, str(path), *arguments],
            env=environment,
            cwd=tmp_path,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        running.append(program)
        return program

    yield run
    for program in running:
        if program.poll() is None:
            program.kill()
        program.communicate()
