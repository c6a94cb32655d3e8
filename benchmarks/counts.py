"""What a request makes Python execute: bytecodes and calls of Python functions, on each side.

The law: these are counts and no times, so a busy machine does not touch them, and the same program gives the same ones
(but for what happens now and then, such as an alarm that is set anew). They are taken in the real processes: at the
client from the call to its return, at the server from one wait to the next, at a watcher from the call for the next
change to its return. What is done in C is not in them.

``python benchmarks/counts.py`` prints how many a request takes, ``--functions action`` where they are.
"""

from __future__ import annotations

import argparse
import inspect
import mmap
import os
import pickle
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from types import CodeType, FrameType
from typing import Any

from harness import Operation
from machine import header
from stages import Counter as Tally, increment

import zproc
from zproc.core.messages import decode_command
from zproc.transport.channel import LocalChannel
from zproc.transport.local import LocalListener

_fork = get_context("fork")

_WARM = 30
"""How many requests are made before those that count."""

_ROOM = 1 << 20
"""How many bytes the counts of a server may take."""

_QUIET = 0.1
"""After how long without a request a server has counted all of them, in seconds."""

_SOON = 10.0
"""How long a server may take to say what it has counted, in seconds."""

_PARKED = 0.002
"""After which a watcher that has asked for the next change waits at the server, in seconds."""


@dataclass
class Counts:
    """What was executed.

    Attributes:
        bytecodes: how many instructions of each function.
        calls: how often each was called, or resumed.
    """

    bytecodes: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)

    def add(self, other: Counts) -> None:
        """Add what was counted elsewhere."""
        self.bytecodes += other.bytecodes
        self.calls += other.calls

    def without(self, earlier: Counts) -> Counts:
        """Return what was counted since."""
        return Counts(self.bytecodes - earlier.bytecodes, self.calls - earlier.calls)

    def forget(self, code: CodeType) -> None:
        """Leave out a function that only counts."""
        for counter in (self.bytecodes, self.calls):
            counter.pop(_name(code), None)


class Count:
    """Counts what a thread executes between `begin` and `end`, those two and who calls them left out."""

    def __init__(self) -> None:
        self._bytecodes: Counter[CodeType] = Counter()
        self._calls: Counter[CodeType] = Counter()
        self._other = sys.gettrace()

    def begin(self, running: FrameType | None = None) -> None:
        """Begin.

        Args:
            running: a function that is running already, and counts as well from its next instruction on.
        """
        if running is not None:
            running.f_trace, running.f_trace_opcodes, running.f_trace_lines = self._inside, True, False
        self._other = sys.gettrace()
        sys.settrace(self._called)

    def end(self) -> Counts:
        """End, and return what was counted since it began."""
        sys.settrace(self._other)
        found = Counts(_named(self._bytecodes), _named(self._calls))
        found.forget(Count.end.__code__)
        self._bytecodes.clear()
        self._calls.clear()
        return found

    def _called(self, frame: FrameType, _event: str, _argument: object) -> Callable[..., Any]:
        self._calls[frame.f_code] += 1
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._inside

    def _inside(self, frame: FrameType, event: str, _argument: object) -> Callable[..., Any]:
        if event == "opcode":
            self._bytecodes[frame.f_code] += 1
        return self._inside


def _named(counter: Counter[CodeType]) -> Counter[str]:
    found: Counter[str] = Counter()
    for code, times in counter.items():
        found[_name(code)] += times
    return found


def _name(code: CodeType) -> str:
    folder, file = os.path.split(code.co_filename)
    return f"{os.path.basename(folder)}/{file} {code.co_qualname}"


TAKE = _name(decode_command.__code__)
"""What a server calls once for each request."""

SEND = _name(LocalChannel.send.__code__)
"""What a client calls once for each request."""


class Ledger:
    """What a server has counted, in memory that it shares, for it keeps no descriptor that it does not know."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _ROOM)
        self.put(Counts())

    def put(self, counts: Counts) -> None:
        """Say what was counted until now."""
        data = pickle.dumps(counts)
        assert len(data) <= _ROOM - 16, "that is more than has room"
        self._memory[16 : 16 + len(data)] = data
        self._memory[8:16] = len(data).to_bytes(8, "little")
        # Last: who waits for it reads what was said before.
        self._memory[:8] = counts.calls[TAKE].to_bytes(8, "little")

    def get(self, requests: int) -> Counts:
        """Return what was counted when so many requests were answered, which were all until now."""
        deadline = time.monotonic() + _SOON
        while (answered := self._number(0)) < requests:
            assert time.monotonic() < deadline, f"asked {requests} times, and answered {answered}"
            time.sleep(0.0005)
        assert answered == requests, "somebody else has asked as well"
        found = pickle.loads(self._memory[16 : 16 + self._number(8)])
        assert isinstance(found, Counts)
        return found

    def settled(self) -> Counts:
        """Return what was counted, when nobody asks for the moment."""
        last = -1
        while (answered := self._number(0)) != last:
            last = answered
            time.sleep(_QUIET)
        return self.get(last)

    def _number(self, at: int) -> int:
        return int.from_bytes(self._memory[at : at + 8], "little")


@contextmanager
def counting_servers(ledger: Ledger) -> Iterator[None]:
    """Let servers that are forked meanwhile count what they execute from one wait to the next, if it was for a request.

    Args:
        ledger: where they say what.
    """
    poll, counts, counting = LocalListener.poll, Counts(), Count()

    def counted(self: LocalListener, timeout: float | None = None) -> Any:
        found = counting.end()
        if found.calls[TAKE]:
            found.forget(counted.__code__)
            counts.add(found)
            ledger.put(counts)
        arrivals = poll(self, timeout)
        counting.begin(inspect.currentframe().f_back)  # type: ignore[union-attr]  # CPython has frames
        return arrivals

    LocalListener.poll = counted  # type: ignore[method-assign]  # that is what this is for
    try:
        yield
    finally:
        LocalListener.poll = poll  # type: ignore[method-assign]  # as it was


# What is counted


def _set(state: Tally) -> Operation:
    def operation() -> None:
        state.c = 5

    return operation


def _add(state: Tally) -> Operation:
    def operation() -> None:
        state.c += 1

    return operation


def _increment(state: Tally) -> Operation:
    def operation() -> None:
        increment(state)

    return operation


def _read(state: Tally) -> Operation:
    def operation() -> None:
        state.c  # noqa: B018 (it is what is counted)

    return operation


REQUESTS: dict[str, Callable[[Tally], Operation]] = {
    "read, unchanged": _read,
    "single-op commit": _set,
    "+=": _add,
    "action": lambda state: state.add,
    "@atomic": _increment,
}
WAKE_UP = "wake-up"


@dataclass
class Sides:
    """What a request takes.

    Attributes:
        client: of who asks.
        server: of who is asked.
        watcher: of who is woken by it.
    """

    client: Counts = field(default_factory=Counts)
    server: Counts = field(default_factory=Counts)
    watcher: Counts = field(default_factory=Counts)


def count(name: str, times: int) -> Sides:
    """Count what a request takes that is made some times, one after the other: the totals.

    Args:
        name: which, of REQUESTS, or WAKE_UP.
        times: how often.
    """
    ledger = Ledger()
    with counting_servers(ledger):
        ctx = zproc.Context(Tally, start_method="fork")
    with ctx:
        return _wake_ups(ctx, ledger, times) if name == WAKE_UP else _requests(ctx, REQUESTS[name], ledger, times)


def _requests(ctx: zproc.Context[Tally], make: Callable[[Tally], Operation], ledger: Ledger, times: int) -> Sides:
    operation, counting = make(ctx.state), Count()
    for _ in range(_WARM):
        operation()
    here, before = Counts(), ledger.settled()
    for _ in range(times):
        counting.begin()
        operation()
        here.add(counting.end())
    there = ledger.get(before.calls[TAKE] + here.calls[SEND]).without(before)
    return Sides(here, there)


def _wake_ups(ctx: zproc.Context[Tally], ledger: Ledger, times: int) -> Sides:
    sides, counting = Sides(), Count()
    here, there = _fork.Pipe()
    watcher = _fork.Process(target=_watch, args=(ctx, there, _WARM + times))
    watcher.start()
    here.recv()
    before = Counts()
    for number in range(_WARM + times):
        if number == _WARM:
            before, sides = ledger.settled(), Sides()
        time.sleep(_PARKED)  # nothing tells that a watcher waits at the server; it does soon after it has asked
        counting.begin()
        ctx.state.c = -number - 1
        sides.client.add(counting.end())
        sides.watcher.add(here.recv())
    watcher.join()
    sides.server = ledger.settled().without(before)
    return sides


def _watch(ctx: zproc.Context[Tally], parent: Connection, times: int) -> None:
    changes, counting = ctx.state.changes("c"), Count()
    parent.send("ready")
    for _ in range(times):
        counting.begin()
        next(changes)
        parent.send(counting.end())
    os._exit(0)


# The tables


def markdown(found: dict[str, Sides], times: int) -> str:
    """Return the table of what requests take."""
    lines = ["| bytecodes (calls) a request | client | server | watcher |", "|---|--:|--:|--:|"]
    for name, sides in found.items():
        cells = [_sum(counts, times) for counts in (sides.client, sides.server, sides.watcher)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _sum(counts: Counts, times: int) -> str:
    total = counts.bytecodes.total()
    return f"{total / times:,.0f} ({counts.calls.total() / times:,.0f})" if total else ""


def functions(counts: Counts, times: int) -> str:
    """Return the table of where they are, the most first."""
    lines = ["| bytecodes | calls | function |", "|--:|--:|---|"]
    for name, number in counts.bytecodes.most_common():
        lines.append(f"| {number / times:,.1f} | {counts.calls[name] / times:,.2f} | {name} |")
    return "\n".join([*lines, ""])


def main(arguments: Sequence[str] | None = None) -> None:
    """Count and print."""
    names = [*REQUESTS, WAKE_UP]
    parser = argparse.ArgumentParser("counts.py", description="Count what a request makes Python execute.")
    parser.add_argument("--times", type=int, default=50, help="requests of each kind; default %(default)s")
    parser.add_argument("--functions", choices=names, metavar="REQUEST", help=f"of one: {', '.join(names)}")
    asked = parser.parse_args(arguments)
    if asked.functions:
        sides = count(asked.functions, asked.times)
        for side in ("client", "server", "watcher"):
            counts = getattr(sides, side)
            print(f"{asked.functions}, {side}: {_sum(counts, asked.times)}\n\n{functions(counts, asked.times)}")
        return
    print(f"{header()}\n\n{markdown({name: count(name, asked.times) for name in names}, asked.times)}", end="")


if __name__ == "__main__":
    main()
