"""What the state costs: reads, commits, actions, atomic functions, and that none of it grows with the state."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack

from harness import Case, Effort, Operation, Row, Subject, rate, rounds_of
from peers import BASE_MANAGER, ECHO, MANAGER_LOCKED, MANAGER_READ
from pydantic import Field

import zproc


class Counter(zproc.StateModel):
    c: int = Field(default=0, ge=0)

    @zproc.action
    def add(self) -> int:
        self.c += 1
        return self.c


@zproc.atomic
def increment(state: Counter) -> None:
    state.c += 1


def _subject(name: str, make: Callable[[Counter], Operation]) -> Subject:
    def prepare(stack: ExitStack) -> Callable[[ExitStack], Operation]:
        ctx = stack.enter_context(zproc.Context(Counter))
        return lambda _stack: make(ctx.state)

    return Subject(name, prepare)


def _set(state: Counter) -> Operation:
    def operation() -> None:
        state.c = 5

    return operation


def _add(state: Counter) -> Operation:
    def operation() -> None:
        state.c += 1

    return operation


READ = _subject("live read", lambda state: lambda: state.c)
COMMIT = _subject("single-op commit", _set)
IN_PLACE = _subject("state.c += 1", _add)
ACTION = _subject("action", lambda state: state.add)
ATOMIC = _subject("@atomic increment", lambda state: lambda: increment(state))


class Stock(zproc.StateModel):
    n: int = 0
    table: dict[str, int] = {}
    row: list[int] = []


PATIENT = zproc.Limits(compute_time=60)
"""To fill a state takes longer than a commit may."""


@zproc.atomic
def fill(state: Stock, size: int) -> None:
    state.table = {str(key): key for key in range(size)}
    state.row = list(range(size))


def _cost(operation: Operation, times: int = 300) -> float:
    costs = []
    for _ in range(times):
        begun = time.perf_counter()
        operation()
        costs.append(time.perf_counter() - begun)
    return statistics.median(costs)


def flat(effort: Effort) -> list[Row]:
    """A commit costs what it changes: the same with 10, 10,000 and 1,000,000 items elsewhere, and in a large dict."""
    rows = []
    with ExitStack() as stack:
        contexts = {size: stack.enter_context(zproc.Context(Stock, limits=PATIENT)) for size in (10, 10_000, 1_000_000)}
        for size, ctx in contexts.items():
            fill(ctx.state, size)

        def elsewhere(size: int) -> float:
            state = contexts[size].state
            return _cost(lambda: setattr(state, "n", 1))

        def inside(size: int) -> float:
            table = contexts[size].state.table
            return _cost(lambda: table.__setitem__("3", 1))

        for key, what, measure, bound in (
            ("elsewhere", "one field, items elsewhere", elsewhere, 1.3),
            ("inside", "stock[k] = v", inside, 2.0),
        ):
            for size in (10_000, 1_000_000):
                pairs = rounds_of(lambda m=measure: m(10), lambda m=measure, s=size: m(s), effort.rounds)
                rows.append(
                    Row(
                        key=f"{key}.{size}",
                        what=f"{what}: 10 items against {size:,}",
                        ours=statistics.median(a for a, _ in pairs) * 1e6,
                        peer=statistics.median(b for _, b in pairs) * 1e6,
                        unit="us",
                        ratio=statistics.median(a / b for a, b in pairs),
                        goal=1 / bound,
                    )
                )
    return rows


CASES = [
    rate("read.manager", "read, unchanged", READ, MANAGER_READ, goal=100),
    rate("commit.echo.1", "commit", COMMIT, ECHO, goal=0.5),
    rate("commit.echo.8", "commit", COMMIT, ECHO, count=8, goal=0.5),
    rate("in-place.echo.1", "commit", IN_PLACE, ECHO),
    rate("action.echo.1", "action", ACTION, ECHO, goal=0.5),
    rate("action.echo.8", "action", ACTION, ECHO, count=8, goal=0.5),
    rate("action.manager.1", "action", ACTION, BASE_MANAGER, goal=1.3),
    rate("action.manager.8", "action", ACTION, BASE_MANAGER, count=8, goal=1.3),
    rate("atomic.echo.1", "atomic", ATOMIC, ECHO, goal=0.2),
    rate("atomic.echo.8", "atomic", ATOMIC, ECHO, count=8, goal=0.2),
    rate("atomic.manager.1", "atomic", ATOMIC, MANAGER_LOCKED, goal=2.5),
    rate("atomic.manager.8", "atomic", ATOMIC, MANAGER_LOCKED, count=8, goal=4),
    Case("flat", flat),
]
