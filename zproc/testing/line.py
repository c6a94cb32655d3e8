"""A listener whose connections break when a test wants them to.

The law: what breaks here is what can break anywhere: a connection, before or after a request has arrived, or the
server. Nothing is lost, altered or repeated within a connection that lives.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

from zproc.core.messages import Command, decode_command
from zproc.transport import Arrival, Listener, Received
from zproc.typing import PeerId

__all__ = ["BreakingListener", "Fault"]


class Fault(enum.Enum):
    """What goes wrong with a request."""

    LOST = enum.auto()
    """The connection breaks before the request has come; nothing happens."""
    UNANSWERED = enum.auto()
    """The request is performed, and the connection breaks before the answer has come."""
    GARBLED = enum.auto()
    """The request is performed, and what comes is no answer."""
    FATAL = enum.auto()
    """The server is gone before the request has come."""


@dataclass(slots=True)
class _Plan:
    fault: Fault
    concerns: Callable[[Command], bool]
    times: int


class BreakingListener:
    """A listener whose connections break as planned; everything else is the other listener's.

    Args:
        inner: the listener.
    """

    def __init__(self, inner: Listener) -> None:
        self._inner = inner
        self._plans: list[_Plan] = []
        self._unanswered: dict[PeerId, Fault] = {}
        self.dead: bool = False
        """Whether the server is gone."""

    def plan(self, fault: Fault, concerns: Callable[[Command], bool], times: int = 1) -> None:
        """Plan a fault.

        Args:
            fault: what.
            concerns: tells of a request whether it is one of those.
            times: with how many of them.
        """
        self._plans.append(_Plan(fault, concerns, times))

    @property
    def address(self) -> str:
        """Where clients connect."""
        return self._inner.address

    def poll(self, timeout: float | None) -> list[Arrival]:
        """Wait until something has arrived, and take it."""
        return [] if self.dead else [arrival for arrival in self._inner.poll(timeout) if not self._is_lost(arrival)]

    def _is_lost(self, arrival: Arrival) -> bool:
        if self.dead:
            return True
        if not self._plans or not isinstance(arrival, Received):
            return False
        command = decode_command(arrival.frame)
        plan = next((plan for plan in self._plans if plan.concerns(command)), None)
        if plan is None:
            return False
        plan.times -= 1
        if not plan.times:
            self._plans.remove(plan)
        match plan.fault:
            case Fault.LOST:
                self._inner.disconnect(arrival.peer, "cut")
                return True
            case Fault.FATAL:
                self.dead = True
                self._inner.close()
                return True
            case _:
                self._unanswered[arrival.peer] = plan.fault
                return False

    def send(self, peer: PeerId, frame: bytes) -> None:
        """Send a frame, unless it is the one that does not come."""
        fault = self._unanswered.pop(peer, None)
        if fault is None:
            self._inner.send(peer, frame)
        elif fault is Fault.GARBLED:
            self._inner.send(peer, b"nonsense")
        else:
            self._inner.disconnect(peer, "cut")

    def disconnect(self, peer: PeerId, reason: str) -> None:
        """End a connection."""
        self._inner.disconnect(peer, reason)

    def allow(self, peer: PeerId, max_frame: int) -> None:
        """Take a peer for a client."""
        self._inner.allow(peer, max_frame)

    def add_waker(self, fileno: int) -> None:
        """Make ``poll`` return while this file descriptor is readable."""
        self._inner.add_waker(fileno)

    def wake(self) -> None:
        """Make the poll under way, or else the next one, return."""
        self._inner.wake()

    def close(self) -> None:
        """Disconnect everybody and give the address up."""
        self._inner.close()
