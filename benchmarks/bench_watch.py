"""What watching costs: from a commit to who waits for it, beside others who wait, and told in bulk."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from typing import Any

import psutil
from harness import Operation, Timed, cost
from peers import ECHO

import zproc
from zproc.aio import AsyncState

_fork = get_context("fork")
_REST = 0.0005
"""How long a server rests between two commits of which the latency is measured: whoever waits, waits by then."""


TIMES = 300
COMMITS = 10_000


class Board(zproc.StateModel):
    n: int = 0
    m: int = 0
    others: dict[str, int] = {}


def _rest() -> None:
    begun = time.perf_counter()
    while time.perf_counter() - begun < _REST:
        pass


def _median(operation: Operation, times: int) -> float:
    """Return the median of what an operation takes after a rest, in microseconds."""
    taken = []
    for _ in range(times):
        _rest()
        begun = time.perf_counter_ns()
        operation()
        taken.append(time.perf_counter_ns() - begun)
    return statistics.median(taken) / 1000


@contextmanager
def _child(function: Callable[..., None], *args: object) -> Iterator[Any]:
    """Run a function in a process, with a pipe to it."""
    here, there = _fork.Pipe()

    def run() -> None:
        function(there, *args)
        os._exit(0)

    process = _fork.Process(target=run)
    process.start()
    try:
        yield here
    finally:
        process.kill()
        process.join()


def _hear(pipe: Any, state: Board, times: int) -> None:
    """Tell how long after it was made, which is its value, each commit is heard of."""
    changes = state.changes("n")
    pipe.send(None)
    heard = []
    for _ in range(times):
        change: Any = next(changes)
        heard.append(time.perf_counter_ns() - change.new)
        pipe.send_bytes(b"")
    pipe.send(heard)


def _latency(state: Board, times: int) -> float:
    """Return the median time from just before a commit to a woken watcher of another process, in microseconds."""
    with _child(_hear, state, times) as pipe:
        pipe.recv()
        for _ in range(times):
            _rest()
            state.n = time.perf_counter_ns()
            pipe.recv_bytes()
        heard: list[int] = pipe.recv()
        return statistics.median(heard) / 1000


def _wait_for(pipe: Any, state: Board, fields: list[str]) -> None:
    """Have a task wait at each field, and tell when all have heard of a change."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        streams = [AsyncState(state).changes(field) for field in fields]
        while True:
            waiting = [asyncio.ensure_future(anext(stream)) for stream in streams]
            await asyncio.sleep(0)  # they have asked; the server takes it in before whatever comes later
            pipe.send(None)
            await asyncio.gather(*waiting)
            pipe.send(loop.time())

    asyncio.run(main())


def _context(stack: ExitStack) -> zproc.Context[Board]:
    return stack.enter_context(zproc.Context(Board))


def _woken_watcher(stack: ExitStack) -> Callable[[], float]:
    state = _context(stack).state
    return lambda: _latency(state, TIMES)


def _commit(stack: ExitStack) -> Callable[[], float]:
    state = _context(stack).state
    return lambda: _median(lambda: setattr(state, "n", 1), TIMES)


def _echo(stack: ExitStack) -> Callable[[], float]:
    echo = ECHO.prepare(stack)(stack)
    return lambda: _median(echo, TIMES)


def _beside(make: Callable[[Board], Operation], fields: list[str]) -> Callable[[ExitStack], Callable[[], float]]:
    """Measure an operation beside watchers, one of each field."""

    def prepare(stack: ExitStack) -> Callable[[], float]:
        state = _context(stack).state
        if fields:
            stack.enter_context(_child(_wait_for, state, fields)).recv()
        operation = make(state)
        return lambda: _median(operation, TIMES)

    return prepare


def _set_field(state: Board) -> Operation:
    return lambda: setattr(state, "n", 1)


def _set_key(state: Board) -> Operation:
    others = state.others
    return lambda: others.__setitem__("x", 1)


def _until_all_have_heard(count: int) -> Timed:
    """Measure what it takes until all who wait for one field have heard, over their number."""

    def prepare(stack: ExitStack) -> Callable[[], float]:
        state = _context(stack).state
        pipe = stack.enter_context(_child(_wait_for, state, ["n"] * count))

        def each() -> float:
            taken: list[float] = []
            for _ in range(20):
                pipe.recv()
                _rest()
                begun = time.monotonic()
                state.n += 1
                taken.append((pipe.recv() - begun) / count)
            return statistics.median(taken) * 1e6

        return each

    return Timed(f"each of {count} watchers", prepare)


def _told(name: str, stream: Callable[[Board, int], Iterator[object]]) -> Timed:
    """Measure what an event costs a watcher that has ten thousand commits before it."""

    def prepare(stack: ExitStack) -> Callable[[], float]:
        ctx = stack.enter_context(zproc.Context(Board, limits=zproc.Limits(history_commits=COMMITS)))
        for number in range(COMMITS):
            ctx.state.n = number
        since = ctx.state.go_live() - COMMITS + 1

        def each() -> float:
            events, begun = stream(ctx.state, since), time.perf_counter()
            for _ in range(COMMITS - 1):
                next(events)
            return (time.perf_counter() - begun) / COMMITS * 1e6

        return each

    return Timed(name, prepare)


def _echoes(stack: ExitStack) -> Callable[[], float]:
    echo = ECHO.prepare(stack)(stack)

    def each() -> float:
        begun = time.perf_counter()
        for _ in range(COMMITS):
            echo()
        return (time.perf_counter() - begun) / COMMITS * 1e6

    return each


def _memory(count: int, commits: int) -> Timed:
    """Measure what a parked watcher takes at the server, in bytes."""

    def each() -> float:
        with ExitStack() as stack:
            ctx = _context(stack)
            for number in range(commits):
                ctx.state.n = number
            server = psutil.Process(ctx.ping().pid)
            before = server.memory_info().rss
            stack.enter_context(_child(_wait_for, ctx.state, ["m"] * count)).recv()
            return float(server.memory_info().rss - before) / count

    return Timed(f"each of {count:,} watchers beside {commits:,} commits", lambda _stack: each)


FIELDS = [f"others.k{number}" for number in range(1000)]

STREAMS: dict[str, Callable[[Board, int], Iterator[object]]] = {
    "changes": lambda state, since: state.changes("n", since=since),
    "commits": lambda state, since: state.commits("n", since=since),
    "states": lambda state, since: state.when_change("n", since=since),
}

CASES = [
    cost(
        "watch.latency", "from a commit", Timed("woken watcher", _woken_watcher), Timed("one echo", _echo), goal=1 / 3
    ),
    cost("watch.commit", "commit after a rest", Timed("state.n = v", _commit), Timed("one echo", _echo)),
    cost(
        "watch.parked.fields",
        "commit beside 1,000 watchers of other fields",
        Timed("state.n = v", _beside(_set_field, FIELDS)),
        Timed("beside none", _beside(_set_field, [])),
        goal=1 / 1.2,
    ),
    cost(
        "watch.parked.keys",
        "commit beside 1,000 watchers of other keys of its field",
        Timed("state.others[k] = v", _beside(_set_key, FIELDS)),
        Timed("beside none", _beside(_set_key, [])),
        goal=1 / 1.2,
    ),
    cost("watch.woken", "until all have heard", _until_all_have_heard(100), _until_all_have_heard(10), goal=1 / 1.2),
    *(
        cost(
            f"watch.bulk.{name}",
            "an event of 10,000 buffered",
            _told(name, stream),
            Timed("one echo", _echoes),
            goal=0.5,
        )
        for name, stream in STREAMS.items()
    ),
    cost("watch.memory.count", "memory of the server", _memory(4_000, 0), _memory(1_000, 0), unit="B", goal=1 / 1.2),
    cost(
        "watch.memory.history", "memory of the server", _memory(4_000, 5_000), _memory(4_000, 0), unit="B", goal=1 / 1.2
    ),
]
