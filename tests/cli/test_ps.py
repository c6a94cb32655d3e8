"""``zproc ps``: what is in the record of processes."""

from __future__ import annotations

from typing import Any

import pytest

from zproc import record
from zproc.core.supervisor import Stage
from zproc.record import ProcessRow, ProcessTable
from zproc.schema.model import Schema


@pytest.fixture
def recorded(served: Any) -> Any:
    """A server with a record of a process that lives and of one that was killed."""
    served.core.add(record.NAMESPACE, Schema.of(ProcessTable), record.KEEPER)
    rows = [
        ProcessRow(name="baker", pid=7, parent=1, function="app.bake", state=Stage.RUNNING, restarts=2),
        ProcessRow(
            name="eater",
            pid=8,
            parent=1,
            function="app.eat",
            state=Stage.FAILED,
            exitcode=-9,
            signal="SIGKILL",
            error="gone",
        ),
    ]
    context = served.context.namespace(record.NAMESPACE, ProcessTable)
    teller = context.state
    teller.tell(context._client.session, [None, None], rows)
    return served


def test_those_that_live_are_told(zproc: Any, recorded: Any) -> None:
    head, row = zproc("ps").splitlines()
    assert head.split() == ["name", "pid", "state", "restarts", "exit", "function", "error"]
    assert row.split() == ["baker", "7", "running", "2", "app.bake"]
    (told,) = zproc.json("ps")
    assert (told["key"], told["pid"], told["state"]) == ("baker", 7, "running")


def test_those_that_have_ended_are_told_if_asked_for(zproc: Any, recorded: Any) -> None:
    assert zproc("ps", "--all").splitlines()[2].split() == [
        "eater",
        "8",
        "failed",
        "0",
        "SIGKILL",
        "app.eat",
        "gone",
    ]
    assert [each["key"] for each in zproc.json("ps", "--all")] == ["baker", "eater"]
