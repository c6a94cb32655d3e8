"""The thread that sees processes end, and calls back when they are due to be restarted.

The law: one thread for all processes of this one, and none while there is nothing to supervise. It sleeps until one of
them sends something or ends, or until a time has come; then it calls back. It decides nothing, and the callbacks must
not wait for what only this thread can bring about.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import os
import select
import threading
import time
from collections.abc import Callable
from typing import Any

from zproc.process import descriptor
from zproc.process.incarnation import Incarnation

__all__ = ["LOG", "Supervision", "supervision"]

LOG = logging.getLogger("zproc")


class _Place:
    """A process under supervision."""

    def __init__(self, incarnation: Incarnation[Any], ended: Callable[[], None]) -> None:
        self.incarnation = incarnation
        self.ended = ended
        self.polled: dict[int, int] = {}


class Supervision:
    """Watches processes, and makes calls at given times."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._arrived: list[_Place] = []
        self._calls: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._bell = self._ringing = -1
        # These belong to the thread, the first one once it runs.
        self._poller: select.poll
        self._places: dict[int, _Place] = {}

    def watch(self, incarnation: Incarnation[Any], ended: Callable[[], None]) -> None:
        """Receive what a process sends, and call back once when it has ended."""
        incarnation.hold()
        with self._lock:
            self._arrived.append(_Place(incarnation, ended))
            self._wake()

    def call_at(self, at: float, function: Callable[[], None]) -> int:
        """Call a function at a time, by `time.monotonic`; return the number by which `cancel` knows the call."""
        with self._lock:
            number = next(self._numbers)
            heapq.heappush(self._calls, (at, number, function))
            self._wake()
        return number

    def cancel(self, number: int) -> None:
        """Cancel a call, if it was not made yet."""
        with self._lock:
            if kept := [call for call in self._calls if call[1] != number]:
                heapq.heapify(kept)
            self._calls = kept
            if self._thread is not None:
                self._wake()

    def _wake(self) -> None:
        """Wake the thread, or start it. Requires the lock."""
        assert self._lock.locked()
        if self._thread is not None:
            os.write(self._ringing, b".")
            return
        self._bell, self._ringing = map(descriptor.keep, os.pipe())
        self._poller = select.poll()
        self._poller.register(self._bell, select.POLLIN)
        self._thread = threading.Thread(target=self._run, name="zproc-supervision", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            with self._lock:
                arrived, self._arrived = self._arrived, []
                due = self._due()
                if not (arrived or due or self._calls or self._places):
                    descriptor.close(self._bell, self._ringing)
                    self._thread = None
                    return
                patience = None if not self._calls else max(0.0, self._calls[0][0] - time.monotonic()) * 1000 + 1
            for place in arrived:
                self._attend(place)
            for function in due:
                _call(function)
            if not arrived and not due:
                self._poll(patience)

    def _due(self) -> list[Callable[[], None]]:
        due = []
        while self._calls and self._calls[0][0] <= time.monotonic():
            due.append(heapq.heappop(self._calls)[2])
        return due

    def _poll(self, patience: float | None) -> None:
        for number, _ in self._poller.poll(patience):
            if number == self._bell:
                os.read(self._bell, 4096)
            elif number in self._places:  # if not removed with another descriptor of the same process
                self._attend(self._places[number])

    def _attend(self, place: _Place) -> None:
        """Attend to one process: register what is to be polled now, or call back if it has ended."""
        ended = place.incarnation.advance()
        wanted = {} if ended else place.incarnation.descriptors()
        for number in place.polled.keys() - wanted.keys():
            self._poller.unregister(number)
            del self._places[number]
        for number, events in wanted.items():
            if number not in place.polled:
                self._poller.register(number, events)
                self._places[number] = place
        place.polled = wanted
        if ended:
            place.incarnation.release()
            _call(place.ended)


def _call(function: Callable[[], None]) -> None:
    try:
        function()
    except BaseException:  # the other processes must not suffer for it
        LOG.exception("an error in the supervision of processes")


supervision: Supervision = Supervision()
"""The one of this process."""


def _after_fork_in_child() -> None:
    supervision.__init__()  # type: ignore[misc]  # the thread does not exist here, and the descriptors are closed


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
