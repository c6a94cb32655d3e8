"""Measuring side by side: ours and its peer in one run, in turns, as ratios of medians.

The law: every figure comes with its peer's from the same rounds, and no figure is ever asserted. A goal that is missed
is printed as missed, and a peer that is not there is a row that says how to get it. `row` has what a result is,
`runner` runs the cases that the ``bench_*.py`` files declare, each in a process of its own.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from machine import header
from row import Row, table, to_json

__all__ = [
    "FULL",
    "QUICK",
    "Case",
    "Effort",
    "Need",
    "Operation",
    "Row",
    "Subject",
    "Timed",
    "clients",
    "compare",
    "compare_costs",
    "cost",
    "header",
    "lacking",
    "rate",
    "report",
    "rounds_of",
]

_fork = get_context("fork")

Operation = Callable[[], object]

_PATIENCE = 60.0
"""How long a client may take to be ready, and to tell what it has measured, in seconds."""


# What is measured


@dataclass(frozen=True)
class Need:
    """Something that must be installed for a peer to be measured.

    Attributes:
        name: a module that can be imported, or a program on the path.
        install: the command that brings it.
    """

    name: str
    install: str

    def met(self) -> bool:
        """Whether it is installed."""
        return shutil.which(self.name) is not None or importlib.util.find_spec(self.name) is not None

    def absence(self) -> str:
        """Say in the place of figures what is missing, and what to do about it."""
        return f"not installed: {self.install}"


@dataclass
class Subject:
    """An operation whose rate is measured, with some processes doing it at the same time.

    Attributes:
        name: what it is called in the table.
        prepare: sets it up and gives what makes the operation, in each client process anew.
        per_call: how many times one call does what is measured. An attribute is read in less time than a call takes,
            so that a call for each would measure calls.
        needs: what must be installed.
    """

    name: str
    prepare: Callable[[ExitStack], Callable[[ExitStack], Operation]]
    per_call: int = 1
    needs: Sequence[Need] = ()


@dataclass
class Timed:
    """Something whose cost is measured: how long it takes, or how much of something it uses.

    Attributes:
        name: what it is called in the table.
        prepare: sets it up and gives what measures one round.
        needs: what must be installed.
    """

    name: str
    prepare: Callable[[ExitStack], Callable[[], float]]
    needs: Sequence[Need] = ()


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Attributes:
        rounds: how often ours and the peer take turns.
        seconds: how long each round of a rate lasts.
    """

    rounds: int
    seconds: float


FULL = Effort(rounds=7, seconds=0.5)
QUICK = Effort(rounds=3, seconds=0.2)


@dataclass(frozen=True)
class Case:
    """A row that can be asked for by its key, or a few that share what is costly to set up.

    Attributes:
        key: the name by which the command line and the documents know it; of several rows the beginning of their keys.
        measure: measures it. A row without a key is given the case's.
        row: what is known of it before it is measured, its goals above all.
    """

    key: str
    measure: Callable[[Effort], Row | Sequence[Row]]
    row: Row = field(default_factory=lambda: Row(""))

    def rows(self, effort: Effort) -> list[Row]:
        """Measure, and give the rows their keys."""
        measured = self.measure(effort)
        rows = [measured] if isinstance(measured, Row) else list(measured)
        for row in rows:
            if not row.key:
                row.key = self.key
            elif row.key != self.key and not row.key.startswith(f"{self.key}."):
                row.key = f"{self.key}.{row.key}"
        return rows

    def unmeasured(self, why: str = "") -> Row:
        """Return the row as it is known without having been measured, and why it was not."""
        return replace(self.row, key=self.key, what=self.row.what or self.key, absent=why)


def rate(key: str, what: str, ours: Subject, peer: Subject, *, count: int = 1, goal: float | None = None) -> Case:
    """Return the case that compares two rates: see `compare`."""
    return Case(
        key,
        lambda effort: compare(what, ours, peer, count=count, seconds=effort.seconds, rounds=effort.rounds, goal=goal),
        _rate_row(what, ours, peer, count, goal),
    )


def cost(
    key: str,
    what: str,
    ours: Timed,
    peer: Timed | None = None,
    *,
    unit: str = "us",
    goal: float | None = None,
    at_most: float | None = None,
) -> Case:
    """Return the case that compares two costs: see `compare_costs`."""
    return Case(
        key,
        lambda effort: compare_costs(what, ours, peer, unit=unit, rounds=effort.rounds, goal=goal, at_most=at_most),
        _row(what, ours, peer, unit=unit, goal=goal, at_most=at_most),
    )


def _row(subject: str, ours: Subject | Timed, peer: Subject | Timed | None, **known: Any) -> Row:
    """Return a row that is yet to be measured."""
    return Row(
        what=f"{subject}: {ours.name}" + (f" against {peer.name}" if peer else ""),
        subject=subject,
        ours_name=ours.name,
        peer_name=peer.name if peer else "",
        **known,
    )


def _rate_row(what: str, ours: Subject, peer: Subject, count: int, goal: float | None) -> Row:
    return _row(f"{what}, {count} client{'s' if count > 1 else ''}", ours, peer, unit="/s", goal=goal)


def lacking(*subjects: Subject | Timed | None) -> str:
    """Return what to say in the place of figures if something is not installed; else nothing."""
    needs = (need for subject in subjects if subject is not None for need in subject.needs)
    return "; ".join(dict.fromkeys(need.absence() for need in needs if not need.met()))


# Measuring


def _work(make: Callable[[ExitStack], Operation], seconds: float, parent: Connection) -> None:
    """Be a client: get ready, wait for the word, work, tell the rate. Never return."""
    try:
        with ExitStack() as stack:
            operation = make(stack)
            batch = _batch(operation)
            parent.send("ready")
            parent.recv()
            done, begun = 0, time.perf_counter()
            while (elapsed := time.perf_counter() - begun) < seconds:
                for _ in range(batch):
                    operation()
                done += batch
            parent.send(done / elapsed)
            parent.recv()
    except BaseException:  # noqa: BLE001 (whatever it is, the parent is to say it; it cannot travel by itself)
        parent.send(traceback.format_exc())
    finally:
        sys.stderr.flush()
        os._exit(0)


def _batch(operation: Operation, milliseconds: float = 1.0) -> int:
    """Return how many operations take about a millisecond, so that looking at the clock costs nothing."""
    times = 1
    while times < 100_000:
        begun = time.perf_counter()
        for _ in range(times):
            operation()
        if (time.perf_counter() - begun) * 1e3 >= milliseconds:
            break
        times *= 2
    return times


def _told(client: tuple[BaseProcess, Connection]) -> object:
    """Return what a client says next, or raise what went wrong with it."""
    process, connection = client
    try:
        said = connection.recv() if connection.poll(_PATIENCE) else f"it said nothing for {_PATIENCE:g} s"
    except EOFError:
        process.join(_PATIENCE)
        said = f"it ended with exit code {process.exitcode}"
    if isinstance(said, str) and said != "ready":
        raise RuntimeError(f"a client could not be measured: {said}")
    return said


def clients(make: Callable[[ExitStack], Operation], count: int, seconds: float) -> float:
    """Return how many operations a second some processes do together.

    Raises:
        RuntimeError: one of them raised, died or hung; the others are ended.
    """
    workers: list[tuple[BaseProcess, Connection]] = []
    try:
        for _ in range(count):
            here, there = _fork.Pipe()
            process = _fork.Process(target=_work, args=(make, seconds, there))
            process.start()
            # Closed before the next is forked: nobody but the client itself may keep its end open.
            there.close()
            workers.append((process, here))
        for client in workers:
            _told(client)
        for _, connection in workers:
            connection.send("go")
        rates = [_told(client) for client in workers]
        # Only now: one that is done earlier must not take the processor for closing what it opened.
        for _, connection in workers:
            connection.send("end")
        for worker, _ in workers:
            worker.join(_PATIENCE)
    finally:
        for worker, connection in workers:
            connection.close()
            worker.kill()
            worker.join()
    return sum(each for each in rates if isinstance(each, float))


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
    seconds: float = FULL.seconds,
    rounds: int = FULL.rounds,
    goal: float | None = None,
    key: str = "",
) -> Row:
    """Compare two rates."""
    row = replace(_rate_row(what, ours, peer, count, goal), key=key, absent=lacking(ours, peer))
    if row.absent:
        return row
    with _prepared(ours) as mine, _prepared(peer) as theirs:
        pairs = rounds_of(
            lambda: ours.per_call * clients(mine, count, seconds),
            lambda: peer.per_call * clients(theirs, count, seconds),
            rounds,
        )
    row.ours = statistics.median(a for a, _ in pairs)
    row.peer = statistics.median(b for _, b in pairs)
    row.rounds = [a / b for a, b in pairs]
    row.ratio = statistics.median(row.rounds)
    return row


def compare_costs(
    what: str,
    ours: Timed,
    peer: Timed | None = None,
    *,
    unit: str = "us",
    rounds: int = FULL.rounds,
    goal: float | None = None,
    at_most: float | None = None,
    key: str = "",
) -> Row:
    """Compare two costs, or hold one to a bound."""
    row = _row(what, ours, peer, unit=unit, goal=goal, at_most=at_most, key=key, absent=lacking(ours, peer))
    if row.absent:
        return row
    with ExitStack() as stack:
        mine = ours.prepare(stack)
        if peer is None:
            row.rounds = [mine() for _ in range(rounds)]
            row.ours = statistics.median(row.rounds)
            return row
        pairs = rounds_of(mine, peer.prepare(stack), rounds)
    row.ours = statistics.median(a for a, _ in pairs)
    row.peer = statistics.median(b for _, b in pairs)
    row.rounds = [b / a for a, b in pairs]
    row.ratio = statistics.median(row.rounds)
    return row


def report(rows: Sequence[Row]) -> None:
    """Print the table, and write it as JSON to the file that the command line names."""
    print(header())
    print(table(rows))
    if len(sys.argv) > 1:
        with open(sys.argv[1], "w") as file:
            json.dump({"machine": header(), "rows": [to_json(row) for row in rows]}, file, indent=1)
