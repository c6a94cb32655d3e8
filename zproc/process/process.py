"""Processes as programs use them: futures that can be stopped, and that are restarted by policy.

The law: a `Process` is one task, with as many attempts as its policy allows, and is settled once, by the last of them.
What follows the end of an attempt is decided by `zproc.core.supervisor`, in whichever thread sees the end first, and
carried out by the supervision thread. A process that was stopped on command is not restarted, whatever its policy.
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
from zproc.process.signals import SIGNAL
from zproc.process.supervision import LOG, supervision
from zproc.process.task import Task, listed

__all__ = ["Group", "Process", "Report", "stop_processes"]

R = TypeVar("R")

_OVER = frozenset(stage for stage, ways in LIFE.items() if not ways)


class Group(Protocol):
    """The processes that are restarted and stopped together with a process."""

    def failed(self, process: Process[Any], at: float) -> None:
        """Arrange that the others rest as well, and that all are restarted at that time; must not block."""
        ...

    def gave_up(self, process: Process[Any]) -> None:
        """Arrange that those stop that depend on it; must not block."""
        ...


@dataclass(frozen=True, slots=True)
class Report:
    """A process at the moment when something happened to it.

    Attributes:
        process: the process.
        stage: its stage from then on.
        pid: the process id of its latest attempt.
        exitcode: the exit code of that, if it had ended.
        restarts: how many attempts had followed the first.
        failure: makes the error of the latest attempt that failed.
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
    """A process, as a future of what its function returns.

    It is a `concurrent.futures.Future`: `concurrent.futures.wait`, ``as_completed`` and `asyncio.wrap_future` accept
    it. It belongs to the process that created it; in a fork of that one, using it is an error. Callbacks of
    ``add_done_callback`` are called by the thread that sees the end, and must not wait for other processes.

    Args:
        task: what it does.
        tell: called with a report whenever something happens to it, at once and in order; must not block.

    Attributes:
        name: its name in messages.
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
        """Refuse to be pickled."""
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
        """The full name of its function; of the program's own, where zproc wraps that."""
        return self._task.function

    @property
    def stage(self) -> Stage:
        """Its stage: new, running, resting (before a restart), returned, failed, stopped or cancelled."""
        self._attend()
        return self._stage

    @property
    def pid(self) -> int | None:
        """The process id of the latest attempt; ``None`` before the first."""
        incarnation = self._incarnation
        return None if incarnation is None else incarnation.pid

    @property
    def exitcode(self) -> int | None:
        """The exit code of the latest attempt, negative for the signal that ended it; ``None`` while it runs."""
        incarnation = self._incarnation
        return None if incarnation is None else incarnation.exitcode

    @property
    def signal(self) -> signals.Signals | None:
        """The signal that ended the latest attempt, if one did."""
        return ProcessError("", exitcode=self.exitcode).signal

    @property
    def is_alive(self) -> bool:
        """Whether an attempt is running."""
        incarnation = self._incarnation
        return incarnation is not None and incarnation.is_alive

    @property
    def restarts(self) -> int:
        """How often it was restarted, on command or by its policy."""
        return max(0, self._attempts - 1)

    @property
    def last_error(self) -> ProcessError | None:
        """The error of the latest attempt that failed, even if another has followed."""
        failure = self._last_failure
        return None if failure is None else failure()

    @property
    def ready_value(self) -> Any:
        """The value that the latest attempt announced when it was ready; ``None`` until then."""
        incarnation = self._incarnation
        return None if incarnation is None else incarnation.ready_value

    # ------------------------------------------------------------------------------------------------------- to wait

    def wait(self, timeout: float | None = None) -> R:
        """Wait until the process has ended for good, and return what its function returned; the same as `result`.

        May be called any number of times, by any thread. The result of a process that exited with 0 before its function
        returned, by ``sys.exit()`` or `ProcessExit`, is ``None``.

        Args:
            timeout: how long to wait, in seconds; ``None`` for no limit.

        Raises:
            WaitTimeout: it still runs, or rests before it is restarted.
            RemoteError: the function raised. The cause is the exception, with its traceback, if it can be pickled.
            ProcessError: it died: it was killed by a signal, or its exit code is not 0.
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
        """Wait as `wait` does, and return the error that it would raise about the end; ``None`` if it would return.

        Args:
            timeout: how long to wait, in seconds; ``None`` for no limit.

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
        # A new one for each caller, because raising it sets its traceback.
        return self._failure() if known is not None and self._failure is not None else known

    # ------------------------------------------------------------------------------------------------- to begin, to end

    def start(self) -> None:
        """Start it, if it was created with ``start=False``.

        Raises:
            UsageError: it was started before, or something cannot be sent to it.
            ProcessError: it cannot be started.
        """
        self.launch()

    def launch(self, *, ready: bool = False) -> None:
        """Start it, and wait, if asked, until it is ready; restarts do not wait."""
        with self._mine():
            if self._stage is not Stage.NEW:
                raise UsageError(f"process {self.name} was started before: it is {self._stage}")
            self._begin(ready=ready)
            self.set_running_or_notify_cancel()

    def cancel(self) -> bool:
        """Cancel it before it is started; return whether that was still possible."""
        with self._mine():
            if self._stage is not Stage.NEW:
                return self._stage is Stage.CANCELLED
            self._move(Event.STOP)
        super().cancel()
        return not self.set_running_or_notify_cancel()

    def stop(self, grace: float = 5.0) -> None:
        """End it for good, with all its descendants, and wait until it is gone.

        It gets SIGTERM; what is left of it and its descendants after the grace period is killed. Does nothing if it has
        ended; cancels it if it was not started.

        Args:
            grace: how long it may take to end by itself, in seconds.

        Raises:
            ProcessError: it cannot be killed.
        """
        stop_processes([self], grace)

    def kill(self) -> None:
        """Kill it and all its descendants at once and for good, and wait until it is gone.

        Raises:
            ProcessError: it cannot be killed.
        """
        incarnation = self._command()
        if incarnation is not None:
            incarnation.kill()
        self._settled()

    def restart(self, grace: float = 5.0) -> None:
        """End the running attempt, if there is one, as `stop` does, and begin the next at once.

        This is not counted as a failure.

        Args:
            grace: how long it may take to end by itself, in seconds.

        Raises:
            UsageError: it has ended for good.
            ProcessError: it cannot be killed, or not be started.
        """
        expect("grace", grace, SECONDS)
        if self._stage is Stage.NEW:
            self.start()
            return
        if not self.pause(grace):
            raise UsageError(f"process {self.name} has ended for good: it {self._stage}")
        self.resume()

    def send_signal(self, signum: signals.Signals) -> None:
        """Send it a signal, if an attempt is running; never to another process with its id.

        If the signal ends it, that is a failure like any other; to end it for good, `stop` it.

        Args:
            signum: the signal, as ``signal.SIGUSR1``.

        Raises:
            UsageError: that is no signal.
        """
        expect("signum", signum, SIGNAL)
        with self._mine():
            if self._incarnation is not None:
                self._incarnation.send_signal(signum)

    def hand_over(self, numbers: Sequence[int]) -> None:
        """Pass descriptors to the running attempt, which waits for them.

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
        """End the running attempt, and leave it to `resume` to begin the next; return whether it rests now."""
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
        """Begin the next attempt now, if it rests."""
        with self._mine():
            if self._stage is Stage.RESTING:
                self._cancel_call()
                self._begin()

    def resume_at(self, at: float) -> None:
        """Begin the next attempt at a time, by `time.monotonic`, if it rests."""
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
        """Send a report of what it is now, if somebody wants them."""
        if self._tell is not None:
            exitcode = None if self._stage is Stage.RUNNING else self.exitcode
            self._tell(Report(self, self._stage, self.pid, exitcode, self.restarts, self._last_failure, time.time()))

    def _begin(self, *, ready: bool = False) -> None:
        """Begin the next attempt. Requires the lock."""
        task = self._task
        args, kwargs = task.call(self._attempts + 1)
        incarnation = start(task.target, args, kwargs, name=self.name, method=task.method, ready=ready)
        try:
            supervision.watch(incarnation, self._attend)
        except OSError as error:  # no descriptors left for the supervision thread, which would see its end
            incarnation.kill()
            raise refusal(error) from error
        self._attempts += 1
        incarnation.attempt = self._attempts
        self._incarnation = incarnation
        self._move(Event.BEGIN)

    def _attend(self) -> None:
        """Process the end of an attempt, if it has ended, and do what follows from it."""
        with self._mine():
            incarnation = self._incarnation
            if self._stage is not Stage.RUNNING or incarnation is None or not incarnation.advance():
                return
            follow = self._conclude(incarnation.error if incarnation.has_failed() else None)
        follow()

    def _retry(self) -> None:
        """Begin the next attempt, now that it is due."""
        with self._mine():
            self._call = None
            if self._stage is not Stage.RESTING:
                return
            try:
                self._begin()
            except Exception as error:  # noqa: BLE001 - an attempt that cannot be started has failed
                reason = f"cannot be started again: {error}"
                follow = self._conclude(lambda: ProcessError(reason, name=self.name))
            else:
                return
        follow()

    def _conclude(self, failure: Callable[[], ProcessError] | None) -> Callable[[], None]:
        """Move on after an attempt; return what is left to do without the lock, which this requires."""
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
        """Settle the future. The lock must not be held, because this runs the callbacks."""
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
        """Prevent further attempts, and return the one to be ended now, if any."""
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
        """Wait until the future is settled, by whichever thread saw the end."""
        self._attend()
        if not self.cancelled():
            super().exception()

    def _cancel_call(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            supervision.cancel(call)


def stop_processes(processes: list[Process[Any]], grace: float = 5.0) -> None:
    """End several processes for good, with all their descendants, and wait until they are gone.

    All of them get SIGTERM first, in reverse order; the grace period is shared.

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
    """Log a crash as one record, with the traceback from the process, as an exception if it could be pickled."""
    text = error.traceback if isinstance(error, RemoteError) and error.__cause__ is None else ""
    label = f"process {error.name}" + (f" (pid {error.pid})" if error.pid else "")
    LOG.error("%s: %s%s%s", label, error.reason, consequence, f"\n{text}".rstrip(), exc_info=error.__cause__)
