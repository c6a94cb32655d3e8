"""Every request ends as answered, refused or unknown, and which of them is never guessed."""

from __future__ import annotations

import copy
import functools
import os
import pickle
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from pydantic import BaseModel

from zproc.client import Client, atomic, model_handle, new_session
from zproc.client.connection import expect
from zproc.core.limits import Limits
from zproc.core.messages import Acquire, Act, Command, Commit, Hello, Outcome, Pong, Read, Values, Watch
from zproc.exceptions import (
    CommitRefused,
    CommitUnknown,
    HistoryGone,
    LeaseLost,
    LimitExceeded,
    ProtocolError,
    SchemaMismatch,
    Unavailable,
    UsageError,
    WaitTimeout,
)
from zproc.schema import StateModel, action
from zproc.schema.event import Change
from zproc.schema.model import Schema
from zproc.transport import fresh_address
from zproc.typing import RequestId, Revision

if TYPE_CHECKING:
    from tests.client.conftest import Serve, Served


class Shop(StateModel):
    cookies: int = 0
    tags: list[str] = []

    @action
    def bake(self, n: int) -> int:
        self.cookies += n
        return self.cookies


class Other(StateModel):
    cookies: float = 0.0


@atomic
def bake(shop: Shop) -> int:
    shop.cookies += 1
    return shop.cookies


def write(state: Shop) -> object:
    state.cookies += 1
    return state.cookies


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have lost commits asked after for a moment only."""
    monkeypatch.setattr("zproc.client.client.SETTLING", 0.06)
    monkeypatch.setattr("zproc.client.pool.SETTLING", 0.06)


CHANGES: list[tuple[type[Command], Callable[[Shop], object]]] = [
    (Commit, write),
    (Act, lambda state: state.bake(1)),
]


class TestLostConnections:
    @pytest.mark.parametrize(("kind", "change"), CHANGES, ids=["write", "action"])
    def test_what_was_applied_is_known_to_be(
        self, serving: Serve, kind: type[Command], change: Callable[[Shop], object]
    ) -> None:
        """The answer was lost; the server is asked after it, and nothing is done twice."""
        served = serving(Shop, fault=(kind, "after", 1))
        assert change(served.state) == 1
        assert served.value.cookies == 1
        assert len(served.asked(Outcome)) == 1
        assert len(served.asked(kind)) == 1

    @pytest.mark.parametrize(("kind", "change"), CHANGES, ids=["write", "action"])
    def test_what_never_came_is_sent_once_more(
        self, serving: Serve, kind: type[Command], change: Callable[[Shop], object]
    ) -> None:
        """As another request, because the first has been given up and must not come late."""
        served = serving(Shop, fault=(kind, "before", 1))
        assert change(served.state) == 1
        assert served.value.cookies == 1
        assert served.revision == 1

    @pytest.mark.parametrize(("kind", "change"), CHANGES, ids=["write", "action"])
    def test_what_never_comes_is_refused(
        self, serving: Serve, kind: type[Command], change: Callable[[Shop], object]
    ) -> None:
        served = serving(Shop, fault=(kind, "before", 2))
        with pytest.raises(CommitRefused, match="lost twice"):
            change(served.state)
        assert served.value.cookies == 0
        assert change(served.state) == 1

    @pytest.mark.usefixtures("hurried")
    @pytest.mark.parametrize(("kind", "change"), CHANGES, ids=["write", "action"])
    def test_what_nobody_can_tell_is_unknown(
        self, serving: Serve, kind: type[Command], change: Callable[[Shop], object]
    ) -> None:
        served = serving(Shop, fault=(kind, "die", 1))
        with pytest.raises(CommitUnknown) as unknown:
            change(served.state)
        assert unknown.value.request_id > 0
        with pytest.raises(Unavailable):
            change(served.state)

    def test_a_garbled_answer_is_a_lost_one(self, serving: Serve) -> None:
        served = serving(Shop, fault=(Act, "garble", 1))
        assert served.state.bake(1) == 1
        assert served.value.cookies == 1

    def test_an_outcome_that_is_lost_as_well_is_asked_for_again(self, serving: Serve) -> None:
        served = serving(Shop, fault=(Act, "after", 1))
        inner = served.core.receive
        lost: list[object] = []

        def lose_first_outcome(peer: object, command: Command, **times: float) -> None:
            if isinstance(command, Outcome) and not lost:
                lost.append(command)
                raise ProtocolError("lost")
            inner(peer, command, **times)  # type: ignore[arg-type]  # passed on

        served.core.receive = lose_first_outcome  # type: ignore[method-assign]  # for this server
        assert served.state.bake(1) == 1
        assert served.value.cookies == 1

    def test_an_atomic_function_is_not_run_again(self, serving: Serve) -> None:
        """Its turn was lost with the connection: that the commit never came means that it is refused."""
        served = serving(Shop, fault=(Commit, "before", 1))
        runs = []

        @atomic
        def once(shop: Shop) -> None:
            runs.append(1)
            shop.cookies += 1

        with pytest.raises(LeaseLost, match="before the commit came"):
            once(served.state)
        assert runs == [1]
        assert served.value.cookies == 0
        assert bake(served.state) == 1

    def test_an_atomic_function_whose_answer_is_lost_has_been_applied(self, serving: Serve) -> None:
        served = serving(Shop, fault=(Commit, "after", 1))
        assert bake(served.state) == 1
        assert served.value.cookies == 1

    @pytest.mark.usefixtures("hurried")
    def test_an_atomic_function_may_be_unknown(self, serving: Serve) -> None:
        served = serving(Shop, fault=(Commit, "die", 1))
        with pytest.raises(CommitUnknown):
            bake(served.state)

    @pytest.mark.parametrize("fault", ["before", "after", "garble"])
    def test_a_turn_is_asked_for_again(self, serving: Serve, fault: str) -> None:
        """The function has not run yet; a turn that was granted ended with its connection."""
        served = serving(Shop, fault=(Acquire, fault, 1))
        assert bake(served.state) == 1
        assert len(served.asked(Acquire)) == (1 if fault == "before" else 2)

    @pytest.mark.parametrize("fault", ["before", "after", "garble"])
    def test_a_question_is_asked_again(self, serving: Serve, fault: str) -> None:
        served = serving(Shop, fault=(Read, fault, 1))
        assert served.state.cookies == 0

    def test_a_wait_goes_on_where_it_was(self, serving: Serve, together: Callable[..., None]) -> None:
        served = serving(Shop, fault=(Watch, "before", 1))

        def change() -> None:
            served.wait_for(Watch)
            served.state_of(served.new_client()).cookies = 5

        seen: list[Shop] = []
        together(lambda: seen.append(served.state.get_when_change("cookies")), change)
        assert seen == [Shop(cookies=5)]

    def test_a_server_that_is_gone_is_unavailable(self, serving: Serve, either_address: str) -> None:
        served = serving(Shop, address=either_address)
        assert served.state.cookies == 0
        served.stop()
        for use in (
            lambda: served.state.cookies,
            lambda: served.state.snapshot(),
            lambda: served.state.get_when_change(),
            lambda: bake(served.state),
        ):
            with pytest.raises(Unavailable):
                use()

    def test_a_reader_that_waits_learns_that_the_server_is_gone(
        self, serving: Serve, together: Callable[..., None], either_address: str
    ) -> None:
        served = serving(Shop, address=either_address)

        def stop() -> None:
            served.wait_for(Watch)
            served.stop()

        def wait() -> None:
            with pytest.raises(Unavailable):
                served.state.get_when_change("cookies")

        together(wait, stop)


class TestARestartedServer:
    """Another server listens at the address: its revisions begin anew, and the client's connections are dead."""

    @pytest.fixture
    def before(self, serving: Serve, either_address: str) -> Served[Shop]:
        served = serving(Shop, address=either_address)
        for number in range(5):
            served.state.cookies = number
        assert served.state.tags == []
        assert served.state.cookies == 4
        return served

    @pytest.fixture
    def after(self, serving: Serve, before: Served[Shop]) -> Served[Shop]:
        # As after some time without use, when a connection is looked at before it is used.
        for connection in before.client._idle:
            connection._last -= 60
        before.stop()
        after = serving(Shop, address=before.address)
        after.state.cookies = 100
        return after

    @pytest.mark.usefixtures("after")
    def test_nothing_of_the_old_state_is_read(self, before: Served[Shop]) -> None:
        assert before.state.cookies == 100
        assert before.state.snapshot() == Shop(cookies=100)

    def test_writes_go_to_the_new_one(self, before: Served[Shop], after: Served[Shop]) -> None:
        before.state.tags.append("x")
        assert before.state.bake(1) == 101
        assert bake(before.state) == 102
        assert after.value == Shop(cookies=102, tags=["x"])

    @pytest.mark.usefixtures("after")
    def test_an_atomic_function_reads_the_new_state(self, before: Served[Shop]) -> None:
        assert bake(before.state) == 101

    def test_a_commit_that_the_old_one_may_have_applied_is_unknown(self, serving: Serve) -> None:
        """The new one has never heard of it, and cannot say."""
        address = fresh_address()
        served = serving(Shop, address=address, fault=(Act, "die", 1))
        serving_again: list[Served[Shop]] = []
        inner = served.client._try_to_settle

        def restart_first(*arguments: object) -> object:
            if not serving_again:
                served.stop()
                serving_again.append(serving(Shop, address=address))
            return inner(*arguments)  # type: ignore[arg-type]  # passed on

        served.client._try_to_settle = restart_first  # type: ignore[method-assign,assignment]  # for this client
        with pytest.raises(CommitUnknown, match="started anew"):
            served.state.bake(1)
        assert served.state.bake(1) == 1

    def test_another_schema_is_told_at_once(self, serving: Serve, before: Served[Shop]) -> None:
        for connection in before.client._idle:
            connection._last -= 60
        before.stop()
        serving(Other, address=before.address)
        with pytest.raises(SchemaMismatch, match="cookies"):
            _ = before.state.cookies


class TestReading:
    def test_a_snapshot_is_of_now_or_of_a_revision(self, serving: Serve) -> None:
        served = serving(Shop)
        served.state.cookies = 1
        served.state.cookies = 2
        assert served.client.snapshot() == Shop(cookies=2)
        assert served.client.snapshot(at=Revision(1)) == Shop(cookies=1)
        assert served.client.revision() == 2
        with pytest.raises(HistoryGone):
            served.client.snapshot(at=Revision(3))

    def test_a_client_sees_its_own_writes(self, serving: Serve, together: Callable[..., None]) -> None:
        """By whatever connection they went, and nothing older than it has seen (P7)."""
        served = serving(Shop)
        seen: list[list[int]] = [[] for _ in range(4)]

        def watch(mine: list[int]) -> None:
            for _ in range(30):
                served.state.cookies += 1
                mine.append(served.state.cookies)

        together(*[functools.partial(watch, mine) for mine in seen])
        assert all(mine == sorted(mine) and len(set(mine)) == 30 for mine in seen)
        assert served.value.cookies == 120

    def test_an_answer_that_comes_late_does_not_make_the_state_older(self, serving: Serve) -> None:
        served = serving(Shop)
        served.state.cookies = 1
        replica = served.client.replica
        replica.told = Revision(10)  # by what another thread was answered meanwhile
        served.state.cookies = 2
        served.client.look(("tags",), "length")
        assert replica.newest() == 10

    def test_a_wrong_answer_is_the_servers_fault(self) -> None:
        assert expect(Pong(RequestId(1), 1), Pong) == Pong(RequestId(1), 1)
        with pytest.raises(ProtocolError, match="Pong instead of Values"):
            expect(Pong(RequestId(1), 1), Values)

    def test_what_is_too_large_is_refused_before_it_is_sent(self, serving: Serve) -> None:
        served = serving(Shop, limits=Limits(message_bytes=1 << 18))
        with pytest.raises(LimitExceeded, match="message_bytes"):
            served.state.tags.append("x" * (1 << 18))
        assert len(served.asked(Hello)) == 1 or not served.asked(Commit)
        served.state.tags.append("y")
        assert served.value.tags == ["y"]


class TestConnections:
    def test_closing_wakes_who_waits(self, serving: Serve, together: Callable[..., None], either_address: str) -> None:
        served = serving(Shop, address=either_address)

        def wait() -> None:
            with pytest.raises(UsageError, match="closed"):
                served.state.get_when_change("cookies")

        def close() -> None:
            served.wait_for(Watch)
            served.client.close()

        together(wait, close)

    def test_closing_in_the_middle_of_a_commit_makes_it_unknown(
        self, serving: Serve, together: Callable[..., None]
    ) -> None:
        served = serving(Shop)
        other = served.new_client()

        def write() -> None:
            with pytest.raises(CommitUnknown, match="the context was closed"):
                served.state_of(other).cookies = 1

        def close() -> None:
            @atomic
            def hold(_: Shop) -> None:
                threads[0].start()
                served.wait_for(Commit)
                other.close()
                threads[0].join(10)

            hold(served.state)

        threads = [threading.Thread(target=write)]
        close()
        assert not threads[0].is_alive()

    def test_closing_twice_is_closing_once(self, serving: Serve) -> None:
        served = serving(Shop)
        served.client.close()
        served.client.close()
        with pytest.raises(UsageError, match="this context is closed"):
            served.client.revision()

    def test_it_says_what_it_is(self, serving: Serve) -> None:
        served = serving(Shop)
        assert repr(served.client) == f"<Client of 'default' at {served.address}>"
        assert served.client.namespace == "default"

    def test_it_travels_as_an_address(self, serving: Serve) -> None:
        served = serving(Shop)
        there = pickle.loads(pickle.dumps(served.client))
        assert (there.address, there.namespace) == (served.client.address, served.client.namespace)
        assert there.revision() == 0
        assert copy.deepcopy(served.client) is served.client
        there.close()
        another = pickle.loads(pickle.dumps(served.client))
        assert another is not there, "a closed one is of no use to whoever comes later"
        another.close()

    def test_a_namespace_that_is_not_there_is_told(self, serving: Serve) -> None:
        served = serving(Shop)
        client = Client(served.client.schema, served.address, "nothing")
        with pytest.raises(LookupError, match="no such namespace"):
            client.revision()

    def test_another_declaration_is_told_in_words(self, serving: Serve) -> None:
        served = serving(Shop)
        client = Client(Schema.of(Other), served.address, "default")
        with pytest.raises(SchemaMismatch, match=r"cookies") as mismatch:
            client.revision()
        assert mismatch.value.differences

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
    @pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
    def test_a_forked_child_is_another_client(self, serving: Serve) -> None:
        """With connections and request numbers of its own; the parent's go on."""
        served = serving(Shop, address=fresh_address())
        served.state.cookies = 1
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                served.state.cookies += 1
                code = 42 if bake(served.state) == 3 else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 42
        assert served.state.cookies == 3
        assert len({hello.session for hello in served.asked(Hello) if isinstance(hello, Hello)}) == 2


class Nested(StateModel):
    class Inner(BaseModel):
        x: int = 0

    inner: Inner = Inner()


def test_a_handle_can_be_made_of_any_place(serving: Serve) -> None:
    served = serving(Nested)
    inner = model_handle(served.client, ("inner",), Nested.Inner)
    assert inner.x == 0


class TestSuccession:
    """A process that is started again goes by the name of the one that has ended."""

    def test_the_commits_of_a_predecessor_are_its_own(self, serving: Serve) -> None:
        served = serving(Shop)
        first, second = served.new_client(), served.new_client()
        name = new_session()
        first.continue_as(name, 0)
        seen_by_others = served.state.changes("cookies", include_own=False, timeout=10)
        served.state_of(first).cookies = 1
        first.close()
        second.continue_as(name, 1)
        mine = served.state_of(second).changes("cookies", since=0, include_own=False, timeout=0.01)
        served.state_of(second).cookies = 2
        with pytest.raises(WaitTimeout):
            next(mine)
        assert [one.new for one in (next(seen_by_others), next(seen_by_others)) if isinstance(one, Change)] == [1, 2]

    def test_no_request_of_it_is_taken_for_one_of_theirs(self, serving: Serve) -> None:
        """The server remembers what became of those; a number that came again would be answered with that."""
        served = serving(Shop)
        name = new_session()
        for lives in range(3):
            client = served.new_client()
            client.continue_as(name, lives)
            for _ in range(5):
                served.state_of(client).bake(1)
            client.close()
        assert served.value.cookies == 15
