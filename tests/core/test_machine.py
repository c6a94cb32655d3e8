"""The server against a model that fits on a page: a number, a counter, a queue and a table of answers.

Hypothesis chooses what happens; after each thing the model says what must have been sent to whom, and nothing else may
have been. A failure is shrunk to the shortest story that leads to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import msgpack
import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from zproc.core.limits import Limits
from zproc.core.messages import (
    Acquire,
    Act,
    Answered,
    Cancel,
    Changes,
    Command,
    Commit,
    Committed,
    Granted,
    Outcome,
    Refused,
    Reply,
    Values,
    Watch,
)
from zproc.core.refusal import error_from_data
from zproc.exceptions import HistoryGone, LeaseLost, ProtocolError, UsageError, ValidationRefused
from zproc.typing import LeaseId, RequestId

if TYPE_CHECKING:
    from tests.core.conftest import Line, Wire

LEASE = 10
HISTORY = 5

Change: TypeAlias = Commit | Act
Said: TypeAlias = tuple[object, ...]
"""What a reply says, as far as the model knows."""


@dataclass
class Model:
    """What the server should be."""

    cookies: int = 0
    authors: list[str] = field(default_factory=list)
    repeated: list[bool] = field(default_factory=list)
    queue: list[tuple[Line, Acquire | Change]] = field(default_factory=list)
    holder: tuple[Line, RequestId, LeaseId, float] | None = None
    leases: int = 0
    answers: dict[tuple[str, RequestId], Said] = field(default_factory=dict)
    deltas: dict[tuple[str, RequestId], int] = field(default_factory=dict)
    watchers: list[tuple[Line, Watch]] = field(default_factory=list)
    expected: list[tuple[Line, RequestId, Said]] = field(default_factory=list)
    now: float = 1000.0

    @property
    def revision(self) -> int:
        return len(self.authors)

    def say(self, line: Line, request: RequestId, *said: object) -> None:
        self.expected.append((line, request, said))

    def apply(self, line: Line, command: Change) -> None:
        """Do it, answer it, and tell whoever waits for it."""
        delta = self.deltas[line.session, command.request]
        if self.cookies + delta < 0:
            self.answer(line, command.request, ValidationRefused)
            return
        self.cookies += delta
        self.authors.append(line.session)
        self.repeated.append(delta == 0)
        self.answer(line, command.request, Committed, self.revision)
        for watcher, watch in list(self.watchers):
            if self.concerns(watcher, watch.own, self.revision):
                self.watchers.remove((watcher, watch))
                self.say(watcher, watch.request, Changes, [self.revision])

    def concerns(self, watcher: Line, own: bool, revision: int) -> bool:
        return not self.repeated[revision - 1] and (own or self.authors[revision - 1] != watcher.session)

    def answer(self, line: Line, request: RequestId, *said: object) -> None:
        self.answers[line.session, request] = said
        self.say(line, request, *said)

    def grant(self, line: Line, command: Acquire) -> None:
        self.leases += 1
        self.holder = line, command.request, LeaseId(self.leases), self.now + LEASE
        self.say(line, command.request, Granted, self.leases, self.revision)

    def advance(self) -> None:
        while self.holder is None and self.queue:
            line, command = self.queue.pop(0)
            if (line.session, command.request) in self.answers:
                self.say(line, command.request, *self.answers[line.session, command.request])
            elif isinstance(command, Acquire):
                self.grant(line, command)
            else:
                self.apply(line, command)

    def change(self, line: Line, command: Change) -> None:
        lease = command.lease if isinstance(command, Commit) else None
        if (line.session, command.request) in self.answers:
            self.say(line, command.request, *self.answers[line.session, command.request])
        elif lease is not None:
            if self.holder is not None and (line, lease) == (self.holder[0], self.holder[2]):
                self.holder = None
                self.apply(line, command)
                self.advance()
            else:
                self.answer(line, command.request, LeaseLost)
        elif self.holder is None:
            self.apply(line, command)
        elif self.holder[0] is line:
            self.answer(line, command.request, UsageError)
        elif (line, command) not in self.queue:
            self.queue.append((line, command))


class Machine(RuleBasedStateMachine):
    """What may happen, in any order."""

    def __init__(self, make_wire: Callable[..., Wire]) -> None:
        super().__init__()
        self.wire = make_wire(Limits(lease_time=LEASE, history_commits=HISTORY))
        self.model = Model()
        self.lines: list[Line] = []
        self.past: list[tuple[str, Change | Acquire]] = []
        self.leases: list[LeaseId] = [LeaseId(99)]

    def choose(self, data: st.DataObject) -> Line:
        return data.draw(st.sampled_from(self.lines))

    def send(self, line: Line, command: Command) -> None:
        line.send(command)
        if isinstance(command, (Commit, Act, Acquire)) and (line.session, command) not in self.past:
            self.past.append((line.session, command))

    @rule(session=st.sampled_from(["a", "b", "c"]))
    def connect(self, session: str) -> None:
        self.lines.append(self.wire.connect(session))

    @precondition(lambda self: self.lines)
    @rule(data=st.data())
    def disconnect(self, data: st.DataObject) -> None:
        line = self.choose(data)
        self.lines.remove(line)
        line.close()
        model = self.model
        model.queue = [waiting for waiting in model.queue if waiting[0] is not line]
        model.watchers = [watching for watching in model.watchers if watching[0] is not line]
        if model.holder is not None and model.holder[0] is line:
            model.holder = None
        model.advance()

    @precondition(lambda self: self.lines)
    @rule(data=st.data(), delta=st.integers(-2, 3), action=st.booleans())
    def change(self, data: st.DataObject, delta: int, *, action: bool) -> None:
        line = self.choose(data)
        command = line.act("count", delta) if action else line.add(number=delta)
        self.model.deltas[line.session, command.request] = delta
        self.model.change(line, command)
        self.send(line, command)

    @precondition(lambda self: self.lines)
    @rule(data=st.data())
    def acquire(self, data: st.DataObject) -> None:
        line = self.choose(data)
        self.asked_for_a_turn(line, line.acquire())

    def asked_for_a_turn(self, line: Line, command: Acquire) -> None:
        model = self.model
        if (line.session, command.request) in model.answers:
            model.say(line, command.request, *model.answers[line.session, command.request])
        elif model.holder is None:
            model.grant(line, command)
        elif model.holder[0] is not line:
            if (line, command) not in model.queue:
                model.queue.append((line, command))
        elif model.holder[1] == command.request:
            model.say(line, command.request, Granted, model.holder[2], model.revision)
        else:
            model.say(line, command.request, UsageError)
        self.send(line, command)

    @precondition(lambda self: self.lines)
    @rule(data=st.data(), delta=st.integers(-1, 2), honest=st.booleans())
    def commit_a_turn(self, data: st.DataObject, delta: int, *, honest: bool) -> None:
        """Commit by the turn that one holds, or by one that is over, somebody else's, or made up."""
        holder = self.model.holder
        line, lease = self.choose(data), data.draw(st.sampled_from(self.leases))
        if honest and holder is not None:
            line, lease = holder[0], holder[2]
        command = line.set("cookies", self.model.cookies + delta, lease=lease)
        self.model.deltas[line.session, command.request] = delta
        self.model.change(line, command)
        self.send(line, command)

    @precondition(lambda self: self.lines)
    @rule(data=st.data(), honest=st.booleans())
    def release(self, data: st.DataObject, *, honest: bool) -> None:
        holder = self.model.holder
        line, lease = self.choose(data), data.draw(st.sampled_from(self.leases))
        if honest and holder is not None:
            line, lease = holder[0], holder[2]
        command = line.release(lease)
        self.model.say(line, command.request, Answered)
        if holder is not None and (line, lease) == (holder[0], holder[2]):
            self.model.holder = None
            self.model.advance()
        self.send(line, command)

    @precondition(lambda self: self.lines and self.past)
    @rule(data=st.data())
    def send_again(self, data: st.DataObject) -> None:
        """Send a copy, by any connection of the same process."""
        session, command = data.draw(st.sampled_from(self.past))
        lines = [line for line in self.lines if line.session == session]
        if not lines:
            return
        line = data.draw(st.sampled_from(lines))
        if isinstance(command, Acquire):
            self.asked_for_a_turn(line, command)
        else:
            self.model.change(line, command)
            self.send(line, command)

    @precondition(lambda self: self.lines)
    @rule(data=st.data(), known=st.booleans())
    def ask_for_an_outcome(self, data: st.DataObject, *, known: bool) -> None:
        """Of something that was sent, or never will have been."""
        line, model = self.choose(data), self.model
        mine = [command.request for session, command in self.past if session == line.session]
        lost = line.add()
        of = data.draw(st.sampled_from(mine)) if known and mine else lost.request
        if of == lost.request:
            model.deltas[line.session, of] = 1
            self.past.append((line.session, lost))
        command: Outcome = line.outcome(of)
        model.say(line, command.request, *model.answers.get((line.session, of), (Answered,)))
        model.answers.setdefault((line.session, of), (LeaseLost,))
        self.send(line, command)

    @precondition(lambda self: self.lines)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        line, model = self.choose(data), self.model
        waiting: list[Acquire | Change | Watch] = [command for waits, command in model.queue if waits is line]
        waiting += [watch for waits, watch in model.watchers if waits is line]
        if not waiting:
            return
        chosen = data.draw(st.sampled_from(waiting))
        command: Cancel = line.cancel(chosen.request)
        model.queue = [entry for entry in model.queue if entry != (line, chosen)]
        model.watchers = [entry for entry in model.watchers if entry != (line, chosen)]
        if isinstance(chosen, (Commit, Act)):
            model.answers.setdefault((line.session, chosen.request), (LeaseLost,))
        model.say(line, command.request, Answered)
        self.send(line, command)

    @precondition(lambda self: self.lines)
    @rule(data=st.data(), back=st.integers(-1, HISTORY + 2), own=st.booleans())
    def watch(self, data: st.DataObject, back: int, *, own: bool) -> None:
        line, model = self.choose(data), self.model
        since = max(0, model.revision - back)
        command = line.watch(since=since, own=own)
        missed = [revision for revision in range(since + 1, model.revision + 1) if model.concerns(line, own, revision)]
        if not max(0, model.revision - HISTORY) <= since <= model.revision:
            model.say(line, command.request, HistoryGone)
        elif missed:
            model.say(line, command.request, Changes, missed)
        else:
            model.watchers.append((line, command))
        self.send(line, command)

    @precondition(lambda self: self.lines)
    @rule(data=st.data())
    def read(self, data: st.DataObject) -> None:
        line = self.choose(data)
        command = line.read("cookies")
        self.model.say(line, command.request, Values, self.model.revision, self.model.cookies)
        self.send(line, command)

    @precondition(lambda self: self.lines)
    @rule(data=st.data())
    def take_a_number_twice(self, data: st.DataObject) -> None:
        line = self.choose(data)
        waiting = [command for waits, command in self.model.queue if waits is line and isinstance(command, Act)]
        if waiting:
            other = line.watch()
            clash = Watch(
                waiting[0].request, other.since, other.patterns, own=True, duplicates=False, state=False, wait=True
            )
            if not self.model.revision:
                self.model.say(line, clash.request, ProtocolError)
                self.send(line, clash)

    @rule(passed=st.sampled_from([0, 1, LEASE - 1, LEASE]))
    def time_passes(self, passed: int) -> None:
        model = self.model
        self.wire.tick(passed)
        model.now += passed
        if model.holder is not None and model.now >= model.holder[3]:
            model.holder = None
            model.advance()

    @invariant()
    def everybody_was_told_just_what_the_model_says(self) -> None:
        expected: dict[int, list[tuple[RequestId, Said]]] = {}
        for line, request, said in self.model.expected:
            expected.setdefault(line.id, []).append((request, said))
        self.model.expected.clear()
        for line in self.lines:
            told = [(reply.request, meaning(reply)) for reply in line.take()]
            assert told == expected.pop(line.id, []), line.session
        assert not any(expected.values()), "somebody was not told"
        if self.model.holder is not None and self.model.holder[2] not in self.leases:
            self.leases.append(self.model.holder[2])

    @invariant()
    def the_state_is_what_the_model_says(self) -> None:
        namespace = self.wire.namespace
        assert (cast("Any", namespace.state).cookies, namespace.revision) == (self.model.cookies, self.model.revision)
        deadline = None if self.model.holder is None else self.model.holder[3]
        assert self.wire.core.next_deadline() == deadline


def meaning(reply: Reply) -> Said:
    match reply:
        case Committed(_, revision, _):
            return Committed, revision
        case Granted(_, lease, revision, _):
            return Granted, lease, revision
        case Refused(_, error):
            return (type(error_from_data(error)),)
        case Values(_, revision, values):
            return Values, revision, cookies_in(values)
        case Changes(_, _, commits, _):
            return Changes, [revision_of(commit) for commit in commits]
        case _:
            return (type(reply),)


def cookies_in(values: bytes) -> object:
    return cast("dict[str, object]", msgpack.unpackb(values))["cookies"]


def revision_of(commit: bytes) -> object:
    return cast("list[object]", msgpack.unpackb(commit))[0]


@pytest.mark.slow
def test_p1_p2_p4_p5_p6_the_server_is_what_the_model_says(make_wire: Callable[..., Wire]) -> None:
    class Connected(Machine):
        def __init__(self) -> None:
            super().__init__(make_wire)

    run_state_machine_as_test(Connected, settings=settings(stateful_step_count=40))
