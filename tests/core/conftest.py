"""What the tests of the rules share: a state, a server without sockets, and connections to it that are lists.

Every message goes through its form on the wire, in both directions, and every reply is checked to fit into a message.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import count
from typing import Literal, Self, TypeVar, cast

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

from zproc.core.limits import Limits
from zproc.core.messages import (
    PROTOCOL,
    Acquire,
    Act,
    Cancel,
    Changes,
    Command,
    Commit,
    Committed,
    Granted,
    Hello,
    Look,
    Outcome,
    Read,
    Refused,
    Release,
    Reply,
    Values,
    Watch,
    Welcome,
    decode_command,
    decode_reply,
    encode,
)
from zproc.core.namespace import BudgetExceeded, Namespace
from zproc.core.refusal import error_from_data
from zproc.core.server import Disconnect, Effect, Published, Send, ServerCore, Welcomed
from zproc.exceptions import ValidatorCrashed
from zproc.schema.action import action
from zproc.schema.model import Schema, StateModel
from zproc.schema.ops import Op, Set, Update, op_to_plain
from zproc.typing import Epoch, LeaseId, PeerId, RequestId, Revision, SessionId

R = TypeVar("R", bound=Reply)
Clock = Callable[[float], AbstractContextManager[None]]


class Oven(BaseModel):
    model_config = ConfigDict(extra="forbid")

    temp: int = Field(default=20, le=300)

    @action
    def heat(self, by: int) -> int:
        self.temp += by
        return self.temp


class OddError(Exception):
    """An exception of the user's; what it is made of is no argument of its constructor."""

    def __init__(self) -> None:
        super().__init__("odd", 1, 2, 3)


class Shop(StateModel):
    """A state with something of everything that the rules treat differently."""

    cookies: int = Field(default=0, ge=0)
    eaten: int = 0
    baked: int = 0
    notes: list[str] = Field(default_factory=list)
    stock: dict[str, int] = Field(default_factory=dict)
    tags: set[str] = Field(default_factory=set)
    oven: Oven = Field(default_factory=Oven)
    ovens: dict[str, Oven] = Field(default_factory=dict)
    blob: bytes = b""
    trap: Literal["", "key", "exit", "budget", "none", "interrupt"] = ""

    @model_validator(mode="after")
    def _nothing_is_eaten_before_it_is_baked(self) -> Self:
        if self.eaten > self.baked:
            raise ValueError("more eaten than baked")
        return self

    @model_validator(mode="after")
    def _is_no_trap(self) -> Self:
        match self.trap:
            case "key":
                raise KeyError("trap")
            case "exit":
                raise SystemExit(3)
            case "budget":
                raise BudgetExceeded
            case "interrupt":
                raise KeyboardInterrupt
            case "none":
                return cast("Self", None)
            case "":
                return self

    @action
    def bake(self, number: int, note: str = "") -> int:
        self.baked += number
        self.cookies += number
        if note:
            self.notes.append(note)
        return self.cookies

    @action
    def count(self, number: int) -> int:
        self.cookies += number
        return self.cookies

    @action
    def look(self) -> list[str]:
        return self.notes

    @action
    def spoil(self, how: str) -> int:
        """Change something, and then end badly."""
        self.cookies += 1
        self.notes.append("spoilt")
        match how:
            case "value":
                raise ValueError("spoilt", 7)
            case "odd":
                raise OddError
            case "exit":
                raise SystemExit(3)
            case "interrupt":
                raise KeyboardInterrupt
            case "budget":
                raise BudgetExceeded
            case "crash":
                raise ValidatorCrashed("made up", validator="none", error="none")
            case "result":
                return cast("int", open)  # a value that cannot be shared
            case _:
                raise AssertionError(how)

    @action
    def big_result(self, size: int) -> bytes:
        self.cookies += 1
        return b"x" * size

    def no_action(self) -> None:
        """Be an ordinary method, which is not to be called from afar."""


SCHEMA: Schema[StateModel] = cast("Schema[StateModel]", Schema.of(Shop))


@dataclass
class Line:
    """A connection: what is sent by it, and what has come back."""

    wire: Wire
    id: PeerId
    session: SessionId
    inbox: list[Reply] = field(default_factory=list)
    cut: bool = False

    def send(self, command: Command) -> None:
        """Send a command, and have the server do what it does about it."""
        self.wire.core.receive(self.id, decode_command(encode(command)), now=self.wire.now, wall=self.wire.wall)
        self.wire.perform()

    def take(self) -> list[Reply]:
        """Return what has come since the last time."""
        replies, self.inbox = self.inbox, []
        return replies

    def ask(self, command: Command) -> Reply:
        """Send a command and return the one answer to it, the only thing that comes."""
        assert self.inbox == [], "something came unasked for"
        self.send(command)
        (reply,) = self.take()
        assert reply.request == command.request
        return reply

    def expect(self, kind: type[R], command: Command) -> R:
        reply = self.ask(command)
        assert isinstance(reply, kind), reply
        return reply

    def refused(self, command: Command) -> BaseException:
        """Send a command that is refused, and return why."""
        return error_from_data(self.expect(Refused, command).error)

    def close(self) -> None:
        """Lose the connection."""
        self.wire.core.disconnected(self.id, now=self.wire.now)
        self.wire.perform()
        self.inbox.clear()

    # Commands in short

    def hello(self, **changes: object) -> Hello:
        usual: dict[str, object] = {
            "request": self.wire.request(),
            "version": PROTOCOL,
            "namespace": "shop",
            "fingerprint": SCHEMA.fingerprint,
            "table": {},
            "session": self.session,
            "pid": 100 + self.id,
            "process": f"process {self.id}",
        }
        return Hello(**{**usual, **changes})  # type: ignore[arg-type]  # checked when it is sent

    def commit(self, *ops: Op, lease: LeaseId | None = None, request: RequestId | None = None) -> Commit:
        data = SCHEMA.codec.encode([op_to_plain(op) for op in ops])
        return Commit(request or self.wire.request(), lease, data, "test")

    def set(self, field: str, value: object, lease: LeaseId | None = None) -> Commit:
        return self.commit(Set((field,), value), lease=lease)

    def add(self, field: str = "cookies", number: int = 1, request: RequestId | None = None) -> Commit:
        return self.commit(Update((field,), "+", number), request=request)

    def act(self, name: str, *args: object, path: tuple[object, ...] = (), **kwargs: object) -> Act:
        return Act(self.wire.request(), name, SCHEMA.codec.encode([list(path), list(args), kwargs]))

    def read(self, *fields: str, since: int | None = None, at: int | None = None, largest: int | None = None) -> Read:
        return Read(
            self.wire.request(),
            fields,
            None if since is None else Revision(since),
            None if at is None else Revision(at),
            largest,
        )

    def look(self, ask: str, *path: object, largest: int = 1 << 16) -> Look:
        return Look(self.wire.request(), SCHEMA.codec.encode(list(path)), ask, largest)

    def acquire(self, *fields: str, since: int = 0, largest: int = 1 << 16) -> Acquire:
        return Acquire(self.wire.request(), fields, Revision(since), largest)

    def release(self, lease: LeaseId) -> Release:
        return Release(self.wire.request(), lease)

    def watch(
        self,
        *patterns: tuple[object, ...],
        since: int = 0,
        own: bool = True,
        duplicates: bool = False,
        state: bool = False,
        wait: bool = True,
    ) -> Watch:
        """Make the command of a watcher; ``...`` in a pattern stands for any key, no pattern for everything."""
        steps = [[[] if key is ... else [key] for key in pattern] for pattern in patterns or [()]]
        data = SCHEMA.codec.encode(steps)
        return Watch(self.wire.request(), Revision(since), data, own, duplicates, state, wait)

    def cancel(self, waiting: RequestId) -> Cancel:
        return Cancel(self.wire.request(), waiting)

    def outcome(self, of: RequestId) -> Outcome:
        return Outcome(self.wire.request(), of)

    # What is done all the time

    def values(self, *fields: str, at: int | None = None) -> dict[str, object]:
        return decoded(self.expect(Values, self.read(*fields, at=at)).values)

    def committed(self, command: Command) -> Revision:
        return self.expect(Committed, command).revision

    def granted(self) -> LeaseId:
        return self.expect(Granted, self.acquire()).lease


class Wire:
    """A server, and the connections to it."""

    def __init__(self, limits: Limits | None = None, budget: Clock | None = None) -> None:
        self.core = ServerCore(
            {"shop": SCHEMA, "other": SCHEMA},
            epoch=Epoch("e1"),
            pid=7,
            limits=limits,
            budget=budget or (lambda _: nullcontext()),
        )
        self.now = 1000.0
        self.wall = 0.0
        self.lines: dict[PeerId, Line] = {}
        self.performed: list[Effect] = []
        self.decoded: dict[int, Reply] = {}
        self._requests = count(1)
        self._peers = count(1)

    @property
    def namespace(self) -> Namespace:
        return self.core.namespace("shop")

    def request(self) -> RequestId:
        return RequestId(next(self._requests))

    def perform(self) -> None:
        """Do what the server says, as a shell would."""
        for effect in self.core.effects():
            self.performed.append(effect)
            match effect:
                case Send(peer, reply):
                    data = encode(reply)
                    assert len(data) <= self.core.limits.message_bytes, f"{type(reply).__name__} is too large to send"
                    if peer in self.lines:
                        self.lines[peer].inbox.append(decode_reply(data))
                case Disconnect(peer):
                    self.lines[peer].cut = True
                case Published() | Welcomed():
                    pass

    def line(self, session: str | None = None) -> Line:
        """Open a connection that has not said hello."""
        peer = PeerId(next(self._peers))
        line = self.lines[peer] = Line(self, peer, SessionId(session or f"session {peer}"))
        return line

    def connect(self, session: str | None = None, **hello: object) -> Line:
        line = self.line(session)
        line.expect(Welcome, line.hello(**hello))
        return line

    def tick(self, passed: float = 0.0) -> None:
        self.now += passed
        self.core.tick(now=self.now)
        self.perform()

    def fingerprint(self) -> tuple[object, ...]:
        """Return all that a refused commit must leave as it is, dicts in their order."""
        namespace = self.namespace
        history = namespace.history
        return (
            SCHEMA.codec.encode(namespace.state),
            repr(namespace.state),
            namespace.revision,
            history.oldest,
            tuple(history.since(history.oldest)),
        )


def decoded(values: bytes) -> dict[str, object]:
    return cast("dict[str, object]", SCHEMA.codec.decode(values))


def commits_of(reply: Reply) -> list[tuple[int, list[object]]]:
    """Return the commits that a watcher is told of, as (revision, changes)."""
    assert isinstance(reply, Changes), reply
    entries = [cast("list[object]", SCHEMA.codec.decode(commit)) for commit in reply.commits]
    return [(cast("int", entry[0]), cast("list[object]", entry[-1])) for entry in entries]


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def make_wire() -> Callable[..., Wire]:
    return Wire


@pytest.fixture
def schema() -> Schema[StateModel]:
    return SCHEMA


@pytest.fixture(autouse=True)
def _no_time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail a test of the rules that looks at a clock by waiting."""

    def sleep(_seconds: float) -> None:
        pytest.fail("the rules do not wait, nor do their tests")

    monkeypatch.setattr(time, "sleep", sleep)
