"""One loop: wait, feed the rules, perform what they say.

The law: everything that happens to the rules happens here, in one thread, one arrival after the other, and every
effect is performed before the next arrival is looked at. A fault of ours costs the peer that met it its connection, and
nobody else anything.
"""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Callable
from typing import Final, Protocol, assert_never

from zproc.core.messages import decode_command, encode
from zproc.core.quota import Quota
from zproc.core.server import Disconnect, Effect, Published, Send, ServerCore, Welcomed
from zproc.exceptions import LimitExceeded, ProtocolError
from zproc.transport import Closed, Listener, Opened, Received, Words, went_by_itself
from zproc.typing import PeerId

__all__ = ["Clock", "SystemClock", "perform", "serve"]

_log = logging.getLogger(__name__)

_LOOK: Final = 0.05
"""How long a server that is busy may be told to stop before it looks, in seconds."""


_CUTS: Final = 20
"""How many connections that are cut off are told one by one in each period."""

_PERIOD: Final = 60.0
"""How long that is, in seconds."""


class Clock(Protocol):
    """The time that the rules are told."""

    def now(self) -> float:
        """Return a time that never goes back, in seconds."""
        ...

    def wall(self) -> float:
        """Return the time of day, in seconds since 1970."""
        ...

    def until(self, deadline: float) -> float | None:
        """Return how long to wait for a time to come, in seconds; ``None`` if whoever makes it come wakes the loop."""
        ...


class SystemClock:
    """The clocks of the system; the one that never goes back begins anywhere."""

    def __init__(self) -> None:
        # So that no client can ever compare it with its own.
        self._offset = random.uniform(0, 1e6)

    def now(self) -> float:
        """Return a time that never goes back, in seconds."""
        return time.monotonic() + self._offset

    def wall(self) -> float:
        """Return the time of day, in seconds since 1970."""
        return time.time()

    def until(self, deadline: float) -> float:
        """Return how long to wait for a time to come, in seconds."""
        return max(0.0, deadline - self.now())


def serve(
    core: ServerCore,
    listener: Listener,
    stopping: Callable[[], bool],
    words: Words | None = None,
    clock: Clock | None = None,
) -> None:
    """Serve until told to stop.

    Args:
        core: the rules.
        listener: where clients come in; it is not closed here.
        stopping: looked at when nothing arrives, and now and then while much does, because the look may cost as much as
            a request; whoever makes it true wakes the listener.
        words: where the newest revisions are written; ``None`` if nobody can see them.
        clock: what time it is for the rules; by default, that of the system.
    """
    clock = clock or SystemClock()
    largest = core.limits.message_bytes
    cuts = _Cuts(_CUTS, _PERIOD)
    now, deadline = clock.now(), core.next_deadline()
    look, wait = 0.0, None
    while True:
        started = time.monotonic()
        if started >= look:
            if stopping():
                cuts.tell(math.inf)
                return
            look, wait = math.inf, None
        timeout = wait
        if deadline is not None and (wait is None or deadline < now + wait):
            timeout = _sooner(wait, clock.until(deadline))
        arrivals = listener.poll(timeout)
        for arrival in arrivals:
            # Looked at for each: what came before it may have computed for a second, and a turn begins now.
            now = clock.now()
            if isinstance(arrival, Received):
                try:
                    core.receive(arrival.peer, decode_command(arrival.frame), now=now, wall=clock.wall())
                except Exception as error:  # noqa: BLE001 - whatever it is, others go on
                    _fail(core, arrival.peer, error)
            else:
                _notice(core, cuts, arrival, now)
            perform(core.effects(), listener, words, largest)
        if not arrivals:
            look, now = 0.0, clock.now()
        elif wait is None:
            look, wait = started + _LOOK, _LOOK
        if deadline is not None and now >= deadline:
            core.tick(now=now)
            perform(core.effects(), listener, words, largest)
        deadline = core.next_deadline()
        if cuts.held:
            cuts.tell(now)
            deadline = _sooner(deadline, cuts.next_deadline())


class _Cuts(Quota):
    """Tells of connections that were cut off; of many, how many there were."""

    __slots__ = ()

    def hear(self, cut: Closed, now: float) -> None:
        self.tell(now)
        if self.takes(now):
            told = {"peer": cut.peer, "reason": cut.reason}
            _log.warning("peer %d was cut off: %s", cut.peer, cut.reason, extra=told)

    def tell(self, now: float) -> None:
        if held := self.release(now):
            _log.warning("%d more were cut off within %g s and are not listed", held, self.period, extra={"held": held})


def _sooner(wait: float | None, other: float | None) -> float | None:
    if wait is None or other is None:
        return other if wait is None else wait
    return min(wait, other)


def _fail(core: ServerCore, peer: PeerId, error: Exception) -> None:
    if not isinstance(error, (ProtocolError, LimitExceeded)):
        # A bug of ours. The rules undo what they had begun, so everybody else can go on.
        _log.error("request of peer %s failed", peer, exc_info=error)
        error = ProtocolError(f"the server failed on this request: {error!r}")
    core.malformed(peer, error)


def _notice(core: ServerCore, cuts: _Cuts, arrival: Opened | Closed, now: float) -> None:
    if isinstance(arrival, Closed):
        core.disconnected(arrival.peer, now=now)
        if not went_by_itself(arrival.reason):
            cuts.hear(arrival, now)


def perform(effects: list[Effect], listener: Listener, words: Words | None, largest: int) -> None:
    """Do what the rules say.

    Args:
        effects: what they say, in order.
        listener: where the clients are.
        words: where the newest revisions are written; ``None`` if nobody can see them.
        largest: the largest message of a client that is welcome, in bytes.
    """
    for effect in effects:
        if isinstance(effect, Send):
            try:
                listener.send(effect.peer, encode(effect.reply))
            except Exception as error:  # noqa: BLE001 - see below
                # A bug of ours, too: the rules keep what they say within the limits.
                _log.exception("reply to peer %s cannot be sent", effect.peer)
                listener.disconnect(effect.peer, f"a reply cannot be sent: {error}")
        elif isinstance(effect, Published):
            if words is not None:
                words.write(effect.index, effect.revision)
        elif isinstance(effect, Welcomed):
            listener.allow(effect.peer, largest)
        elif isinstance(effect, Disconnect):
            listener.disconnect(effect.peer, effect.reason)
        else:
            assert_never(effect)
