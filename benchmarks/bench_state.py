"""What the state costs: reads, commits, actions and atomic functions, one client and eight."""

from __future__ import annotations

import timeit
from collections.abc import Callable
from contextlib import ExitStack

from harness import Case, Operation, Subject, Timed, cost, rate
from peers import BASE_MANAGER, ECHO, MANAGER_LOCKED, MANAGER_READ
from pydantic import Field
from ray_peers import RAY_ACTOR
from redis_peers import REDIS_INCR, REDIS_LUA, REDIS_READ, REDIS_WATCH
from shared_memory_peers import ULTRADICT_LOCKED, ULTRADICT_READ

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


def _subject(name: str, make: Callable[[Counter], Operation], per_call: int = 1) -> Subject:
    def prepare(stack: ExitStack) -> Callable[[ExitStack], Operation]:
        ctx = stack.enter_context(zproc.Context(Counter))
        return lambda _stack: make(ctx.state)

    return Subject(name, prepare, per_call)


def _read(state: Counter) -> Operation:
    def operation() -> None:
        state.c  # noqa: B018 (it is what is measured)
        state.c  # noqa: B018
        state.c  # noqa: B018
        state.c  # noqa: B018
        state.c  # noqa: B018
        state.c  # noqa: B018
        state.c  # noqa: B018
        state.c  # noqa: B018
        state.c  # noqa: B018
        state.c  # noqa: B018

    return operation


def _set(state: Counter) -> Operation:
    def operation() -> None:
        state.c = 5

    return operation


def _add(state: Counter) -> Operation:
    def operation() -> None:
        state.c += 1

    return operation


READ = _subject("live read", _read, per_call=10)
COMMIT = _subject("single-op commit", _set)
IN_PLACE = _subject("state.c += 1", _add)
ACTION = _subject("action", lambda state: state.add)
ATOMIC = _subject("@atomic increment", lambda state: lambda: increment(state))


def _read_cost(stack: ExitStack) -> Callable[[], float]:
    state = stack.enter_context(zproc.Context(Counter)).state
    read, per_call = _read(state), READ.per_call
    return lambda: min(timeit.repeat(read, number=1000, repeat=20)) / 1000 / per_call * 1e6


def _both(key: str, what: str, ours: Subject, peer: Subject, goal: float | None, with_8: float | None) -> list[Case]:
    """Compare what one client does, and what eight do at the same time."""
    return [rate(f"{key}.1", what, ours, peer, goal=goal), rate(f"{key}.8", what, ours, peer, count=8, goal=with_8)]


CASES = [
    cost("read.cost", "read, unchanged", Timed("live read", _read_cost), unit="us", at_most=0.3),
    rate("read.manager", "read, unchanged", READ, MANAGER_READ, goal=100),
    rate("read.ultradict", "read, unchanged", READ, ULTRADICT_READ, goal=2),
    rate("read.redis", "read, unchanged", READ, REDIS_READ),
    *_both("commit.echo", "commit", COMMIT, ECHO, 0.5, 0.5),
    *_both("in-place.echo", "commit", IN_PLACE, ECHO, None, None),
    *_both("action.echo", "action", ACTION, ECHO, 0.5, 0.5),
    *_both("action.manager", "action", ACTION, BASE_MANAGER, 1.3, 1.3),
    *_both("action.redis-incr", "action", ACTION, REDIS_INCR, 1.2, 1.2),
    *_both("action.redis-lua", "action", ACTION, REDIS_LUA, 2, 2),
    *_both("action.ray", "action", ACTION, RAY_ACTOR, None, None),
    *_both("atomic.echo", "atomic", ATOMIC, ECHO, 0.2, 0.2),
    *_both("atomic.manager", "atomic", ATOMIC, MANAGER_LOCKED, 2.5, 4),
    *_both("atomic.redis-watch", "atomic", ATOMIC, REDIS_WATCH, 4, 4),
    *_both("atomic.ultradict", "atomic", ATOMIC, ULTRADICT_LOCKED, None, None),
]
