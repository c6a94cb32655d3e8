"""The record as a state: rows come, change, end, and are forgotten."""

from __future__ import annotations

import os
import time

import pytest
from hypothesis import given, strategies as st

from zproc.core.supervisor import LIFE, Stage
from zproc.record import table
from zproc.record.table import ProcessRow, ProcessTable
from zproc.schema import Schema

OVER = [stage for stage in Stage if not LIFE[stage]]


def row(name: str = "baker", state: Stage = Stage.RUNNING, **values: object) -> ProcessRow:
    return ProcessRow(**{"name": name, "pid": 7, "parent": 1, "function": "m.f", "state": state, **values})  # type: ignore[arg-type]


def test_it_can_be_shared() -> None:
    assert Schema.of(ProcessTable).initial() == ProcessTable()


def test_a_new_process_gets_a_row_under_its_name() -> None:
    record = ProcessTable()
    assert record.tell("me", [None], [row()]) == ["baker"]
    assert record.rows == {"baker": row()}
    assert record.tellers == {"me": {"baker"}}


def test_of_several_of_the_same_name_all_but_the_first_have_a_number() -> None:
    record = ProcessTable()
    assert record.tell("me", [None] * 4, [row(), row("other"), row(), row()]) == [
        "baker",
        "other",
        "baker-3",
        "baker-4",
    ]
    assert record.tell("you", [None], [row("baker-6")]) == ["baker-6"]
    assert record.tell("you", [None], [row()]) == ["baker-7"], "a name that somebody has chosen is passed over"


def test_what_has_not_changed_is_not_written() -> None:
    """So that who waits for one thing is not woken for another."""
    record = ProcessTable()
    record.tell("me", [None], [row(started=1.0)])
    known = record.rows["baker"]
    record.tell("me", ["baker"], [row(started=1.0, state=Stage.RESTING, exitcode=1)])
    assert record.rows["baker"] is known
    assert known == row(started=1.0, state=Stage.RESTING, exitcode=1)


@pytest.mark.parametrize("state", OVER)
def test_what_has_ended_for_good_is_listed_once(state: Stage) -> None:
    record = ProcessTable()
    record.tell("me", [None, None], [row(), row("other")])
    for _ in range(2):
        record.tell("me", ["baker"], [row(state=state)])
        assert (record.ended, record.tellers) == (["baker"], {"me": {"other"}})


def test_a_process_may_be_told_of_when_it_has_ended_already() -> None:
    record = ProcessTable()
    assert record.tell("me", [None], [row(state=Stage.RETURNED)]) == ["baker"]
    assert (record.ended, record.tellers) == (["baker"], {})


def test_of_those_that_have_ended_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "KEPT", 3)
    record = ProcessTable()
    record.tell("me", [None], [row("long")])
    for number in range(5):
        record.tell("me", [None], [row(f"n{number}", Stage.RETURNED)])
    assert list(record.rows) == ["long", "n2", "n3", "n4"]
    assert record.tell("me", ["n0"], [row("n0")]) == [None], "and not entered again"


def test_when_who_told_has_gone_his_processes_have_too() -> None:
    record = ProcessTable()
    record.tell("me", [None, None], [row(parent=11), row("done", Stage.RETURNED)])
    record.tell("you", [None], [row("other")])
    before = time.time()
    record.forsake("me")
    record.forsake("me")
    forsaken = record.rows["baker"]
    assert forsaken.state is Stage.STOPPED
    assert forsaken.error == "it was left behind by process 11, which has made it"
    assert forsaken.ended is not None
    assert before <= forsaken.ended <= time.time()
    assert record.rows["done"].state is Stage.RETURNED
    assert record.ended == ["done", "baker"]
    assert record.tellers == {"you": {"other"}}


def test_who_had_lost_his_connection_and_is_back_goes_on() -> None:
    record = ProcessTable()
    record.tell("me", [None], [row()])
    record.forsake("me")
    record.tell("me", ["baker"], [row(state=Stage.RESTING)])
    assert (record.rows["baker"].state, record.ended, record.tellers) == (Stage.RESTING, [], {"me": {"baker"}})


def test_what_runs_is_measured_when_asked_and_nothing_else() -> None:
    record = ProcessTable()
    now = time.time()
    mine = row("mine", pid=os.getpid(), started=now)
    record.tell("me", [None] * 3, [mine, row("over", Stage.RETURNED, pid=os.getpid()), row("new", Stage.NEW, pid=None)])
    (usage,) = record.usage().values()
    assert usage.memory > 1_000_000
    assert usage.cpu_time > 0


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from(["x", "y"]), st.sampled_from(Stage)) | st.sampled_from("ab"),
        max_size=40,
    )
)
def test_whatever_is_told_the_record_adds_up(story: list[tuple[str, str, Stage] | str]) -> None:
    """Every row is either told of by one teller or has ended, and of the ended no more are kept than agreed."""
    record = ProcessTable()
    keys: dict[tuple[str, str], str | None] = {}
    for event in story:
        if isinstance(event, str):
            record.forsake(event)
        else:
            teller, name, state = event
            (keys[teller, name],) = record.tell(teller, [keys.get((teller, name))], [row(name, state)])
        told = [key for each in record.tellers.values() for key in each]
        assert sorted(told + record.ended) == sorted(record.rows)
        assert all((record.rows[key].state in OVER) == (key in record.ended) for key in record.rows)
        assert all(record.tellers.values())


def test_what_somebody_else_tells_of_is_left_alone() -> None:
    record = ProcessTable()
    record.tell("me", [None], [row()])
    assert record.tell("you", ["baker"], [row(state=Stage.FAILED)]) == [None]
    assert record.rows == {"baker": row()}
    assert record.tellers == {"me": {"baker"}}
