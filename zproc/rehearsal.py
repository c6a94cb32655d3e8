"""What a state server begins with, rehearsed by a process that is likely to become one.

The law: only a process that rehearses imports this module, because importing a module that defines a model, as a server
does to obtain the model of its state, is part of the rehearsal. The result is thrown away; what remains is that the
memory that was written to meanwhile is the process's own, and no longer shared with the one that it was forked from.
"""

from __future__ import annotations

from zproc.core.limits import Limits
from zproc.core.messages import PROTOCOL, Hello, Read, decode_command, encode
from zproc.core.server import Send
from zproc.host import core_of
from zproc.schema.model import Schema, StateModel
from zproc.typing import Epoch, PeerId, RequestId, SessionId

__all__ = ["rehearse"]


class Rehearsal(StateModel):
    """Some state."""

    number: int = 0


def rehearse() -> int:
    """Run the start of a server and of its first client, and return how many answers there were."""
    peer = PeerId(0)
    core = core_of({"": Rehearsal}, Epoch(""), Limits())
    hello = Hello(RequestId(0), PROTOCOL, "", Schema.of(Rehearsal).fingerprint, {}, SessionId(""), 0, "")
    for command in (hello, Read(RequestId(1), ("number",), None, None, None)):
        core.receive(peer, decode_command(encode(command)), now=0.0, wall=0.0)
    return len([encode(effect.reply) for effect in core.effects() if isinstance(effect, Send)])
