"""Whatever a worker dies of, and whenever, its item fails and nothing else does.

Each case ends in an error of the right kind and in a swarm that goes on; that none of them hangs is seen by the time
limit of the tests.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import random
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.swarm.conftest import Eventually
from zproc.exceptions import ProcessError, RemoteError, UsageError, WorkerDied
from zproc.swarm import Swarm
from zproc.swarm.engine import Engine

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Each death is a record of the log; here there are many."""
    logger = logging.getLogger("zproc")
    before, logger.disabled = logger.disabled, True
    yield
    logger.disabled = before


HERE = os.getpid()


def ident(x: object) -> object:
    return x


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def segfault() -> None:
    ctypes.string_at(0)


def leave() -> None:
    os._exit(3)


def leave_by_c() -> None:
    ctypes.CDLL(None).exit(4)


WAYS: dict[str, tuple[Callable[[], None], dict[str, Any]]] = {
    "SIGKILL": (kill, {"signal": signal.SIGKILL}),
    "segmentation fault": (segfault, {"signal": signal.SIGSEGV}),
    "os._exit": (leave, {"exitcode": 3}),
    "libc.exit": (leave_by_c, {"exitcode": 4}),
}
"""How a worker dies, and how that is told."""


class Explodes:
    """Calls something where it is read, or where it is sent."""

    def __init__(self, way: Callable[[], None], parent: int, *, when: str) -> None:
        self.way, self.parent, self.when = way, parent, when

    def __reduce__(self) -> tuple[Any, ...]:
        if self.when == "sent" and os.getpid() != self.parent:
            self.way()
        return explode, (self.way, self.parent, self.when)


def explode(way: Callable[[], None], parent: int, when: str) -> Explodes:
    if when == "read" and os.getpid() != parent:
        way()
    return Explodes(way, parent, when=when)


def in_function(way: Callable[[], None]) -> Callable[[object], object]:
    def function(x: object) -> object:
        if x == "bad":
            way()
        return x

    return function


def at_result(way: Callable[[], None]) -> Callable[[object], object]:
    return lambda x: Explodes(way, HERE, when="sent") if x == "bad" else x


def cases(way: Callable[[], None]) -> dict[str, tuple[Callable[[object], object], object]]:
    return {
        "when it reads its argument": (lambda x: "good" if x == "good" else x, Explodes(way, HERE, when="read")),
        "in the function": (in_function(way), "bad"),
        "when it sends its result": (at_result(way), "bad"),
    }


@pytest.mark.parametrize("chunksize", [None, 3], ids=["alone", "in a chunk"])
@pytest.mark.parametrize("phase", ["when it reads its argument", "in the function", "when it sends its result"])
@pytest.mark.parametrize("how", WAYS)
def test_a_worker_dies(how: str, phase: str, chunksize: int | None, swarm: Swarm) -> None:
    way, told = WAYS[how]
    function, bad = cases(way)[phase]
    items = ["good", bad, "good", "good", "good"]
    results: list[Any] = list(swarm.map_lazy(function, items, chunksize=chunksize, on_error="return"))
    assert [results[0], *results[2:]] == ["good"] * 4
    error = results[1]
    assert isinstance(error, WorkerDied)
    assert error.item == 1
    assert {name: getattr(error, name) for name in told} == told
    assert "worker-" in str(error)
    assert list(swarm.map(ident, range(3))) == [0, 1, 2]


def test_an_exit_by_sys_exit_is_an_exception_like_any_other(swarm: Swarm) -> None:
    with pytest.raises(RemoteError, match=r"SystemExit\(5\)"):
        swarm.submit(sys.exit, 5).result(30)
    assert swarm.submit(ident, 1).result(30) == 1


class Unpicklable(Exception):
    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("not this one")


class Stubborn:
    """Cannot be sent, or cannot be read."""

    def __init__(self, where: str) -> None:
        self.where = where

    def __reduce__(self) -> tuple[Any, ...]:
        if self.where == "here":
            raise TypeError("cannot leave")
        return refuse, ()


def refuse() -> None:
    if os.getpid() != HERE:
        raise TypeError("cannot arrive")


def raise_unpicklable(x: object) -> object:
    if x == 1:
        raise Unpicklable("reasons")
    return x


@pytest.mark.parametrize("chunksize", [1, 3])
@pytest.mark.parametrize(
    ("function", "bad", "error", "text"),
    [
        (ident, Stubborn("here"), UsageError, "cannot leave"),
        (ident, Stubborn("there"), RemoteError, "cannot arrive"),
        (lambda x: Stubborn("here") if x == 1 else x, 1, RemoteError, "cannot leave"),
        (raise_unpicklable, 1, RemoteError, "reasons"),
    ],
    ids=["argument here", "argument there", "result", "exception"],
)
def test_what_cannot_travel_fails_alone(
    function: Callable[[object], object],
    bad: object,
    error: type[Exception],
    text: str,
    chunksize: int,
    swarm: Swarm,
) -> None:
    items = [0, bad, 2, 3]
    results: list[Any] = list(swarm.map_lazy(function, items, chunksize=chunksize, on_error="return"))
    assert [results[0], *results[2:]] == [0, 2, 3]
    assert isinstance(results[1], error)
    assert text in str(results[1])


def test_an_item_that_killed_its_worker_is_tried_again(swarm: Swarm, tmp_path: Any) -> None:
    def second_time(path: str) -> str:
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL))
            kill()
        return "done"

    paths = [str(tmp_path / str(number)) for number in range(3)]
    assert list(swarm.map_lazy(second_time, paths, retries=1)) == ["done"] * 3


def test_an_item_that_goes_alone_is_begun_once_even_if_others_kill_their_workers(swarm: Swarm, tmp_path: Any) -> None:
    def note(item: int) -> int:
        with open(tmp_path / "log", "a") as log:
            log.write(f"{item} ")
        if item % 10 == 5:
            kill()
        return item

    results: list[Any] = list(swarm.map_lazy(note, range(40), chunksize=1, on_error="return"))
    begun = (tmp_path / "log").read_text().split()
    assert sorted(begun, key=int) == [str(number) for number in range(40)]
    assert [number for number in range(40) if isinstance(results[number], WorkerDied)] == [5, 15, 25, 35]


def test_a_death_is_noticed_within_a_second(swarm: Swarm, tmp_path: Any, eventually: Eventually) -> None:
    def long() -> None:
        (tmp_path / "begun").touch()
        time.sleep(60)

    future = swarm.submit(long)
    eventually((tmp_path / "begun").exists)
    began = time.monotonic()
    swarm.workers[0].send_signal(signal.SIGKILL)
    with pytest.raises(WorkerDied, match="SIGKILL"):
        future.result(30)
    assert time.monotonic() - began < 1


def test_workers_that_die_at_random_lose_nobody_elses_items(swarm: Swarm) -> None:
    """T27: they are shot while they work; with tries enough every item returns, in order."""
    rng = random.Random(7)
    results = swarm.map_lazy(lambda x: (time.sleep(0.002), x)[1], range(400), retries=1000)
    got = []
    for value in results:
        got.append(value)
        if value % 40 == 0 and len(swarm.workers):
            rng.choice(list(swarm.workers)).send_signal(signal.SIGKILL)
    assert got == list(range(400))


def test_shutting_down_while_a_worker_dies_comes_to_an_end() -> None:
    for _ in range(5):
        swarm = Swarm(2)
        futures: list[Future[Any]] = [swarm.submit(kill), swarm.submit(ident, 1), swarm.submit(leave)]
        swarm.shutdown()
        assert [type(future.exception(0)) for future in futures] == [WorkerDied, type(None), WorkerDied]


def test_a_death_with_much_under_way_comes_to_an_end(swarm: Swarm) -> None:
    """T29, "big data crash": nothing is left half written."""
    large = [bytes([number]) * (1 << 20) for number in range(8)]
    results: list[Any] = list(
        swarm.map_lazy(lambda data: kill() if data[0] == 3 else len(data), large, chunksize=1, on_error="return")
    )
    assert [number for number, each in enumerate(results) if isinstance(each, WorkerDied)] == [3]
    assert {each for each in results if isinstance(each, int)} == {1 << 20}


def test_workers_that_cannot_be_started_are_an_error_and_not_a_wait() -> None:
    def make() -> Any:
        raise ProcessError("no more processes")

    class Broken(Swarm):
        def _open(self) -> Engine:
            if self._engine is None:
                self._engine = Engine(1, make)
            return self._engine

    swarm = Broken(1)
    with pytest.raises(ProcessError, match="no more processes"):
        swarm.submit(ident, 1).result(30)
    with pytest.raises(ProcessError, match="no more processes"):
        list(swarm.map(ident, [1]))
    swarm.close()


def test_a_swarm_works_again_when_workers_can_be_started_again(swarm: Swarm, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when there were no more processes to be had for a while: what is submitted then is not refused for ever."""

    def make(*_: object, **__: object) -> Any:
        raise ProcessError("no more processes")

    with monkeypatch.context() as patch:
        patch.setattr(swarm._manager, "make", make)
        with pytest.raises(ProcessError, match="no more processes"):
            swarm.submit(ident, 1).result(30)
    assert swarm.submit(ident, 2).result(30) == 2


def test_an_engine_that_fails_says_so_to_everybody(monkeypatch: pytest.MonkeyPatch, swarm: Swarm) -> None:
    swarm.submit(ident, 1).result(30)

    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(swarm._engine, "_hear", fail)
    monkeypatch.setattr(swarm._engine, "_settle_run", fail)
    future = swarm.submit(ident, 1)
    with pytest.raises(ProcessError, match="a bug"):
        future.result(30)


def content(path: Path | None) -> str:
    return path.read_text() if path is not None else ""


def test_a_worker_that_answers_and_dies_before_it_is_heard_harms_nobody(
    swarm: Swarm, eventually: Eventually, tmp_path: Path
) -> None:
    """Its last words bring it the next item, which it does not take in any more; somebody else gets that."""
    swarm.count = 1
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    results = swarm.map(content, [pipe, None, None], retries=1)
    held, go_on = threading.Event(), threading.Event()
    with pipe.open("w") as begun:  # waits until it is read
        engine = swarm._engine
        assert engine is not None
        (link,) = engine._links.values()

        def hold() -> None:
            held.set()
            go_on.wait(30)

        engine.post(hold)
        assert held.wait(30)
        begun.write("late")
    assert select.select([link._line], [], [], 30)[0], "it has not answered"
    link.process.send_signal(signal.SIGKILL)
    eventually(lambda: engine._posted, 30)  # its burial
    go_on.set()
    assert list(results) == ["late", "", ""]


ORPHANS = """
import os, signal, sys
import zproc

def work(how, path):
    with open(path, "w") as pipe:
        pipe.write(f"{os.getpid()} ")
    if how == "busy":
        while True:
            sum(range(10**5))
    signal.pause()

if __name__ == "__main__":
    _, method, pipe = sys.argv
    swarm = zproc.Swarm(2, start_method=method)
    for how in ("busy", "asleep"):
        swarm.submit(work, how, pipe)
    signal.pause()
"""


@pytest.mark.parametrize(
    "method", ["fork", *(pytest.param(each, marks=pytest.mark.soak) for each in ("forkserver", "spawn"))]
)
def test_nobody_is_left_when_the_parent_is_killed(
    method: str, tmp_path: Path, eventually: Eventually, alive: Callable[[int], bool]
) -> None:
    """T28: not those that compute, either, which read nothing that could tell them. The soak has each start method."""
    pipe, script = tmp_path / "pipe", tmp_path / "script.py"
    os.mkfifo(pipe)
    script.write_text(ORPHANS)
    parent = subprocess.Popen([sys.executable, script, method, pipe])
    try:
        workers: set[int] = set()
        while len(workers) < 2:
            workers |= set(map(int, pipe.read_text().split()))  # waits for one at least
        everybody = [each.pid for each in psutil.Process(parent.pid).children(recursive=True)]
        assert workers <= set(everybody)
    finally:
        parent.kill()
        parent.wait(30)
    eventually(lambda: not any(map(alive, everybody)), 15)


def test_a_worker_takes_its_own_children_along(
    swarm: Swarm, eventually: Eventually, alive: Callable[[int], bool], tmp_path: Any
) -> None:
    def parent() -> None:
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
        (tmp_path / "half").write_text(str(child))
        (tmp_path / "half").rename(tmp_path / "child")
        time.sleep(60)

    future = swarm.submit(parent)
    eventually((tmp_path / "child").exists)
    assert future.cancel(running=True)
    child = int((tmp_path / "child").read_text())
    eventually(lambda: not alive(child))


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(20))
def test_workers_shot_at_every_moment(seed: int) -> None:
    """T27 at length: a shot every few milliseconds, in every phase, and all items return in order."""
    rng = random.Random(seed)
    with Swarm(rng.choice([1, 2, 5])) as swarm:
        results = swarm.map_lazy(
            lambda x: x, (x for x in range(3000)), retries=10_000, chunksize=rng.choice([None, 1, 7])
        )
        got = []
        for value in results:
            got.append(value)
            if rng.random() < 0.02 and len(swarm.workers):
                rng.choice(list(swarm.workers)).send_signal(signal.SIGKILL)
        assert got == list(range(3000))
