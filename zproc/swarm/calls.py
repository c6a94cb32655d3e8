"""Single calls, as futures.

The law: changing a call's arguments after it was submitted has no effect: they are pickled at once, unless they are
immutable. Its future is settled whatever happens. The submitting thread shares nothing with the engine but a queue, to
which a call is appended in one step: so whatever interrupts that thread, calls are never mixed up.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future, InvalidStateError
from typing import Any, Final, TypeVar

from zproc.arguments import FUNCTION, expect, refuse_unfinished
from zproc.core.assignment import Terms
from zproc.exceptions import UsageError
from zproc.process import FunctionPacker, Packer, parcel
from zproc.swarm.engine import Engine
from zproc.swarm.job import Function, Job
from zproc.swarm.loading import HARMLESS
from zproc.swarm.source import Tray

__all__ = ["Calls", "Task"]

R = TypeVar("R")

_NO_KEYWORDS: Final[dict[str, Any]] = {}
"""One for all calls without any, so that those that travel together have it once."""


class Task(Future[R]):
    """A submitted call: a future of what it returns, which can be cancelled even while it is running."""

    _calls: Calls
    _call: Any
    _index: int = -1

    def cancel(self, *, running: bool = False) -> bool:
        """Cancel the call, and return whether that was still possible.

        Args:
            running: whether to kill the worker if the call is running.
        """
        if self.done():
            return self.cancelled()
        self._calls.withdraw(self, running=running)
        if running:
            self._settled()
        return self.cancelled()

    def running(self) -> bool:
        """Return whether a worker is running it, as far as this process knows; it can still be cancelled."""
        return not self.done() and self._calls.is_under_way(self)

    def _settled(self) -> None:
        with contextlib.suppress(CancelledError):
            self.exception()


class Calls:
    """Calls with the same terms, and their futures: a sink for their outcomes.

    Args:
        engine: carries them out.
        terms: the terms.
        successor: returns what accepts calls with these terms once this is retired, if anything does.
    """

    def __init__(self, engine: Engine, terms: Terms, successor: Callable[[], Calls | None]) -> None:
        self._engine = engine
        self._successor = successor
        self._retired = False
        self._broken: BaseException | None = None
        self._packers = threading.local()
        self._tray = Tray(self._entered, self._refused)
        self._futures: dict[int, Task[Any]] = {}  # the engine's
        self._job = Job(Function("calls", None), self._tray, self, terms)
        self._tell = engine.begin(self._job)

    @property
    def is_broken(self) -> bool:
        """Whether the engine has given them up, so that further calls need another object."""
        return self._broken is not None

    def retire(self) -> None:
        """Finish what was submitted, and accept no more; calls that arrive at this moment go to the successor."""
        self._retired = True
        self._tray.ended = True
        with contextlib.suppress(UsageError):  # the engine has ended
            self._tell()

    def submit(self, function: Callable[..., R], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Task[R]:
        """Submit a call."""
        expect("what is called", function, FUNCTION)
        refuse_unfinished(function)
        task: Task[R] = Task()
        try:
            task._call = self._packed(function, args, kwargs)  # noqa: SLF001 - the two classes belong together
        except Exception as error:  # noqa: BLE001 - whatever the classes of the arguments raise
            refusal = parcel.unsendable(function, error)
            refusal.__cause__ = error
            task.set_exception(refusal)
            return task
        self.take(task)
        return task

    def take(self, task: Task[Any]) -> None:
        """Submit a call that is pickled already."""
        task._calls = self  # noqa: SLF001
        self._tray.put(task)
        self._tell()

    def _packed(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Pickle a call, unless it is immutable: those are pickled later in batches, at a tenth of the cost."""
        try:
            pack_function, pack = self._packers.both
        except AttributeError:
            pack_function, pack = self._packers.both = FunctionPacker().pack, Packer().pack
        call = pack_function(function), args, kwargs or _NO_KEYWORDS
        if not kwargs and HARMLESS.issuperset(map(type, args)):
            return call
        return pack(call, parcel.unfindable(function))

    def withdraw(self, task: Task[Any], *, running: bool) -> None:
        """Cancel one call if it has not begun, and wait until that is settled."""
        tried = threading.Event()
        try:
            # Its place is known to the engine, once that has taken it in.
            self._engine.withdraw(self._job, lambda: task._index, running=running, done=tried.set)  # noqa: SLF001
        except UsageError:
            return
        if not self._engine.is_here():
            tried.wait()

    def is_under_way(self, task: Task[Any]) -> bool:
        """Return whether a worker is running a call; asked on demand, because that is rare."""
        try:
            return self._engine.is_under_way(self._job, lambda: task._index)  # noqa: SLF001
        except UsageError:
            return False

    # -------------------------------------------------------------------------------------------- called by the engine

    def _entered(self, index: int, task: Task[Any]) -> Any:
        task._index = index  # noqa: SLF001
        self._futures[index] = task
        return task.__dict__.pop("_call")

    def _refused(self, task: Task[Any]) -> None:
        if self._retired and self._broken is None:
            try:
                successor = self._successor()
                if successor is not None:
                    successor.take(task)
                    return
            except UsageError as error:
                _settle_error(task, error)
                return
        _settle_error(task, self._broken or self._engine.refusal())

    def settled(self, first: int, values: Sequence[Any]) -> None:
        """Settle the futures of calls that returned."""
        for index, value in enumerate(values, first):
            future = self._futures.pop(index)
            try:
                future.set_result(value)
            except InvalidStateError:  # the program has settled it itself
                continue

    def failed(self, index: int, error: BaseException) -> None:
        """Settle the future of a call that failed."""
        _settle_error(self._futures.pop(index), error)

    def broken(self, error: BaseException) -> None:
        """Settle all futures."""
        self._broken = error
        self._tray.close()
        for index in list(self._futures):
            self.failed(index, error)

    def ended(self, total: int, error: BaseException | None) -> None:  # noqa: ARG002 - a sink's; a tray raises nothing
        """Settle those that will not be carried out."""
        for index in [index for index in list(self._futures) if index >= total]:
            self.failed(index, CancelledError())


def _settle_error(task: Task[Any], error: BaseException) -> None:
    if isinstance(error, CancelledError):
        Future.cancel(task)
        task.set_running_or_notify_cancel()
        return
    with contextlib.suppress(InvalidStateError):
        task.set_exception(error)
