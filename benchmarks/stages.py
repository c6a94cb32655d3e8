"""Where the microseconds go: of a read, a commit, an action, an atomic function and a wake-up, stage by stage.

The law: every stage is measured, in the real processes, between two moments of the clock that they share, and the
stages of one call add up to the call. Of many calls, made one after the other by one client of a server that does
nothing else, those count that took about as long as the median. ``python benchmarks/stages.py`` prints Markdown.
"""

from __future__ import annotations

import argparse
import bisect
import json
import os
import statistics
import time
import timeit
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeVar, cast

from harness import Operation
from machine import header
from peers import ECHO
from probes import Event, Probes, own_times

import zproc
from zproc.client import connection
from zproc.client.handle import Handle, address_of
from zproc.core.namespace import Namespace
from zproc.core.server import ServerCore
from zproc.schema.transaction import Transaction
from zproc.server import loop
from zproc.transport.channel import LocalChannel
from zproc.transport.local import LocalListener
from zproc.transport.word import Words

_fork = get_context("fork")

POINTS: dict[str, tuple[object, str]] = {
    "client: encode the request": (connection, "encode"),
    "send": (LocalChannel, "send"),
    "recv": (LocalChannel, "recv"),
    "client: decode the answer": (connection, "decode_reply"),
    "poll": (LocalListener, "poll"),
    "server: decode the request": (loop, "decode_command"),
    "server: dispatch, turns, outcomes": (ServerCore, "receive"),
    "server: apply": (ServerCore, "_apply"),
    "server: validate": (Transaction, "finish"),
    "server: write the history": (Namespace, "_entry"),
    "server: encode the answer": (loop, "encode"),
    "server: revision word": (Words, "write"),
    "reply": (LocalListener, "send"),
}

CLIENT = "client: handle, connection, bookkeeping"
THERE = "to the server: send, wake-up, receive"
LOOP = "server: loop"
BEFORE = "server: send other answers first"
BACK = "back: send, wake-up, receive"
ORDER = [
    CLIENT,
    "client: encode the request",
    THERE,
    LOOP,
    *(name for name in POINTS if name.startswith("server: ")),
    BEFORE,
    BACK,
    "client: decode the answer",
]

Stages = dict[str, float]
Spans = list[tuple[int, int]]
T = TypeVar("T")

_LONGEST = 1_000_000_000
"""Longer than any call that is looked at lasts, in nanoseconds."""

_PARKED = 0.002
"""After which a watcher that has asked for the next change waits at the server, in seconds."""


class Counter(zproc.StateModel):
    c: int = 0

    @zproc.action
    def add(self) -> int:
        self.c += 1
        return self.c


@zproc.atomic
def increment(state: Counter) -> None:
    state.c += 1


def _named(events: Sequence[Event], name: str) -> list[Event]:
    return [event for event in events if event.name == name]


def _last_until(events: Sequence[Event], moment: int) -> Event:
    """Return the last call that had ended by then."""
    return events[bisect.bisect_right(events, moment, key=lambda event: event.end) - 1]


def split(begin: int, end: int, asking: Sequence[Event], server: Sequence[Event], hearing: Sequence[Event]) -> Stages:
    """Split the time between two moments into stages, in nanoseconds.

    Args:
        begin: when the call began.
        end: when it, or the wait of who heard of it, ended.
        asking: what the client that called noted.
        server: what the server noted.
        hearing: what the client noted that received; the same as ``asking`` for a call that answers.
    """
    stages: Stages = dict.fromkeys(ORDER, 0)

    def at_the_client(events: Sequence[Event], begin: int, end: int) -> None:
        stages[CLIENT] += end - begin
        for name, took in own_times(events, begin, end).items():
            stages[name] += took
            stages[CLIENT] -= took

    polls, replies = _named(server, "poll"), _named(server, "reply")
    requests = _named(server, "server: decode the request")
    at = begin
    for sent in _named(asking, "send"):
        if not begin <= sent.begin <= end:
            continue
        request = next(event for event in requests if event.begin >= sent.begin)
        arrived = _last_until(polls, request.begin).end
        received = next(event for event in _named(hearing, "recv") if event.end > request.end)
        answer = [reply for reply in replies if arrived <= reply.begin <= received.end][-1]
        at_the_client(asking, at, sent.begin)
        stages[THERE] += arrived - sent.begin
        inside = own_times(server, arrived, answer.begin)
        stages[LOOP] += answer.begin - arrived - sum(inside.values())
        stages[BEFORE] += inside.pop("reply", 0)
        for name, took in inside.items():
            stages[name] += took
        stages[BACK] += received.end - answer.begin
        at = received.end
    at_the_client(hearing, at, end)
    return stages


def _under_way(events: Sequence[Event], begin: int, end: int) -> list[Event]:
    """Return the calls that were under way at some time between two moments."""
    first = bisect.bisect_left(events, begin - _LONGEST, key=lambda event: event.begin)
    last = bisect.bisect_right(events, end, key=lambda event: event.begin)
    return [event for event in events[first:last] if event.end >= begin]


def _alone(begin: int, asking: Sequence[Event], server: Sequence[Event]) -> bool:
    """Whether the server did nothing else; it may, when a watcher asked late for the next change."""
    sent = [event for event in _named(asking, "send") if event.begin >= begin]
    taken = [event for event in _named(server, "server: decode the request") if event.begin >= begin]
    return len(sent) == len(taken)


def middle(values: Sequence[T], size: Callable[[T], float]) -> list[T]:
    """Return the fifth of the values around the median."""
    ordered, off = sorted(values, key=size), len(values) * 2 // 5
    return ordered[off : len(values) - off]


def usual(probes: Probes, spans: Spans, hearing: str) -> Stages:
    """Return the stages of the calls around the median, on average, in microseconds: they add up as those calls do.

    Args:
        probes: what was noted.
        spans: when each call began, and when it or the wait for it ended, in nanoseconds.
        hearing: the region of who heard of it.
    """
    noted = {region: probes.events(region) for region in ("client", "server", hearing)}
    splits = []
    for begin, end in spans:
        near = {region: _under_way(events, begin, end) for region, events in noted.items()}
        if _alone(begin, near["client"], near["server"]):
            splits.append(split(begin, end, near["client"], near["server"], near[hearing]))
    calls = middle(splits, lambda stages: sum(stages.values()))
    return {name: statistics.mean(stages[name] for stages in calls) / 1e3 for name in ORDER}


# What is measured: each gives the spans of some calls.


@dataclass(frozen=True)
class Call:
    """One column of the table.

    Attributes:
        name: its head.
        spans: makes calls on a state, and returns when each began and ended.
        hearing: who heard of it in the end.
    """

    name: str
    spans: Callable[[Probes, zproc.Context[Counter], int], Spans]
    hearing: str = "client"


def _calls(
    make: Callable[[Counter], Operation],
) -> Callable[[Probes, zproc.Context[Counter], int], Spans]:
    def spans(_probes: Probes, ctx: zproc.Context[Counter], times: int) -> Spans:
        operation = make(ctx.state)
        found = []
        for _ in range(times):
            begin = time.monotonic_ns()
            operation()
            found.append((begin, time.monotonic_ns()))
        return found

    return spans


def _reads(_probes: Probes, ctx: zproc.Context[Counter], times: int) -> Spans:
    """Read what somebody else has changed since."""
    found = []
    with zproc.Context(Counter, address=ctx.address) as other:
        state, theirs = ctx.state, other.state
        for number in range(times):
            theirs.c = number
            begin = time.monotonic_ns()
            assert state.c == number
            found.append((begin, time.monotonic_ns()))
    return found


def _wake_ups(probes: Probes, ctx: zproc.Context[Counter], times: int) -> Spans:
    """Commit here, and be woken in another process."""
    here, there = _fork.Pipe()
    watcher = _fork.Process(target=_watch, args=(probes, ctx, there, times))
    watcher.start()
    state, found = ctx.state, []
    here.recv()
    for number in range(times):
        time.sleep(_PARKED)  # nothing tells that a watcher waits at the server; it does soon after it has asked
        begin = time.monotonic_ns()
        state.c = -number - 1
        found.append((begin, cast("int", here.recv())))
    watcher.join()
    return found


def _watch(probes: Probes, ctx: zproc.Context[Counter], parent: Connection, times: int) -> None:
    probes.enter("watcher")
    changes = ctx.state.changes("c")
    parent.send("ready")
    for _ in range(times):
        next(changes)
        parent.send(time.monotonic_ns())
    os._exit(0)


CALLS = [
    Call("read, after a change", _reads),
    Call("single-op commit", _calls(lambda state: lambda: setattr(state, "c", 5))),
    Call("action", _calls(lambda state: state.add)),
    Call("@atomic", _calls(lambda state: lambda: increment(state))),
    Call("wake-up", _wake_ups, "watcher"),
]


@dataclass(frozen=True)
class Column:
    """What a call takes.

    Attributes:
        stages: by stage, with the probes, in microseconds.
        plain: the whole call without them.
    """

    stages: Stages
    plain: float


def measure(call: Call, rounds: int, times: int) -> Column:
    """Measure one column: calls with probes and calls without, in turns."""
    probes = Probes(POINTS, ["client", "server", "watcher"])
    with ExitStack() as stack:
        plain = stack.enter_context(zproc.Context(Counter, start_method="fork"))
        with probes.set(), probes.within("server"):
            probed = stack.enter_context(zproc.Context(Counter, start_method="fork"))
        for ctx in (plain, probed):
            assert ctx.state.c == 0  # whoever asks first also waits for the welcome
        spans, others = [], []
        for _ in range(rounds):
            others += call.spans(probes, plain, times)
            with probes.set():
                spans += call.spans(probes, probed, times)
    # Looked at when the server has ended: its last note may come after the answer that it is about.
    plain_median = statistics.median(end - begin for begin, end in others) / 1e3
    return Column(usual(probes, spans, call.hearing), plain_median)


def unchanged_read(times: int = 20_000) -> Stages:
    """Return what the pieces of a read take that needs no round trip, in microseconds."""
    with zproc.Context(Counter) as ctx:
        state = ctx.state
        assert state.c == 0
        names = {"state": state, "client": address_of(cast("Handle", state))[0], "clock": time.monotonic}
        setup = "now = client.now; word = now.word"

        def cost(statement: str) -> float:
            return min(timeit.repeat(statement, setup, number=times, repeat=15, globals=names)) / times * 1e6

        whole, nothing = cost("state.c"), cost("pass")
        pieces = {
            "find what the client holds": cost("client.now") - nothing,
            "compare the revision word": cost("word[0] == now.revision") - nothing,
            "look at the clock": cost("clock() < now.until") - nothing,
            "take the value": cost("now.direct['c']") - nothing,
        }
        return {**pieces, "call of the property, and what is between": whole - nothing - sum(pieces.values())}


def echo_round_trip(times: int) -> float:
    """Return what a bare echo of the same kind takes, in microseconds."""
    with ExitStack() as stack:
        operation = ECHO.prepare(stack)(stack)
        costs = []
        for _ in range(times):
            begin = time.monotonic_ns()
            operation()
            costs.append(time.monotonic_ns() - begin)
    return statistics.median(costs) / 1e3


# The table


def markdown(columns: dict[str, Column], echo: float) -> str:
    """Return the table of calls that make round trips."""
    lines = [["microseconds", *columns], ["---", *("--:" for _ in columns)]]
    for stage in ORDER:
        took = [column.stages[stage] for column in columns.values()]
        if any(round(each, 1) for each in took):
            lines.append([stage, *(f"{each:.1f}" for each in took)])
    lines.append(["**sum of the stages**", *(f"**{sum(column.stages.values()):.1f}**" for column in columns.values())])
    lines.append(["the whole call, without the probes", *(f"{column.plain:.1f}" for column in columns.values())])
    lines.append(["a bare AF_UNIX msgpack echo", *(f"{echo:.1f}" for _ in columns)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def read_markdown(pieces: Stages) -> str:
    """Return the table of a read that makes none."""
    lines = ["| microseconds | read, unchanged |", "|---|--:|"]
    lines += [f"| {name} | {took:.3f} |" for name, took in pieces.items()]
    return "\n".join([*lines, f"| **sum** | **{sum(pieces.values()):.3f}** |", ""])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser("stages.py", description="Tell where the microseconds of a call go.")
    parser.add_argument("--rounds", type=int, default=5, help="default %(default)s")
    parser.add_argument("--times", type=int, default=400, help="calls a round, with and without probes; %(default)s")
    parser.add_argument("--into", type=Path, metavar="FILE", help="results, which are given these tables as well")
    asked = parser.parse_args(arguments)
    columns = {call.name: measure(call, asked.rounds, asked.times) for call in CALLS}
    text = f"{read_markdown(unchanged_read())}\n{markdown(columns, echo_round_trip(asked.rounds * asked.times))}"
    print(f"{header()}\n\n{text}", end="")
    if asked.into:
        results = json.loads(asked.into.read_text("utf-8"))
        asked.into.write_text(json.dumps({**results, "stages": text}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
