"""Every limit of a server, in one place.

The law: whatever a client can make the server keep, build or wait for has a limit here, and reaching it is an error
that names it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from zproc.arguments import NUMBER, WHOLE, expect
from zproc.core.messages import MAX_LIST
from zproc.exceptions import UsageError
from zproc.schema.codec import MAX_DEPTH

__all__ = ["ENVELOPE", "LARGEST_ERROR", "Limits"]

ENVELOPE = 64
"""The most bytes of a reply around the values in it."""

LARGEST_ERROR = 64 << 10
"""The most bytes of an error as data; what would be longer is shortened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of a server.

    Attributes:
        lease_time: how long one turn may take, in seconds.
        compute_time: how long one action, or the validators of one commit, may run in the server, in seconds.
        hello_bytes: the largest message of a connection that has not introduced itself.
        message_bytes: the largest message after that, in either direction.
        nesting: how deep containers may stand within containers in a message.
        commit_ops: the most ops in one commit.
        state_bytes: how large one state may become, in about the bytes that it is encoded in; in the server's memory it
            takes several times that.
        history_commits: how many commits the history holds.
        history_bytes: how many bytes of encoded changes the history holds.
        peers: how many connections there may be at a time.
        sessions: how many client processes are remembered; who left first is forgotten first.
        outcomes: how many outcomes are kept per session, so that a repeated request is answered and not repeated.
        outcome_bytes: how many bytes the results in these outcomes have per session.
        waiting: how many requests of one connection may wait for their turn or for a change.
        waiting_bytes: how many bytes the requests of one connection that wait may have.
        watchers: how many watchers of one state may wait for a change, of all clients together.
        pattern_bytes: how many bytes the patterns of one watcher may have.
        batch_commits: how many commits one reply to a watcher carries at most.

    Raises:
        UsageError: a limit is no number, or lets nothing through.
    """

    lease_time: float = 30.0
    compute_time: float = 1.0
    hello_bytes: int = 4 << 10
    message_bytes: int = 16 << 20
    nesting: int = MAX_DEPTH
    commit_ops: int = 100_000
    state_bytes: int = 1 << 30
    history_commits: int = 10_000
    history_bytes: int = 64 << 20
    peers: int = 10_000
    sessions: int = 10_000
    outcomes: int = 256
    outcome_bytes: int = 1 << 20
    waiting: int = 1_024
    waiting_bytes: int = 64 << 20
    watchers: int = 50_000
    pattern_bytes: int = 16 << 10
    batch_commits: int = 256

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            expect(f"the limit {field.name!r}", value, WHOLE if type(field.default) is int else NUMBER)
            if not value > 0:
                raise UsageError(f"the limit {field.name!r} must be positive, not {value!r}")
        if self.message_bytes < 2 * LARGEST_ERROR:
            raise UsageError(f"the limit 'message_bytes' must be at least {2 * LARGEST_ERROR}: errors have to fit")
        if self.message_bytes >= 1 << 31:
            raise UsageError("the limit 'message_bytes' must be below 2 GiB: lengths travel in 31 bits")
        if self.hello_bytes > self.message_bytes:
            raise UsageError("the limit 'hello_bytes' must be at most 'message_bytes'")
        if self.nesting > MAX_DEPTH:
            raise UsageError(
                f"the limit 'nesting' must be at most {MAX_DEPTH}, which is as deep as values can be encoded"
            )
        if self.batch_commits > MAX_LIST:
            raise UsageError(f"the limit 'batch_commits' must be at most {MAX_LIST}, the longest list in a message")
