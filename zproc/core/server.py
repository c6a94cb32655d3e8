"""The state server's rules: commands in, effects out.

The law: nothing happens but by ``receive``, ``malformed``, ``disconnected`` and ``tick``, and what follows from them is
drained from ``effects``; time is an argument. So every race is a list of messages, to be replayed in any order.

Every command is answered, at once or when its turn or its change comes; a copy of one that waits is answered with it.
A peer that does not speak the protocol is told so, cut off, and not listened to any longer. One request of a session
has one effect, however often it is sent, and one outcome. A revision is published before anybody is told of it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import ClassVar, Final, cast, get_args

from zproc.core.budget import Budget, BudgetExceeded
from zproc.core.effect import Disconnect, Effect, Published, Send, Welcomed, hurry
from zproc.core.history import Author, Entry
from zproc.core.keeper import Keeper, KeptNamespace, namespace_of
from zproc.core.lease import Holder, Running, Turns, Waiting
from zproc.core.limits import ENVELOPE, Limits
from zproc.core.messages import (
    PROTOCOL,
    Acquire,
    Act,
    Answered,
    Cancel,
    Changes,
    Command,
    Commit,
    Committed,
    Granted,
    Hello,
    Look,
    Outcome,
    Ping,
    Pong,
    Read,
    Refused,
    Release,
    Reply,
    Values,
    Watch,
    Welcome,
)
from zproc.core.namespace import Namespace
from zproc.core.peer import Peer
from zproc.core.refusal import error_to_data
from zproc.core.session import Session, Sessions
from zproc.core.survey import survey
from zproc.core.watch import Watcher, Watchers, concerns
from zproc.exceptions import (
    Error,
    HistoryGone,
    LeaseLost,
    LimitExceeded,
    ProtocolError,
    UnknownPath,
    UsageError,
)
from zproc.schema.faults import raiser
from zproc.schema.model import Schema, StateModel
from zproc.typing import Epoch, LeaseId, PeerId, RequestId

__all__ = ["Disconnect", "Effect", "Published", "Send", "ServerCore", "Welcomed"]


@dataclass(slots=True)
class _Space:
    """A namespace with whoever waits for it.

    Attributes:
        keeper: who tells it what it holds, if programs only read it.
        parted: the sessions that have ended of which it has not heard yet.
    """

    index: int
    namespace: Namespace
    turns: Turns
    watchers: Watchers
    keeper: Keeper | None = None
    parted: list[Author] = field(default_factory=list)


@dataclass(slots=True)
class _Known:
    """A connection that has introduced itself, with the namespace that it is for."""

    id: PeerId
    session: Session
    peer: Peer
    space: _Space
    author: Author
    """Who made its last commit: it, by a function that may be the same one the next time."""

    def author_by(self, function: str) -> Author:
        if self.author.function != function:
            self.author = replace(self.author, function=function)
        return self.author


def _unbounded(_seconds: float) -> nullcontext[None]:
    return nullcontext()


class ServerCore:
    """A state server without its sockets and clocks.

    Args:
        schemas: the namespaces, by name.
        epoch: the name of this server's life.
        pid: the process that it runs in.
        limits: its limits.
        budget: what bounds the time of actions and validators.
    """

    def __init__(
        self,
        schemas: Mapping[str, Schema[StateModel]],
        *,
        epoch: Epoch,
        pid: int = 0,
        limits: Limits | None = None,
        budget: Budget = _unbounded,
    ) -> None:
        self.limits: Final = limits or Limits()
        self._epoch = epoch
        self._pid = pid
        self._budget = budget
        self._spaces: dict[str, _Space] = {}
        self._running: Running = OrderedDict()
        for name, schema in schemas.items():
            self.add(name, schema)
        self._peers: dict[PeerId, _Known] = {}
        self._cut: set[PeerId] = set()
        self._sessions = Sessions(self.limits)
        self._effects: list[Effect] = []
        self._now = 0.0
        self._wall = 0.0

    def add(self, name: str, schema: Schema[StateModel], keeper: Keeper | None = None) -> None:
        """Add a namespace; of one that there is, make sure that it is declared like this.

        One that has a keeper is not written otherwise, and hears of each session of it that has ended.

        Raises:
            SchemaMismatch: it is declared differently.
        """
        known = self._spaces.get(name)
        if known is None:
            namespace = namespace_of(schema, self.limits, self._budget, keeper)
            turns, watchers = Turns(self.limits.lease_time, self._running), Watchers(self.limits.watchers)
            self._spaces[name] = _Space(len(self._spaces), namespace, turns, watchers, keeper)
        else:
            known.namespace.agree(schema.fingerprint, schema.table)

    def namespace(self, name: str) -> Namespace:
        """Return a namespace, to be looked at."""
        return self._spaces[name].namespace

    def survey(self, *, now: float) -> list[str]:
        """Say, for people, who has the turn of each state, and what everybody waits for."""
        return survey(self._spaces, [known.peer for known in self._peers.values()], now=now)

    # What the shell calls

    def receive(self, peer: PeerId, command: Command, *, now: float, wall: float = 0.0) -> None:
        """Take a command.

        Args:
            peer: the connection that it came by.
            command: the command.
            now: the monotonic time, in seconds.
            wall: the time of day, in seconds since 1970; it is written into the history and never compared.
        """
        self._now, self._wall = now, wall
        known = self._peers.get(peer)
        if known is None:
            if peer not in self._cut:
                self._introduce(peer, command)
            return
        try:
            self._performed_by[type(command)](self, known, command)
        except Error as error:
            self._refuse(known, command.request, error)

    def malformed(self, peer: PeerId, error: Error) -> None:
        """Take note that a peer sent what is no command: it is told, and cut off."""
        if peer not in self._cut:
            self._cut_off(peer, RequestId(0), error)

    def disconnected(self, peer: PeerId, *, now: float) -> None:
        """Take note that a connection is gone, by its own will or since it was cut off; nothing more will come by it.

        Its turn ends, and nothing of it waits any longer.

        Args:
            peer: the connection.
            now: the monotonic time, in seconds.
        """
        self._pass_time(now)
        self._cut.discard(peer)
        self._leave(peer)

    def tick(self, *, now: float) -> None:
        """Let time pass: turns that have overrun the limit end.

        Args:
            now: the monotonic time, in seconds.
        """
        self._pass_time(now)
        for space in self._spaces.values():
            holder = space.turns.holder
            if holder is not None and space.turns.expired(now=now):
                self._peers[holder.peer].peer.overran = holder.lease
                space.turns.end()
                self._advance(space)

    def next_deadline(self) -> float | None:
        """Return when ``tick`` is to be called at the latest, in the time that ``now`` is given in."""
        # Of the holders of turns the first, since the limit is one for all of them.
        return next(iter(self._running.values())).deadline if self._running else None

    def effects(self) -> list[Effect]:
        """Return what is to be done, in order, and forget it."""
        effects, self._effects = self._effects, []
        return effects

    def _pass_time(self, now: float) -> None:
        # Commits that waited are applied at a time of day, too; it went on as the monotonic time did.
        self._wall += now - self._now
        self._now = now

    # Introduction and leave

    def _introduce(self, peer: PeerId, command: Command) -> None:
        if isinstance(command, Ping):
            self._send(peer, Pong(command.request, self._pid))
            return
        if not isinstance(command, Hello):
            self._cut_off(peer, command.request, ProtocolError("the first message is not Hello"))
            return
        try:
            space = self._space_for(command)
            session = self._sessions.enter(command.session, command.request)
        except Error as error:
            self._cut_off(peer, command.request, error)
            return
        author = Author(command.session, command.pid, command.process, "")
        known = Peer(peer, replace(command, table={}), session, self.limits)
        self._peers[peer] = _Known(peer, session, known, space, author)
        self._effects.append(Welcomed(peer))
        revision = space.namespace.revision
        self._send(peer, Welcome(command.request, self._epoch, space.index, revision, self.limits.message_bytes))

    def _space_for(self, hello: Hello) -> _Space:
        """Return the namespace that a client asks for.

        Raises:
            ProtocolError: the client speaks another version of the protocol.
            UnknownPath: there is no such namespace.
            SchemaMismatch: the client declares the state differently.
        """
        if hello.version != PROTOCOL:
            raise ProtocolError(
                f"the server speaks version {PROTOCOL} of the protocol, the client version {hello.version}"
            )
        space = self._spaces.get(hello.namespace)
        if space is None:
            raise UnknownPath(
                hello.namespace, f"no such namespace; the server has {', '.join(map(repr, self._spaces))}"
            )
        space.namespace.agree(hello.fingerprint, hello.table)
        return space

    def _cut_off(self, peer: PeerId, request: RequestId, error: Error) -> None:
        """Tell a peer what it did wrong, and have nothing more to do with it."""
        self._send(peer, Refused(request, error_to_data(error)))
        self._effects.append(Disconnect(peer, str(error)))
        self._cut.add(peer)
        self._leave(peer)

    def _leave(self, peer: PeerId) -> None:
        known = self._peers.pop(peer, None)
        if known is None:
            return
        for request in list(known.peer.waiting):
            self._withdraw(known, request)
        if known.space.turns.held_by(peer) is not None:
            known.space.turns.end()
        if self._sessions.leave(known.peer.hello.session) and known.space.keeper is not None:
            known.space.parted.append(known.author_by(known.space.keeper.farewell))
        self._advance(known.space)

    # Commands

    def _hello(self, known: _Known, command: Hello) -> None:
        self._cut_off(known.id, command.request, ProtocolError("a second Hello"))

    def _read(self, known: _Known, command: Read) -> None:
        self._send(known.id, _read(known.space.namespace, command))

    def _look(self, known: _Known, command: Look) -> None:
        values, large = known.space.namespace.look(command.path, command.ask, command.largest)
        self._send(known.id, Values(command.request, known.space.namespace.revision, values, large))

    def _outcome(self, known: _Known, command: Outcome) -> None:
        outcome = known.session.give_up(command.of)
        reply = Answered(command.request) if outcome is None else replace(outcome, request=command.request)
        self._send(known.id, reply)

    def _ping(self, known: _Known, command: Ping) -> None:
        self._send(known.id, Pong(command.request, self._pid))

    # Changes

    def _change(self, known: _Known, command: Commit | Act) -> None:
        outcome = known.session.outcome(command.request)
        if outcome is not None:
            self._send(known.id, outcome)
        elif isinstance(command, Commit) and command.lease is not None:
            self._change_in_turn(known, command, command.lease)
        elif known.space.turns.is_free():
            self._apply(known, command)
        elif known.space.turns.held_by(known.id) is not None:
            self._settle(known, command.request, UsageError("this connection holds the turn and would wait for itself"))
        else:
            self._queue(known, command)

    def _change_in_turn(self, known: _Known, command: Commit, lease: LeaseId) -> None:
        turns = known.space.turns
        if turns.holds(known.id, lease):
            turns.end()
            self._apply(known, command)
            self._advance(known.space)
        else:
            limit = (
                f"it overran lease_time, {self.limits.lease_time:g} s"
                if known.peer.overran == lease
                else "it had ended"
            )
            self._settle(
                known,
                command.request,
                LeaseLost(f"the turn was lost before its commit came: {limit}; nothing was applied"),
            )

    def _apply(self, known: _Known, command: Commit | Act) -> None:
        """Apply a commit or call an action now, and answer it."""
        space = known.space
        try:
            if isinstance(command, Commit):
                author = known.author_by(command.function)
                entry, result = space.namespace.commit(command.ops, author, wall=self._wall)
            else:
                author = known.author_by(command.action)
                entry, result = space.namespace.act(command.action, command.call, author, wall=self._wall)
        except BudgetExceeded as error:
            limit, cure = self.limits.compute_time, f"{raiser(error) or _name(command)} {_TOO_LONG}"
            self._settle(known, command.request, LimitExceeded("compute_time", limit, limit, cure))
            return
        except BaseException as error:  # noqa: BLE001 - an action may raise anything; the caller gets it, and no other
            self._settle(known, command.request, error)
            return
        if entry is None:
            self._answer(known, Committed(command.request, space.namespace.revision, result))
            return
        reply = Committed(command.request, entry.revision, result)
        known.session.remember(reply)
        self._effects += Published(space.index, entry.revision), Send(known.id, reply)
        if woken := space.watchers.woken_by(entry):
            self._announce(space, entry, woken)

    def _announce(self, space: _Space, entry: Entry, woken: list[Watcher]) -> None:
        """Tell whoever waited for it of a commit, the newest."""
        state: Callable[[], bytes] = partial(space.namespace.read, ())
        if len(woken) > 1:
            state = cache(state)
        for watcher in woken:
            known = self._peers[watcher.peer]
            known.peer.no_longer_waits(watcher.command.request)
            try:
                reply = self._changes(watcher, [entry], state)
            except Error as error:
                self._refuse(known, watcher.command.request, error)
            else:
                self._send(watcher.peer, reply)

    # Turns

    def _acquire(self, known: _Known, command: Acquire) -> None:
        turns = known.space.turns
        outcome = known.session.outcome(command.request)
        if outcome is not None:
            self._send(known.id, outcome)
        elif turns.is_free():
            self._grant(known, command)
        elif (held := turns.held_by(known.id)) is None:
            self._queue(known, command)
        elif held.request == command.request:
            self._grant(known, command, held)
        else:
            raise UsageError("this connection holds the turn already")

    def _grant(self, known: _Known, command: Acquire, held: Holder | None = None) -> None:
        """Grant the turn, or, to who holds it already, say so again."""
        namespace = known.space.namespace
        values, large = b"", tuple[str, ...]()
        if command.fields:
            values, large = namespace.read_small(command.fields, command.since, command.largest)
        # Only now, since what is too large for an answer must not keep the turn.
        holder = known.space.turns.take(known.id, command.request, now=self._now) if held is None else held
        self._send(known.id, Granted(command.request, holder.lease, namespace.history.newest, values, large))

    def _release(self, known: _Known, command: Release) -> None:
        if known.space.turns.holds(known.id, command.lease):
            known.space.turns.end()
        self._send(known.id, Answered(command.request))
        self._advance(known.space)

    def _advance(self, space: _Space) -> None:
        """Let those who wait have their turns, until one of them keeps it."""
        if space.parted:
            self._see_off(space)
        while (waiting := space.turns.next_waiting()) is not None:
            known = self._peers[waiting.peer]
            command = waiting.command
            known.peer.no_longer_waits(command.request)
            # Another copy may have been settled, or given up, meanwhile.
            outcome = known.session.outcome(command.request)
            try:
                if outcome is not None:
                    self._send(known.id, outcome)
                elif isinstance(command, Acquire):
                    self._grant(known, command)
                    hurry(self._effects)
                else:
                    self._apply(known, command)
            except Error as error:
                self._refuse(known, command.request, error)

    def _see_off(self, space: _Space) -> None:
        """Tell the state of sessions that have ended, between two turns."""
        while space.parted and space.turns.holder is None:
            author, kept = space.parted.pop(0), space.namespace
            assert isinstance(kept, KeptNamespace), "a state without a keeper hears of nobody"
            # An action of zproc's own; if it fails there is nobody to be told, and nothing has changed.
            with suppress(Exception):
                entry = kept.see_off(author, wall=self._wall)
                if entry is not None:
                    self._effects.append(Published(space.index, entry.revision))
                    self._announce(space, entry, space.watchers.woken_by(entry))

    # Watchers

    def _watch(self, known: _Known, command: Watch) -> None:
        if known.peer.waits_already(command):
            return
        namespace = known.space.namespace
        watcher = Watcher(known.id, known.peer.hello.session, command, namespace.patterns(command.patterns))
        missed = self._missed(namespace, watcher)
        if missed:
            revision = missed[-1].revision
            self._send(known.id, self._changes(watcher, missed, lambda: namespace.read_at((), revision)))
        elif not command.wait:
            self._send(known.id, Changes(command.request, namespace.revision, (), b""))
        else:
            known.peer.let_wait(command)
            try:
                known.space.watchers.park(watcher)
            except LimitExceeded:
                known.peer.no_longer_waits(command.request)
                raise

    def _missed(self, namespace: Namespace, watcher: Watcher) -> list[Entry]:
        """Return the commits that a watcher was not told of, as many as go into one reply."""
        found: list[Entry] = []
        room = self.limits.message_bytes - ENVELOPE
        most = 1 if watcher.command.state else self.limits.batch_commits
        history, since = namespace.history, watcher.command.since
        if since < history.oldest and watcher.fields and history.holds_all(watcher.fields, since):
            since = history.oldest  # what was dropped concerns somebody else
        for entry in history.since(since):
            if not concerns(watcher, entry):
                continue
            room -= len(entry.encoded) + _COMMIT_HEAD
            if len(found) == most or (room < 0 and found):
                break
            found.append(entry)
        return found

    def _changes(self, watcher: Watcher, entries: list[Entry], state: Callable[[], bytes]) -> Changes:
        """Make the answer to a watcher.

        Args:
            watcher: who asked.
            entries: what happened.
            state: makes the state after it.

        Raises:
            HistoryGone: the first commit is too large for a message; the watcher can go on from it, not through it.
            LimitExceeded: the state is.
        """
        revision = entries[-1].revision
        commits = tuple([entry.encoded for entry in entries])
        size = sum(map(len, commits)) + _COMMIT_HEAD * len(commits) + ENVELOPE
        if size > self.limits.message_bytes:
            raise HistoryGone(watcher.command.since, revision)
        after = state() if watcher.command.state else b""
        if size + len(after) > self.limits.message_bytes:
            raise LimitExceeded("message_bytes", size + len(after), self.limits.message_bytes)
        return Changes(watcher.command.request, revision, commits, after)

    # Waiting

    def _queue(self, known: _Known, command: Acquire | Commit | Act) -> None:
        """Let a request wait for its turn."""
        if known.peer.waits_already(command):
            return
        try:
            known.peer.let_wait(command)
        except LimitExceeded as error:
            if isinstance(command, Acquire):
                raise
            self._settle(known, command.request, error)
        else:
            known.space.turns.wait(Waiting(known.id, command))

    def _withdraw(self, known: _Known, request: RequestId) -> None:
        known.peer.no_longer_waits(request)
        waited = known.space.turns.forget(known.id, request) or known.space.watchers.forget(known.id, request)
        assert waited, "what waits is queued or parked"

    def _cancel(self, known: _Known, command: Cancel) -> None:
        waiting = known.peer.waiting.get(command.waiting)
        if waiting is not None:
            self._withdraw(known, command.waiting)
        if isinstance(waiting, (Commit, Act)):
            known.session.give_up(command.waiting)
        self._send(known.id, Answered(command.request))

    # Answers

    def _settle(self, known: _Known, request: RequestId, error: BaseException) -> None:
        self._answer(known, Refused(request, error_to_data(error)))

    def _answer(self, known: _Known, reply: Committed | Refused) -> None:
        """Answer a request that may have had an effect, and keep the answer for when it is asked again."""
        known.session.remember(reply)
        self._effects.append(Send(known.id, reply))

    def _refuse(self, known: _Known, request: RequestId, error: Error) -> None:
        """Answer a request that can be asked again, to another answer."""
        self._send(known.id, Refused(request, error_to_data(error)))

    def _send(self, peer: PeerId, reply: Reply) -> None:
        self._effects.append(Send(peer, reply))

    _performed_by: ClassVar = cast(
        "Mapping[type[Command], Callable[[ServerCore, _Known, Command], None]]",
        {
            Commit: _change,
            Act: _change,
            Acquire: _acquire,
            Release: _release,
            Read: _read,
            Look: _look,
            Watch: _watch,
            Cancel: _cancel,
            Outcome: _outcome,
            Ping: _ping,
            Hello: _hello,
        },
    )
    """What performs each kind of command of a connection that has introduced itself."""
    assert _performed_by.keys() == set(get_args(Command)), "each kind is performed"


def _read(namespace: Namespace, command: Read) -> Values:
    if command.at is not None:
        return Values(command.request, command.at, namespace.read_at(command.fields, command.at), ())
    if command.largest is None:
        return Values(command.request, namespace.revision, namespace.read(command.fields, command.since), ())
    values, large = namespace.read_small(command.fields, command.since, command.largest)
    return Values(command.request, namespace.revision, values, large)


def _name(command: Commit | Act) -> str:
    return (command.function or "a commit") if isinstance(command, Commit) else command.action


_TOO_LONG = "computes longer than that in the server; have it do less there, or give zproc.Limits(compute_time=...)"

_COMMIT_HEAD = 5
"""The bytes that msgpack puts before each commit of a reply."""
