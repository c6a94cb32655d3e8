"""Whether a history of calls and answers can have happened one call at a time.

Two checkers that know nothing of each other. ``search`` (Wing and Gong 1993, with Lowe's memory of what was tried)
trusts no one and may take long: a search that runs out of steps is a failure of the test that asked. ``witness`` is
told by the server in which order things happened, its revisions, and holds it to that: the order must explain every
answer and agree with real time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast

__all__ = ["NEVER", "READS", "UNKNOWN", "Call", "Illegal", "calls_of", "counter", "pair", "search", "witness"]

NEVER: Final = math.inf
"""When a call returned that never did: its process was killed, or its outcome is unknown."""

UNKNOWN: Final = "unknown"
"""The answer of a call that never returned."""


@dataclass(frozen=True)
class Call:
    """One call.

    Attributes:
        begun: when it was called, on the clock that all processes of a machine share, in nanoseconds.
        ended: when it returned, or NEVER.
        what: what was asked, as a tuple of a verb and its operand.
        answer: what was answered, or UNKNOWN.
        revision: the revision that the server told: of the commit made, or of the state read.
    """

    begun: float
    ended: float
    what: tuple[str, int]
    answer: object
    revision: int | None = None


class Illegal(AssertionError):
    """No order explains the history."""


State = Hashable
Step = Callable[[State, tuple[str, int], object], Iterable[State]]


def calls_of(notes: Iterable[list[Any]], commits: Iterable[tuple[int, int, Collection[int]]]) -> list[Call]:
    """Put together what processes noted of their calls, and what the server says of its commits.

    A call that was refused is left out, since it says that it had no effect. The commits of a process that none of its
    answers tells of must be those of its calls that never returned, and there must be a call for each.

    Args:
        notes: (when, process, number of the call, ``"call"`` and what, or what became of it).
        commits: (revision, process, operands with which a call can have made it) of every commit.

    Raises:
        Illegal: a process has committed what it never asked for, or once more than it asked.
    """
    ordered = sorted(notes)
    ends = {(pid, number): (at, *rest) for at, pid, number, *rest in ordered if rest[0] != "call"}
    calls: list[Call] = []
    open_calls: dict[int, list[Call]] = {}
    claimed: set[int] = set()
    for at, pid, number, kind, *rest in ordered:
        if kind != "call":
            continue
        what = (rest[0][0], rest[0][1])
        ended, fate, *answered = ends.get((pid, number), (NEVER, "unknown"))
        if fate == "return":
            answer, revision = answered
            calls.append(Call(at, ended, what, answer, revision))
            if what[0] not in READS and revision is not None:
                claimed.add(revision)
        elif fate == "unknown" and what[0] not in READS:
            open_calls.setdefault(pid, []).append(Call(at, NEVER, what, UNKNOWN))
    for revision, pid, operands in commits:
        if revision not in claimed:
            # Of several calls that never returned, some may have had no effect.
            call = next((each for each in open_calls.get(pid, ()) if each.what[1] in operands), None)
            if call is None:
                raise Illegal(f"process {pid} never asked for revision {revision}, or not that often")
            open_calls[pid].remove(call)
            calls.append(replace(call, revision=revision))
    # What is left has no effect in the log. The search is told of it all the same: it does not know the log.
    return [*calls, *(call for left in open_calls.values() for call in left)]


def counter(state: State, what: tuple[str, int], answer: object) -> Iterable[State]:
    """The model: a number that is set, added to, and read; an answer is the number afterwards, or ``None``."""
    assert isinstance(state, int)
    verb, operand = what
    new = {"set": operand, "add": state + operand, "read": state}[verb]
    return [new] if answer in (UNKNOWN, None, new) else []


def pair(state: State, what: tuple[str, int], answer: object) -> Iterable[State]:
    """The model of `disaster`: two numbers that are changed together and apart."""
    a, b = cast("tuple[int, int]", state)
    verb, k = what
    new, expected = {
        "read": ((a, b), a),
        "snapshot": ((a, b), [a, b]),
        "set": ((k, b), None),
        "add": ((a + k, b), None),
        "move": ((a + k, b - k), [a + k, b - k]),
        "shift": ((a + k, a), a),
    }[verb]
    return [new] if answer in (UNKNOWN, expected) else []


READS: Final = ("read", "snapshot")
"""The verbs that change nothing."""


def search(calls: Sequence[Call], step: Step, initial: State, budget: int = 5_000_000) -> list[Call]:
    """Return an order that explains a history.

    Raises:
        Illegal: there is none, or it was not found within the budget of steps.
    """
    ordered = sorted(calls, key=lambda call: call.begun)
    # Calls before returns at equal times: intervals are closed, or equal stamps would order what was concurrent.
    stamps = sorted(
        [(call.begun, 0, place) for place, call in enumerate(ordered)]
        + [(call.ended, 1, place) for place, call in enumerate(ordered)]
    )
    entries = [(kind, place) for _, kind, place in stamps]
    returns = {place: node for node, (kind, place) in enumerate(entries) if kind == 1}
    end = len(entries)
    after, before = [*range(1, end + 1), 0], [end, *range(end)]

    def unlink(node: int) -> None:
        after[before[node]], before[after[node]] = after[node], before[node]

    def relink(node: int) -> None:
        after[before[node]] = before[after[node]] = node

    to_explain = sum(call.ended != NEVER for call in ordered)
    state, done, tried = initial, 0, {(0, initial)}
    path: list[tuple[int, State, int, list[State]]] = []
    node, choices = after[end], None
    while to_explain:
        budget -= 1
        if budget < 0:
            raise Illegal("no answer within the budget")
        if node != end and entries[node][0] == 0:
            place = entries[node][1]
            call = ordered[place]
            choices = list(step(state, call.what, call.answer)) if choices is None else choices
            fresh = None
            while choices and fresh is None:
                candidate = (done | 1 << place, choices.pop())
                fresh = None if candidate in tried else candidate
            if fresh is None:
                node, choices = after[node], None
                continue
            tried.add(fresh)
            path.append((node, state, done, choices))
            done, state = fresh
            to_explain -= call.ended != NEVER
            unlink(node)
            unlink(returns[place])
            node, choices = after[end], None
        elif not path:
            raise Illegal(f"no order explains these {len(ordered)} calls")
        else:
            node, state, done, choices = path.pop()
            relink(returns[entries[node][1]])
            relink(node)
            to_explain += ordered[entries[node][1]].ended != NEVER
    return [ordered[entries[node][1]] for node, *_ in path]


def witness(calls: Sequence[Call], step: Step, initial: State) -> None:
    """Hold a history to the order that the server's revisions give.

    Raises:
        Illegal: revisions are missing or used twice, an answer is not what the order makes it, or the order is not
            that of real time.
    """
    writes = sorted((call for call in calls if call.what[0] not in READS and call.revision), key=_revision)
    states: dict[int, State] = {0: initial}
    for number, call in enumerate(writes, start=1):
        if call.revision != number:
            raise Illegal(f"revision {number} is missing, or was given twice")
        outcomes = list(step(states[number - 1], call.what, call.answer))
        if not outcomes:
            raise Illegal(f"{call} is not what revision {number} makes of {states[number - 1]}")
        states[number] = outcomes[0]
    for call in calls:
        if call.what[0] not in READS or call.revision is None:
            continue
        if call.revision not in states or not list(step(states[call.revision], call.what, call.answer)):
            raise Illegal(f"{call} is not the state {states.get(call.revision)} of its revision")
    _in_real_time([call for call in calls if call.revision is not None])


def _revision(call: Call) -> int:
    assert call.revision is not None
    return call.revision


def _in_real_time(calls: Sequence[Call]) -> None:
    by_end = sorted(calls, key=lambda call: call.ended)
    newest, place = 0, 0
    for call in sorted(calls, key=lambda call: call.begun):
        while place < len(by_end) and by_end[place].ended < call.begun:
            newest = max(newest, _revision(by_end[place]))
            place += 1
        if _revision(call) < newest + (call.what[0] not in READS):
            raise Illegal(f"{call} began after revision {newest} was known")
