"""The vocabulary of the scheduler: what it is told, and what it asks for, as frozen values.

The law: an item is identified by its job and its index, a chunk by its number, a worker by the number of its one life.
Values that make no sense cannot be constructed.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final, TypeAlias

from zproc.arguments import PERIOD, count_of, expect_all, or_none
from zproc.typing import ChunkId, JobId, WorkerId

__all__ = ["Break", "Chunk", "Dismiss", "Effect", "Fail", "Hire", "Kill", "Loss", "Recall", "Send", "Terms"]


class Loss(enum.Enum):
    """Why an item has no result."""

    DIED = enum.auto()
    """Its worker died of it."""
    TIMED_OUT = enum.auto()
    CANCELLED = enum.auto()


@dataclass(frozen=True, slots=True)
class Terms:
    """How the items of a job are to be done.

    Attributes:
        chunksize: how many travel together; ``None`` for as many as take a few milliseconds.
        timeout: how long one may take, in seconds, from when its worker turns to it.
        retries: how many tries one may have after the first.
        ahead: how many may be begun before the first of them is consumed; ``None`` for a fraction of a second's worth.

    Raises:
        UsageError: one of them makes no sense.
    """

    chunksize: int | None = None
    timeout: float | None = None
    retries: int = 0
    ahead: int | None = None

    def __post_init__(self) -> None:
        expect_all(
            ("chunksize", self.chunksize, _ITEMS),
            ("timeout", self.timeout, _PATIENCE),
            ("retries", self.retries, _TRIES),
            ("look_ahead", self.ahead, _ITEMS),
        )


_ITEMS: Final = or_none(count_of("items", 1))
_PATIENCE: Final = or_none(PERIOD)
_TRIES: Final = count_of("tries")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Items of one job that travel together.

    Attributes:
        id: its number.
        job: whose items.
        first: the place of the first one.
        count: how many.
        careful: whether each result is sent before the next item is begun.
        budget: after how many seconds the rest is to be given back; ``None`` for never.
    """

    id: ChunkId
    job: JobId
    first: int
    count: int
    careful: bool
    budget: float | None


@dataclass(frozen=True, slots=True)
class Send:
    """Send a chunk to a worker."""

    worker: WorkerId
    chunk: Chunk


@dataclass(frozen=True, slots=True)
class Recall:
    """Take back what a worker has not taken in, and report it by `Scheduler.recalled`."""

    worker: WorkerId


@dataclass(frozen=True, slots=True)
class Kill:
    """Kill a worker, and report its death by `Scheduler.lost`."""

    worker: WorkerId


@dataclass(frozen=True, slots=True)
class Hire:
    """Start a worker, and report by `Scheduler.ready` when it listens."""

    worker: WorkerId


@dataclass(frozen=True, slots=True)
class Dismiss:
    """Let a worker end; it has nothing in hand."""

    worker: WorkerId


@dataclass(frozen=True, slots=True)
class Fail:
    """Settle an item that has no result."""

    job: JobId
    index: int
    loss: Loss
    worker: WorkerId | None


@dataclass(frozen=True, slots=True)
class Break:
    """Settle everything that is not settled: there are no workers to be had."""

    reason: str


Effect: TypeAlias = Send | Recall | Kill | Hire | Dismiss | Fail | Break
