"""What it costs to start processes, to have them, and to see them end.

The law: the peer is `multiprocessing.Process` by the same start method, and its target is something that its child need
not import. Ours are processes of a context, with all that goes with them: supervision, the record, no survivors. Our
fork server has zproc loaded, so that of the peer is measured both with nothing loaded and with the same.
"""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from multiprocessing import get_context
from multiprocessing.context import SpawnContext
from typing import Any, cast

import psutil
from harness import Timed, cost
from models import Counter
from peers import until_it_runs, without_main

import zproc
from zproc.process import Manager, StartMethod, announce_ready

TIMES = {StartMethod.FORKSERVER: 15, StartMethod.FORK: 15, StartMethod.SPAWN: 5}
MANY = 100
IDLE_SECONDS = 10.0


def _median(measure: Callable[[], float], times: int) -> float:
    """Return the median of a few, in milliseconds."""
    return statistics.median(measure() for _ in range(times)) * 1e3


# Until it runs, until it has been joined


def _ours(method: StartMethod, once: Callable[[zproc.Context[Counter]], float], name: str) -> Timed:
    def prepare(stack: ExitStack) -> Callable[[], float]:
        ctx = stack.enter_context(zproc.Context(Counter, start_method=method))
        once(ctx)
        return lambda: _median(lambda: once(ctx), TIMES[method])

    return Timed(name, prepare)


def _running(ctx: zproc.Context[Counter]) -> float:
    begun = time.perf_counter()
    process = ctx._manager.make(announce_ready, ready=True)  # noqa: SLF001 - the one call that waits until it runs
    elapsed = time.perf_counter() - begun
    process.wait()
    return elapsed


def _joined(ctx: zproc.Context[Counter]) -> float:
    begun = time.perf_counter()
    ctx.spawn(stateful=False)(int).wait()
    return time.perf_counter() - begun


def _many(ctx: zproc.Context[Counter]) -> float:
    begun = time.perf_counter()
    ctx.spawn(count=MANY, stateful=False)(int).wait()
    return time.perf_counter() - begun


def _unrecorded(method: StartMethod) -> Timed:
    """The same without the record."""

    def prepare(_stack: ExitStack) -> Callable[[], float]:
        manager = Manager({"start_method": method})

        def once() -> float:
            begun = time.perf_counter()
            manager.make(int).wait()
            return time.perf_counter() - begun

        once()
        return lambda: _median(once, TIMES[method])

    return Timed("without the record", prepare)


def _peer(method: StartMethod, once: Callable[[SpawnContext], float], *, preloaded: bool = False) -> Timed:
    context = cast("SpawnContext", get_context(method.value))  # all three have the same methods

    def prepare(stack: ExitStack) -> Callable[[], float]:
        stack.enter_context(without_main())
        if preloaded:
            context.set_forkserver_preload(list(zproc._HOMES))  # noqa: SLF001 - what ours loads
        once(context)
        return lambda: _median(lambda: once(context), TIMES[method])

    return Timed(f"multiprocessing.Process, {method.value}{', zproc preloaded' * preloaded}", prepare)


def _peer_joined(context: SpawnContext) -> float:
    process = context.Process(target=int)
    begun = time.perf_counter()
    process.start()
    process.join()
    return time.perf_counter() - begun


def _peer_many(context: SpawnContext) -> float:
    begun = time.perf_counter()
    processes = [context.Process(target=int) for _ in range(MANY)]
    for each in processes:
        each.start()
    for each in processes:
        each.join()
    return time.perf_counter() - begun


# At rest


def _rest() -> None:
    announce_ready()
    threading.Event().wait()


def _at_rest() -> Timed:
    """Measure what this process and all that descend from it compute while a hundred of them have nothing to do."""

    def prepare(stack: ExitStack) -> Callable[[], float]:
        ctx = stack.enter_context(zproc.Context(Counter))
        for _ in range(MANY):
            ctx._manager.make(_rest, ready=True)  # noqa: SLF001 - as above
        return lambda: _computed(lambda: time.sleep(IDLE_SECONDS))

    return Timed(f"{MANY} idle children, {IDLE_SECONDS:g} s", prepare)


def _waiting() -> Timed:
    def prepare(stack: ExitStack) -> Callable[[], float]:
        ctx = stack.enter_context(zproc.Context(Counter))
        process: zproc.Process[Any] = ctx._manager.make(_rest, ready=True)  # noqa: SLF001 - as above

        def wait() -> None:
            try:
                process.wait(timeout=3.0)
            except zproc.WaitTimeout:
                return

        return lambda: _computed(wait)

    return Timed("wait(timeout=3)", prepare)


def _computed(body: Callable[[], None]) -> float:
    """Return how long all of us compute meanwhile, in milliseconds."""
    me = psutil.Process(os.getpid())
    family = [me, *me.children(recursive=True)]
    before = sum(map(_cpu, family))
    body()
    return (sum(map(_cpu, family)) - before) * 1e3


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


METHODS: Sequence[StartMethod] = (StartMethod.FORKSERVER, StartMethod.FORK, StartMethod.SPAWN)
BOUND = 1 / 1.5

CASES = [
    *(
        cost(
            f"process.running.{method}",
            "until it runs",
            _ours(method, _running, "ctx.spawn"),
            _peer(method, until_it_runs),
            unit="ms",
            goal=BOUND,
        )
        for method in METHODS
    ),
    *(
        cost(
            f"process.joined.{method}",
            "started and joined",
            _ours(method, _joined, "ctx.spawn"),
            _peer(method, _peer_joined),
            unit="ms",
            goal=BOUND,
        )
        for method in METHODS
    ),
    *(
        cost(
            f"process.{key}.preloaded",
            what,
            _ours(StartMethod.FORKSERVER, ours, "ctx.spawn"),
            _peer(StartMethod.FORKSERVER, peer, preloaded=True),
            unit="ms",
            goal=BOUND,
        )
        for key, what, ours, peer in (
            ("running", "until it runs", _running, until_it_runs),
            ("joined", "started and joined", _joined, _peer_joined),
            ("many", f"{MANY} started and joined", _many, _peer_many),
        )
    ),
    cost(
        "process.many",
        f"{MANY} started and joined",
        _ours(StartMethod.FORKSERVER, _many, "ctx.spawn"),
        _peer(StartMethod.FORKSERVER, _peer_many),
        unit="ms",
        goal=BOUND,
    ),
    cost(
        "process.record",
        "started and joined",
        _ours(StartMethod.FORKSERVER, _joined, "with the record"),
        _unrecorded(StartMethod.FORKSERVER),
        unit="ms",
    ),
    cost(
        "process.forkserver",
        "started and joined",
        _ours(StartMethod.FORKSERVER, _joined, "by the fork server"),
        _ours(StartMethod.FORK, _joined, "by a plain fork"),
        unit="ms",
    ),
    cost("process.idle", "at rest", _at_rest(), unit="ms", at_most=200),
    cost("process.wait", "processor time", _waiting(), unit="ms", at_most=30),
]
