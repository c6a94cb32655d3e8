"""What a server is thrown at by a hostile or broken client, on a real socket; numbers as in the list of faults.

The common end of each test: another client commits and watches as if nothing had been, without waiting for anybody's
turn; the server has grown by little, and nothing of the rude one is left in it; and there is one line in the server's
log for each connection that it has cut off, and none for any other.

Of the list, these are elsewhere: 5 (what is too large is refused before it is sent: test_limits), 8 and 11 (nothing is
ever unpickled, and what waits of a connection: tests/core/test_server), 15 (no descriptors left: tests/transport), 24
(another life of the server: test_restart), 26 (SIGKILL in the middle of a function: test_promises), 27 (SIGSTOP while
holding: test_promises), 28 and 30 (tests/client/test_turn), 32 (a thousand: tests/core/test_server).
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgpack
import psutil
import pytest
from pydantic import Field, model_validator

import zproc
from zproc.core import messages
from zproc.core.messages import PROTOCOL, Acquire, Act, Commit, Committed, Granted, Hello, Read, Refused, Welcome
from zproc.core.refusal import error_from_data
from zproc.schema.model import Schema
from zproc.typing import LeaseId, RequestId, Revision, SessionId


class State(zproc.StateModel):
    n: int = Field(default=0, ge=0)
    low: int = 0
    high: int = 10
    name: str = ""
    table: dict[str, int] = {}
    row: list[int] = []

    @model_validator(mode="after")
    def in_order(self) -> State:
        if self.name == "KeyError":
            raise KeyError("from a validator")
        if self.name == "SystemExit":
            raise SystemExit(3)
        if self.name == "RecursionError":
            raise RecursionError
        if self.name == "forgets":
            return None  # type: ignore[return-value]  # what the test is about
        if self.name == "rewrites":
            self.n = 77
        if self.name == "endless":
            while True:
                pass
        if self.low > self.high:
            raise ValueError("low is above high")
        return self

    @zproc.action
    def add(self, by: int) -> int:
        self.n += by
        return self.n

    @zproc.action
    def spin(self) -> None:
        self.n += 1
        while True:
            pass


SCHEMA = Schema.of(State)


class Wire:
    """A client that says what it likes.

    Attributes:
        cut_offs: how many of these the server has cut off.
    """

    cut_offs = 0

    def __init__(self, address: str, *, greet: bool = True) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(10)
        self.socket.connect(address.removeprefix("unix://"))
        self.request = 0
        if greet:
            self.welcome = self.ask(
                Hello(
                    RequestId(0),
                    PROTOCOL,
                    "default",
                    SCHEMA.fingerprint,
                    {},
                    SessionId(os.urandom(8).hex()),
                    os.getpid(),
                    "rude",
                )
            )
            assert isinstance(self.welcome, Welcome)

    def send(self, frame: bytes) -> None:
        self.socket.sendall(len(frame).to_bytes(4, "big") + frame)

    def next(self) -> RequestId:
        self.request += 1
        return RequestId(self.request)

    def receive(self) -> messages.Reply:
        return messages.decode_reply(self.frame())

    def frame(self) -> bytes:
        head = self._exactly(4)
        return self._exactly(int.from_bytes(head, "big"))

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            if not part:
                raise EOFError(data)
            data += part
        return data

    def ask(self, command: messages.Command) -> messages.Reply:
        self.send(messages.encode(command))
        return self.receive()

    def ops(self, *ops: list[object]) -> bytes:
        return SCHEMA.codec.encode(list(ops))

    def commit(self, *ops: list[object], lease: int | None = None) -> messages.Reply:
        turn = None if lease is None else LeaseId(lease)
        return self.ask(Commit(self.next(), turn, self.ops(*ops), "rude"))

    def is_cut_off(self) -> bool:
        """Whether the server ends the connection; what it says before is read."""
        self.last_words()
        return True

    def last_words(self) -> bytes:
        """Return what the server says before it ends the connection."""
        Wire.cut_offs += 1
        said = b""
        try:
            while part := self.socket.recv(65536):
                said += part
        except ConnectionError:
            pass
        return said

    def close(self) -> None:
        self.socket.close()


def refused(reply: messages.Reply) -> BaseException:
    assert isinstance(reply, Refused), reply
    return error_from_data(reply.error)


@pytest.fixture
def ctx(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[zproc.Context[State]]:
    """A context whose server is as it was, after whatever the test does to it."""
    # What the log holds of a large commit it holds by right, up to its limit, which is far above what a server may grow
    # by; so here it is short, and only what is kept by mistake counts. Nor are messages large: of what is freed, malloc
    # returns a few times the largest piece late or never.
    limits = zproc.Limits(lease_time=getattr(request, "param", 1.0), message_bytes=1_200_000, history_bytes=256 << 10)
    Wire.cut_offs = 0
    log = logging.FileHandler(tmp_path / "log", delay=True)
    logging.getLogger("zproc.server").addHandler(log)
    # Forked, so that it logs where this test can read it.
    with zproc.Context(State, limits=limits, start_method="fork") as context:
        assert context._host is not None
        server = psutil.Process(context._host.pid)
        context.state.n = 1
        before, files = server.memory_info().rss, server.num_fds()
        yield context
        _works_normally(context)
        deadline = time.monotonic() + 5
        while server.num_fds() > files + 2 or server.memory_info().rss - before >= 10 << 20:
            assert time.monotonic() < deadline, f"{server.num_fds()} files, {server.memory_info()}, {before} before"
            time.sleep(0.01)
    logging.getLogger("zproc.server").removeHandler(log)
    lines = (tmp_path / "log").read_text().splitlines() if (tmp_path / "log").exists() else []
    # Of many at a time the log has the first few, and how many more there were.
    more = [int(line.partition(" ")[0]) for line in lines if " more were cut off " in line]
    assert len(lines) - len(more) + sum(more) == Wire.cut_offs, lines
    assert all(" was cut off: " in line or " more were cut off " in line for line in lines), lines


def _works_normally(ctx: zproc.Context[State]) -> None:
    with zproc.Context(State, address=ctx.address) as other:
        seen: list[int] = []
        watching = threading.Thread(target=lambda: seen.append(ctx.state.get_when_equal("n", 4242, timeout=10).n))
        watching.start()
        other.state.name = ""
        began = time.monotonic()
        other.state.n = 4242
        assert time.monotonic() - began < 0.9, "somebody still holds the turn"
        watching.join(10)
        assert seen == [4242]


@contextmanager
def rude(ctx: zproc.Context[State], **options: bool) -> Iterator[Wire]:
    wire = Wire(ctx.address, **options)
    try:
        yield wire
    finally:
        wire.close()


RUBBISH = {
    "an empty frame": b"",
    "random bytes": os.urandom(300),
    "an HTTP request": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "truncated msgpack": messages.encode(Read(RequestId(1), (), None, None, None))[:-1],
    "trailing bytes": messages.encode(Read(RequestId(1), (), None, None, None)) + b"\0",
    "0xc1": b"\xc1",
    "bad UTF-8": b"\x92\x01\xa2\xff\xff",
    "an unknown command": msgpack.packb([99, 1]),
    "a command with too few fields": msgpack.packb([1, 1]),
    "a command with too many fields": msgpack.packb([9, 1, 2, 3]),
    "a command with fields of wrong types": msgpack.packb([1, "x", 3, 4, 5]),
    "a negative number": msgpack.packb([9, -1]),
    "a map": msgpack.packb({"a": 1}),
    "an unknown extension": msgpack.packb(msgpack.ExtType(99, b"x")),
    "a map with a key twice": b"\x82\xa1a\x01\xa1a\x02",
    "a pickle": pickle.dumps(os.getpid),
    "a bomb of nested claims": b"\xdd\xff\xff\xff\xff" * 500,
    "deep nesting": b"\x91" * 3000 + b"\x01",
}


class TestWire:
    @pytest.mark.parametrize("rubbish", RUBBISH.values(), ids=RUBBISH.keys())
    @pytest.mark.parametrize("greeted", [False, True])
    def test_1_to_8_rubbish_ends_the_connection_of_who_sent_it(
        self, ctx: zproc.Context[State], rubbish: bytes, greeted: bool
    ) -> None:
        with rude(ctx, greet=greeted) as wire:
            wire.send(rubbish)
            assert wire.is_cut_off()

    def test_1_ten_thousand_frames_in_one_go_are_each_answered(self, ctx: zproc.Context[State]) -> None:
        with rude(ctx) as wire:
            pings = [messages.encode(messages.Ping(RequestId(number))) for number in range(10_000)]
            data = b"".join(len(ping).to_bytes(4, "big") + ping for ping in pings)
            sending = threading.Thread(target=lambda: wire.socket.sendall(data))
            sending.start()
            for number in range(10_000):
                assert wire.receive().request == number
            sending.join(10)

    @pytest.mark.parametrize(
        ("frame", "field"),
        [
            (msgpack.packb([99, 1]), "unknown tag 99"),
            (msgpack.packb([1, 1]), r"Read\.fields: missing"),
            (msgpack.packb([9, 1, 2, 3]), "Ping: more behind request"),
            (msgpack.packb([1, "x", [], None, None, None]), r"Read\.request: a str"),
            (msgpack.packb([2, 1, None, "no bytes", ""]), r"Commit\.ops: a str"),
        ],
        ids=repr,
    )
    def test_7_what_is_wrong_with_a_command_is_named(self, ctx: zproc.Context[State], frame: bytes, field: str) -> None:
        with rude(ctx) as wire:
            wire.send(frame)
            error = refused(wire.receive())
            assert isinstance(error, zproc.ProtocolError)
            assert re.search(field, str(error))
            assert wire.is_cut_off()

    def test_4_a_megabyte_of_nesting_is_refused(self, ctx: zproc.Context[State]) -> None:
        with rude(ctx) as wire:
            wire.send(b"\x90" * (1 << 20))
            assert wire.is_cut_off()

    def test_4_a_bomb_inside_of_the_ops_of_a_commit_is_refused_and_the_connection_goes_on(
        self, ctx: zproc.Context[State]
    ) -> None:
        with rude(ctx) as wire:
            for bomb in (b"\xdd\xff\xff\xff\xff" * 500, b"\x91" * 3000 + b"\x01", b"\xc7\xff\x01"):
                assert isinstance(refused(wire.ask(Commit(wire.next(), None, bomb, ""))), zproc.Error)
            assert isinstance(wire.commit([0, ["n"], 5]), Committed)

    def test_5_a_frame_over_the_limit_is_cut_off_before_it_is_read(self, ctx: zproc.Context[State]) -> None:
        with rude(ctx) as wire:
            wire.socket.sendall((2**31 - 1).to_bytes(4, "big") + b"x" * 1000)
            assert wire.is_cut_off()

    def test_5_a_frame_of_just_the_limit_is_taken_and_one_byte_more_is_not(self, ctx: zproc.Context[State]) -> None:
        with rude(ctx) as wire:
            assert isinstance(wire.welcome, Welcome)
            largest = wire.welcome.max_message

            def commit_of(size: int) -> bytes:
                room = size - len(messages.encode(Commit(wire.next(), None, wire.ops([0, ["name"], ""]), "")))
                while True:
                    frame = messages.encode(Commit(wire.next(), None, wire.ops([0, ["name"], "x" * room]), ""))
                    if len(frame) == size:
                        return frame
                    room -= len(frame) - size

            wire.send(commit_of(largest))
            # It is too large for the log beside what else that notes, and refused by the rules, not by the door.
            assert isinstance(wire.receive(), (Committed, Refused))
            assert isinstance(wire.commit([0, ["name"], ""]), Committed)
            frame = commit_of(largest + 1)
            with contextlib.suppress(ConnectionError):
                wire.send(frame)
            assert wire.is_cut_off()

    @pytest.mark.parametrize("frame", [b"\x98\x00\x00", msgpack.packb([0, 0, "1", "default", "", {}, "s", 1, "p"])])
    def test_6_a_version_that_is_missing_or_no_number_is_told_so(self, ctx: zproc.Context[State], frame: bytes) -> None:
        with rude(ctx, greet=False) as wire:
            wire.send(frame)
            assert isinstance(refused(wire.receive()), zproc.ProtocolError)
            assert wire.is_cut_off()

    @pytest.mark.parametrize("version", [0, PROTOCOL + 1])
    def test_6_another_version_of_the_protocol_is_told_so(self, ctx: zproc.Context[State], version: int) -> None:
        with rude(ctx, greet=False) as wire:
            hello = Hello(RequestId(0), version, "default", SCHEMA.fingerprint, {}, SessionId("s"), 1, "p")
            error = refused(wire.ask(hello))
            assert isinstance(error, zproc.ProtocolError)
            assert str(PROTOCOL) in str(error)
            assert wire.is_cut_off()

    def test_10_another_schema_is_told_so(self, ctx: zproc.Context[State]) -> None:
        with rude(ctx, greet=False) as wire:
            hello = Hello(RequestId(0), PROTOCOL, "default", "f" * 64, {}, SessionId("s"), 1, "p")
            assert isinstance(refused(wire.ask(hello)), zproc.SchemaMismatch)
            assert wire.is_cut_off()

    def test_11_a_commit_before_hello_changes_nothing(self, ctx: zproc.Context[State]) -> None:
        with rude(ctx, greet=False) as wire:
            wire.send(messages.encode(Commit(RequestId(1), None, SCHEMA.codec.encode([[0, ["n"], 99]]), "")))
            assert wire.is_cut_off()
        assert ctx.state.n == 1

    def test_11_another_ones_turn_is_no_use(self, ctx: zproc.Context[State]) -> None:
        with rude(ctx) as victim, rude(ctx) as thief:
            granted = victim.ask(Acquire(victim.next(), (), Revision(0), 1 << 16))
            assert isinstance(granted, Granted)
            assert isinstance(refused(thief.commit([0, ["n"], 66], lease=granted.lease)), zproc.LeaseLost)
            assert isinstance(victim.commit([0, ["n"], 55], lease=granted.lease), Committed)
        assert ctx.state.n == 55

    def test_12_a_request_that_is_sent_a_thousand_times_has_one_effect(self, ctx: zproc.Context[State]) -> None:
        with rude(ctx) as wire:
            act = Act(wire.next(), "add", SCHEMA.codec.encode([[], [5], {}]))
            answers = {messages.encode(wire.ask(act)) for _ in range(1000)}
            assert len(answers) == 1
        assert ctx.state.n == 6

    @pytest.mark.parametrize("size", [(4 << 10) + 1, 16 << 20])
    def test_14_a_stranger_cannot_send_much(self, ctx: zproc.Context[State], size: int) -> None:
        """Not as much as the others, whose limit is 2 MiB here."""
        with rude(ctx, greet=False) as wire:
            try:
                wire.socket.sendall(size.to_bytes(4, "big") + b"x" * size)
            except ConnectionError:
                pass
            said = wire.last_words()
        assert size == 16 << 20 or b"4097 bytes is over the limit of 4096" in said, "of those it may not read them"

    def test_15_silent_connections_are_closed_in_time_and_disturb_nobody(self, ctx: zproc.Context[State]) -> None:
        silent = [Wire(ctx.address, greet=False) for _ in range(100)]
        ctx.state.n = 2
        for wire in silent:
            assert wire.is_cut_off()
            wire.close()


class TestState:
    @pytest.mark.parametrize(
        "op",
        [
            [0, ["n"], "1"],
            [0, ["n"], True],
            [0, ["n"], 1.0],
            [0, ["n"], -1],
            [0, ["nope"], 1],
            [1, ["n"]],
            [1, ["table", "nope"]],
            [0, ["table", 3], 1],
            [0, ["row", 99], 1],
            [2, ["row"], 0, 0, ["x"]],
            [2, ["n"], 0, 0, [1]],
            [3, ["row"], [1]],
            [5, ["name"], "+", 1],
            [5, ["n"], "/", 0],
            [5, ["n"], "@", 9],
            [5, ["n"], "<<", 10**12],
            [0, ["n", "deeper"], 1],
            [0, [], {}],
            "no op",
        ],
        ids=repr,
    )
    def test_18_a_wrong_op_changes_nothing_byte_for_byte(self, ctx: zproc.Context[State], op: list[object]) -> None:
        with rude(ctx) as wire:
            before = wire.ask(Read(wire.next(), (), None, None, None))
            assert isinstance(refused(wire.commit([0, ["name"], "half"], op)), zproc.Error)
            after = wire.ask(Read(wire.next(), (), None, None, None))
            assert isinstance(before, messages.Values)
            assert isinstance(after, messages.Values)
            assert (before.values, before.revision) == (after.values, after.revision)

    def test_19_ops_that_are_valid_singly_but_not_together_are_refused(self, ctx: zproc.Context[State]) -> None:
        with rude(ctx) as wire:
            assert isinstance(refused(wire.commit([0, ["low"], 8], [0, ["high"], 5])), zproc.ValidationRefused)

    def test_19_ops_that_are_invalid_in_the_middle_only_are_accepted(self, ctx: zproc.Context[State]) -> None:
        with rude(ctx) as wire:
            assert isinstance(
                wire.commit([0, ["low"], 80], [0, ["n"], -5], [0, ["high"], 90], [0, ["n"], 5]), Committed
            )

    @pytest.mark.parametrize("crash", ["KeyError", "SystemExit", "RecursionError", "forgets"])
    def test_21_a_validator_that_crashes_refuses_the_commit_and_is_named(
        self, ctx: zproc.Context[State], crash: str
    ) -> None:
        with rude(ctx) as wire:
            error = refused(wire.commit([0, ["n"], 9], [0, ["name"], crash]))
            assert isinstance(error, zproc.ValidatorCrashed)
            assert "in_order" in error.validator
        assert (ctx.state.n, ctx.state.name) == (1, "")

    def test_21_what_a_validator_rewrites_is_part_of_the_commit(self, ctx: zproc.Context[State]) -> None:
        with rude(ctx) as wire:
            assert isinstance(wire.commit([0, ["name"], "rewrites"]), Committed)
        assert ctx.state.n == 77

    @pytest.mark.parametrize("what", ["endless", "spin"])
    def test_21_an_endless_validator_or_action_is_interrupted_and_undone(
        self, ctx: zproc.Context[State], what: str
    ) -> None:
        with rude(ctx) as wire:
            began = time.monotonic()
            if what == "spin":
                reply = wire.ask(Act(wire.next(), "spin", SCHEMA.codec.encode([[], [], {}])))
            else:
                reply = wire.commit([0, ["n"], 9], [0, ["name"], "endless"])
            error = refused(reply)
            assert isinstance(error, zproc.LimitExceeded)
            assert error.limit == "compute_time"
            assert time.monotonic() - began < 3
        assert (ctx.state.n, ctx.state.name) == (1, "")

    def test_22_an_empty_commit_has_no_revision_and_an_equal_value_no_event(self, ctx: zproc.Context[State]) -> None:
        with rude(ctx) as wire:
            first, second = wire.commit(), wire.commit([0, ["n"], 1])
            assert isinstance(first, Committed)
            assert isinstance(second, Committed)
            assert (first.revision, second.revision) == (1, 2)
            with pytest.raises(zproc.WaitTimeout):
                ctx.state.get_when_change("n", since=1, timeout=0.05)
            assert isinstance(wire.commit([0, ["n"], 2]), Committed)
            assert ctx.state.get_when_change("n", since=1, timeout=5).n == 2, "it would have been told"

    def test_23_too_many_ops_are_refused_by_the_limits_name(self, ctx: zproc.Context[State]) -> None:
        with rude(ctx) as wire:
            error = refused(wire.ask(Commit(wire.next(), None, wire.ops(*[[1, ["table", "x"]]] * 100_001), "")))
            assert isinstance(error, zproc.LimitExceeded)
            assert error.limit == "commit_ops"

    @pytest.mark.parametrize("lease", [0, 1, 999_999])
    def test_24_a_stale_turn_or_one_of_the_future_is_refused(self, ctx: zproc.Context[State], lease: int) -> None:
        with rude(ctx) as wire:
            assert isinstance(refused(wire.commit([0, ["n"], 66], lease=lease)), zproc.LeaseLost)

    def test_24_who_has_the_turn_commits_in_this_one_and_in_no_other(self, ctx: zproc.Context[State]) -> None:
        with rude(ctx) as wire:
            first = wire.ask(Acquire(wire.next(), (), Revision(0), 1 << 16))
            assert isinstance(first, Granted)
            assert isinstance(wire.commit([0, ["n"], 2], lease=first.lease), Committed)
            second = wire.ask(Acquire(wire.next(), (), Revision(0), 1 << 16))
            assert isinstance(second, Granted)
            for lease in (first.lease, second.lease + 1):
                assert isinstance(refused(wire.commit([0, ["n"], 66], lease=lease)), zproc.LeaseLost)
            assert isinstance(wire.commit([0, ["low"], 3], lease=second.lease), Committed)
        assert (ctx.state.n, ctx.state.low) == (2, 3)

    @pytest.mark.parametrize("when", ["queued", "granted", "holding"])
    def test_26_a_client_that_dies_frees_its_turn_and_its_place_in_the_queue(
        self, ctx: zproc.Context[State], when: str
    ) -> None:
        with rude(ctx) as other:
            if when == "queued":
                assert isinstance(other.ask(Acquire(other.next(), (), Revision(0), 1 << 16)), Granted)
            with rude(ctx) as wire:
                wire.send(messages.encode(Acquire(wire.next(), (), Revision(0), 1 << 16)))
                if when == "holding":
                    assert isinstance(wire.receive(), Granted)
            for _ in range(2):  # whatever came with the first of them is done when the second one is answered
                assert isinstance(other.ask(messages.Ping(other.next())), messages.Pong)
            if when == "queued":
                assert isinstance(other.commit([0, ["n"], 3], lease=1), Committed)
            began = time.monotonic()
            assert isinstance(other.commit([0, ["n"], 4]), Committed)
            assert time.monotonic() - began < 0.9

    @pytest.mark.parametrize("read", [False, True])
    @pytest.mark.parametrize("waits", [False, True])
    def test_26_a_client_that_dies_after_it_has_sent_its_commit_has_committed_once_or_not(
        self, ctx: zproc.Context[State], *, read: bool, waits: bool
    ) -> None:
        """Sent, and not processed; applied, and not acknowledged; acknowledged: the next one has his turn at once."""
        with rude(ctx) as wire, rude(ctx) as other:
            granted = wire.ask(Acquire(wire.next(), (), Revision(0), 1 << 16))
            assert isinstance(granted, Granted)
            if waits:
                other.send(messages.encode(Acquire(other.next(), (), Revision(0), 1 << 16)))
            wire.send(messages.encode(Commit(wire.next(), granted.lease, wire.ops([5, ["n"], "+", 10]), "dying")))
            if read:
                assert isinstance(wire.receive(), Committed)
            wire.close()
            began = time.monotonic()
            if waits:
                assert isinstance(other.receive(), Granted)
                assert isinstance(other.commit([0, ["low"], 1], lease=2), Committed)
            else:
                assert isinstance(other.commit([0, ["low"], 1]), Committed)
            assert time.monotonic() - began < 0.9
        assert ctx.state.n in ((11,) if read else (1, 11))

    def test_27_28_a_turn_ends_at_the_limit_whatever_its_holder_does(self, ctx: zproc.Context[State]) -> None:
        with rude(ctx) as holder, rude(ctx) as other:
            granted = holder.ask(Acquire(holder.next(), (), Revision(0), 1 << 16))
            assert isinstance(granted, Granted)
            assert isinstance(other.commit([0, ["n"], 4]), Committed), "it comes after the limit of the turn"
            assert isinstance(refused(holder.commit([0, ["n"], 66], lease=granted.lease)), zproc.LeaseLost)
        assert ctx.state.n == 4

    @pytest.mark.parametrize("ctx", [30.0], indirect=True)
    def test_32_of_many_that_queue_the_living_are_served_in_order(self, ctx: zproc.Context[State]) -> None:
        with rude(ctx) as holder:
            granted = holder.ask(Acquire(holder.next(), (), Revision(0), 1 << 16))
            queue = [Wire(ctx.address) for _ in range(200)]
            for wire in queue:
                wire.send(messages.encode(Act(wire.next(), "add", SCHEMA.codec.encode([[], [1], {}]))))
                wire.send(messages.encode(messages.Ping(RequestId(1000))))
                assert isinstance(wire.receive(), messages.Pong)
            for wire in queue[::2]:
                wire.close()
            assert isinstance(granted, Granted)
            holder.commit([0, ["n"], 0], lease=granted.lease)
            living = [wire.receive() for wire in queue[1::2]]
            results = [SCHEMA.codec.decode(reply.result) for reply in living if isinstance(reply, Committed)]
            assert results == sorted(map(int, map(str, results)))
            assert len(results) == 100
            for wire in queue:
                wire.close()
