"""Several states at one server."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from pydantic import BaseModel

import zproc
from zproc import context
from zproc.client import Client, address_of
from zproc.client.connection import Connection
from zproc.core.messages import Command, Commit, Reply
from zproc.typing import Revision

if TYPE_CHECKING:
    from collections.abc import Callable


class App(zproc.StateModel):
    cookies: int = 0


class Pair(zproc.StateModel):
    mine: int = 0
    theirs: int = 0


class Job(BaseModel):
    name: str = ""
    done: bool = False


class Jobs(zproc.StateModel):
    waiting: list[Job] = []
    finished: int = 0

    @zproc.action
    def finish(self, count: int) -> int:
        self.finished += count
        return self.finished


def test_each_state_is_itself(method: str) -> None:
    with zproc.Context(App, start_method=method) as ctx:
        jobs = ctx.namespace("jobs", Jobs)
        ctx.state.cookies = 1
        jobs.state.waiting.append(Job(name="a"))
        assert jobs.state.finish(3) == 3
        assert (jobs.state.snapshot(), ctx.state.snapshot()) == (
            Jobs(waiting=[Job(name="a")], finished=3),
            App(cookies=1),
        )
        assert jobs.address == ctx.address


def test_it_is_the_same_context_each_time() -> None:
    with zproc.Context(App) as ctx:
        assert ctx.namespace("jobs", Jobs) is ctx.namespace("jobs", Jobs)


def test_it_is_the_same_context_for_threads_that_ask_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with zproc.Context(App) as ctx:
        clients: list[Client] = []
        both = threading.Barrier(2, timeout=10)

        class MetClient(Client):
            def revision(self) -> Revision:
                both.wait()
                clients.append(self)
                return super().revision()

        monkeypatch.setattr(context, "Client", MetClient)
        with ThreadPoolExecutor(2) as pool:
            first, second = [pool.submit(ctx.namespace, "jobs", Jobs) for _ in range(2)]
            assert first.result() is second.result()
        assert sorted(client.closed for client in clients) == [False, True]


def test_another_context_joins_it_by_address_and_name() -> None:
    with zproc.Context(App) as ctx:
        ctx.namespace("jobs", Jobs).state.finished = 4
        with zproc.Context(Jobs, address=ctx.address, namespace="jobs") as other:
            other.state.finished += 1
            assert ctx.namespace("jobs", Jobs).state.finished == 5


def test_a_process_is_given_either_state_or_joins_by_its_context(method: str) -> None:
    def of_state(state: Jobs) -> str:
        state.finished += 1
        return address_of(state)[0].namespace  # type: ignore[arg-type]  # a handle, typed as what it stands for

    def of_context(ctx: zproc.Context[App]) -> int:
        return ctx.namespace("jobs", Jobs).state.finish(10)

    with zproc.Context(App, start_method=method) as ctx:
        jobs = ctx.namespace("jobs", Jobs)
        assert jobs.spawn(of_state).wait(20) == "jobs"
        assert ctx.spawn(pass_context=True)(of_context).wait(20) == 11


def test_an_atomic_function_on_one_state_may_use_another() -> None:
    """Their turns are their own, and so are their commits."""
    with zproc.Context(App) as ctx:
        jobs = ctx.namespace("jobs", Jobs)

        @zproc.atomic
        def both(app: App) -> None:
            app.cookies += 1
            jobs.state.finish(1)

        both(ctx.state)
        assert (ctx.state.cookies, jobs.state.finished) == (1, 1)


def test_reads_of_each_take_no_request_when_nothing_has_changed() -> None:
    with zproc.Context(App) as ctx:
        jobs = ctx.namespace("jobs", Jobs)
        for step in range(3):
            jobs.state.finished = step
            assert (jobs.state.finished, ctx.state.cookies) == (step, 0)
        client, _ = address_of(jobs.state)  # type: ignore[arg-type]  # a handle, typed as what it stands for
        assert client.now.is_newest()
        ctx.state.cookies = 5
        assert client.now.is_newest()


def test_p7_what_an_operation_came_to_is_known_and_what_others_did_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever alone counts up needs one round trip each time; but nobody reads past a commit of another."""
    asked: list[Command] = []
    call = Connection.call

    def noted(connection: Connection, command: Command, deadline: float | None = None) -> Reply:
        asked.append(command)
        return call(connection, command, deadline)

    with zproc.Context(Pair) as ctx, zproc.Context(Pair, address=ctx.address) as other:
        state, theirs = ctx.state, other.state
        assert (state.mine, state.theirs, theirs.theirs) == (0, 0, 0)
        monkeypatch.setattr(Connection, "call", noted)
        for _ in range(10):
            state.mine += 1
        assert state.mine == 10
        assert [type(command) for command in asked] == [Commit] * 10
        for expected in range(1, 11):
            theirs.theirs += 1
            state.mine += 1
            assert (state.theirs, state.mine) == (expected, 10 + expected)


def test_another_declaration_of_the_same_name_is_a_mismatch_that_says_what_differs() -> None:
    with zproc.Context(App) as ctx:
        ctx.namespace("jobs", Jobs)
        for join in different_joins(ctx):
            with pytest.raises(zproc.SchemaMismatch, match="cookies"):
                join()
        assert ctx.namespace("jobs", Jobs).state.finished == 0


def different_joins(ctx: zproc.Context[App]) -> list[Callable[[], object]]:
    return [
        lambda: ctx.namespace("jobs", App),
        lambda: zproc.Context(App, address=ctx.address, namespace="jobs"),
    ]


def test_who_has_joined_cannot_add_one_and_is_told_which_there_are() -> None:
    with (
        zproc.Context(App) as ctx,
        zproc.Context(App, address=ctx.address) as other,
        pytest.raises(zproc.UnknownPath, match="'default'"),
    ):
        other.namespace("jobs", Jobs)


def test_a_model_that_cannot_be_shared_is_refused_before_the_server_hears_of_it() -> None:
    class Needy(zproc.StateModel):
        cookies: int

    with zproc.Context(App) as ctx:
        with pytest.raises(zproc.SchemaError, match="cookies"):
            ctx.namespace("needy", Needy)
        assert ctx.state.cookies == 0


def test_a_closed_context_has_no_other_states_either() -> None:
    with zproc.Context(App) as ctx:
        jobs = ctx.namespace("jobs", Jobs)
    with pytest.raises(zproc.UsageError, match="closed"):
        ctx.namespace("more", Jobs)
    with pytest.raises(zproc.UsageError, match="closed"):
        jobs.state  # noqa: B018 - the read is what is tested


@zproc.atomic
def add_jobs(state: Jobs, names: str) -> None:
    for name in names:
        state.waiting.insert(0, Job(name=name))


def test_limits_are_given_where_the_server_is_started() -> None:
    with zproc.Context(Jobs, limits=zproc.Limits(commit_ops=2)) as ctx:
        with pytest.raises(zproc.LimitExceeded, match="commit_ops"):
            add_jobs(ctx.state, "abc")
        assert ctx.state.waiting == []
        with pytest.raises(zproc.UsageError, match="limits"):
            zproc.Context(Jobs, address=ctx.address, limits=zproc.Limits())


def test_a_server_of_a_program_with_a_default_timeout_takes_orders(default_timeout: float) -> None:
    """It was ended by the first look for an order, which was given up when that timeout was over."""
    with zproc.Context(App, start_method="fork") as ctx:
        ctx.namespace("jobs", Jobs).state.finished += 1
        ctx.state.cookies += 1
        assert ctx.state.cookies == 1


def test_a_forked_child_adds_none() -> None:
    """The line to the server is its parent's."""
    with zproc.Context(App, start_method="fork") as ctx:

        def child(_: App) -> None:
            ctx.namespace("jobs", Jobs)

        with pytest.raises(zproc.RemoteError) as caught:
            ctx.spawn(child).wait(20)
        assert isinstance(caught.value.__cause__, zproc.UnknownPath)
