"""The record of processes: its state, and how that is changed.

The law: a row is written by the process that started the one it is about, and by nobody else. When the writer is gone,
so are the processes that it had started, and their rows say so: the server notices when its connections end. Of the
processes that have ended for good, the newest are kept; so the record is bounded by the number of live ones.
"""

from __future__ import annotations

import time
from typing import ClassVar, Final

from pydantic import BaseModel, ConfigDict

from zproc.core.keeper import Keeper
from zproc.core.supervisor import LIFE, Stage
from zproc.process import Usage, usage_of
from zproc.schema import StateModel, action

__all__ = ["KEEPER", "KEPT", "NAMESPACE", "ProcessRow", "ProcessTable"]

NAMESPACE: Final = "zproc.processes"
"""Where the record is, on every server."""

KEEPER: Final = Keeper(telling="tell", farewell="forsake")
"""The actions by which it is written, and by which it learns that a writer has left."""

KEPT: Final = 500
"""How many rows of ended processes are kept."""

_OVER: Final = frozenset(stage for stage, ways in LIFE.items() if not ways)


class ProcessRow(BaseModel):
    """A process, as it was last reported.

    Attributes:
        name: its name, which need not be unique.
        pid: the process id of its latest attempt; ``None`` before the first.
        parent: the process id of the process that started it.
        function: the full name of its function.
        state: its stage: ``"new"``, ``"running"``, ``"resting"`` (before a restart), ``"returned"``, ``"failed"``,
            ``"stopped"`` or ``"cancelled"``.
        started: when its latest attempt began, in seconds since 1970.
        ended: when that ended; ``None`` while it runs.
        exitcode: the exit code of that, negative for a signal.
        signal: the name of that signal.
        restarts: how often it was restarted.
        error: the error of its latest attempt that failed, in a line.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: str
    pid: int | None
    parent: int
    function: str
    state: Stage
    started: float | None = None
    ended: float | None = None
    exitcode: int | None = None
    signal: str | None = None
    restarts: int = 0
    error: str | None = None


_CHANGING: Final = tuple(name for name in ProcessRow.model_fields if name not in ("name", "parent", "function"))


class ProcessTable(StateModel):
    """The processes of a server's contexts, nested ones included: ``ctx.processes``.

    It is a live state, read and watched like any other, from any process::

        ctx.processes.get_when_equal("rows.baker.state", "failed")

    To call functions when it changes, get a context of it: ``ctx.namespace("zproc.processes", ProcessTable)``. Only
    zproc can write it: the server refuses all other commits with `UsageError`.

    Attributes:
        rows: the processes, by name; if several have the same name, a number is appended to all but the first.
        ended: the keys of those that have ended for good, in that order; beyond 500, the oldest are dropped.
        made: how many there ever were.
        tellers: the writers' sessions, and the keys of their processes that have not ended.
    """

    # For who takes the record for the processes: ctx.processes.wait().
    __zproc_aside__: ClassVar[str] = (
        ", for it is the record of the processes, in ctx.processes.rows; the processes themselves, to wait for and to "
        "stop, are in ctx.process_list"
    )

    rows: dict[str, ProcessRow] = {}
    ended: list[str] = []
    made: int = 0
    tellers: dict[str, set[str]] = {}

    def usage(self) -> dict[str, Usage]:
        """Measure what the running processes on this machine use; nothing is measured unless this is called.

        Returns:
            What they use, by the keys of their rows.
        """
        rows = self.snapshot().rows
        running = {key: row for key, row in rows.items() if row.state is Stage.RUNNING}
        found = {key: usage_of(row.pid, row.started) for key, row in running.items()}
        return {key: usage for key, usage in found.items() if usage is not None}

    @action
    def tell(self, teller: str, keys: list[str | None], rows: list[ProcessRow]) -> list[str | None]:
        """Write rows.

        Args:
            teller: the session of the writer.
            keys: the keys of the rows; ``None`` for new ones.
            rows: the content of the rows.

        Returns:
            The keys; ``None`` for rows that were dropped meanwhile, or that belong to another writer.
        """
        return [self._tell(teller, key, row) for key, row in zip(keys, rows, strict=True)]

    @action
    def forsake(self, teller: str) -> None:
        """Take note that a writer has left.

        Args:
            teller: its session.
        """
        for key in sorted(self.tellers.get(teller, ())):
            row = self.rows[key]
            row.state = Stage.STOPPED
            row.ended = time.time()
            row.error = f"it was left behind by process {row.parent}, which has made it"
            self._end(key)
        self.tellers.pop(teller, None)

    def _tell(self, teller: str, key: str | None, row: ProcessRow) -> str | None:
        was_over = False
        if key is None:
            key = self._enter(row)
        elif key not in self.rows:
            return None
        else:
            was_over = self.rows[key].state in _OVER
            if not was_over and key not in self.tellers.get(teller, ()):
                return None
            _update(self.rows[key], row)
        told = self.tellers.setdefault(teller, set())
        if row.state not in _OVER:
            told.add(key)
            if was_over:  # who tells had lost his connection, and is back
                self.ended.remove(key)
            return key
        told.discard(key)
        if not told:
            del self.tellers[teller]
        if not was_over:
            self._end(key)
        return key

    def _enter(self, row: ProcessRow) -> str:
        self.made += 1
        key = row.name
        while key in self.rows:
            key = f"{row.name}-{self.made}"
            if key in self.rows:
                self.made += 1
        self.rows[key] = row
        return key

    def _end(self, key: str) -> None:
        self.ended.append(key)
        if len(self.ended) > KEPT:
            del self.rows[self.ended.pop(0)]


def _update(known: ProcessRow, now: ProcessRow) -> None:
    """Assign only what has changed, so that watchers of other fields are not woken."""
    for name in _CHANGING:
        value = getattr(now, name)
        if getattr(known, name) != value:
            setattr(known, name, value)
