"""What it costs to spread work over workers: as many of them as the peer has, which are there before it begins.

The law: both sides do the same calls and take all results. The ideal of uneven work is what the items took, as the
workers measured it, shared evenly.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from itertools import count
from multiprocessing import get_context

from harness import Need, Timed, cost

import zproc

WORKERS = 2
TINY = 100_000
SINGLE = 10_000
SUBMITTED = 5_000
ARRAYS = 64
ARRAY = 16 << 20

_fork = get_context("fork")


def square(x: int) -> int:
    return x * x


def nap(seconds: float) -> float:
    begun = time.perf_counter()
    time.sleep(seconds)
    return time.perf_counter() - begun


def used(_: object) -> float:
    return time.process_time()


Measure = Callable[[], object]


def _timed(name: str, prepare: Callable[[ExitStack], Measure]) -> Timed:
    def ready(stack: ExitStack) -> Callable[[], float]:
        operation = prepare(stack)
        operation()  # so that workers are there, and have the function

        def measure() -> float:
            begun = time.perf_counter()
            operation()
            return (time.perf_counter() - begun) * 1e3

        return measure

    return Timed(name, ready)


def _swarm(stack: ExitStack) -> zproc.Swarm:
    return stack.enter_context(zproc.Swarm(WORKERS))


def _ours(name: str, use: Callable[[zproc.Swarm], object]) -> Timed:
    def prepare(stack: ExitStack) -> Measure:
        swarm = _swarm(stack)
        return lambda: use(swarm)

    return _timed(name, prepare)


def _pool(name: str, use: Callable[..., object]) -> Timed:
    def prepare(stack: ExitStack) -> Measure:
        pool = stack.enter_context(_fork.Pool(WORKERS))
        return lambda: use(pool)

    return _timed(name, prepare)


def _executor(name: str, use: Callable[[ProcessPoolExecutor], object]) -> Timed:
    def prepare(stack: ExitStack) -> Measure:
        executor = stack.enter_context(ProcessPoolExecutor(WORKERS, _fork))
        return lambda: use(executor)

    return _timed(name, prepare)


def _loky(name: str, use: Callable[[Executor], object]) -> Timed:
    def prepare(stack: ExitStack) -> Measure:
        from loky import ProcessPoolExecutor as Loky  # noqa: PLC0415 (it may not be installed)

        executor: Executor = stack.enter_context(Loky(WORKERS))
        return lambda: use(executor)

    return replace(_timed(name, prepare), needs=(Need("loky", "pip install loky"),))


def _submit(executor: Executor) -> None:
    for future in [executor.submit(square, number) for number in range(SUBMITTED)]:
        future.result()


def _arrays() -> list[bytearray]:
    """Give one array many times: what is measured is the way, not the making."""
    return [bytearray(ARRAY)] * ARRAYS


def _uneven(stack: ExitStack) -> Callable[[], float]:
    swarm = _swarm(stack)
    items = [0.1 if place % 100 == 50 else 0.001 for place in range(1000)]
    list(swarm.map(nap, [0.001] * 10))

    def measure() -> float:
        begun = time.perf_counter()
        took = list(swarm.map(nap, items))
        return (time.perf_counter() - begun) / (sum(took) / WORKERS)

    return measure


def _idle(stack: ExitStack) -> Callable[[], float]:
    swarm = _swarm(stack)

    def measure() -> float:
        before = max(swarm.map(used, range(WORKERS * 4)))
        time.sleep(2)
        return (max(swarm.map(used, range(WORKERS * 4))) - before) * 1e3

    return measure


def _first(stack: ExitStack) -> Callable[[], float]:
    swarm = _swarm(stack)
    list(swarm.map(square, range(WORKERS)))

    def measure() -> float:
        begun = time.perf_counter()
        with swarm.map_lazy(square, count()) as squares:
            next(squares)
            return (time.perf_counter() - begun) * 1e3

    return measure


CASES = [
    cost(
        "map.tiny",
        "100,000 x x*x",
        _ours("Swarm.map", lambda swarm: list(swarm.map(square, range(TINY)))),
        _pool("Pool.map", lambda pool: pool.map(square, range(TINY))),
        unit="ms",
        goal=1.0,
    ),
    cost(
        "map.single",
        "10,000 x x*x, one by one",
        _ours("Swarm.map(chunksize=1)", lambda swarm: list(swarm.map(square, range(SINGLE), chunksize=1))),
        _pool("Pool.imap(chunksize=1)", lambda pool: list(pool.imap(square, range(SINGLE), chunksize=1))),
        unit="ms",
        goal=1.5,
    ),
    cost(
        "map.submit",
        "5,000 calls as futures",
        _ours("Swarm.submit", _submit),
        _executor("ProcessPoolExecutor.submit", _submit),
        unit="ms",
        goal=4.0,
    ),
    cost(
        "map.submit.loky",
        "5,000 calls as futures",
        _ours("Swarm.submit", _submit),
        _loky("loky, submit", _submit),
        unit="ms",
    ),
    cost(
        "map.arrays",
        "64 arrays of 16 MB",
        _ours("Swarm.map", lambda swarm: list(swarm.map(len, _arrays(), chunksize=1))),
        _pool("Pool.map", lambda pool: pool.map(len, _arrays(), chunksize=1)),
        unit="ms",
        goal=1.5,
    ),
    cost(
        "map.uneven",
        "1 % of the items take 100 x",
        Timed("wall time against the ideal", _uneven),
        unit="x",
        at_most=1.1,
    ),
    cost("map.idle", "2 s without work", Timed("processor time of the busiest worker", _idle), unit="ms", at_most=20.0),
    cost(
        "map.first",
        "the first result of an endless iterable",
        Timed("Swarm.map_lazy", _first),
        unit="ms",
        at_most=100.0,
    ),
]
