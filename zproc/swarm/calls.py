"""Single calls, as futures.

The law: a call is packed when it is submitted, so that what becomes of its arguments afterwards does not matter; and
its future is settled whatever happens.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

from zproc.core.assignment import Terms
from zproc.exceptions import UsageError
from zproc.process import FunctionPacker, Packer, parcel
from zproc.swarm.engine import Engine
from zproc.swarm.job import Function, Job
from zproc.swarm.source import Tray

__all__ = ["Calls", "Task"]

R = TypeVar("R")


class Task(Future[R]):
    """A call that was submitted: a future of what it returns, which can be cancelled even when it has begun."""

    _calls: Calls
    _index: int

    def cancel(self, *, running: bool = False) -> bool:
        """Have the call not done, and tell whether that was still possible.

        Args:
            running: whether to kill the worker if it is at it.
        """
        if self.done():
            return self.cancelled()
        self._calls.withdraw(self._index, running=running)
        if running:
            self._settled()
        return self.cancelled()

    def _settled(self) -> None:
        with contextlib.suppress(CancelledError):
            self.exception()


class Calls:
    """Calls on the same terms, and their futures: a source of items and a sink of what comes of them.

    Args:
        engine: who does them.
        terms: the terms.
    """

    def __init__(self, engine: Engine, terms: Terms) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._packers = threading.local()
        self._tray = Tray()
        self._futures: dict[int, Task[Any]] = {}
        self._count = 0
        self._job = Job(Function("calls", None), self._tray, self, terms)
        engine.begin(self._job)

    def submit(self, function: Callable[..., R], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Task[R]:
        """Have a call done."""
        if not callable(function):
            raise UsageError(f"{parcel.describe(function)} is not a function")
        task: Task[R] = Task()
        try:
            pack_function, pack = self._packers.both
        except AttributeError:
            pack_function, pack = self._packers.both = FunctionPacker().pack, Packer().pack
        try:
            cargo = pack((pack_function(function), args, kwargs), parcel.unfindable(function))
        except Exception as error:  # noqa: BLE001 - whatever the classes of the arguments raise
            task.set_running_or_notify_cancel()
            name = parcel.describe(function)
            refusal = UsageError(f"{name} cannot be sent to another process, or one of its arguments cannot: {error}")
            refusal.__cause__ = error
            task.set_exception(refusal)
            return task
        task._calls = self  # noqa: SLF001 - the two are one thing
        with self._lock:
            task._index = self._count  # noqa: SLF001
            self._count += 1
            self._futures[task._index] = task  # noqa: SLF001
            self._tray.put(cargo)
        self._engine.fed(self._job)
        return task

    def withdraw(self, index: int, *, running: bool) -> None:
        """Have one call not done, if it was not begun; wait until that is settled."""
        tried = threading.Event()
        try:
            self._engine.withdraw(self._job, index, running=running, done=tried.set)
        except UsageError:
            return
        if not self._engine.is_here():
            tried.wait()

    # -------------------------------------------------------------------------------------------- called by the engine

    def settled(self, first: int, values: Sequence[Any]) -> None:
        """Settle the futures of calls that returned."""
        for index, value in enumerate(values, first):
            task = self._futures.pop(index)
            if task.set_running_or_notify_cancel():
                task.set_result(value)

    def failed(self, index: int, error: BaseException) -> None:
        """Settle the future of a call that did not."""
        task = self._futures.pop(index)
        if isinstance(error, CancelledError):
            Future.cancel(task)
            task.set_running_or_notify_cancel()
        elif task.set_running_or_notify_cancel():
            task.set_exception(error)

    def broken(self, error: BaseException) -> None:
        """Settle all futures."""
        for index in list(self._futures):
            self.failed(index, error)

    def ended(self, total: int, error: BaseException | None) -> None:  # noqa: ARG002 - a sink's; a tray raises nothing
        """Settle those that will not be done."""
        for index in [index for index in list(self._futures) if index >= total]:
            self.failed(index, CancelledError())
