"""Processes as a program has them: futures that can be stopped, and that begin again if that was agreed.

The law: a `Process` is one task, with as many tries as its policy gives it, and is settled once, by the last of them.
What follows an ending is decided by `zproc.core.supervisor`, by whichever thread sees the ending first, and carried out
by the supervision thread. A process that was told to stop is not tried again, whatever its policy says.
"""

from __future__ import annotations

import os
import random
import signal as signals
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol, TypeVar

from zproc.arguments import PATIENCE, SECONDS, expect
from zproc.core.supervisor import LIFE, Again, Ending, Event, Past, Stage, decide
from zproc.exceptions import ProcessError, RemoteError, UsageError, WaitTimeout
from zproc.process.birth import refusal
from zproc.process.incarnation import Incarnation, stop_all
from zproc.process.launch import start
from zproc.process.supervision import LOG, supervision
from zproc.process.task import Task, listed

__all__ = ["Group", "Process", "Report", "stop_processes"]

R = TypeVar("R")

_OVER = frozenset(stage for stage, ways in LIFE.items() if not ways)


class Group(Protocol):
    """Those who go down with a process, and come back with it."""

    def failed(self, process: Process[Any], at: float) -> None:
        """See that the others rest, too, and that all of them begin again at that time; must not wait for that."""
        ...

    def gave_up(self, process: Process[Any]) -> None:
        """See that those stop who cannot go on without it; must not wait for that."""
        ...


@dataclass(frozen=True, slots=True)
class Report:
    """What a process was at the moment when something happened to it.

    Attributes:
        process: which.
        stage: where it was in its life from then on.
        pid: the process id of its newest try.
        exitcode: how that ended, if it had.
        restarts: how many tries there had been after the first.
        failure: makes the error of the last try that failed.
        at: when, in seconds since 1970, for people.
    """

    process: Process[Any]
    stage: Stage
    pid: int | None
    exitcode: int | None
    restarts: int
    failure: Callable[[], ProcessError] | None
    at: float


class Process(Future[R]):
    """A process, and what becomes of it: a future of what its function returns.

    It is a `concurrent.futures.Future`, so `concurrent.futures.wait`, ``as_completed`` and `asyncio.wrap_future` take
    it. It belongs to the process that made it; in a fork of that one, using it is an error. Functions that were given
    to ``add_done_callback`` are called by the thread that sees the end, and must not wait for other processes.

    Args:
        task: what it does.
        tell: is given a report whenever something happens to it, at once and in order; must not wait for anything.

    Attributes:
        name: what it is called in messages.
    """

    def __init__(self, task: Task[R], tell: Callable[[Report], None] | None = None) -> None:
        super().__init__()
        self.name: str = task.name
        self._tell = tell
        self._task = task
        self._owner = os.getpid()
        self._lock = threading.RLock()
        self._stage = Stage.NEW
        self._past = Past()
        self._attempts = 0
        self._incarnation: Incarnation[R] | None = None
        self._commanded = False
        self._pausing = False
        self._call: int | None = None
        self._group: Group | None = None
        self._failure: Callable[[], ProcessError] | None = None
        self._last_failure: Callable[[], ProcessError] | None = None

    def __repr__(self) -> str:
        pid = "" if self.pid is None else f" (pid {self.pid})"
        return f"<{type(self).__qualname__} {self.name}{pid}: {self._stage}>"

    def __reduce__(self) -> NoReturn:
        """Refuse to travel."""
        raise UsageError(
            f"process {self.name} belongs to the process that made it, and cannot be sent to another; what has become "
            "of it is told to everybody by ctx.processes"
        )

    @property
    def target(self) -> Callable[..., R]:
        """The function that it calls."""
        return self._task.target

    @property
    def function(self) -> str:
        """The full name of the function that it is about; of the program's own, where zproc calls that."""
        return self._task.function

    @property
    def stage(self) -> Stage:
        """Where it is in its life: new, running, resting, returned, failed, stopped or cancelled."""
        self._attend()
        return self._stage

    @property
    def pid(self) -> int | None:
        """The process id of the newest try; ``None`` before the first."""
        incarnation = self._incarnation
        return None if incarnation is None else incarnation.pid

    @property
    def exitcode(self) -> int | None:
        """The exit code of the newest try, negative for the signal that ended it; ``None`` while it runs."""
        incarnation = self._incarnation
        return None if incarnation is None else incarnation.exitcode

    @property
    def signal(self) -> signals.Signals | None:
        """The signal that ended the newest try, if one did."""
        return ProcessError("", exitcode=self.exitcode).signal

    @property
    def is_alive(self) -> bool:
        """Whether a try of it runs."""
        incarnation = self._incarnation
        return incarnation is not None and incarnation.is_alive

    @property
    def restarts(self) -> int:
        """How many tries there were after the first, on command or by its policy."""
        return max(0, self._attempts - 1)

    @property
    def last_error(self) -> ProcessError | None:
        """How the last try failed that did, even if there was another after it."""
        failure = self._last_failure
        return None if failure is None else failure()

    @property
    def ready_value(self) -> Any:
        """What the newest try announced when it was ready; ``None`` until then."""
        incarnation = self._incarnation
        return None if incarnation is None else incarnation.ready_value

    # ------------------------------------------------------------------------------------------------------- to wait

    def wait(self, timeout: float | None = None) -> R:
        """Wait until the process has ended for good, and return what its function returned; the same as `result`.

        Any number of times, and by any thread. A process that left with exit code 0 before its function returned, by
        ``sys.exit()`` or `ProcessExit`, gives ``None``.

        Args:
            timeout: how long to wait, in seconds; ``None`` for as long as it takes.

        Raises:
            WaitTimeout: it still runs, or rests before its next try.
            RemoteError: the function raised. The cause is the exception itself, with its traceback, if it can travel.
            ProcessError: it died: killed by a signal, or by an exit code that is not 0.
            UsageError: it was not started.
            concurrent.futures.CancelledError: it was cancelled before it began.
        """
        return self.result(timeout)

    def result(self, timeout: float | None = None) -> R:
        """Do the same as `wait`, with the same ``timeout``; it is the name that futures have for it."""
        error = self.exception(timeout)
        if error is not None:
            raise error
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait as `wait` does, and return what it would raise because of how the process ended; ``None`` if nothing.

        Args:
            timeout: how long to wait, in seconds; ``None`` for as long as it takes.

        Raises:
            WaitTimeout, UsageError: as `wait` does.
        """
        self._mine()
        expect("timeout", timeout, PATIENCE)
        if self._stage is Stage.NEW:
            raise UsageError(f"process {self.name} was not started")
        try:
            known = super().exception(timeout)
        except TimeoutError:
            raise WaitTimeout(f"process {self.name} (pid {self.pid}) ends", timeout or 0.0) from None
        # A new one for everybody who asks, because raising it hangs a traceback on it.
        return self._failure() if known is not None and self._failure is not None else known

    # ------------------------------------------------------------------------------------------------- to begin, to end

    def start(self) -> None:
        """Start it, if it was made with ``start=False``.

        Raises:
            UsageError: it was started before, or something cannot be sent to it.
            ProcessError: it cannot be made.
        """
        self.launch()

    def launch(self, *, ready: bool = False) -> None:
        """Start it, and wait, if asked, until it is ready; that goes for the first try only."""
        with self._mine():
            if self._stage is not Stage.NEW:
                raise UsageError(f"process {self.name} was started before: it is {self._stage}")
            self._begin(ready=ready)
            self.set_running_or_notify_cancel()

    def cancel(self) -> bool:
        """Have it never begin, and tell whether that was still possible."""
        with self._mine():
            if self._stage is not Stage.NEW:
                return self._stage is Stage.CANCELLED
            self._move(Event.STOP)
        super().cancel()
        return not self.set_running_or_notify_cancel()

    def stop(self, grace: float = 5.0) -> None:
        """End it for good, with all its descendants, and wait until it is gone.

        It gets SIGTERM; what is left of it and of its descendants after the grace is killed. What has ended stays as it
        was; what has not begun is cancelled.

        Args:
            grace: how long it may take to end by itself, in seconds.

        Raises:
            ProcessError: it cannot be killed.
        """
        stop_processes([self], grace)

    def kill(self) -> None:
        """Kill it, with all its descendants, at once and for good, and wait until it is gone.

        Raises:
            ProcessError: it cannot be killed.
        """
        incarnation = self._command()
        if incarnation is not None:
            incarnation.kill()
        self._settled()

    def restart(self, grace: float = 5.0) -> None:
        """End the running try, if there is one, as `stop` does, and begin the next at once.

        This is no failure, and is not counted as one.

        Args:
            grace: how long it may take to end by itself, in seconds.

        Raises:
            UsageError: it has ended for good.
            ProcessError: it cannot be killed, or not be made.
        """
        expect("grace", grace, SECONDS)
        if self._stage is Stage.NEW:
            self.start()
            return
        if not self.pause(grace):
            raise UsageError(f"process {self.name} has ended for good: it {self._stage}")
        self.resume()

    def send_signal(self, signum: signals.Signals) -> None:
        """Send it a signal, if a try of it runs; never to another process of that number.

        If the signal ends it, it has failed as if somebody else had sent it; to end it for good, `stop` it.

        Args:
            signum: which one, as ``signal.SIGUSR1``.
        """
        with self._mine():
            if self._incarnation is not None:
                self._incarnation.send_signal(signum)

    def hand_over(self, numbers: Sequence[int]) -> None:
        """Give descriptors to the running try, which waits for them.

        Raises:
            UsageError: it was not started.
            WaitTimeout: it does not take them.
            ProcessError: it has ended.
        """
        incarnation = self._incarnation
        if incarnation is None:
            raise UsageError(f"process {self.name} was not started")
        incarnation.hand_over(numbers)

    def pause(self, grace: float) -> bool:
        """End the running try, and leave it to `resume` to begin the next; tell whether it rests now."""
        with self._mine():
            self._cancel_call()
            self._pausing = True
            incarnation = self._incarnation
        try:
            if incarnation is not None:
                incarnation.stop(grace)
        finally:
            self._attend()
            with self._lock:
                self._pausing = False
        return self._stage is Stage.RESTING

    def resume(self) -> None:
        """Begin the next try now, if it rests."""
        with self._mine():
            if self._stage is Stage.RESTING:
                self._cancel_call()
                self._begin()

    def resume_at(self, at: float) -> None:
        """Begin the next try at a time, as `time.monotonic` counts, if it rests."""
        with self._mine():
            if self._stage is Stage.RESTING:
                self._cancel_call()
                self._call = supervision.call_at(at, self._retry)

    # ----------------------------------------------------------------------------------------------- what happens to it

    def _mine(self) -> threading.RLock:
        if self._owner != os.getpid():
            raise UsageError(f"process {self.name} was made by process {self._owner}, of which this is a fork")
        return self._lock

    def _move(self, event: Event) -> None:
        self._stage = LIFE[self._stage][event]
        self.report()

    def report(self) -> None:
        """Tell what it is now, whoever is to be told."""
        if self._tell is not None:
            exitcode = None if self._stage is Stage.RUNNING else self.exitcode
            self._tell(Report(self, self._stage, self.pid, exitcode, self.restarts, self._last_failure, time.time()))

    def _begin(self, *, ready: bool = False) -> None:
        """Make the next try. Requires the lock."""
        task = self._task
        args, kwargs = task.call(self._attempts + 1)
        incarnation = start(task.target, args, kwargs, name=self.name, method=task.method, ready=ready)
        try:
            supervision.watch(incarnation, self._attend)
        except OSError as error:  # no descriptors left for the thread that would see its end
            incarnation.kill()
            raise refusal(error) from error
        self._attempts += 1
        incarnation.attempt = self._attempts
        self._incarnation = incarnation
        self._move(Event.BEGIN)

    def _attend(self) -> None:
        """Take note of the end of a try, and do what follows from it."""
        with self._mine():
            incarnation = self._incarnation
            if self._stage is not Stage.RUNNING or incarnation is None or not incarnation.advance():
                return
            follow = self._conclude(incarnation.error if incarnation.has_failed() else None)
        follow()

    def _retry(self) -> None:
        """Begin the next try, now that the time has come."""
        with self._mine():
            self._call = None
            if self._stage is not Stage.RESTING:
                return
            try:
                self._begin()
            except Exception as error:  # noqa: BLE001 - a try that cannot be made is one that failed
                reason = f"cannot be started again: {error}"
                follow = self._conclude(lambda: ProcessError(reason, name=self.name))
            else:
                return
        follow()

    def _conclude(self, failure: Callable[[], ProcessError] | None) -> Callable[[], None]:
        """Move on after a try has ended, and return what is to be done without the lock, which this requires."""
        if failure is not None:
            self._failure = self._last_failure = failure
        if self._pausing and not self._commanded:
            self._move(Event.REST)
            return _nothing
        ending = self._ending(failure)
        decision = decide(self._task.policy, self._past, ending, now=time.monotonic(), chance=random.random())
        if isinstance(decision, Again):
            self._past = decision.past
            self._move(Event.REST)
            return self._rest(decision.at, failure)
        if failure is None:
            self._failure = None
            self._move(Event.RETURN)
        else:
            self._failure = self._last_failure = _noted(failure, decision.reason)
            self._move(Event.STOP if ending is Ending.COMMANDED else Event.FAIL)
        return lambda: self._settle(ending)

    def _ending(self, failure: Callable[[], ProcessError] | None) -> Ending:
        if self._commanded:
            return Ending.COMMANDED
        if failure is None:
            return Ending.RETURNED
        error = failure()
        if error.signal is signals.SIGINT:
            explicit = {signals.SIGINT, KeyboardInterrupt} & set(self._task.retry_for)
            return Ending.LISTED if explicit else Ending.INTERRUPTED
        return Ending.LISTED if listed(error, self._task.retry_for) else Ending.FAILED

    def _rest(self, at: float, failure: Callable[[], ProcessError] | None) -> Callable[[], None]:
        if self._group is None:
            self.resume_at(at)
        else:
            self._group.failed(self, at)
        delay, attempt = max(0.0, at - time.monotonic()), self._attempts + 1
        if failure is None:
            return lambda: LOG.info("process %s returned; begins again in %.3g s, try %d", self.name, delay, attempt)
        error = failure()
        return lambda: _log_crash(error, f"; begins again in {delay:.3g} s, try {attempt}")

    def _settle(self, ending: Ending) -> None:
        """Have the future know. Requires that the lock is not held, because this calls whoever asked to be told."""
        incarnation = self._incarnation
        assert incarnation is not None
        error = self._failure() if self._failure is not None else None
        if error is None:
            self.set_result(incarnation.wait(0))
            return
        if ending in (Ending.FAILED, Ending.LISTED):
            _log_crash(error, "".join(f"; {note}" for note in getattr(error, "__notes__", ())))
        self.set_exception(error)
        if ending is not Ending.COMMANDED and self._group is not None:
            self._group.gave_up(self)

    def _command(self) -> Incarnation[R] | None:
        """See that it is not tried again, and return what is to be ended now."""
        if self.cancel():
            return None
        with self._mine():
            self._commanded = True
            self._cancel_call()
            if self._stage is not Stage.RESTING:
                return self._incarnation
            before = self._failure
            exitcode = self.exitcode

            def failure() -> ProcessError:
                error = ProcessError("was told to stop before its next try", self.name, self.pid, exitcode)
                error.__cause__ = before() if before is not None else None
                return error

            follow = self._conclude(failure)
        follow()
        return None

    def _settled(self) -> None:
        """Wait until whoever saw its end has made it known."""
        self._attend()
        if not self.cancelled():
            super().exception()

    def _cancel_call(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            supervision.cancel(call)


def stop_processes(processes: list[Process[Any]], grace: float = 5.0) -> None:
    """End several processes for good, with all their descendants, and wait until they are gone.

    All of them are asked first, the last one before the others, and one grace goes for all.

    Raises:
        ProcessError: one of them cannot be killed. The others have been dealt with.
    """
    expect("grace", grace, SECONDS)
    running = [incarnation for each in reversed(processes) if (incarnation := each._command()) is not None]  # noqa: SLF001
    stop_all(running, grace)
    for each in processes:
        each._settled()  # noqa: SLF001


def _nothing() -> None:
    pass


def _noted(failure: Callable[[], ProcessError], note: str) -> Callable[[], ProcessError]:
    def noted() -> ProcessError:
        error = failure()
        if note:
            error.add_note(note)
        return error

    return noted


def _log_crash(error: ProcessError, consequence: str) -> None:
    """Write one record, with the traceback that the process had, as an exception if it could travel."""
    text = error.traceback if isinstance(error, RemoteError) and error.__cause__ is None else ""
    label = f"process {error.name}" + (f" (pid {error.pid})" if error.pid else "")
    LOG.error("%s: %s%s%s", label, error.reason, consequence, f"\n{text}".rstrip(), exc_info=error.__cause__)
