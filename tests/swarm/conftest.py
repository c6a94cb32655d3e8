"""What the tests of swarms share: workers of their own, functions that travel by value, and waiting for a condition."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Protocol

import cloudpickle
import psutil
import pytest

from zproc import process
from zproc.swarm import Swarm


def pytest_itemcollected(item: pytest.Item) -> None:
    item.add_marker(pytest.mark.xdist_group("processes"))


@pytest.fixture(scope="session", autouse=True)
def what_stays() -> Iterator[None]:
    """Have the things that zproc keeps from one start to the next, so that they are nobody's leak."""
    process.start(int, method="forkserver").wait(30)
    yield
    process.shut_down()


@pytest.fixture(scope="module", autouse=True)
def everything_travels_by_value(request: pytest.FixtureRequest) -> Iterator[None]:
    """Have the functions of a test be like those of a script: workers cannot import them."""
    process.start(int, method="forkserver").wait(30)
    module: ModuleType = request.module
    cloudpickle.register_pickle_by_value(module)
    yield
    with contextlib.suppress(ValueError):
        cloudpickle.unregister_pickle_by_value(module)


@pytest.fixture
def swarm() -> Iterator[Swarm]:
    made = Swarm(2)
    yield made
    made.close()


class Eventually(Protocol):
    def __call__(self, condition: Callable[[], object], within: float = 10.0) -> None: ...


@pytest.fixture
def eventually() -> Eventually:
    """Wait until a condition holds, and fail if it does not in time."""

    def wait(condition: Callable[[], object], within: float = 10.0) -> None:
        deadline = time.monotonic() + within
        while not condition():
            assert time.monotonic() < deadline, f"not within {within} s"
            time.sleep(0.005)

    return wait


@pytest.fixture
def alive() -> Callable[[int], bool]:
    """Tell whether a process lives; a zombie does not."""

    def tell(pid: int) -> bool:
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        return False

    return tell
