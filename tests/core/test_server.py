"""The state server's rules, promise by promise."""

from __future__ import annotations

import dataclasses
import gc
import random
import sys
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import msgpack
import pytest

from zproc.core import watch
from zproc.core.history import Entry
from zproc.core.keeper import Keeper
from zproc.core.limits import Limits
from zproc.core.messages import (
    PROTOCOL,
    Acquire,
    Answered,
    Changes,
    Command,
    Commit,
    Committed,
    Granted,
    Ping,
    Pong,
    Refused,
    Reply,
    Values,
    Watch,
    Welcome,
    decode_command,
)
from zproc.core.namespace import BudgetExceeded
from zproc.core.refusal import error_from_data
from zproc.core.server import Disconnect, Published, Send, ServerCore, Welcomed
from zproc.exceptions import (
    CommitUnknown,
    Error,
    HistoryGone,
    LeaseLost,
    LimitExceeded,
    ProtocolError,
    RemoteError,
    SchemaMismatch,
    UnknownPath,
    UsageError,
    ValidationRefused,
    ValidatorCrashed,
)
from zproc.schema.action import action
from zproc.schema.model import Schema, StateModel
from zproc.schema.ops import Set, Update
from zproc.typing import Epoch, LeaseId, PeerId, RequestId, Revision

if TYPE_CHECKING:
    from tests.core.conftest import Line, Wire

MakeWire = Callable[..., "Wire"]


def error_of(reply: Reply) -> BaseException:
    assert isinstance(reply, Refused), reply
    return error_from_data(reply.error)


def revisions(schema: Schema[StateModel], reply: Reply) -> list[int]:
    """Return the revisions that a watcher is told of."""
    assert isinstance(reply, Changes), reply
    found = [cast("list[Any]", schema.codec.decode(commit))[0] for commit in reply.commits]
    assert found[-1] == reply.revision
    return found


# Protocol


def test_hello_is_welcomed_with_the_name_of_the_state_and_the_largest_message(wire: Wire) -> None:
    wire.connect().committed(wire.connect().add())
    line = wire.line()
    welcome = line.expect(Welcome, line.hello())
    assert (welcome.epoch, welcome.revision, welcome.max_message) == ("e1", 1, wire.core.limits.message_bytes)
    assert Welcomed(line.id) in wire.performed


def test_a_stranger_may_ask_whether_the_server_lives_and_nothing_else(wire: Wire) -> None:
    line = wire.line()
    assert line.ask(Ping(RequestId(3))) == Pong(RequestId(3), 7)
    assert not line.cut
    assert isinstance(line.refused(line.add()), ProtocolError)
    assert line.cut


def test_a_ping_is_answered_with_the_servers_process(wire: Wire) -> None:
    assert wire.connect().ask(Ping(RequestId(3))) == Pong(RequestId(3), 7)


@pytest.mark.parametrize("command", ["add", "acquire", "read", "watch", "look"])
def test_a_command_before_hello_is_refused_and_cut_off(wire: Wire, command: str) -> None:
    line = wire.line()
    made = line.act("look") if command == "look" else getattr(line, command)()
    error = line.refused(made)
    assert isinstance(error, ProtocolError)
    assert "Hello" in str(error)
    assert line.cut
    assert wire.namespace.revision == 0


def test_a_second_hello_is_refused_and_cut_off(wire: Wire) -> None:
    line = wire.connect()
    assert isinstance(line.refused(line.hello()), ProtocolError)
    assert line.cut


@pytest.mark.parametrize("version", [0, PROTOCOL + 1, 1 << 40])
def test_another_version_is_refused_and_both_are_named(wire: Wire, version: int) -> None:
    line = wire.line()
    error = line.refused(line.hello(version=version))
    assert isinstance(error, ProtocolError)
    assert f"version {PROTOCOL} of the protocol, the client version {version}" in str(error)
    assert line.cut


def test_an_unknown_namespace_is_refused_with_those_that_there_are(wire: Wire) -> None:
    line = wire.line()
    error = line.refused(line.hello(namespace="shpo"))
    assert isinstance(error, UnknownPath)
    assert "'shop', 'other'" in str(error)
    assert line.cut


def test_another_schema_is_refused_with_the_differences(wire: Wire, schema: Schema[StateModel]) -> None:
    table = {**schema.table, "Shop.cookies": "str", "Shop.flour": "int"}
    del table["Shop.eaten"]
    line = wire.line()
    error = line.refused(line.hello(fingerprint="f" * 64, table=table))
    assert isinstance(error, SchemaMismatch)
    assert (error.server, error.client, error.declared) == (schema.fingerprint, "f" * 64, {})
    assert [text.partition(":")[0] for text in error.differences] == ["Shop.cookies", "Shop.eaten", "Shop.flour"]
    assert line.cut


def test_a_client_that_keeps_its_table_is_given_the_servers(wire: Wire, schema: Schema[StateModel]) -> None:
    line = wire.line()
    error = line.refused(line.hello(fingerprint="f" * 64))
    assert isinstance(error, SchemaMismatch)
    assert error.declared == schema.table


def test_malformed_bytes_are_told_and_cut_off(wire: Wire) -> None:
    line = wire.connect()
    with pytest.raises(ProtocolError) as caught:
        decode_command(b"\xc1")
    wire.core.malformed(line.id, caught.value)
    wire.perform()
    (reply,) = line.take()
    assert reply.request == 0
    assert str(error_of(reply)) == str(caught.value)
    assert line.cut


def test_p8_who_was_cut_off_is_not_listened_to_any_longer(wire: Wire) -> None:
    """What it had sent behind its mistake is read, and means nothing; its turn is free at once."""
    line, other = wire.connect(), wire.connect()
    line.granted()
    other.send(other.add())
    assert other.take() == []
    line.refused(line.hello())
    assert isinstance(other.take()[0], Committed)
    for command in (line.add(), line.hello(), line.watch(), Ping(RequestId(1))):
        line.send(command)
    wire.core.malformed(line.id, ProtocolError("again"))
    wire.perform()
    assert line.take() == []
    assert wire.namespace.revision == 1
    line.close()
    assert not wire.core._cut


def test_namespaces_have_nothing_to_do_with_each_other(wire: Wire) -> None:
    """Neither their states nor their turns."""
    here, there = wire.connect(), wire.connect(namespace="other")
    here.granted()
    assert there.committed(there.add()) == 1
    assert wire.core.namespace("shop").revision == 0
    assert there.granted()


def test_a_server_of_its_own_accord_does_nothing(schema: Schema[StateModel]) -> None:
    core = ServerCore({"shop": schema}, epoch=Epoch("e"))
    core.tick(now=1e9)
    core.disconnected(PeerId(5), now=1e9)
    assert core.effects() == []
    assert core.next_deadline() is None
    assert core.limits == Limits()


def test_a_server_without_a_budget_bounds_nothing(wire: Wire, schema: Schema[StateModel]) -> None:
    line = wire.line()
    core = ServerCore({"shop": schema}, epoch=Epoch("e"))
    core.receive(line.id, line.hello(), now=0.0)
    core.receive(line.id, line.act("bake", 1), now=0.0)
    assert core.namespace("shop").revision == 1


def test_effects_are_drained(wire: Wire) -> None:
    line = wire.connect()
    wire.core.receive(line.id, line.add(), now=wire.now)
    assert len(wire.core.effects()) == 2
    assert wire.core.effects() == []


# P1


def test_p1_a_refused_commit_changes_nothing_and_nobody_hears_of_it(wire: Wire) -> None:
    line, watcher = wire.connect(), wire.connect()
    line.committed(line.set("baked", 3))
    watcher.send(watcher.watch(since=1))
    before = wire.fingerprint()
    del wire.performed[:]
    for refused, error in (
        (line.set("cookies", -1), ValidationRefused),
        (line.set("eaten", 9), ValidationRefused),
        (line.set("cokies", 1), UnknownPath),
        (line.set("trap", "key"), ValidatorCrashed),
        (line.set("trap", "interrupt"), BaseException),
        (line.act("spoil", "value"), ValueError),
        (line.act("spoil", "exit"), RemoteError),
        (line.act("spoil", "interrupt"), RemoteError),
        (line.act("nope"), UnknownPath),
        (Commit(wire.request(), None, b"\xc1", ""), ProtocolError),
    ):
        assert isinstance(line.refused(refused), error)
        assert wire.fingerprint() == before
    assert watcher.take() == []
    assert not any(isinstance(effect, Published) for effect in wire.performed)


@pytest.mark.parametrize("made", ["action", "validator"])
def test_p1_p10_what_takes_too_long_is_undone_and_names_the_limit(wire: Wire, made: str) -> None:
    line = wire.connect()
    before = wire.fingerprint()
    error = line.refused(line.act("spoil", "budget") if made == "action" else line.set("trap", "budget"))
    assert isinstance(error, LimitExceeded)
    assert error.limit == "compute_time"
    who = "Shop.spoil" if made == "action" else "Shop._is_no_trap"
    assert str(error) == (
        f"compute_time: the limit of 1 s was reached; {who} computes longer than that in the server; "
        "have it do less there, or give zproc.Limits(compute_time=...)"
    )
    assert wire.fingerprint() == before


def test_p1_the_limit_of_time_holds_for_the_last_moment(make_wire: MakeWire) -> None:
    class Budget:
        def __init__(self, seconds: float) -> None:
            assert seconds == 0.5

        def __enter__(self) -> None:
            pass

        def __exit__(self, *_: object) -> None:
            raise BudgetExceeded

    wire = make_wire(Limits(compute_time=0.5), Budget)
    line = wire.connect()
    before = wire.fingerprint()
    for command in (line.add(), line.act("bake", 1)):
        assert "compute_time: the limit of 0.5 s was reached; " in str(line.refused(command))
        assert wire.fingerprint() == before


# P2


def test_p2_revisions_count_one_by_one_whoever_commits(wire: Wire) -> None:
    lines = [wire.connect() for _ in range(3)]
    found = [lines[place % 3].committed(lines[place % 3].add()) for place in range(9)]
    assert found == list(range(1, 10))


def test_p2_a_read_is_as_new_as_any_commit_that_was_acknowledged(wire: Wire) -> None:
    one, other = wire.connect(), wire.connect()
    for expected in range(1, 6):
        one.committed(one.add())
        reply = other.expect(Values, other.read("cookies"))
        assert reply.revision == expected
        assert other.values("cookies") == {"cookies": expected}


def test_p2_a_revision_is_published_before_anybody_is_told_of_it(wire: Wire) -> None:
    """Or a reader that trusts the published revision would miss a commit that was acknowledged."""
    line, watcher = wire.connect(), wire.connect()
    watcher.send(watcher.watch())
    del wire.performed[:]
    line.committed(line.add())
    published, *told = wire.performed
    assert published == Published(0, Revision(1))
    assert [type(effect.reply) for effect in told if isinstance(effect, Send)] == [Committed, Changes]


def test_p2_a_commit_that_changed_nothing_names_the_newest_revision_and_publishes_none(wire: Wire) -> None:
    line = wire.connect()
    line.committed(line.add())
    del wire.performed[:]
    assert line.committed(line.commit()) == 1
    assert [type(effect) for effect in wire.performed] == [Send]


def test_p2_the_past_can_be_read(wire: Wire) -> None:
    line = wire.connect()
    for _ in range(3):
        line.committed(line.add())
    reply = line.expect(Values, line.read("cookies", at=1))
    assert reply.revision == 1
    assert line.values("cookies", at=1) == {"cookies": 1}
    assert isinstance(line.refused(line.read(at=4)), HistoryGone)
    assert isinstance(line.refused(line.read("nope")), UnknownPath)


# P3


def test_p3_every_revision_satisfies_the_schema(wire: Wire) -> None:
    """Valid ops and invalid ones, in one commit and after each other."""
    line = wire.connect()
    line.committed(line.commit(Set(("eaten",), 2), Set(("baked",), 2)))
    assert isinstance(line.refused(line.commit(Set(("eaten",), 3), Set(("cookies",), 1))), ValidationRefused)
    assert isinstance(line.refused(line.commit(Update(("cookies",), "-", 1))), ValidationRefused)
    line.committed(line.commit(Update(("cookies",), "-", 1), Update(("cookies",), "+", 2)))
    assert line.values("eaten", "baked", "cookies") == {"eaten": 2, "baked": 2, "cookies": 1}


def test_p3_a_refusal_names_every_broken_rule(wire: Wire) -> None:
    line = wire.connect()
    error = line.refused(line.commit(Set(("cookies",), -1), Set(("oven", "temp"), 301)))
    assert isinstance(error, ValidationRefused)
    assert {(fault.path, fault.rule) for fault in error.faults} == {
        ("cookies", "greater_than_equal"),
        ("oven.temp", "less_than_equal"),
    }


# P4


def test_p4_a_turn_is_granted_with_what_has_changed(wire: Wire, schema: Schema[StateModel]) -> None:
    one, other = wire.connect(), wire.connect()
    one.committed(one.add())
    one.committed(one.act("bake", 1, "x"))
    granted = other.expect(Granted, other.acquire("cookies", "notes", "stock", since=1))
    assert granted.revision == 2
    assert schema.codec.decode(granted.values) == {"cookies": 2, "notes": ["x"]}
    other.close()
    assert one.expect(Granted, one.acquire()).values == b""


def test_p4_turns_are_granted_in_the_order_of_asking(wire: Wire) -> None:
    lines = [wire.connect() for _ in range(5)]
    lease = lines[0].granted()
    for line in lines[1:]:
        line.send(line.acquire())
        assert line.take() == []
    for holder, following in pairwise(lines):
        holder.committed(holder.set("cookies", 1, lease=lease))
        (granted,) = following.take()
        assert isinstance(granted, Granted)
        assert granted.lease > lease
        lease = granted.lease
    assert all(line.take() == [] for line in lines)


def test_p4_the_next_is_given_the_turn_before_the_last_hears_of_its_commit(wire: Wire) -> None:
    """Its function is yet to run, and all who wait wait for that."""
    last, following = wire.connect(), wire.connect()
    lease = last.granted()
    acquire = following.acquire()
    following.send(acquire)
    commit = last.set("cookies", 1, lease=lease)
    wire.performed.clear()
    last.send(commit)
    published, first, second = wire.performed
    assert published == Published(0, Revision(1))
    assert isinstance(first, Send)
    assert isinstance(second, Send)
    assert (type(first.reply), first.peer) == (Granted, following.id)
    assert (type(second.reply), second.peer) == (Committed, last.id)


def test_p4_what_a_turn_read_stays_true_until_its_commit(wire: Wire) -> None:
    """Commits and actions of others wait behind it, in their order; a granted turn sees them all."""
    holder, writer, caller, successor = (wire.connect() for _ in range(4))
    lease = holder.granted()
    writer.send(writer.add())
    caller.send(caller.act("bake", 2))
    successor.send(successor.acquire("cookies"))
    assert wire.namespace.revision == 0
    holder.committed(holder.set("cookies", 10, lease=lease))
    assert [type(reply) for line in (writer, caller, successor) for reply in line.take()] == [
        Committed,
        Committed,
        Granted,
    ]
    assert holder.values("cookies") == {"cookies": 13}
    assert wire.namespace.revision == 3


def test_p4_p8_reads_and_watchers_never_wait_for_a_turn(wire: Wire) -> None:
    holder, reader = wire.connect(), wire.connect()
    reader.committed(reader.add())
    holder.granted()
    assert reader.values("cookies") == {"cookies": 1}
    assert reader.values("cookies", at=0) == {"cookies": 0}
    reader.expect(Changes, reader.watch())
    assert reader.ask(Ping(RequestId(900))) == Pong(RequestId(900), 7)
    assert isinstance(reader.ask(reader.outcome(RequestId(901))), Answered)


def test_p4_a_turn_that_is_given_back_is_free(wire: Wire) -> None:
    one, other = wire.connect(), wire.connect()
    lease = one.granted()
    other.send(other.acquire())
    one.expect(Answered, one.release(lease))
    assert isinstance(other.take()[0], Granted)
    one.expect(Answered, one.release(lease))
    one.send(one.acquire())
    assert one.take() == [], "only the holder ends a turn"


def test_p4_a_turn_that_is_refused_its_commit_is_over(wire: Wire) -> None:
    one, other = wire.connect(), wire.connect()
    lease = one.granted()
    other.send(other.add())
    assert isinstance(one.refused(one.set("cookies", -1, lease=lease)), ValidationRefused)
    assert isinstance(other.take()[0], Committed)
    assert isinstance(one.refused(one.set("cookies", 1, lease=lease)), LeaseLost)


def test_p4_a_turn_that_overruns_the_limit_is_lost_and_the_next_one_granted(make_wire: MakeWire) -> None:
    wire = make_wire(Limits(lease_time=5))
    one, other = wire.connect(), wire.connect()
    lease = one.granted()
    other.send(other.acquire())
    deadline = wire.core.next_deadline()
    assert deadline == wire.now + 5
    wire.tick(4.999)
    assert other.take() == []
    wire.tick(0.001 + 1e-9)
    (granted,) = other.take()
    assert isinstance(granted, Granted)
    before = wire.fingerprint()
    error = one.refused(one.set("cookies", 1, lease=lease))
    assert isinstance(error, LeaseLost)
    assert "lease_time" in str(error)
    assert wire.fingerprint() == before
    assert wire.core.next_deadline() == wire.now + 5


def test_p4_a_tick_at_the_very_deadline_is_too_late_for_the_turn(wire: Wire) -> None:
    line = wire.connect()
    lease = line.granted()
    deadline = wire.core.next_deadline()
    assert deadline is not None
    wire.core.tick(now=deadline)
    wire.core.tick(now=deadline)
    wire.perform()
    assert wire.core.next_deadline() is None
    assert isinstance(line.refused(line.set("cookies", 1, lease=lease)), LeaseLost)


def test_p4_a_commit_is_judged_by_its_turn_and_not_by_the_clock(wire: Wire) -> None:
    """However late it is: as long as nobody has been told otherwise, the turn is held."""
    line = wire.connect()
    lease = line.granted()
    wire.now += 1e6
    assert line.committed(line.set("cookies", 1, lease=lease)) == 1


def test_p4_the_next_deadline_is_the_earliest_of_all_namespaces(wire: Wire) -> None:
    here, there = wire.connect(), wire.connect(namespace="other")
    there.granted()
    wire.now += 3
    here.granted()
    assert wire.core.next_deadline() == wire.now - 3 + wire.core.limits.lease_time


def test_p4_a_turn_that_was_lost_is_refused_forever(make_wire: MakeWire) -> None:
    """Whatever happens later, whoever holds the turn then, under the old request's number and under new ones."""
    wire = make_wire(Limits(lease_time=5))
    line = wire.connect("s")
    lease = line.granted()
    wire.tick(5)
    late = line.set("cookies", 1, lease=lease)
    assert isinstance(line.refused(late), LeaseLost)
    newer = line.granted()
    assert newer != lease
    assert isinstance(line.refused(late), LeaseLost)
    assert isinstance(line.refused(line.set("cookies", 1, lease=lease)), LeaseLost)
    line.committed(line.set("cookies", 2, lease=newer))
    assert isinstance(line.refused(late), LeaseLost)
    again = wire.connect("s")
    assert isinstance(again.refused(late), LeaseLost)
    assert wire.namespace.revision == 1


@pytest.mark.parametrize("passed", [0, 5])
def test_p4_a_turn_of_the_future_or_of_another_is_no_turn(wire: Wire, passed: int) -> None:
    one, other = wire.connect(), wire.connect("thief")
    lease = one.granted()
    for stolen in (lease, lease + 1, 0, 1 << 62):
        error = other.refused(other.set("cookies", 1, lease=LeaseId(stolen)))
        assert isinstance(error, LeaseLost)
        assert "it had ended" in str(error)
    assert one.committed(one.set("cookies", 1, lease=lease)) == 1


def test_p4_the_connection_that_holds_the_turn_does_not_wait_for_itself(wire: Wire) -> None:
    line = wire.connect()
    lease = line.granted()
    blocked = line.add()
    assert isinstance(line.refused(blocked), UsageError)
    assert isinstance(line.refused(line.act("bake", 1)), UsageError)
    assert isinstance(line.refused(line.acquire()), UsageError)
    line.committed(line.set("cookies", 1, lease=lease))
    assert isinstance(line.refused(blocked), UsageError), "what was refused once is never applied"


def test_p4_the_turn_of_a_dead_client_is_free_at_once(wire: Wire) -> None:
    holder, other = wire.connect(), wire.connect()
    lease = holder.granted()
    other.send(other.acquire())
    holder.close()
    assert isinstance(other.take()[0], Granted)
    again = wire.connect(holder.session)
    assert isinstance(again.refused(again.set("cookies", 1, lease=lease)), LeaseLost)


def test_p4_a_dead_client_that_waited_is_skipped(wire: Wire) -> None:
    holder, dead, writer, alive = (wire.connect() for _ in range(4))
    lease = holder.granted()
    dead.send(dead.acquire())
    dead.send(dead.add())
    writer.send(writer.add())
    alive.send(alive.acquire())
    dead.close()
    holder.expect(Answered, holder.release(lease))
    assert isinstance(writer.take()[0], Committed)
    assert isinstance(alive.take()[0], Granted)
    assert wire.namespace.revision == 1


def test_p4_a_dead_client_frees_nobody_elses_turn(wire: Wire) -> None:
    holder, dead, other = (wire.connect() for _ in range(3))
    lease = holder.granted()
    dead.send(dead.acquire())
    other.send(other.acquire())
    dead.close()
    assert other.take() == []
    assert holder.committed(holder.set("cookies", 1, lease=lease)) == 1


def test_p4_p8_of_a_thousand_that_wait_half_die_and_the_living_are_served_in_their_order(wire: Wire) -> None:
    lines = [wire.connect() for _ in range(1000)]
    lease = lines[0].granted()
    for line in lines[1:]:
        line.send(line.acquire())
    for line in random.Random(32).sample(lines[1:], 500):
        line.close()
        line.cut = True
    living = [line for line in lines if not line.cut]
    for holder, following in pairwise(living):
        holder.expect(Answered, holder.release(lease))
        (granted,) = following.take()
        assert isinstance(granted, Granted)
        lease = granted.lease


def test_p4_nobody_is_granted_a_turn_that_he_cannot_be_told_of(make_wire: MakeWire) -> None:
    """A grant that does not fit into a message is refused, and the next one has the turn."""
    wire = make_wire(Limits(message_bytes=1 << 17))
    holder, greedy, modest = (wire.connect() for _ in range(3))
    holder.committed(holder.set("blob", b"x" * (1 << 17)))
    assert isinstance(greedy.refused(greedy.acquire("blob", largest=1 << 20)), LimitExceeded)
    lease = holder.granted()
    greedy.send(greedy.acquire("blob", largest=1 << 20))
    greedy.send(greedy.acquire("nope"))
    modest.send(modest.acquire())
    holder.expect(Answered, holder.release(lease))
    assert [type(error_of(reply)) for reply in greedy.take()] == [LimitExceeded, UnknownPath]
    assert isinstance(modest.take()[0], Granted)


def test_p4_commits_that_waited_are_written_down_at_the_time_of_day_when_they_were_applied(
    wire: Wire, schema: Schema[StateModel]
) -> None:
    holder, writer, watcher = (wire.connect() for _ in range(3))
    wire.wall = 5000.0
    holder.granted()
    writer.send(writer.add())
    watcher.send(watcher.watch())
    wire.tick(30)
    changes = watcher.take()[0]
    assert isinstance(changes, Changes)
    assert cast("list[Any]", schema.codec.decode(changes.commits[0]))[1] == 5030.0


# P5


def test_p5_a_request_that_is_sent_again_is_answered_alike_and_has_one_effect(wire: Wire) -> None:
    line = wire.connect()
    for command in (line.add(), line.act("bake", 1), line.set("cookies", -1), line.act("spoil", "value")):
        first = line.ask(command)
        revision = wire.namespace.revision
        for _ in range(1000 if isinstance(first, Committed) else 3):
            assert line.ask(command) == first
        assert wire.namespace.revision == revision
    assert line.values("cookies") == {"cookies": 2}


def test_p5_a_commit_of_a_turn_that_is_sent_again_is_answered_alike(wire: Wire) -> None:
    """And not told that its turn is lost, which would have it done again."""
    line = wire.connect()
    commit = line.set("cookies", 1, lease=line.granted())
    first = line.expect(Committed, commit)
    assert line.ask(commit) == first
    other = wire.connect()
    other.granted()
    assert line.ask(commit) == first


def test_p5_a_copy_of_a_request_that_waits_is_answered_with_it(wire: Wire) -> None:
    holder, line = wire.connect(), wire.connect()
    lease = holder.granted()
    commit, action, acquire = line.add(), line.act("bake", 1), line.acquire()
    for command in (commit, action, acquire) * 3:
        line.send(command)
    assert line.take() == []
    holder.expect(Answered, holder.release(lease))
    assert [(type(reply), reply.request) for reply in line.take()] == [
        (Committed, commit.request),
        (Committed, action.request),
        (Granted, acquire.request),
    ]
    assert wire.namespace.revision == 2


def test_p5_a_copy_by_another_connection_that_waits_too_has_no_effect_of_its_own(wire: Wire) -> None:
    """A client has reconnected before the server has heard that the old connection is gone."""
    holder, old, new = wire.connect(), wire.connect("s"), wire.connect("s")
    lease = holder.granted()
    commit = old.add()
    old.send(commit)
    new.send(commit)
    holder.expect(Answered, holder.release(lease))
    (first,), (second,) = old.take(), new.take()
    assert first == second
    assert isinstance(first, Committed)
    assert wire.namespace.revision == 1


def test_p5_a_copy_survives_the_connection_that_the_request_came_by(wire: Wire) -> None:
    holder, old, new = wire.connect(), wire.connect("s"), wire.connect("s")
    lease = holder.granted()
    commit = old.add()
    old.send(commit)
    new.send(commit)
    old.close()
    holder.expect(Answered, holder.release(lease))
    assert isinstance(new.take()[0], Committed)
    assert wire.namespace.revision == 1


def test_p5_a_request_of_the_same_number_that_is_another_one_is_refused(wire: Wire) -> None:
    holder, line = wire.connect(), wire.connect()
    holder.granted()
    waiting = line.add()
    line.send(waiting)
    assert isinstance(line.refused(line.add(number=2, request=waiting.request)), ProtocolError)
    parked = line.watch()
    line.send(parked)
    assert isinstance(line.refused(dataclasses.replace(parked, own=False)), ProtocolError)
    line.send(parked)
    assert line.take() == []


def test_p5_an_outcome_outlives_the_connection(wire: Wire) -> None:
    line = wire.connect("s")
    commit = line.add()
    first = line.ask(commit)
    line.close()
    again = wire.connect("s")
    assert again.ask(commit) == first
    asked = again.outcome(commit.request)
    assert again.ask(asked) == dataclasses.replace(cast("Committed", first), request=asked.request)
    stranger = wire.connect("t")
    assert stranger.ask(commit) == dataclasses.replace(cast("Committed", first), revision=Revision(2))


def test_p5_an_outcome_that_was_a_refusal_is_told_as_one(wire: Wire) -> None:
    line = wire.connect()
    commit = line.set("cookies", -1)
    line.refused(commit)
    assert isinstance(line.refused(line.outcome(commit.request)), ValidationRefused)


def test_p5_a_request_that_never_came_is_given_up_and_comes_too_late(wire: Wire) -> None:
    line = wire.connect("s")
    lost, turn = line.add(), line.acquire()
    for late in (lost, turn):
        line.expect(Answered, line.outcome(late.request))
        for connection in (line, wire.connect("s")):
            error = connection.refused(late)
            assert isinstance(error, LeaseLost)
            assert "given up" in str(error)
        assert isinstance(line.refused(line.outcome(late.request)), LeaseLost)
    assert wire.namespace.revision == 0
    assert wire.core.next_deadline() is None


def test_p5_a_request_that_waits_can_be_given_up_by_another_connection(wire: Wire) -> None:
    holder, old, new = wire.connect(), wire.connect("s"), wire.connect("s")
    lease = holder.granted()
    commit = old.add()
    old.send(commit)
    new.expect(Answered, new.outcome(commit.request))
    holder.expect(Answered, holder.release(lease))
    assert isinstance(error_of(old.take()[0]), LeaseLost)
    assert wire.namespace.revision == 0


def test_p5_p10_when_its_outcome_is_forgotten_a_request_is_unknown_and_never_repeated(make_wire: MakeWire) -> None:
    wire = make_wire(Limits(outcomes=4))
    line = wire.connect()
    commits = [line.add() for _ in range(100)]
    for commit in commits:
        line.committed(commit)
    for commit in commits[:-4]:
        for ask in (commit, line.outcome(commit.request)):
            error = line.refused(ask)
            assert isinstance(error, CommitUnknown)
            assert error.request_id == commit.request
    for commit in commits[-4:]:
        line.committed(commit)
    assert wire.namespace.revision == 100


def test_p5_a_copy_of_an_acquire_is_granted_the_same_turn(wire: Wire) -> None:
    line = wire.connect()
    acquire = line.acquire()
    first = line.expect(Granted, acquire)
    assert line.ask(acquire) == first


def test_p5_what_is_cancelled_waits_no_longer_and_comes_too_late(wire: Wire) -> None:
    holder, line = wire.connect(), wire.connect()
    lease = holder.granted()
    commit, acquire, watcher = line.add(), line.acquire(), line.watch()
    for command in (commit, acquire, watcher):
        line.send(command)
        line.expect(Answered, line.cancel(command.request))
    line.expect(Answered, line.cancel(RequestId(9999)))
    holder.committed(holder.set("cookies", 5, lease=lease))
    assert line.take() == []
    assert isinstance(line.refused(commit), LeaseLost)
    assert wire.namespace.revision == 1
    assert wire.core.next_deadline() is None


def test_p5_what_was_answered_cannot_be_cancelled(wire: Wire) -> None:
    line = wire.connect()
    commit = line.add()
    first = line.ask(commit)
    line.expect(Answered, line.cancel(commit.request))
    assert line.ask(commit) == first


# P6


def test_p6_all_commits_since_any_revision_come_in_order(wire: Wire, schema: Schema[StateModel]) -> None:
    line, watcher = wire.connect(), wire.connect()
    for _ in range(6):
        line.committed(line.add())
    for since in range(6):
        assert revisions(schema, watcher.ask(watcher.watch(since=since))) == list(range(since + 1, 7))


def test_p6_a_watcher_is_told_at_once_or_as_soon_as_there_is_something(wire: Wire, schema: Schema[StateModel]) -> None:
    line, watcher = wire.connect(), wire.connect()
    watching = watcher.watch(since=0)
    watcher.send(watching)
    assert watcher.take() == []
    line.committed(line.add())
    (reply,) = watcher.take()
    assert reply.request == watching.request
    assert revisions(schema, reply) == [1]
    line.committed(line.add())
    assert watcher.take() == [], "an answered watcher asks again"
    assert revisions(schema, watcher.ask(watcher.watch(since=1))) == [2]


def test_p6_a_commit_is_told_whole(wire: Wire, schema: Schema[StateModel]) -> None:
    """All of its changes, whatever the pattern; one event for five fields."""
    line, watcher = wire.connect(), wire.connect()
    watcher.send(watcher.watch(("cookies",), ("eaten",), ("baked",), ("notes",), ("stock",)))
    line.committed(line.commit(*[Set((name,), 1) for name in ("cookies", "baked", "eaten")], Set(("stock", "a"), 1)))
    (reply,) = watcher.take()
    assert isinstance(reply, Changes)
    (commit,) = reply.commits
    changes = cast("list[Any]", schema.codec.decode(commit))[-1]
    assert [change[0][1] for change in changes] == [["cookies"], ["baked"], ["eaten"], ["stock", "a"]]


def test_p6_only_what_touches_a_pattern_is_told(wire: Wire, schema: Schema[StateModel]) -> None:
    line, watcher = wire.connect(), wire.connect()
    line.committed(line.set("cookies", 1))
    line.committed(line.commit(Set(("stock", "flour"), 1)))
    line.committed(line.commit(Set(("stock", "sugar"), 1)))
    line.committed(line.commit(Set(("stock",), {})))
    line.committed(line.commit(Set(("ovens", "big"), {"temp": 30})))
    line.committed(line.commit(Set(("ovens", "big", "temp"), 31)))
    for patterns, expected in (
        ([("stock",)], [2, 3, 4]),
        ([("stock", "sugar")], [3, 4]),
        ([("cookies",), ("stock", "flour")], [1, 2, 4]),
        ([("ovens", ..., "temp")], [5, 6]),
        ([(..., "flour")], [1, 2, 4]),
        ([()], [1, 2, 3, 4, 5, 6]),
    ):
        assert revisions(schema, watcher.ask(watcher.watch(*patterns))) == expected


def test_p6_own_commits_are_included_or_not_as_asked(wire: Wire, schema: Schema[StateModel]) -> None:
    """Own are those of the process, by whichever of its connections."""
    mine, mine_too, other = wire.connect("s"), wire.connect("s"), wire.connect("t")
    parked = mine.watch(own=False)
    mine.send(parked)
    mine.committed(mine.add())
    mine_too.committed(mine_too.add())
    assert mine.take() == []
    other.committed(other.add())
    assert revisions(schema, mine.take()[0]) == [3]
    assert revisions(schema, mine.ask(mine.watch(own=False))) == [3]
    assert revisions(schema, mine.ask(mine.watch(own=True))) == [1, 2, 3]


def test_p6_duplicates_are_told_only_to_who_asks(wire: Wire, schema: Schema[StateModel]) -> None:
    line, one, all_of_it = (wire.connect() for _ in range(3))
    one.send(one.watch(("cookies",)))
    all_of_it.send(all_of_it.watch(("cookies",), duplicates=True))
    line.committed(line.set("cookies", 0))
    assert one.take() == []
    assert revisions(schema, all_of_it.take()[0]) == [1]
    line.committed(line.set("cookies", 1))
    assert revisions(schema, one.take()[0]) == [2]
    assert revisions(schema, one.ask(one.watch(duplicates=True))) == [1, 2]


def test_p6_p10_history_that_is_gone_is_said_to_be(make_wire: MakeWire, schema: Schema[StateModel]) -> None:
    wire = make_wire(Limits(history_commits=10))
    line, watcher = wire.connect(), wire.connect()
    for _ in range(25):
        line.committed(line.add())
    for since, answer in ((0, None), (14, None), (15, range(16, 26)), (24, [25]), (26, None), (1025, None)):
        if answer is None:
            error = watcher.refused(watcher.watch(since=since))
            assert isinstance(error, HistoryGone)
            assert (error.asked, error.oldest) == (since, 15)
        else:
            assert revisions(schema, watcher.ask(watcher.watch(since=since))) == list(answer)
    live = watcher.watch(since=25)
    watcher.send(live)
    assert watcher.take() == []


def test_p6_p10_history_that_was_dropped_for_its_bytes_is_said_to_be(make_wire: MakeWire) -> None:
    wire = make_wire(Limits(history_bytes=10_000))
    line, watcher = wire.connect(), wire.connect()
    for _ in range(5):
        line.committed(line.set("blob", b"x" * 3000))
    error = watcher.refused(watcher.watch(since=0))
    assert isinstance(error, HistoryGone)
    assert error.oldest > 0


def test_p6_a_parked_watcher_misses_nothing_while_history_is_dropped(
    make_wire: MakeWire, schema: Schema[StateModel]
) -> None:
    """It is told of the first commit that concerns it, however many others there were."""
    wire = make_wire(Limits(history_commits=2))
    line, watcher = wire.connect(), wire.connect()
    watcher.send(watcher.watch(("notes",)))
    for _ in range(20):
        line.committed(line.add())
    line.committed(line.commit(Set(("notes",), ["x"])))
    assert revisions(schema, watcher.take()[0]) == [21]


def test_p6_the_state_comes_as_it_was_after_each_commit(wire: Wire, schema: Schema[StateModel]) -> None:
    """One commit a reply, and its state, also when later ones exist."""
    line, watcher = wire.connect(), wire.connect()
    for count in range(1, 6):
        line.committed(line.set("cookies", count))
    for since in range(5):
        reply = watcher.expect(Changes, watcher.watch(since=since, state=True))
        assert revisions(schema, reply) == [since + 1]
        assert cast("dict[str, Any]", schema.codec.decode(reply.state))["cookies"] == since + 1
    watcher.send(watcher.watch(since=5, state=True))
    line.committed(line.set("cookies", 6))
    (reply,) = cast("list[Changes]", watcher.take())
    assert cast("dict[str, Any]", schema.codec.decode(reply.state))["cookies"] == 6
    assert watcher.expect(Changes, watcher.watch(since=5)).state == b""


def test_p6_a_watcher_of_a_dead_client_is_forgotten(wire: Wire) -> None:
    line, watcher = wire.connect(), wire.connect()
    watcher.send(watcher.watch())
    watcher.close()
    line.committed(line.add())
    assert watcher.take() == []


def test_p6_p10_a_reply_carries_no_more_commits_than_the_limit(make_wire: MakeWire, schema: Schema[StateModel]) -> None:
    wire = make_wire(Limits(batch_commits=4))
    line, watcher = wire.connect(), wire.connect()
    for _ in range(10):
        line.committed(line.add())
    assert revisions(schema, watcher.ask(watcher.watch(since=0))) == [1, 2, 3, 4]
    assert revisions(schema, watcher.ask(watcher.watch(since=4))) == [5, 6, 7, 8]
    assert revisions(schema, watcher.ask(watcher.watch(since=8))) == [9, 10]


def test_p6_p10_a_reply_carries_no_more_bytes_than_fit_into_a_message(
    make_wire: MakeWire, schema: Schema[StateModel]
) -> None:
    """The wire of these tests refuses any that is larger."""
    wire = make_wire(Limits(message_bytes=1 << 17))
    line, watcher = wire.connect(), wire.connect()
    for number in range(10):
        line.committed(line.set("blob", bytes([number]) * 20_000))
    seen: list[int] = []
    while len(seen) < 10:
        seen += revisions(schema, watcher.ask(watcher.watch(since=len(seen))))
    assert seen == list(range(1, 11))


def test_p6_p10_a_commit_too_large_for_a_message_is_a_gap_that_is_told(
    make_wire: MakeWire, schema: Schema[StateModel]
) -> None:
    """It is not refused, or nothing large could ever be deleted; who watches is told to go on from it."""
    wire = make_wire(Limits(message_bytes=1 << 17))
    line, watcher, parked, with_state = (wire.connect() for _ in range(4))
    line.committed(line.set("blob", b"x" * 100_000))
    waiting = parked.watch(since=1)
    parked.send(waiting)
    with_state.send(with_state.watch(since=1, state=True))
    line.committed(line.set("blob", b"y" * 100_000))
    line.committed(line.set("blob", b""))
    for error in (
        error_of(parked.take()[0]),
        error_of(with_state.take()[0]),
        watcher.refused(watcher.watch(since=1)),
    ):
        assert isinstance(error, HistoryGone)
        assert (error.asked, error.oldest) == (1, 2)
    assert revisions(schema, watcher.ask(watcher.watch(since=2))) == [3]
    assert line.values("blob", at=1) == {"blob": b"x" * 100_000}


def test_p6_p10_a_state_too_large_for_a_message_is_said_to_be(make_wire: MakeWire) -> None:
    wire = make_wire(Limits(message_bytes=1 << 17))
    line, watcher = wire.connect(), wire.connect()
    line.committed(line.set("blob", b"x" * 100_000))
    line.committed(line.set("notes", ["x" * 20_000]))
    watcher.send(watcher.watch(since=2, state=True))
    line.committed(line.set("notes", ["x" * 20_000, "y" * 20_000]))
    assert isinstance(error_of(watcher.take()[0]), LimitExceeded)
    error = watcher.refused(watcher.watch(since=2, state=True))
    assert isinstance(error, LimitExceeded)
    assert error.limit == "message_bytes"
    assert isinstance(watcher.refused(watcher.read()), LimitExceeded)


def test_p6_p10_a_state_that_does_not_fit_beside_its_commit_is_said_to_be(make_wire: MakeWire) -> None:
    wire = make_wire(Limits(message_bytes=1 << 17))
    line, watcher = wire.connect(), wire.connect()
    line.committed(line.set("notes", ["x" * 60_000]))
    line.committed(line.commit(Set(("blob",), b"x" * 80_000), Set(("notes",), [])))
    error = watcher.refused(watcher.watch(("blob",), since=1, state=True))
    assert isinstance(error, HistoryGone), "the commit does not fit by itself"
    line.committed(line.set("notes", ["x" * 55_000]))
    line.committed(line.set("notes", []))
    error = watcher.refused(watcher.watch(since=3, state=True))
    assert isinstance(error, LimitExceeded)
    assert error.given > error.allowed
    assert watcher.expect(Changes, watcher.watch(since=3)).revision == 4


def test_p8_a_parked_watcher_costs_nothing_to_commits_that_do_not_touch_it(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    line, watcher = wire.connect(), wire.connect()
    for number in range(500):
        watcher.send(watcher.watch(("stock", str(number))))
    looked_at: list[object] = []
    concerns = watch.concerns

    def look(one: watch.Watcher, entry: Entry) -> bool:
        looked_at.append(one)
        return concerns(one, entry)

    monkeypatch.setattr(watch, "concerns", look)
    line.committed(line.add())
    line.committed(line.act("bake", 1, "x"))
    assert looked_at == []
    line.committed(line.commit(Set(("stock", "3"), 1)))
    assert len(looked_at) == 1, "of all the watchers of that field the one that named this key"
    assert len(watcher.take()) == 1


# P9


def test_p9_nothing_is_unpickled_whatever_comes(wire: Wire) -> None:
    """The interpreter itself reports every class that pickle looks up."""
    found: list[object] = []
    sys.addaudithook(lambda event, args: found.append(args) if event == "pickle.find_class" else None)
    bomb = b"cos\nsystem\n(S'true'\ntR."
    line = wire.connect()
    for data in (bomb, msgpack.packb(bomb), msgpack.packb([[0, ["blob"], bomb]])):
        line.send(Commit(wire.request(), None, data, "x"))
        line.send(dataclasses.replace(line.act("bake", 1), call=data))
        line.send(Watch(wire.request(), Revision(0), data, own=True, duplicates=True, state=False, wait=True))
    for code in range(128):
        line.send(Commit(wire.request(), None, msgpack.packb([[0, ["blob"], msgpack.ExtType(code, bomb)]]), "x"))
    with pytest.raises(ProtocolError):
        decode_command(bomb)
    assert len(line.take()) == 137
    line.committed(line.set("blob", bomb))
    assert line.values("blob") == {"blob": bomb}, "bytes are bytes"
    assert found == []


# P10


def test_p10_more_than_so_many_requests_of_a_connection_do_not_wait(make_wire: MakeWire) -> None:
    wire = make_wire(Limits(waiting=3))
    holder, line, other = (wire.connect() for _ in range(3))
    lease = holder.granted()
    few: list[Command] = [line.add(), line.acquire(), line.watch(("notes",))]
    for command in few:
        line.send(command)
    too_many: list[Command] = [line.add(), line.act("bake", 1), line.acquire(), line.watch()]
    for command in too_many:
        error = line.refused(command)
        assert isinstance(error, LimitExceeded)
        assert error.limit == "waiting"
    other.send(other.add())
    holder.expect(Answered, holder.release(lease))
    assert len(line.take()) == 2
    assert isinstance(line.refused(too_many[0]), LimitExceeded), "what was refused once is never applied"
    line.close()
    assert isinstance(other.take()[0], Committed)


def test_p10_more_than_so_many_bytes_of_a_connection_do_not_wait(make_wire: MakeWire) -> None:
    wire = make_wire(Limits(waiting_bytes=10_000))
    holder, line = wire.connect(), wire.connect()
    lease = holder.granted()
    for number in range(4):
        line.send(line.set("blob", bytes([number]) * 2_000))
    error = line.refused(line.set("blob", b"x" * 2_000))
    assert isinstance(error, LimitExceeded)
    assert error.limit == "waiting_bytes"
    holder.expect(Answered, holder.release(lease))
    assert len(line.take()) == 4
    holder.granted()
    line.send(line.set("blob", b"x" * 9_000))
    assert line.take() == []


def test_p10_more_processes_than_the_limit_are_refused_cleanly(make_wire: MakeWire) -> None:
    wire = make_wire(Limits(sessions=2))
    one, two = wire.connect("1"), wire.connect("2")
    wire.connect("1")
    late = wire.line("3")
    error = late.refused(late.hello())
    assert isinstance(error, LimitExceeded)
    assert error.limit == "sessions"
    assert late.cut
    two.close()
    wire.connect("3")
    assert one.committed(one.add()) == 1


def test_p5_p10_a_process_that_was_forgotten_is_told_that_its_outcomes_are_unknown(make_wire: MakeWire) -> None:
    wire = make_wire(Limits(sessions=1))
    line = wire.connect("1")
    commit = line.add()
    line.committed(commit)
    line.close()
    wire.connect("2").close()
    again = wire.connect("1")
    for _ in range(2):
        assert isinstance(again.refused(again.outcome(commit.request)), CommitUnknown)
    assert isinstance(again.refused(commit), CommitUnknown)
    assert wire.namespace.revision == 1


def test_p10_an_outcome_that_is_too_large_is_told_once_and_then_unknown(make_wire: MakeWire) -> None:
    wire = make_wire(Limits(outcome_bytes=1000))
    line = wire.connect()
    act = line.act("big_result", 2000)
    assert len(line.expect(Committed, act).result) > 2000
    assert isinstance(line.refused(act), CommitUnknown)
    assert wire.namespace.revision == 1


@pytest.mark.parametrize(
    ("limits", "command", "limit"),
    [
        ({"commit_ops": 2}, lambda line: line.commit(*[Set(("cookies",), 1)] * 3), "commit_ops"),
        ({"pattern_bytes": 20}, lambda line: line.watch(*[("cookies",)] * 9), "pattern_bytes"),
        ({"message_bytes": 1 << 17}, lambda line: line.act("big_result", 1 << 17), "message_bytes"),
    ],
)
def test_p10_a_limit_that_is_reached_names_itself_and_its_size(
    make_wire: MakeWire, limits: dict[str, int], command: Callable[[Line], Any], limit: str
) -> None:
    wire = make_wire(Limits(**limits))
    line = wire.connect()
    before = wire.fingerprint()
    error = line.refused(command(line))
    assert isinstance(error, LimitExceeded)
    assert (error.limit, error.allowed) == (limit, limits[limit])
    assert error.given > error.allowed
    assert wire.fingerprint() == before
    assert line.committed(line.add()) == 1, "the next request is served"


def test_p8_the_memory_of_a_server_does_not_grow_with_the_requests_of_a_client(make_wire: MakeWire) -> None:
    """Whatever it asks and however it leaves: what is kept is bounded, and what waited is gone with it."""
    wire = make_wire(Limits(outcomes=8, history_commits=8, sessions=4))
    for number in range(50):
        holder, line = wire.connect(f"{number}"), wire.connect(f"{number}")
        holder.granted()
        for _ in range(10):
            line.send(line.add())
            line.send(line.acquire())
            line.send(line.watch(("notes",)))
        line.close()
        holder.close()
    space = wire.core._spaces["shop"]
    assert not wire.core._peers
    assert not wire.core._cut
    assert not space.turns._queue
    assert not space.watchers._parked
    assert len(wire.core._sessions._sessions) <= 4
    assert space.turns.is_free()


def test_errors_of_the_protocol_leave_the_connection_in_step(wire: Wire) -> None:
    """A refusal is an answer; the next request is answered as if nothing had been."""
    line = wire.connect()
    for command in (line.read("nope"), line.watch(since=99), line.set("cookies", -1), line.act("nope")):
        assert isinstance(line.refused(command), Error)
        assert not line.cut
    assert line.committed(line.add()) == 1


def test_a_disconnect_says_why(wire: Wire) -> None:
    line = wire.line()
    line.refused(Acquire(RequestId(1), (), Revision(0), 1 << 16))
    (reason,) = [effect.reason for effect in wire.performed if isinstance(effect, Disconnect)]
    assert "Hello" in reason


class Guests(StateModel):
    """A state that is told who has left."""

    left: list[str] = []

    @action
    def leave(self, session: str) -> None:
        if session == "rude":
            raise ValueError("no")
        self.left.append(session)

    @action
    def note(self, session: str, text: str) -> None:
        self.left.append(text)


class TestFarewell:
    """A namespace may ask to be told of sessions that have ended."""

    @staticmethod
    def enter(wire: Wire, session: str) -> Line:
        schema = Schema.of(Guests)
        wire.core.add("guests", schema, Keeper("note", "leave"))  # type: ignore[arg-type]  # a schema is invariant
        return wire.connect(session, namespace="guests", fingerprint=schema.fingerprint)

    @staticmethod
    def left(wire: Wire) -> object:
        return cast("Guests", wire.core.namespace("guests").state).left

    def test_it_is_told_when_the_last_connection_has_gone(self, wire: Wire) -> None:
        one, other = self.enter(wire, "a"), self.enter(wire, "a")
        one.close()
        assert self.left(wire) == []
        other.close()
        assert self.left(wire) == ["a"]

    def test_who_watches_is_told_as_of_any_commit(self, wire: Wire) -> None:
        watcher, guest = self.enter(wire, "w"), self.enter(wire, "a")
        watcher.send(watcher.watch(since=0))
        guest.close()
        (changes,) = watcher.take()
        assert isinstance(changes, Changes)
        assert changes.revision == 1
        assert Published(2, Revision(1)) in wire.performed

    def test_it_is_told_between_two_turns(self, wire: Wire) -> None:
        holder, guest = self.enter(wire, "h"), self.enter(wire, "a")
        lease = holder.granted()
        guest.close()
        assert self.left(wire) == []
        holder.send(holder.release(lease))
        assert self.left(wire) == ["a"]

    def test_one_that_fails_harms_nobody(self, wire: Wire) -> None:
        one, other = self.enter(wire, "rude"), self.enter(wire, "a")
        one.close()
        other.committed(other.act("note", "a", "still here"))
        assert self.left(wire) == ["still here"]

    def test_a_namespace_that_did_not_ask_is_told_nothing(self, wire: Wire) -> None:
        before = wire.fingerprint()
        wire.connect("a").close()
        assert wire.fingerprint() == before


# Memory


def memory_after(setup: Callable[[], object], body: Callable[[], object]) -> int:
    """Return how many bytes more there are after a second thing than after a first one."""
    tracemalloc.start()
    try:
        setup()
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        body()
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def test_p8_reads_leave_the_memory_of_the_server_as_it_was(wire: Wire) -> None:
    """What the processes need that do this is in the benchmarks."""
    line = wire.connect()
    line.committed(line.set("blob", b"x" * 1_000_000))

    def read(times: int) -> None:
        for _ in range(times):
            wire.core.receive(line.id, line.read("blob"), now=wire.now)
            (effect,) = wire.core.effects()
            assert isinstance(effect, Send)
            assert isinstance(effect.reply, Values)
            assert len(effect.reply.values) > 1_000_000

    assert memory_after(lambda: read(10), lambda: read(400)) < 10_000


def test_p8_a_client_that_does_nothing_costs_little(wire: Wire) -> None:
    """64 KiB is what it may cost the process; most of that is its socket, and in the benchmarks."""

    def come(first: int, number: int) -> None:
        for peer in range(first, first + number):
            hello = wire.line(f"session {peer}").hello(table=dict(wire.namespace.schema.table))
            wire.core.receive(PeerId(peer), hello, now=wire.now)
            assert wire.core.effects()
        wire.lines.clear()

    assert memory_after(lambda: come(1000, 10), lambda: come(2000, 200)) / 200 < 4_000
