"""What the transport costs: ``tcp://`` on loopback, encrypted, and ``ipc://``, beside ``unix://``; and the original."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack

from harness import Case, Operation, Subject, Timed, cost, rate
from original_peers import ORIGINAL_ATOMIC, ORIGINAL_GET, ORIGINAL_SET
from pydantic import Field

import zproc
from zproc.transport import fresh_address

_SECONDS = 0.2
_SCHEMES = ("unix", "ipc", "tcp")


class Counter(zproc.StateModel):
    c: int = Field(default=0, ge=0)

    @zproc.action
    def add(self) -> int:
        self.c += 1
        return self.c


@zproc.atomic
def increment(state: Counter) -> None:
    state.c += 1


def _set(state: Counter) -> Operation:
    def operation() -> None:
        state.c = 5

    return operation


OPERATIONS: dict[str, Callable[[Counter], Operation]] = {
    "read": lambda state: lambda: state.c,
    "commit": _set,
    "action": lambda state: state.add,
    "atomic": lambda state: lambda: increment(state),
}


def _address(scheme: str) -> str:
    return "tcp://127.0.0.1:0" if scheme == "tcp" else fresh_address().replace("unix", scheme)


def _started(stack: ExitStack, scheme: str) -> zproc.Context[Counter]:
    return stack.enter_context(zproc.Context(Counter, address=_address(scheme), start_server=True))


def _subject(scheme: str, what: str) -> Subject:
    def prepare(stack: ExitStack) -> Callable[[ExitStack], Operation]:
        ctx = _started(stack, scheme)
        return lambda _stack: OPERATIONS[what](ctx.state)

    return Subject(f"{scheme}://", prepare)


def _timed(scheme: str, what: str) -> Timed:
    def prepare(stack: ExitStack) -> Callable[[], float]:
        operation = OPERATIONS[what](_started(stack, scheme).state)

        def measure() -> float:
            count, begin = 0, time.perf_counter()
            while (elapsed := time.perf_counter() - begin) < _SECONDS:
                operation()
                count += 1
            return elapsed / count * 1e6

        return measure

    return Timed(f"ours, {scheme}://", prepare)


def _beside_unix(what: str) -> list[Case]:
    """What one client does over each transport, and what eight do; of reads one, since over unix they ask nobody."""
    return [
        rate(
            f"transport.{scheme}.{what}.{count}",
            f"{what} by transport",
            _subject(scheme, what),
            _subject("unix", what),
            count=count,
        )
        for scheme in ("ipc", "tcp")
        for count in ((1,) if what == "read" else (1, 8))
    ]


CASES = [
    *(case for what in OPERATIONS for case in _beside_unix(what)),
    *(
        cost(f"original.{scheme}.{key}", f"{key}, beside the original", _timed(scheme, what), peer)
        for scheme in _SCHEMES
        for key, what, peer in (
            ("get", "read", ORIGINAL_GET),
            ("set", "commit", ORIGINAL_SET),
            ("atomic", "atomic", ORIGINAL_ATOMIC),
            # The original runs atomic functions in its server, where ours runs actions.
            ("action", "action", ORIGINAL_ATOMIC),
        )
    ),
]
