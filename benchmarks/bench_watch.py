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
from harness import Operation, Row, report, rounds_of
from peers import ECHO

import zproc
from zproc.aio import AsyncState

_fork = get_context("fork")
_REST = 0.0005
"""How long a server rests between two commits of which the latency is measured: whoever waits, waits by then."""


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


def latency() -> list[Row]:
    """Commit to woken watcher, against an echo that is made after the same rest."""
    with ExitStack() as stack:
        state = stack.enter_context(zproc.Context(Board)).state
        echo = ECHO.prepare(stack)(stack)
        pairs = rounds_of(lambda: _latency(state, 300), lambda: _median(echo, 300), 7)
        alone = _median(lambda: setattr(state, "n", 1), 300)
    what = f"commit to woken watcher (the commit alone: {alone:.0f} us)"
    return [_costs(f"{what} against one echo", pairs, 3.0)]


def _costs(what: str, pairs: list[tuple[float, float]], most: float | None, unit: str = "us") -> Row:
    return Row(
        what=what,
        ours=statistics.median(a for a, _ in pairs),
        peer=statistics.median(b for _, b in pairs),
        unit=unit,
        ratio=statistics.median(b / a for a, b in pairs),
        goal=None if most is None else 1 / most,
        rounds=[b / a for a, b in pairs],
    )


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


def parked() -> list[Row]:
    """What a thousand watchers cost a commit that touches none of them: other fields, and other keys of one."""
    fields = [f"others.k{number}" for number in range(1000)]
    with ExitStack() as stack:
        ctx, beside = (stack.enter_context(zproc.Context(Board)) for _ in range(2))
        stack.enter_context(_child(_wait_for, beside.state, fields)).recv()
        pairs = rounds_of(
            lambda: _median(lambda: setattr(beside.state, "n", 1), 300),
            lambda: _median(lambda: setattr(ctx.state, "n", 1), 300),
            7,
        )
        here, there = beside.state.others, ctx.state.others
        keys = rounds_of(
            lambda: _median(lambda: here.__setitem__("x", 1), 300),
            lambda: _median(lambda: there.__setitem__("x", 1), 300),
            7,
        )
    return [
        _costs("commit beside 1,000 watchers of other fields, against none", pairs, 1.2),
        _costs("commit beside 1,000 watchers of other keys of its field, against none", keys, 1.2),
    ]


def woken() -> list[Row]:
    """What it takes until all who wait for one field have heard: for each of them, a hundred against ten."""

    def each(pipe: Any, state: Board, count: int) -> float:
        taken: list[float] = []
        for _ in range(20):
            pipe.recv()
            _rest()
            begun = time.monotonic()
            state.n += 1
            taken.append((pipe.recv() - begun) / count)
        return statistics.median(taken) * 1e6

    with ExitStack() as stack:
        contexts = {count: stack.enter_context(zproc.Context(Board)) for count in (10, 100)}
        pipes = {
            count: stack.enter_context(_child(_wait_for, ctx.state, ["n"] * count)) for count, ctx in contexts.items()
        }
        pairs = rounds_of(
            lambda: each(pipes[100], contexts[100].state, 100), lambda: each(pipes[10], contexts[10].state, 10), 7
        )
    return [_costs("commit until all have heard, for each of 100 watchers against each of 10", pairs, 1.2)]


def bulk() -> list[Row]:
    """How many events a second a watcher is told of that has 10,000 commits before it, against the rate of an echo."""
    commits = 10_000
    with ExitStack() as stack:
        ctx = stack.enter_context(zproc.Context(Board, limits=zproc.Limits(history_commits=commits)))
        for number in range(commits):
            ctx.state.n = number
        echo = ECHO.prepare(stack)(stack)

        def told(make: Callable[[], Iterator[object]]) -> float:
            stream, begun = make(), time.perf_counter()
            for _ in range(commits - 1):
                next(stream)
            return commits / (time.perf_counter() - begun)

        def echoes() -> float:
            begun = time.perf_counter()
            for _ in range(commits):
                echo()
            return commits / (time.perf_counter() - begun)

        rows = []
        since = ctx.state.go_live() - commits + 1
        streams: dict[str, Callable[[], Any]] = {
            "changes": lambda: ctx.state.changes("n", since=since),
            "commits": lambda: ctx.state.commits("n", since=since),
            "states": lambda: ctx.state.when_change("n", since=since),
        }
        for name, make in streams.items():
            pairs = rounds_of(lambda make=make: told(make), echoes, 5)  # type: ignore[misc]
            rows.append(
                Row(
                    what=f"10,000 buffered commits told as {name}, against echoes",
                    ours=statistics.median(a for a, _ in pairs),
                    peer=statistics.median(b for _, b in pairs),
                    unit="/s",
                    ratio=statistics.median(a / b for a, b in pairs),
                    goal=0.5,
                    rounds=[a / b for a, b in pairs],
                )
            )
    return rows


def memory() -> list[Row]:
    """What a parked watcher takes at the server, with an empty history and with a full one."""

    def each(count: int, commits: int) -> float:
        with ExitStack() as stack:
            ctx = stack.enter_context(zproc.Context(Board))
            for number in range(commits):
                ctx.state.n = number
            server = psutil.Process(_server_of(ctx))
            before = server.memory_info().rss
            stack.enter_context(_child(_wait_for, ctx.state, ["m"] * count)).recv()
            return (server.memory_info().rss - before) / count

    few, many = each(1_000, 0), each(4_000, 0)
    full = each(4_000, 5_000)
    return [
        _costs("bytes at the server for each of 4,000 watchers, against each of 1,000", [(many, few)], 1.2, "B"),
        _costs("bytes for each of 4,000 watchers beside 5,000 commits, against beside none", [(full, many)], 1.2, "B"),
    ]


def _server_of(ctx: zproc.Context[Board]) -> int:
    return ctx.ping().pid


def main() -> None:
    """Run all, and print."""
    report([*latency(), *parked(), *woken(), *bulk(), *memory()])


if __name__ == "__main__":
    main()
