"""Single calls, as futures.

The law: what becomes of a call's arguments after it was submitted does not matter: they are packed at once, unless they
are of kinds that cannot change. Its future is settled whatever happens. Who submits shares nothing with the engine but
a queue, in which a call is or is not: so whatever interrupts him, no call is taken for another.
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
    """A call that was submitted: a future of what it returns, which can be cancelled even when it has begun."""

    _calls: Calls
    _call: Any
    _index: int = -1

    def cancel(self, *, running: bool = False) -> bool:
        """Have the call not done, and tell whether that was still possible.

        Args:
            running: whether to kill the worker if it is at it.
        """
        if self.done():
            return self.cancelled()
        self._calls.withdraw(self, running=running)
        if running:
            self._settled()
        return self.cancelled()

    def running(self) -> bool:
        """Tell whether a worker is at it, as far as this process knows. It can be cancelled all the same."""
        return not self.done() and self._calls.is_under_way(self)

    def _settled(self) -> None:
        with contextlib.suppress(CancelledError):
            self.exception()


class Calls:
    """Calls on the same terms, and their futures: a sink of what comes of them.

    Args:
        engine: who does them.
        terms: the terms.
        successor: gives those that take calls on these terms when this has retired, if there are any.
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
        """Whether the engine has given them up, so that it takes others to have more done."""
        return self._broken is not None

    def retire(self) -> None:
        """Have it end with what was submitted; what comes in the same moment goes to its successor."""
        self._retired = True
        self._tray.ended = True
        with contextlib.suppress(UsageError):  # the engine has ended
            self._tell()

    def submit(self, function: Callable[..., R], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Task[R]:
        """Have a call done."""
        expect("what is called", function, FUNCTION)
        refuse_unfinished(function)
        task: Task[R] = Task()
        try:
            task._call = self._packed(function, args, kwargs)  # noqa: SLF001 - the two are one thing
        except Exception as error:  # noqa: BLE001 - whatever the classes of the arguments raise
            refusal = parcel.unsendable(function, error)
            refusal.__cause__ = error
            task.set_exception(refusal)
            return task
        self.take(task)
        return task

    def take(self, task: Task[Any]) -> None:
        """Have a call done that is packed."""
        task._calls = self  # noqa: SLF001
        self._tray.put(task)
        self._tell()

    def _packed(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Make a call fit to wait: what cannot change is packed later, with others, for a tenth of the cost."""
        try:
            pack_function, pack = self._packers.both
        except AttributeError:
            pack_function, pack = self._packers.both = FunctionPacker().pack, Packer().pack
        call = pack_function(function), args, kwargs or _NO_KEYWORDS
        if not kwargs and HARMLESS.issuperset(map(type, args)):
            return call
        return pack(call, parcel.unfindable(function))

    def withdraw(self, task: Task[Any], *, running: bool) -> None:
        """Have one call not done, if it was not begun; wait until that is settled."""
        tried = threading.Event()
        try:
            # Its place is known to the engine, once that has taken it in.
            self._engine.withdraw(self._job, lambda: task._index, running=running, done=tried.set)  # noqa: SLF001
        except UsageError:
            return
        if not self._engine.is_here():
            tried.wait()

    def is_under_way(self, task: Task[Any]) -> bool:
        """Tell whether a worker is at one call: asked when somebody wants to know, because few do."""
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
            with_result = self._futures.pop(index)
            try:
                with_result.set_result(value)
            except InvalidStateError:  # somebody else has settled it: it is the program's, too
                continue

    def failed(self, index: int, error: BaseException) -> None:
        """Settle the future of a call that did not."""
        _settle_error(self._futures.pop(index), error)

    def broken(self, error: BaseException) -> None:
        """Settle all futures."""
        self._broken = error
        self._tray.close()
        for index in list(self._futures):
            self.failed(index, error)

    def ended(self, total: int, error: BaseException | None) -> None:  # noqa: ARG002 - a sink's; a tray raises nothing
        """Settle those that will not be done."""
        for index in [index for index in list(self._futures) if index >= total]:
            self.failed(index, CancelledError())


def _settle_error(task: Task[Any], error: BaseException) -> None:
    if isinstance(error, CancelledError):
        Future.cancel(task)
        task.set_running_or_notify_cancel()
        return
    with contextlib.suppress(InvalidStateError):
        task.set_exception(error)
