"""Where the time of a call goes, in several processes at once.

The law: every probe is around a function that runs anyway; it notes when it was entered and left, by the one clock that
all processes of a machine share, in memory that they share. The functions are replaced before the processes are forked,
and nothing else of them is changed. What the probes cost is measured by the same calls without them.
"""

from __future__ import annotations

import functools
import mmap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

__all__ = ["Event", "Probes", "own_times"]

_ROOM = 1 << 20
"""How many numbers a region holds; each event has three."""


@dataclass(frozen=True, slots=True)
class Event:
    """One call.

    Attributes:
        name: of which probe.
        begin: when it was entered, in nanoseconds of the monotonic clock.
        end: when it was left.
    """

    name: str
    begin: int
    end: int


class Probes:
    """Probes, and what they noted.

    Args:
        points: by name the owner, a class or a module, and the name of the function in it.
        regions: the names of the processes that note; each notes in a region of its own, the first by default.
    """

    def __init__(self, points: dict[str, tuple[object, str]], regions: Sequence[str]) -> None:
        self._points = points
        self._names = list(points)
        self._regions = {name: memoryview(mmap.mmap(-1, 8 * _ROOM)).cast("q") for name in regions}
        self._current = self._regions[regions[0]]

    def enter(self, region: str) -> None:
        """Say which process this is."""
        self._current = self._regions[region]

    @contextmanager
    def within(self, region: str) -> Iterator[None]:
        """Let what is forked meanwhile note in another region."""
        before, self._current = self._current, self._regions[region]
        try:
            yield
        finally:
            self._current = before

    @contextmanager
    def set(self) -> Iterator[None]:
        """Set the probes, for this process and for what it forks meanwhile.

        Raises:
            AttributeError: there is no such function any more; a probe that was not set would be a stage of no time.
        """
        before = [(owner, name, owner.__dict__[name]) for owner, name in self._checked()]
        for number, (owner, name, function) in enumerate(before):
            setattr(owner, name, self._around(number, function))
        try:
            yield
        finally:
            for owner, name, function in before:
                setattr(owner, name, function)

    def _checked(self) -> list[tuple[object, str]]:
        for owner, name in self._points.values():
            if name not in owner.__dict__:
                raise AttributeError(f"{owner!r} has no {name!r} to be probed any more")
        return list(self._points.values())

    def _around(self, number: int, function: Callable[..., Any]) -> Callable[..., Any]:
        clock = time.monotonic_ns

        @functools.wraps(function)
        def probed(*args: Any, **kwargs: Any) -> Any:
            begin = clock()
            result = function(*args, **kwargs)
            end = clock()
            notes = self._current
            at = notes[0]
            notes[at + 1], notes[at + 2], notes[at + 3] = number, begin, end
            notes[0] = at + 3
            return result

        return probed

    def events(self, region: str) -> list[Event]:
        """Return what a process has noted, in the order in which the calls began. A call that raised is not in it."""
        notes = self._regions[region]
        events = [Event(self._names[notes[at]], notes[at + 1], notes[at + 2]) for at in range(1, notes[0] + 1, 3)]
        return sorted(events, key=lambda event: (event.begin, -event.end))


def own_times(events: Sequence[Event], begin: int, end: int) -> dict[str, int]:
    """Return how long the calls between two moments took, by name, without what they called that has a probe as well.

    Args:
        events: calls of one thread, in the order in which they began.
        begin: calls that began earlier do not count.
        end: nor do those that ended later.
    """
    times: dict[str, int] = {}
    around: list[Event] = []
    for event in events:
        if event.begin < begin or event.end > end:
            continue
        while around and around[-1].end <= event.begin:
            around.pop()
        took = event.end - event.begin
        times[event.name] = times.get(event.name, 0) + took
        if around:
            times[around[-1].name] -= took
        around.append(event)
    return times
