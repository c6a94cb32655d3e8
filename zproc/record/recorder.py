"""Writing the record: a thread of its own sends a manager's reports to the server.

The law: noting a report costs the caller an append to a list, and never fails. What cannot be written is lost, without
further consequences. One commit says at most one thing about a process, so that watchers see all of them. The thread
exists while there is something to write, and a little longer.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

from zproc.client import Client, model_handle
from zproc.core.supervisor import LIFE, Stage
from zproc.process import Process, Report, signal_name
from zproc.record.table import NAMESPACE, ProcessRow, ProcessTable
from zproc.schema import Schema, StateModel

__all__ = ["Recorder"]

_LOG = logging.getLogger("zproc")

_IDLE: Final = 1.0
"""How long the thread waits for more, in seconds."""

_GATHERING: Final = 0.01
"""How long a report waits for others to be written with it, in seconds, unless somebody is waiting for it."""

_PATIENCE: Final = 1.0
"""How long to wait for reports to be written, in seconds; a slower server has other troubles."""

_BATCH: Final = 64
"""The maximum number of rows in one commit."""

_WAITING: Final = 10_000
"""How many reports may wait for a server that does not answer; further ones are lost."""

_ERROR: Final = 300
"""How much of an error's text goes into a row, in characters."""


@dataclass(slots=True)
class _Told:
    """What the server knows of a process."""

    key: str | None = None
    started: float | None = None


class Recorder:
    """Writes the rows of one context's processes.

    It may be used by any thread, and starts empty in a fork.

    Args:
        address: returns the server's address, when there is something to write.
        at_exit: whether to flush at the end of the program; not necessary if somebody closes this then.
    """

    def __init__(self, address: Callable[[], str], *, at_exit: bool = True) -> None:
        self._address = address
        self._at_exit = at_exit
        self._client: Client | None = None
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        self._owner = os.getpid()
        self._changed = threading.Condition(threading.Lock())
        self._joining = threading.Lock()
        self._waiting: deque[Report] = deque()
        self._thread: threading.Thread | None = None
        self._noted = self._written = 0
        self._hurried = 0
        self._told: dict[Process[Any], _Told] = {}

    def note(self, report: Report) -> None:
        """Note what happened to a process, to be written."""
        with self._mine():
            if self._closed or len(self._waiting) >= _WAITING:
                return
            if self._at_exit and not self._noted:
                atexit.register(self.flush)  # a program that ends at once should not leave its rows unwritten
            self._waiting.append(report)
            self._noted += 1
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="zproc-record", daemon=True)
                try:
                    thread.start()
                except (
                    RuntimeError
                ):  # there can be no more threads; the process is there, and its next report tries again
                    _LOG.debug("nobody can record what happened to %d processes", len(self._waiting), exc_info=True)
                else:
                    self._thread = thread
            else:
                self._changed.notify_all()

    def flush(self, timeout: float = _PATIENCE) -> None:
        """Wait until what was noted so far is written or lost.

        Args:
            timeout: how long, in seconds.
        """
        with self._mine():
            noted = self._hurried = self._noted
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._closed or self._written >= noted, timeout)

    def table(self) -> ProcessTable:
        """Return the record, live, with what was noted so far in it."""
        self.flush()
        return self._table()

    def close(self) -> None:
        """Write nothing more, and close the connections."""
        atexit.unregister(self.flush)
        with self._mine():
            self._closed = True
            self._changed.notify_all()
            thread = self._thread
        if self._client is not None:
            self._client.close()
        if thread is not None:
            thread.join(_PATIENCE)

    def _mine(self) -> threading.Condition:
        if self._owner != os.getpid():  # in a fork: the thread that may have held the lock does not exist here
            self._begin()
        return self._changed

    def _table(self) -> ProcessTable:
        with self._joining:
            if self._client is None:
                schema = cast("Schema[StateModel]", Schema.of(ProcessTable))
                self._client = Client(schema, self._address(), NAMESPACE)
        return cast("ProcessTable", model_handle(self._client, (), ProcessTable))

    def _run(self) -> None:
        while batch := self._next():
            try:
                self._write(batch)
            except Exception:  # noqa: BLE001 - a process must not suffer for it
                _LOG.debug("what happened to %d processes could not be recorded", len(batch), exc_info=True)
            finally:
                with self._changed:
                    self._written += len(batch)
                    self._changed.notify_all()

    def _next(self) -> list[Report]:
        """Wait for reports, and return as many as are about different processes; none if no more come for now."""
        with self._changed:
            end = time.monotonic() + _IDLE
            while not self._waiting and not self._closed and (rest := end - time.monotonic()) > 0:
                self._changed.wait(rest)
            self._changed.wait_for(self._is_due, _GATHERING)
            batch: dict[Process[Any], Report] = {}
            while self._waiting and self._waiting[0].process not in batch and len(batch) < _BATCH:
                report = self._waiting.popleft()
                batch[report.process] = report
            if self._closed or not batch:
                self._thread = None
                return []
            return list(batch.values())

    def _is_due(self) -> bool:
        return self._closed or self._hurried > self._written or len(self._waiting) >= _BATCH

    def _write(self, batch: list[Report]) -> None:
        known = [self._told.setdefault(report.process, _Told()) for report in batch]
        rows = [_row(report, told) for report, told in zip(batch, known, strict=True)]
        table = self._table()
        assert self._client is not None
        keys = table.tell(self._client.session, [told.key for told in known], rows)
        for report, told, key in zip(batch, known, keys, strict=True):
            told.key = key
            if key is None or not LIFE[report.stage]:
                del self._told[report.process]


def _row(report: Report, told: _Told) -> ProcessRow:
    if report.stage is Stage.RUNNING:
        told.started = report.at
    signum = None if report.exitcode is None or report.exitcode >= 0 else -report.exitcode
    error = None if report.failure is None else str(report.failure()).partition("\n")[0][:_ERROR]
    return ProcessRow(
        name=report.process.name,
        pid=report.pid,
        parent=os.getpid(),
        function=report.process.function,
        state=report.stage,
        started=told.started,
        ended=None if report.stage is Stage.RUNNING or told.started is None else report.at,
        exitcode=report.exitcode,
        signal=None if signum is None else signal_name(signum),
        restarts=report.restarts,
        error=error,
    )
