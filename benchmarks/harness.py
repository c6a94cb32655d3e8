"""Measuring side by side: ours and its peer in one run, in turns, as ratios of medians.

The law: a number alone says more about the machine than about the code, so every figure comes with its peer's from the
same rounds, and no figure is ever asserted. A goal that is missed is printed as missed.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from typing import Any

__all__ = ["Row", "Subject", "clients", "compare", "header", "report", "rounds_of"]

_fork = get_context("fork")

Operation = Callable[[], object]


@dataclass
class Subject:
    """Something to measure.

    Attributes:
        name: what it is called in the table.
        prepare: sets it up and gives what makes the operation, in each client process anew.
    """

    name: str
    prepare: Callable[[ExitStack], Callable[[ExitStack], Operation]]


@dataclass
class Row:
    """One comparison.

    Attributes:
        what: what was compared.
        ours: our rate or cost, median of the rounds.
        peer: the peer's.
        unit: what they are given in.
        ratio: how many times better ours is; above 1 is better.
        goal: what the ratio should be at least.
    """

    what: str
    ours: float
    peer: float
    unit: str
    ratio: float
    goal: float | None = None
    rounds: list[float] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """Whether the goal is met."""
        if self.goal is None:
            return ""
        return "pass" if self.ratio >= self.goal else f"falls short by {self.goal / self.ratio:.2f} x"


def _work(make: Callable[[ExitStack], Operation], seconds: float, ready: Any, go: Event, results: Any) -> None:
    with ExitStack() as stack:
        operation = make(stack)
        operation()
        ready.release()
        go.wait()
        done, begun = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - begun) < seconds:
            for _ in range(10):
                operation()
            done += 10
        results.put(done / elapsed)
    os._exit(0)


def clients(make: Callable[[ExitStack], Operation], count: int, seconds: float) -> float:
    """Return how many operations a second some processes do together."""
    ready, go, results = _fork.Semaphore(0), _fork.Event(), _fork.SimpleQueue()
    workers = [_fork.Process(target=_work, args=(make, seconds, ready, go, results)) for _ in range(count)]
    for worker in workers:
        worker.start()
    for _ in workers:
        ready.acquire()
    go.set()
    total = sum(results.get() for _ in workers)
    for worker in workers:
        worker.join()
    return float(total)


@contextmanager
def _prepared(subject: Subject) -> Iterator[Callable[[ExitStack], Operation]]:
    with ExitStack() as stack:
        yield subject.prepare(stack)


def rounds_of(first: Callable[[], float], second: Callable[[], float], rounds: int) -> list[tuple[float, float]]:
    """Measure two things in turns, the order changing from round to round."""
    pairs = []
    for number in range(rounds):
        if number % 2:
            b = second()
            pairs.append((first(), b))
        else:
            a = first()
            pairs.append((a, second()))
    return pairs


def compare(
    what: str,
    ours: Subject,
    peer: Subject,
    *,
    count: int = 1,
    seconds: float = 0.5,
    rounds: int = 5,
    goal: float | None = None,
) -> Row:
    """Compare two rates."""
    with _prepared(ours) as mine, _prepared(peer) as theirs:
        pairs = rounds_of(lambda: clients(mine, count, seconds), lambda: clients(theirs, count, seconds), rounds)
    ratio = statistics.median(a / b for a, b in pairs)
    return Row(
        what=f"{what}, {count} client{'s' if count > 1 else ''}: {ours.name} against {peer.name}",
        ours=statistics.median(a for a, _ in pairs),
        peer=statistics.median(b for _, b in pairs),
        unit="/s",
        ratio=ratio,
        goal=goal,
        rounds=[a / b for a, b in pairs],
    )


def header() -> str:
    """Say what machine and versions the figures are of."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("zproc", "pydantic", "msgpack"))
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return f"{machine}, Python {platform.python_version()}, {packages}"


def report(rows: Sequence[Row]) -> None:
    """Print the table, and write it as JSON to the file that the command line names."""
    print(header())
    width = max(len(row.what) for row in rows)
    for row in rows:
        goal = "" if row.goal is None else f"goal {row.goal:g}"
        figures = f"{row.ours:12,.1f} {row.peer:12,.1f} {row.unit:4} {row.ratio:8.2f} x"
        print(f"{row.what:{width}}  {figures}  {goal:10} {row.verdict}")
    if len(sys.argv) > 1:
        with open(sys.argv[1], "w") as file:
            json.dump({"machine": header(), "rows": [asdict(row) for row in rows]}, file, indent=1)
