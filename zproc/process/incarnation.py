"""One operating system process as its parent sees it: wait for it, end it.

The law: an `Incarnation` ends in exactly one of three ways, and all who wait learn the same: it returned a value, it
raised (`RemoteError`, with the original as its cause), or it died (`ProcessError`). Waiting means polling descriptors:
it uses no processor time, ends at once when interrupted, and any number of threads may do it. It needs no thread and no
signal handler in this process.

A result that was sent counts, even if the process is killed between sending it and exiting. Large results are received
by whoever looks (`wait`, `is_alive`, `exitcode`), so a process whose result nobody wants does not exit by itself.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, NoReturn, TypeVar, cast

import psutil

from zproc.exceptions import ProcessError, RemoteError, UsageError, WaitTimeout
from zproc.process import descriptor, parcel, tree, wire
from zproc.process.birth import Offspring
from zproc.process.parcel import Raised
from zproc.process.signals import signal_name
from zproc.process.start_method import StartMethod
from zproc.process.wire import Decoder, Frame, Kind

__all__ = ["Incarnation", "await_end", "await_ready", "reap_ended", "stop_all"]

R = TypeVar("R")

_VERIFYING = 5.0
"""How long a killed process may take to be gone, in seconds."""

_HOLDER: Final = 0
"""Stands among the waiting threads for `hold`, which is none of them."""

_running: set[Incarnation[Any]] = set()


class Incarnation(Generic[R]):
    """One operating system process that was started here, and its outcome.

    It belongs to the process that started it; in a fork of that one, using it is an error.

    Attributes:
        name: its name in messages.
        pid: its process id.
        method: its start method.
        attempt: which attempt at the same task it is, from 1 on.
    """

    def __init__(self, name: str, method: StartMethod, offspring: Offspring, line: int) -> None:
        self.name = name
        self.pid: int = offspring.pid
        self.method = method
        self.attempt = 1
        self._ready: Frame | None = None
        self._owner = os.getpid()
        self._lock = threading.RLock()
        self._waiting: set[int] = set()
        self._offspring = offspring
        self._line = line
        self._silent = False
        self._decoder = Decoder()
        self._asking = threading.Lock()
        self._reply: Frame | None = None
        self._outcome: Frame | None = None
        self._answer: tuple[R] | Raised | None = None
        self._original: BaseException | None = None
        self._exitcode: int | None = None
        self._sent: list[signal.Signals] = []
        _running.add(self)

    def __repr__(self) -> str:
        state = "running" if self._exitcode is None else f"exitcode {self._exitcode}"
        return f"<{type(self).__qualname__} {self.name} (pid {self.pid}): {state}>"

    @property
    def exitcode(self) -> int | None:
        """The exit code, negative for the signal that ended the process, ``None`` while it runs."""
        with self._mine():
            self._advance()
        return self._exitcode

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self.exitcode is None

    @property
    def ready_value(self) -> Any:
        """The value that the process announced when it was ready; ``None`` until then.

        Raises whatever the class of the value raises when it is unpickled.
        """
        with self._mine():
            self._advance()
        return None if self._ready is None else parcel.unpack(self._ready.body)

    def wait(self, timeout: float | None = None) -> R:
        """Wait until the process has ended, and return what its target returned.

        May be called any number of times, by any thread. The result of a process that exited with 0 before its target
        returned, by ``sys.exit()``, is ``None``.

        Args:
            timeout: how long to wait, in seconds; ``None`` for no limit.

        Raises:
            WaitTimeout: it still runs.
            RemoteError: the target raised. The cause is the exception itself, with its traceback, if it can be pickled.
            ProcessError: it died: it was killed by a signal, or its exit code is not 0.
        """
        if not self._wait_until(self._ended, timeout):
            raise WaitTimeout(f"process {self.name} (pid {self.pid}) ends", timeout or 0.0)
        with self._lock:
            return self._conclude()

    def ask(self, target: Callable[..., object], *args: object, timeout: float = 30.0) -> object:
        """Send a request to a process that takes them (see `Orders`), and return its answer.

        Args:
            target: what is requested; its meaning is up to the two processes.
            args: the rest of the request.
            timeout: how long to wait, in seconds.

        Raises:
            Exception: the answer is this exception.
            UsageError: the request cannot be pickled.
            WaitTimeout: there was no answer in time. The process is killed, because a late answer would be taken for
                that to the next request.
            ProcessError: it ended before it answered.
        """
        body = parcel.pack_call(parcel.Call(target, args))
        with self._asking:
            self._order(body, time.monotonic() + timeout)
            if not self._wait_until(lambda: self._reply is not None or self._exitcode is not None, timeout):
                self.kill()
                raise WaitTimeout(f"process {self.name} (pid {self.pid}) answers", timeout)
            reply, self._reply = self._reply, None
        if reply is None:
            raise self._error("ended before it answered")
        answer = parcel.unpack(reply.body)
        if isinstance(answer, Exception):
            raise answer
        return cast("object", answer)

    def hand_over(self, numbers: Sequence[int], timeout: float = 30.0) -> None:
        """Pass descriptors to a process that waits for them; see `take_descriptors`.

        Raises:
            WaitTimeout: it does not take them.
            ProcessError: it has ended.
        """
        with self._mine():
            self._advance()
            if self._exitcode is not None:
                raise self._error("has ended, and takes no descriptors")
            try:
                wire.hand_over(time.monotonic() + timeout, self._line, numbers)
            except OSError as error:
                raise self._error(f"takes no descriptors: {error}") from error

    def _order(self, body: bytes, deadline: float) -> None:
        with self._mine():
            self._advance()
            if self._exitcode is not None:
                raise self._error("has ended, and answers no more")
            self._waiting.add(threading.get_ident())  # so that the line stays open
        try:
            wire.send_before(deadline, self._line, wire.packed(Frame(Kind.ORDER, body)))
        except OSError:
            await_end(self)
        finally:
            with self._lock:
                self._waiting.discard(threading.get_ident())
                self._tidy()

    def stop(self, grace: float = 5.0) -> None:
        """End the process and all its descendants, and wait until it is gone.

        It gets SIGTERM; what is left of it and its descendants after ``grace`` seconds is killed. Does nothing if it
        has ended.

        Raises:
            ProcessError: it cannot be killed.
        """
        stop_all([self], grace)

    def kill(self) -> None:
        """Kill the process and all its descendants at once, and wait until it is gone.

        Raises:
            ProcessError: it cannot be killed.
        """
        self._finish_off(self._family())

    def send_signal(self, signum: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        self._send(signum)

    def has_failed(self) -> bool:
        """Return whether `wait` would raise; only for one that has ended."""
        return self._verdict() is not None

    def error(self) -> ProcessError:
        """Return the error that `wait` would raise; only for one that has failed."""
        error = self._verdict()
        assert error is not None, "it returned"
        return error

    def _verdict(self) -> ProcessError | None:
        try:
            self.wait(0)
        except ProcessError as error:
            return error.with_traceback(None)
        return None

    # --------------------------------------------------------------------------------------------- those who look after

    def hold(self) -> None:
        """Keep the descriptors open until `release`, for a caller that polls them."""
        with self._mine():
            self._waiting.add(_HOLDER)

    def release(self) -> None:
        """Allow the descriptors to be closed."""
        with self._lock:
            self._waiting.discard(_HOLDER)
            self._tidy()

    def descriptors(self) -> dict[int, int]:
        """Return what to poll, and for which events; it changes when something happens on them."""
        with self._lock:
            return self._descriptors()

    def advance(self) -> bool:
        """Process what has happened, and return whether it has ended."""
        with self._mine():
            self._advance()
        return self._exitcode is not None

    # ------------------------------------------------------------------------------------------------------- the waits

    def _mine(self) -> threading.RLock:
        if self._owner != os.getpid():
            raise UsageError(f"process {self.name} was started by process {self._owner}, of which this is a fork")
        return self._lock

    def _ended(self) -> bool:
        return self._exitcode is not None

    def _spoken(self) -> bool:
        return self._ready is not None or self._outcome is not None or self._exitcode is not None

    def _wait_until(self, condition: Callable[[], bool], timeout: float | None) -> bool:
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            with self._mine():
                self._advance()
                if condition():
                    return True
                if deadline is not None and time.monotonic() >= deadline:
                    return False
                self._waiting.add(threading.get_ident())
                descriptors = self._descriptors()
            try:
                wire.poll(descriptors, deadline)
            finally:
                with self._lock:
                    self._waiting.discard(threading.get_ident())
                    self._tidy()

    def _descriptors(self) -> dict[int, int]:
        found = {self._offspring.fileno(): select.POLLIN}
        if not self._silent:
            found[self._line] = select.POLLIN
        return found

    def _advance(self) -> None:
        """Process what has happened. Requires the lock."""
        if self._exitcode is None:
            # In this order: whatever a process sends, it sends before it exits.
            exitcode = self._offspring.poll()
            self._listen()
            if exitcode is not None and self._offspring.orphaned and self._outcome is not None:
                exitcode = 0 if self._outcome.kind is Kind.RETURNED else 1
            self._exitcode = exitcode
        self._tidy()

    def _listen(self) -> None:
        while not self._silent:
            try:
                data = os.read(self._line, 1 << 18)
            except BlockingIOError:
                return
            except ConnectionResetError:  # it died with its instructions unread
                data = b""
            if not data:
                self._silent = True
                self._offspring.rouse()
                return
            for frame in self._decoder.feed(data):
                self._hear(frame)

    def _hear(self, frame: Frame) -> None:
        if frame.kind is Kind.READY:
            self._ready = frame
        elif frame.kind is Kind.ANSWER:
            self._reply = frame
        else:
            assert frame.kind in (Kind.RETURNED, Kind.RAISED)
            self._outcome = frame

    def _tidy(self) -> None:
        """Close the descriptors once nobody polls them: in the middle of a poll, a number could be reused."""
        if self._exitcode is not None and not self._waiting:
            self._silent = True
            descriptor.close(self._line)
            self._line = -1
            self._offspring.close()
            _running.discard(self)

    # --------------------------------------------------------------------------------------------------------- the end

    def _conclude(self) -> R:
        """Return or raise the outcome. Requires the lock, and that the process has ended."""
        assert self._exitcode is not None
        if self._answer is None and self._outcome is not None:
            self._answer = self._read(self._outcome)
            self._outcome = None
        match self._answer:
            case Raised() as raised:
                self._raise(raised)
            case (value,):
                return value
            case None:
                pass
        if self._exitcode == 0:
            return cast(R, None)
        raise self._error(self._obituary())

    def _read(self, outcome: Frame) -> tuple[R] | Raised:
        if outcome.kind is Kind.RAISED:
            raised: Raised = pickle.loads(outcome.body)
            self._original = parcel.unpack_error(raised)
            if self._original is not None:
                self._original.add_note(f"raised in process {self.name} (pid {self.pid}), try {self.attempt}")
            return raised
        try:
            return (parcel.unpack(outcome.body),)
        except Exception as error:  # noqa: BLE001 - whatever the classes of the value raise when it is unpickled
            self._original = error
            return Raised("returned what cannot be read here", parcel.describe(error), "")

    def _raise(self, raised: Raised) -> NoReturn:
        # A new one each time, because raising it sets its traceback.
        raise RemoteError(
            raised.reason,
            name=self.name,
            pid=self.pid,
            exitcode=self._exitcode,
            error=raised.error,
            traceback=raised.traceback,
            kinds=raised.kinds,
        ) from self._original

    def _error(self, reason: str) -> ProcessError:
        return ProcessError(reason, name=self.name, pid=self.pid, exitcode=self._exitcode)

    def _obituary(self) -> str:
        code = self._exitcode
        assert code is not None
        if code >= 0:
            return f"ended with exit code {code} before it returned"
        name = signal_name(-code)
        if self._offspring.orphaned:
            return f"was killed by {name} together with the fork server"
        if -code in self._sent:
            return f"was ended by {name}, as asked"
        if -code == signal.SIGKILL:
            return f"was killed by {name}, from outside or because memory ran out"
        return f"was killed by {name}"

    def _send(self, *signums: signal.Signals) -> None:
        with self._mine():
            for signum in signums:
                self._offspring.send_signal(signum)
                self._sent.append(signum)

    def _family(self) -> set[psutil.Process]:
        """Return the process and its descendants; nothing if it has ended."""
        with self._mine():
            self._advance()
            if self._exitcode is not None:
                return set()
            found = tree.family(self.pid)
            # Asked again: an end is known here before the process id is free, so this was not another process.
            return found if self.is_alive else set()

    def _finish_off(self, family: set[psutil.Process]) -> None:
        """Kill what is left, and wait until it is gone.

        Args:
            family: the processes found before this one was asked to end; afterwards its descendants are orphans.
        """
        with self._mine():
            self._advance()
            if self._exitcode is None:
                self._sent.append(signal.SIGKILL)
        tree.kill_families(family)
        self._offspring.rouse()
        if not self._wait_until(self._ended, _VERIFYING):
            raise self._error("does not end although it was killed; it may be waiting for a disk")


def stop_all(processes: Sequence[Incarnation[Any]], grace: float = 5.0) -> None:
    """End several processes with all their descendants, and wait until they are gone.

    All of them get SIGTERM first, in the given order; the grace period is shared.

    Args:
        processes: the processes; those that have ended are skipped.
        grace: how long they have after SIGTERM before they are killed, in seconds.

    Raises:
        ProcessError: one of them cannot be killed. The others have been dealt with.
    """
    families = {each: each._family() for each in processes}  # noqa: SLF001
    alive = [each for each in processes if families[each]]
    for each in alive:
        each._send(signal.SIGTERM, signal.SIGCONT)  # noqa: SLF001
    deadline = time.monotonic() + grace
    for each in alive:
        each._wait_until(each._ended, max(0.0, deadline - time.monotonic()))  # noqa: SLF001
    failures = []
    for each in alive:
        try:
            each._finish_off(families[each])  # noqa: SLF001
        except ProcessError as error:
            failures.append(error)
    if failures:
        raise failures[0]


def await_ready(process: Incarnation[Any], timeout: float, deadline: float) -> None:
    """Wait until a process has announced that it is ready.

    Args:
        process: the process; if this raises, it is gone.
        timeout: how long it was given, in seconds; for the error's text.
        deadline: until when to wait, by `time.monotonic`.

    Raises:
        WaitTimeout: it was not ready in time.
        RemoteError: it raised before.
        ProcessError: it ended before.
    """
    try:
        if not process._wait_until(process._spoken, max(0.0, deadline - time.monotonic())):  # noqa: SLF001
            raise WaitTimeout(f"process {process.name} (pid {process.pid}) is ready", timeout)
    except BaseException:
        process.kill()
        raise
    if process._ready is None:  # noqa: SLF001
        await_end(process)
        raise process._error("ended before it was ready")  # noqa: SLF001


def await_end(process: Incarnation[Any]) -> None:
    """Wait for the end of a process that is about to exit, or kill it; raise unless it returned."""
    if not process._wait_until(process._ended, _VERIFYING):  # noqa: SLF001
        process.kill()
    process.wait()


def reap_ended() -> None:
    """Reap processes that have ended and that nobody waits for, so that they do not stay zombies."""
    known = {each._offspring.fileno(): each for each in tuple(_running)}  # noqa: SLF001
    if not known:
        return
    poller = select.poll()
    for number in known:
        if number >= 0:  # negative if another thread is just closing it
            poller.register(number, select.POLLIN)
    for number, _ in poller.poll(0):
        # Only those that have ended: receiving from a running one would take it from a thread that waits for it.
        known[number].exitcode  # noqa: B018


def _after_fork_in_child() -> None:
    _running.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
