"""The outcomes of the requests of a client process.

The law: one request has one outcome. As long as it is remembered, a repeated request gets the same answer; afterwards,
the answer is that it is unknown. A request whose outcome was forgotten is never taken for a new one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import islice

from zproc.core.limits import Limits
from zproc.core.messages import Committed, Refused
from zproc.core.refusal import error_to_data
from zproc.exceptions import CommitUnknown, LeaseLost, LimitExceeded
from zproc.typing import RequestId, SessionId

__all__ = ["Session", "Sessions"]

_SEEN_PER_OUTCOME = 16
"""For how many times more requests than their outcomes it is known that they have come."""


class Session:
    """A client process: what became of its newest requests.

    Args:
        limits: the limits of the server.
        doubtful: whether this may be a session that was known once and is forgotten.
        before: requests with smaller numbers may have come then.
    """

    def __init__(self, limits: Limits, *, doubtful: bool, before: int = 0) -> None:
        self.connections = 0
        self._most = limits.outcomes
        self._most_bytes = limits.outcome_bytes
        self._doubtful = doubtful
        self._outcomes: dict[RequestId, tuple[Committed | Refused, int]] = {}
        """How requests were answered, and how many bytes each answer counts for, the oldest first."""
        self._bytes = 0
        self._forgotten = _Numbers(limits.outcomes * _SEEN_PER_OUTCOME, before if doubtful else 0)
        self._newest = before - 1 if doubtful else -1
        """Greater numbers than this have not come: nothing has to be looked up for most requests."""

    def outcome(self, request: RequestId) -> Committed | Refused | None:
        """Return how a request was answered, ``None`` if it has not come."""
        if request > self._newest:
            return None
        known = self._outcomes.get(request)
        if known is not None:
            return known[0]
        if request in self._forgotten:
            return _unknown(
                request, "the server remembers no more outcomes than its limits 'outcomes' and 'sessions' let it"
            )
        return None

    def remember(self, reply: Committed | Refused) -> None:
        """Keep the outcome of a request."""
        outcomes, request = self._outcomes, reply.request
        weight = len(reply.result if isinstance(reply, Committed) else reply.error)
        if weight > self._most_bytes:
            reply = _unknown(request, f"its result was too large to be kept ({self._most_bytes} outcome_bytes)")
            weight = len(reply.error)
        if request > self._newest:
            self._newest = request
        elif request in outcomes:
            self._bytes -= outcomes[request][1]
        outcomes[request] = reply, weight
        self._bytes += weight
        if len(outcomes) > self._most or self._bytes > self._most_bytes:
            self._forget()

    def _forget(self) -> None:
        """Forget the oldest outcomes, an eighth of those that may be kept at once, and more if they are too large."""
        outcomes, most = self._outcomes, self._most
        if len(outcomes) > most:
            self._drop(list(islice(outcomes, len(outcomes) - most + most // 8)))
        while self._bytes > self._most_bytes:
            self._drop(list(islice(outcomes, 1)))

    def _drop(self, requests: Sequence[RequestId]) -> None:
        take_out = self._outcomes.pop
        self._bytes -= sum([take_out(request)[1] for request in requests])
        self._forgotten.update(requests)

    def give_up(self, request: RequestId) -> Committed | Refused | None:
        """Return the outcome of a request; of one that has not come, make sure that it comes too late.

        Returns:
            How it was answered, ``None`` if it had no effect and will have none.
        """
        outcome = self.outcome(request)
        if outcome is None and self._doubtful:
            outcome = _unknown(request, "the server remembers no more processes than its limit 'sessions' lets it")
            self.remember(outcome)
        elif outcome is None:
            self.remember(Refused(request, _LATE))
        return outcome


class Sessions:
    """The client processes that a server knows.

    Args:
        limits: the limits of the server.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._sessions: dict[SessionId, Session] = {}
        self._absent: OrderedDict[SessionId, None] = OrderedDict()
        self._forgot = False

    def enter(self, name: SessionId, hello: RequestId) -> Session:
        """Record a new connection of a process.

        Args:
            name: which process.
            hello: the number by which it introduced itself, greater than those of the requests that it may send again.

        Raises:
            LimitExceeded: there are too many processes, and all of them are connected.
        """
        session = self._sessions.get(name)
        if session is None:
            self._make_room()
            session = self._sessions[name] = Session(self._limits, doubtful=self._forgot, before=hello)
        self._absent.pop(name, None)
        session.connections += 1
        return session

    def _make_room(self) -> None:
        if len(self._sessions) < self._limits.sessions:
            return
        if not self._absent:
            raise LimitExceeded("sessions", len(self._sessions) + 1, self._limits.sessions)
        del self._sessions[self._absent.popitem(last=False)[0]]
        self._forgot = True

    def leave(self, name: SessionId) -> bool:
        """Record that a connection of a process is gone, and return whether it was its last."""
        session = self._sessions[name]
        assert session.connections > 0, "more connections have gone than came"
        session.connections -= 1
        if not session.connections:
            self._absent[name] = None
        return not session.connections


class _Numbers:
    """A set of numbers in bounded space: exact for the greatest, and taken to hold whatever is smaller than those.

    Args:
        span: for how many numbers it is exact.
        bottom: all below this are in it.
    """

    def __init__(self, span: int, bottom: int = 0) -> None:
        self._span = span
        self._bottom = bottom
        self._bits = 0

    def update(self, numbers: Sequence[int]) -> None:
        """Add numbers, at least one."""
        past = max(numbers) - (self._bottom + self._span) + 1
        if past > 0:
            self._bottom += past
            self._bits >>= past
        bottom = self._bottom
        # Numbers that are put in together are near to each other: only their bits together are shifted far.
        least = max(bottom, min(numbers))
        bits = 0
        for number in numbers:
            if number >= least:
                bits |= 1 << (number - least)
        self._bits |= bits << (least - bottom)

    def __contains__(self, number: int) -> bool:
        return number < self._bottom or bool(self._bits >> (number - self._bottom) & 1)


def _unknown(request: RequestId, reason: str) -> Refused:
    return Refused(request, error_to_data(CommitUnknown(request, reason)))


_LATE = error_to_data(LeaseLost("the request came after it was given up; nothing was applied"))
