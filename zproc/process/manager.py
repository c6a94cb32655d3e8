"""The processes of one context: made, remembered, waited for and ended.

The law: every process of a context is made by `Manager.make`, so that what goes for one goes for all. A manager belongs
to the operating system's process that made it. A fork has a copy of it, which begins empty: it neither lists nor ends
what is its parent's.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from zproc.process.launch import start
from zproc.process.process import Process, stop_all
from zproc.process.start_method import StartMethod

__all__ = ["Manager"]

R = TypeVar("R")


class Manager:
    """Makes the processes of a context and keeps a record of them.

    Args:
        method: how they are made, if they do not say.
    """

    def __init__(self, method: StartMethod | str | None = None) -> None:
        self._method = method
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._made: list[Process[Any]] = []

    def make(
        self,
        target: Callable[..., R],
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
        *,
        name: str | None = None,
        ready: bool = False,
    ) -> Process[R]:
        """Start a process that calls a function.

        Args:
            target: what to call.
            args: its positional arguments, the first one included.
            kwargs: its keyword arguments.
            name: what to call the process in messages; by default what the function is called.
            ready: whether to wait until it calls `announce_ready`.

        Raises:
            UsageError: something cannot be sent to the process.
            RemoteError: with ``ready``: it raised before it was ready.
            ProcessError: it cannot be made; with ``ready``: it ended before it was ready.
        """
        name = name or getattr(target, "__name__", type(target).__name__)
        process = start(target, args, kwargs, name=name, method=self._method, ready=ready)
        with self._lock:
            self._own().append(process)
        return process

    def record(self) -> list[Process[Any]]:
        """List the processes that were made here, in that order."""
        with self._lock:
            return list(self._own())

    def wait_all(self, timeout: float | None = None) -> list[object]:
        """Wait for each of them, and return what they returned."""
        return [process.wait(timeout) for process in self.record()]

    def stop_all(self, grace: float) -> None:
        """End those that run, with all their descendants."""
        stop_all([process for process in self.record() if process.is_alive], grace)

    def _own(self) -> list[Process[Any]]:
        if self._owner != os.getpid():
            self._owner, self._made = os.getpid(), []
        return self._made
