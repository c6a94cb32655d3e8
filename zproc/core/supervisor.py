"""What follows when a process has ended: another try, and when; or none, and why.

The law: `AGAIN` is the whole rule of which endings are tried again; the limits come after it. A process that was told
to stop is never tried again, and Ctrl-C is such a command, too. Failures are counted by their times on a monotonic
clock, which is an argument, as chance is. The more there were lately, the longer the delay; those older than a period
are forgotten. Nothing here knows what a process is.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

from zproc.arguments import PERIOD, SECONDS, Kind, between, count_of, expect_all, or_none

__all__ = [
    "AGAIN",
    "LIFE",
    "Again",
    "Decision",
    "Ending",
    "Event",
    "Over",
    "Past",
    "Policy",
    "Restart",
    "Stage",
    "Strategy",
    "affected",
    "decide",
]

T = TypeVar("T")


class Restart(enum.StrEnum):
    """Which endings are followed by another try, apart from those that are listed in ``retry_for``."""

    NEVER = "never"
    ON_FAILURE = "on_failure"
    ALWAYS = "always"


class Ending(enum.Enum):
    """How one try of a process ended."""

    RETURNED = enum.auto()
    FAILED = enum.auto()
    """It raised, died, or could not be made."""
    LISTED = enum.auto()
    """The same, by an exception or a signal that ``retry_for`` lists."""
    INTERRUPTED = enum.auto()
    """By Ctrl-C."""
    COMMANDED = enum.auto()
    """It was told to stop."""


AGAIN: Final[Mapping[Restart, frozenset[Ending]]] = {
    Restart.NEVER: frozenset({Ending.LISTED}),
    Restart.ON_FAILURE: frozenset({Ending.LISTED, Ending.FAILED}),
    Restart.ALWAYS: frozenset({Ending.LISTED, Ending.FAILED, Ending.RETURNED}),
}


class Stage(enum.StrEnum):
    """Where a process is in its life, all its tries taken together."""

    NEW = "new"
    RUNNING = "running"
    RESTING = "resting"
    """Between two tries."""
    RETURNED = "returned"
    FAILED = "failed"
    STOPPED = "stopped"
    CANCELLED = "cancelled"
    """It was stopped before it began."""


class Event(enum.Enum):
    """What happens to a process."""

    BEGIN = enum.auto()
    RETURN = enum.auto()
    FAIL = enum.auto()
    REST = enum.auto()
    STOP = enum.auto()


LIFE: Final[Mapping[Stage, Mapping[Event, Stage]]] = {
    Stage.NEW: {Event.BEGIN: Stage.RUNNING, Event.STOP: Stage.CANCELLED},
    Stage.RUNNING: {
        Event.RETURN: Stage.RETURNED,
        Event.FAIL: Stage.FAILED,
        Event.REST: Stage.RESTING,
        Event.STOP: Stage.STOPPED,
    },
    Stage.RESTING: {
        Event.BEGIN: Stage.RUNNING,
        Event.FAIL: Stage.FAILED,
        Event.REST: Stage.RESTING,
        Event.STOP: Stage.STOPPED,
    },
    Stage.RETURNED: {},
    Stage.FAILED: {},
    Stage.STOPPED: {},
    Stage.CANCELLED: {},
}
"""A missing entry is a fault of the shell's, and so is an event after the end."""

_REMEMBERED: Final = 32
"""How many failures are remembered if no limit asks for more; by then the delay is at its ceiling."""


@dataclass(frozen=True, slots=True)
class Policy:
    """When a process is tried again, and when no more.

    Attributes:
        restart: after which endings, besides the listed ones.
        retry_delay: how long to rest after the first failure, in seconds.
        backoff: how many times longer the next rest is, while the failures before are not forgotten.
        max_delay: the longest rest, in seconds.
        jitter: which part of a rest is left to chance, so that many that fail together do not return together.
        max_retries: how many tries there may be after the first; ``None`` for any number.
        intensity: how many failures may fall into how many seconds; with one more it is given up. ``None`` for any
            number, and then failures are forgotten after a minute.

    Raises:
        UsageError: one of them makes no sense.
    """

    restart: Restart = Restart.NEVER
    retry_delay: float = 0.1
    backoff: float = 2.0
    max_delay: float = 30.0
    jitter: float = 0.25
    max_retries: int | None = None
    intensity: tuple[int, float] | None = (5, 60.0)

    def __post_init__(self) -> None:
        expect_all(*((name, getattr(self, name), kind) for name, kind in _KINDS.items()))

    @property
    def period(self) -> float:
        """How long a failure is remembered, in seconds."""
        return self.intensity[1] if self.intensity is not None else 60.0


_FAILURES: Final = count_of("failures")
_KINDS: Final[Mapping[str, Kind]] = {
    "retry_delay": SECONDS,
    "backoff": between("a factor from 1 to 100", 1, 100),
    "max_delay": SECONDS,
    "jitter": between("a part, from 0 to 1", 0, 1),
    "max_retries": or_none(count_of("tries")),
    "intensity": or_none(
        Kind(
            "a pair of a number of failures and a number of seconds above 0",
            lambda value: (
                isinstance(value, (tuple, list))
                and len(value) == 2  # noqa: PLR2004 - a pair
                and _FAILURES.fits(value[0])
                and PERIOD.fits(value[1])
            ),
        )
    ),
}


@dataclass(frozen=True, slots=True)
class Past:
    """What is remembered of a process's tries.

    Attributes:
        retries: how many there were after the first.
        recent: when those of the last ones failed that were followed by another.
    """

    retries: int = 0
    recent: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Again:
    """The process is tried again.

    Attributes:
        at: when, as the clock of ``now`` counts.
        past: what is to be remembered.
    """

    at: float
    past: Past


@dataclass(frozen=True, slots=True)
class Over:
    """The process is not tried again.

    Attributes:
        reason: which limit was reached; empty if there was no question of another try.
    """

    reason: str = ""


Decision: TypeAlias = Again | Over


def decide(policy: Policy, past: Past, ending: Ending, *, now: float, chance: float) -> Decision:
    """Decide what follows an ending.

    Args:
        policy: what was agreed.
        past: what was decided before.
        ending: how the last try ended.
        now: when, in seconds, by any clock that never goes back.
        chance: a random number, from 0 to below 1.
    """
    if ending not in AGAIN[policy.restart]:
        return Over()
    if policy.max_retries is not None and past.retries >= policy.max_retries:
        return Over(f"gave up after {past.retries} retries") if policy.max_retries else Over()
    recent = tuple(time for time in past.recent if now - time < policy.period)
    if ending is Ending.RETURNED:  # no failure: it does not count as one, and the delay is that after the first
        delay = min(policy.max_delay, policy.retry_delay)
        return Again(now + delay * (1 - policy.jitter * chance), Past(past.retries + 1, recent))
    if policy.intensity is not None and len(recent) >= policy.intensity[0]:
        return Over(f"gave up: it failed {len(recent) + 1} times within {policy.period:g} s")
    # A higher power would be too large for a float long after it is too large for the ceiling.
    delay = min(policy.max_delay, policy.retry_delay * policy.backoff ** min(len(recent), 64))
    kept = max(_REMEMBERED, policy.intensity[0] if policy.intensity is not None else 0)
    return Again(now + delay * (1 - policy.jitter * chance), Past(past.retries + 1, (*recent, now)[-kept:]))


class Strategy(enum.StrEnum):
    """Who is restarted with a member of a group that has failed."""

    ONE_FOR_ONE = "one_for_one"
    ONE_FOR_ALL = "one_for_all"
    REST_FOR_ONE = "rest_for_one"


def affected(strategy: Strategy, members: Sequence[T], failed: int) -> Sequence[T]:
    """List who goes down with a failed member and comes back with it, itself included, in the order of the start.

    Those who run are to be stopped in the opposite order.

    Args:
        strategy: what the group has agreed.
        members: the group, in the order of its start.
        failed: the place of the one that has failed.
    """
    match strategy:
        case Strategy.ONE_FOR_ONE:
            return members[failed : failed + 1]
        case Strategy.ONE_FOR_ALL:
            return members[:]
        case Strategy.REST_FOR_ONE:
            return members[failed:]
