"""One loop: wait, feed the rules, perform what they say.

The law: everything that happens to the rules happens here, in one thread, one arrival after the other, and every
effect is performed before the next arrival is looked at. A fault of ours costs the peer that met it its connection, and
nobody else anything.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import Final, assert_never

from zproc.core.messages import decode_command, encode
from zproc.core.server import Disconnect, Effect, Published, Send, ServerCore, Welcomed
from zproc.exceptions import LimitExceeded, ProtocolError
from zproc.transport import Closed, Listener, Opened, Received, Words
from zproc.typing import PeerId

__all__ = ["serve"]

_log = logging.getLogger(__name__)

_LOOK: Final = 0.05
"""How long a server that is busy may be told to stop before it looks, in seconds."""


def serve(core: ServerCore, listener: Listener, stopping: Callable[[], bool], words: Words | None = None) -> None:
    """Serve until told to stop.

    Args:
        core: the rules.
        listener: where clients come in; it is not closed here.
        stopping: looked at when nothing arrives, and now and then while much does, because the look may cost as much as
            a request; whoever makes it true wakes the listener.
        words: where the newest revisions are written; ``None`` if nobody can see them.
    """
    # The clock starts at a random point, so that no client can ever compare it with its own.
    offset = random.uniform(0, 1e6)
    deadline: float | None = None
    look: float | None = 0.0
    while True:
        now = time.monotonic() + offset
        if look is not None and now >= look:
            if stopping():
                return
            look = None
        due = min((at for at in (deadline, look) if at is not None), default=None)
        arrivals = listener.poll(None if due is None else max(0.0, due - now))
        for arrival in arrivals:
            # Looked at for each: what came before it may have computed for a second, and a turn begins now.
            now = time.monotonic() + offset
            match arrival:
                case Received(peer, frame):
                    _take(core, peer, frame, now)
                case Closed(peer):
                    core.disconnected(peer, now=now)
                case Opened():
                    continue
                case _:
                    assert_never(arrival)
            _perform(core.effects(), listener, words, core.limits.message_bytes)
        if look is None:
            look = now + _LOOK if arrivals else 0.0
        if deadline is not None and (now := time.monotonic() + offset) >= deadline:
            core.tick(now=now)
            _perform(core.effects(), listener, words, core.limits.message_bytes)
        deadline = core.next_deadline()


def _take(core: ServerCore, peer: PeerId, frame: bytes, now: float) -> None:
    try:
        core.receive(peer, decode_command(frame), now=now, wall=time.time())
    except (ProtocolError, LimitExceeded) as error:
        core.malformed(peer, error)
    except Exception as error:  # noqa: BLE001 - see below
        # A bug of ours. The rules undo what they had begun, so everybody else can go on.
        _log.exception("request of peer %s failed", peer)
        core.malformed(peer, ProtocolError(f"the server failed on this request: {error!r}"))


def _perform(effects: list[Effect], listener: Listener, words: Words | None, largest: int) -> None:
    for effect in effects:
        match effect:
            case Send(peer, reply):
                try:
                    listener.send(peer, encode(reply))
                except Exception as error:  # noqa: BLE001 - see below
                    # A bug of ours, too: the rules keep what they say within the limits.
                    _log.exception("reply to peer %s cannot be sent", peer)
                    listener.disconnect(peer, f"a reply cannot be sent: {error}")
            case Published(index, revision):
                if words is not None:
                    words.write(index, revision)
            case Welcomed(peer):
                listener.allow(peer, largest)
            case Disconnect(peer, reason):
                listener.disconnect(peer, reason)
            case _:
                assert_never(effect)
