"""The bookkeeping of a scheduler: its jobs, its workers, and the chunks that they hold.

The law: nothing is decided here. The state of a worker follows from its attributes: it is hired, listens, holds chunks,
and may be doomed; how long it may take for its current step is told by `Worker.deadline`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from zproc.core.assignment import Chunk, Loss, Terms
from zproc.core.pace import Pace
from zproc.typing import JobId, WorkerId

__all__ = ["BIRTH", "Job", "Sent", "Worker"]

BIRTH: Final = 30.0
"""How long a worker may take until it listens, in seconds: a new interpreter takes less than one, many at once more."""


@dataclass(slots=True)
class Job:
    """What is known of a job.

    Attributes:
        next: the place of the first item that was never sent.
        supplied: how many items there are so far.
        ended: whether there will be no more.
        consumed: how many outcomes were taken.
        again: what is to be sent again, first things first.
        tries: how often items were tried in vain.
        dropped: items that are not to be done.
    """

    id: JobId
    terms: Terms
    pace: Pace
    next: int = 0
    supplied: int = 0
    ended: bool = False
    consumed: int = 0
    again: deque[tuple[int, int, bool]] = field(default_factory=deque)
    tries: dict[int, int] = field(default_factory=dict)
    dropped: set[int] = field(default_factory=set)
    cancelled: bool = False
    killing: bool = False


@dataclass(slots=True)
class Sent:
    """A chunk in a worker's hands.

    Attributes:
        done: how many of its items have come back.
        estimate: how long it should take, in seconds.
    """

    chunk: Chunk
    estimate: float
    done: int = 0

    @property
    def index(self) -> int:
        """The place of the first item that has not come back."""
        return self.chunk.first + self.done

    @property
    def rest(self) -> range:
        """The places of its items that have not come back."""
        return range(self.index, self.chunk.first + self.chunk.count)


@dataclass(slots=True)
class Worker:
    """What is known of a worker.

    Attributes:
        began: since when it has been at the first item in its hands; before it listens, when it was hired.
        victim: the item that it was killed for, and why.
        taken: whether it is known to have taken in all that it was sent.
        stillborn: whether it was killed because it did not come to listen.
    """

    id: WorkerId
    ready: bool = False
    retiring: bool = False
    hand: deque[Sent] = field(default_factory=deque)
    load: float = 0.0
    began: float = 0.0
    victim: tuple[JobId, int, Loss] | None = None
    taken: bool = False
    stillborn: bool = False

    def deadline(self, jobs: Mapping[JobId, Job]) -> float | None:
        """Return when it is to be killed for what it has not done by then, in the time of ``began``."""
        if not self.ready:
            return None if self.stillborn else self.began + BIRTH
        if not self.hand or self.victim is not None:
            return None
        job = jobs.get(self.hand[0].chunk.job)
        return None if job is None or job.terms.timeout is None else self.began + job.terms.timeout
