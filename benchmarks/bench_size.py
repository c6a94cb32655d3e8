"""That a commit costs what it changes, however much is in the state: the same with 1,000,000 items as with 10.

The law: the time of the whole call is compared, so that whatever grew with the state would show, at the client or at
the server.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack

from harness import Operation, Timed, cost

import zproc

SMALL = 10
TIMES = 300
LONG = 2.0
"""How long a round may take, in seconds, so that what does grow with the state is measured all the same."""


class Stock(zproc.StateModel):
    n: int = 0
    table: dict[str, int] = {}
    row: list[int] = []

    @zproc.action
    def count(self) -> int:
        self.n += 1
        return self.n


@zproc.atomic
def fill_table(state: Stock, size: int) -> None:
    state.table = {str(key): key for key in range(size)}


@zproc.atomic
def fill_row(state: Stock, size: int) -> None:
    state.row = list(range(size))


@zproc.atomic
def increment(state: Stock) -> None:
    state.n += 1


@zproc.atomic
def set_key(state: Stock) -> None:
    state.table["3"] = 1


def _set_field(state: Stock) -> Operation:
    return lambda: setattr(state, "n", 1)


def _set_key(state: Stock) -> Operation:
    table = state.table
    return lambda: table.__setitem__("3", 1)


def _set_element(state: Stock) -> Operation:
    row = state.row
    return lambda: row.__setitem__(3, 1)


def _costs(operation: Operation) -> float:
    """Return the median of what it costs, in microseconds."""
    costs: list[float] = []
    while len(costs) < TIMES and sum(costs) < LONG:
        begun = time.perf_counter()
        operation()
        costs.append(time.perf_counter() - begun)
    return statistics.median(costs) * 1e6


def _of_size(size: int, fill: Callable[[Stock, int], None], make: Callable[[Stock], Operation]) -> Timed:
    def prepare(stack: ExitStack) -> Callable[[], float]:
        # To fill it takes longer than a commit may.
        state = stack.enter_context(zproc.Context(Stock, limits=zproc.Limits(compute_time=60))).state
        fill(state, size)
        operation = make(state)
        return lambda: _costs(operation)

    return Timed(f"{size:,} items", prepare)


CASES = [
    cost(
        f"size.{key}.{size}",
        what,
        _of_size(size, fill, make),
        _of_size(SMALL, fill, make),
        goal=1 / most,
    )
    for key, what, fill, make, most in [
        ("field.table", "state.n = v beside a dict", fill_table, _set_field, 1.3),
        ("field.row", "state.n = v beside a list", fill_row, _set_field, 1.3),
        ("action", "an action beside a dict", fill_table, lambda state: state.count, 1.3),
        ("atomic", "@atomic increment beside a dict", fill_table, lambda state: lambda: increment(state), 1.3),
        ("atomic-key", "@atomic state.table[k] = v", fill_table, lambda state: lambda: set_key(state), 1.3),
        ("append", "state.row.append(v)", fill_row, lambda state: lambda: state.row.append(1), 1.3),
        ("key", "state.table[k] = v", fill_table, _set_key, 2),
        ("element", "state.row[i] = v", fill_row, _set_element, 1.3),
    ]
    for size in (10_000, 1_000_000)
]
