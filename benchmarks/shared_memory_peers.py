"""UltraDict as a peer: a dict in shared memory, which has no server; each reader looks for what others have written."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from harness import Need, Operation, Subject

__all__ = ["ULTRADICT_LOCKED", "ULTRADICT_READ"]

_NEEDS = (Need("UltraDict", "pip install UltraDict atomics"), Need("atomics", "pip install UltraDict atomics"))


def _subject(name: str, operation: Callable[[Any], Operation], per_call: int = 1) -> Subject:
    def prepare(stack: ExitStack) -> Callable[[ExitStack], Operation]:
        from UltraDict import UltraDict  # noqa: PLC0415 (it may not be installed)

        shared = UltraDict(shared_lock=True)
        stack.callback(shared.unlink)
        shared["c"] = 0
        # Joined by name in each client, as its documentation does; it stays there until the client is gone.
        return lambda _stack: operation(UltraDict(name=shared.name, shared_lock=True))

    return Subject(name, prepare, per_call, _NEEDS)


def _locked(shared: Any) -> Operation:
    def operation() -> None:
        with shared.lock:
            shared["c"] += 1

    return operation


def _read(shared: Any) -> Operation:
    def operation() -> None:
        shared["c"]
        shared["c"]
        shared["c"]
        shared["c"]
        shared["c"]
        shared["c"]
        shared["c"]
        shared["c"]
        shared["c"]
        shared["c"]

    return operation


ULTRADICT_READ = _subject("UltraDict[k]", _read, per_call=10)
ULTRADICT_LOCKED = _subject("UltraDict: with lock: d[k] += 1", _locked)
