"""What is recorded of processes: the state, and how it is changed.

The law: a row is told by whoever made the process, and by nobody else. When whoever tells is gone, so are the processes
that he had made, and the rows say so: the server hears of it, because his connections have ended. Of those that have
ended for good, the newest are kept; so the record is bounded by how many live.
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
"""The actions by which it is written, and by which it hears of who has left."""

KEPT: Final = 500
"""How many rows of processes that have ended are kept."""

_OVER: Final = frozenset(stage for stage, ways in LIFE.items() if not ways)


class ProcessRow(BaseModel):
    """A process, as it was last told of.

    Attributes:
        name: what it is called; several may be called the same.
        pid: its process id, that of its newest try; ``None`` before the first.
        parent: the process id of the process that made it.
        function: what it runs, with its module.
        state: where it is in its life: ``"new"``, ``"running"``, ``"resting"`` (before it is tried again),
            ``"returned"``, ``"failed"``, ``"stopped"`` or ``"cancelled"``.
        started: when its newest try began, in seconds since 1970.
        ended: when that ended; ``None`` while it runs.
        exitcode: how that ended: the exit code, negative for a signal.
        signal: the name of that signal.
        restarts: how many tries there were after the first.
        error: how the last try failed that did, in a line.
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

    It is a live state and is read and watched like any other, from any process::

        ctx.processes.get_when_equal("rows.baker.state", "failed")

    What is called for each of its changes needs a context of it: ``ctx.namespace("zproc.processes", ProcessTable)``.
    zproc writes it, and nobody else can: the server refuses all other commits by `UsageError`.

    Attributes:
        rows: the processes, by their names; of several of the same name, all but the first have a number after it.
        ended: those of them that have ended for good, in that order; beyond 500, the oldest are forgotten.
        made: how many there ever were.
        tellers: who tells of which that have not ended.
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
        """Measure what the processes use that run now, on this machine; nothing is measured unless this is called.

        Returns:
            For the keys of their rows, what they use.
        """
        rows = self.snapshot().rows
        running = {key: row for key, row in rows.items() if row.state is Stage.RUNNING}
        found = {key: usage_of(row.pid, row.started) for key, row in running.items()}
        return {key: usage for key, usage in found.items() if usage is not None}

    @action
    def tell(self, teller: str, keys: list[str | None], rows: list[ProcessRow]) -> list[str | None]:
        """Take in what has become of processes.

        Args:
            teller: the session of who tells.
            keys: their rows' keys; ``None`` for those that are new.
            rows: what is to be in the rows.

        Returns:
            The keys; ``None`` for those that were forgotten meanwhile, or that somebody else tells of.
        """
        return [self._tell(teller, key, row) for key, row in zip(keys, rows, strict=True)]

    @action
    def forsake(self, teller: str) -> None:
        """Take note that nobody tells any more of the processes of somebody.

        Args:
            teller: the session of who told.
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
    """Change what has changed, so that who watches one thing is not woken for another."""
    for name in _CHANGING:
        value = getattr(now, name)
        if getattr(known, name) != value:
            setattr(known, name, value)
