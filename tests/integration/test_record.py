"""The record of processes, of real ones: who there was, how they ended, and who hears of it."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

import zproc
from zproc.core.supervisor import Stage

if TYPE_CHECKING:
    from tests.integration.conftest import Script


class State(zproc.StateModel):
    x: int = 0


def sleep(state: State) -> None:
    time.sleep(600)


def fail(state: State) -> None:
    raise ValueError("burnt")


def test_it_tells_who_runs_and_how_who_ran_has_ended(method: str) -> None:
    with zproc.Context(State, start_method=method) as ctx:
        baker = ctx.spawn(name="baker")(sleep)
        waiting = ctx.process(sleep, name="waiting", start=False)
        failed = ctx.spawn(fail)
        assert isinstance(failed.exception(20), zproc.RemoteError)
        rows = ctx.processes.snapshot().rows
        assert rows.keys() == {"baker", "waiting", "fail"}
        assert (rows["baker"].pid, rows["baker"].parent) == (baker.pid, os.getpid())
        assert rows["baker"].function.endswith(".sleep")
        assert (rows["waiting"].state, rows["waiting"].pid) == (Stage.NEW, None)
        assert (rows["fail"].state, rows["fail"].exitcode, rows["fail"].restarts) == (Stage.FAILED, 1, 0)
        assert rows["fail"].error == f"process fail (pid {failed.pid}): raised: ValueError('burnt')"
        (usage,) = ctx.processes.usage().values()
        assert usage.memory > 1_000_000
        os.kill(baker.pid or 0, signal.SIGKILL)
        died = ctx.processes.get_when_equal("rows.baker.state", "failed", timeout=10).rows["baker"]
        assert (died.exitcode, died.signal) == (-9, "SIGKILL")
        waiting.cancel()


def test_the_death_of_a_process_is_told_to_any_other(method: str) -> None:
    def mourn(ctx: zproc.Context[State]) -> str | None:
        return ctx.processes.get_when_equal("rows.baker.state", "failed", timeout=20).rows["baker"].signal

    with zproc.Context(State, start_method=method) as ctx:
        baker = ctx.spawn(name="baker")(sleep)
        mourner = ctx.spawn(pass_context=True)(mourn)
        ctx.processes.get_when_equal("rows.mourn.state", "running", timeout=20)
        os.kill(baker.pid or 0, signal.SIGTERM)
        assert mourner.wait(20) == "SIGTERM"


def test_a_function_can_be_called_whenever_something_happens_to_processes() -> None:
    def note(snapshot: zproc.ProcessTable, state: zproc.ProcessTable) -> None:
        assert snapshot.rows["baker"].signal == "SIGKILL"

    with zproc.Context(State) as ctx:
        record = ctx.namespace("zproc.processes", zproc.ProcessTable)
        baker = ctx.spawn(name="baker")(sleep)
        caller = record.call_when_equal("rows.baker.state", "failed", count=1)(note)
        os.kill(baker.pid or 0, signal.SIGKILL)
        caller.wait(20)
        row = ctx.processes.snapshot().rows["note"]
        assert row.function.endswith("note"), "the program's function, and not the one of zproc's that calls it"
        assert row.state is Stage.RETURNED


def test_processes_of_processes_are_in_the_same_record_and_go_with_who_made_them(method: str) -> None:
    def parent(ctx: zproc.Context[State]) -> None:
        ctx.spawn(sleep)
        time.sleep(600)

    with zproc.Context(State, start_method=method) as ctx:
        made = ctx.spawn(pass_context=True)(parent)
        rows = ctx.processes.get_when_equal("rows.sleep.state", "running", timeout=20).rows
        assert rows["sleep"].parent == made.pid
        os.kill(made.pid or 0, signal.SIGKILL)
        row = ctx.processes.get_when_equal("rows.sleep.state", "stopped", timeout=20).rows["sleep"]
        assert row.error == f"it was left behind by process {made.pid}, which has made it"


def test_a_child_that_ends_at_once_leaves_no_row_that_runs() -> None:
    """The rows of what it made are written before it is gone, and taken back when it is."""

    def parent(ctx: zproc.Context[State]) -> None:
        ctx.spawn(sleep)

    with zproc.Context(State) as ctx:
        parents = [ctx.spawn(pass_context=True)(parent) for _ in range(5)]
        for each in parents:
            each.wait(20)

        def settled(table: zproc.ProcessTable) -> bool:
            return sum(row.name == "sleep" and row.state is Stage.STOPPED for row in table.rows.values()) == 5

        ctx.processes.get_when(settled, timeout=20)


def test_a_program_that_has_joined_is_in_the_record_and_so_is_its_death(script: Script) -> None:
    with zproc.Context(State) as ctx:
        program = script(
            """
            import sys, time, zproc

            class State(zproc.StateModel):
                x: int = 0

            def guest(state):
                time.sleep(600)

            ctx = zproc.Context(State, address=sys.argv[1])
            ctx.spawn(guest)
            print("begun", flush=True)
            time.sleep(600)
            """,
            ctx.address,
        )
        row = ctx.processes.get_when_equal("rows.guest.state", "running", timeout=20).rows["guest"]
        assert row.parent == program.pid
        program.kill()
        ctx.processes.get_when_equal("rows.guest.state", "stopped", timeout=10)


def test_a_record_that_cannot_be_written_breaks_no_process() -> None:
    with zproc.Context(State) as ctx:
        assert ctx._host is not None
        os.kill(ctx._host.pid, signal.SIGKILL)
        began = time.monotonic()
        assert ctx.spawn(stateful=False)(lambda: 7).wait(20) == 7
        assert time.monotonic() - began < 5


def test_names_of_zprocs_own_namespaces_are_not_for_programs() -> None:
    with pytest.raises(zproc.UsageError, match=r"'zproc\.'"):
        zproc.Context(State, namespace="zproc.processes")
    with zproc.Context(State) as ctx:
        with pytest.raises(zproc.SchemaMismatch):
            ctx.namespace("zproc.processes", State)
        with pytest.raises(zproc.UnknownPath):
            ctx.namespace("zproc.mine", State)


def test_a_closed_context_has_no_record() -> None:
    with zproc.Context(State) as ctx:
        pass
    with pytest.raises(zproc.UsageError, match="closed"):
        ctx.processes  # noqa: B018


def test_programs_read_and_watch_it_and_cannot_write_it() -> None:
    """By none of the ways in which a state is written."""
    with zproc.Context(State) as ctx:
        baker = ctx.spawn(name="baker")(sleep)
        before = ctx.processes.snapshot()
        mine = ctx.namespace("zproc.processes", zproc.ProcessTable).state

        def wipe(table: zproc.ProcessTable) -> None:
            table.rows = {}

        def forge(table: zproc.ProcessTable) -> None:
            table.tell("somebody", [None], [before.rows["baker"]])

        def in_turn(table: zproc.ProcessTable) -> None:
            with zproc.transaction(table) as draft:
                draft.rows.clear()

        def in_place(table: zproc.ProcessTable) -> None:
            del table.rows["baker"]

        for write in (wipe, forge, in_turn, in_place, zproc.ProcessTable.reset):
            for table in (ctx.processes, mine):
                with pytest.raises(zproc.UsageError, match="ProcessTable is written by zproc alone"):
                    write(table)
        with pytest.raises(zproc.UsageError, match="ProcessTable is written by zproc alone"):
            ctx.processes.forsake("somebody")
        assert ctx.processes.snapshot() == before
        baker.stop()
        ctx.processes.get_when_equal("rows.baker.state", "stopped", timeout=20)
