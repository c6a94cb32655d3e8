"""Writing the record: in order, nothing hidden, and harmless when it cannot be."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from typing import Any, cast

import pytest

from zproc.client import Client, ClientWatchers, model_handle
from zproc.core.server import ServerCore
from zproc.core.supervisor import Stage
from zproc.exceptions import ProcessError
from zproc.process import Process, Report
from zproc.process.task import Task
from zproc.record import KEEPER, NAMESPACE, ProcessRow, ProcessTable, Recorder, recorder as module
from zproc.schema import Schema, StateModel
from zproc.server import serve
from zproc.transport import fresh_address, listen
from zproc.typing import Epoch

SCHEMA = cast("Schema[StateModel]", Schema.of(ProcessTable))


def process(name: str = "baker") -> Process[Any]:
    """A process that is never started: what happens to it is told by the test."""
    return Process(Task.of(int, (), None, (), {"name": name}))


def report(of: Process[Any], stage: Stage, at: float = 1.0, **values: Any) -> Report:
    usual: dict[str, Any] = {"pid": 7, "exitcode": None, "restarts": 0, "failure": None}
    return Report(of, stage, at=at, **{**usual, **values})


class Server:
    """A server with the record, in a thread."""

    def __init__(self) -> None:
        self.address = fresh_address()
        self.core = ServerCore({}, epoch=Epoch("e"))
        self.core.add(NAMESPACE, SCHEMA, KEEPER)
        self._listener = listen(self.address)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=serve, args=(self.core, self._listener, self._stopping.is_set))
        self._thread.start()

    @property
    def table(self) -> ProcessTable:
        return cast("ProcessTable", self.core.namespace(NAMESPACE).state)

    def stop(self) -> None:
        self._stopping.set()
        self._listener.wake()
        self._thread.join(10)
        self._listener.close()


@pytest.fixture
def server() -> Iterator[Server]:
    served = Server()
    yield served
    served.stop()


@pytest.fixture
def recorder(server: Server) -> Iterator[Recorder]:
    made = Recorder(lambda: server.address)
    yield made
    made.close()


def test_what_was_noted_is_in_the_table_that_is_asked_for_after_it(recorder: Recorder) -> None:
    baker = process()
    recorder.note(report(baker, Stage.RUNNING, 10.0))
    row = recorder.table().rows["baker"]
    assert (row.state, row.started, row.ended, row.parent) == (Stage.RUNNING, 10.0, None, os.getpid())
    assert row.function == "builtins.int"
    failure = ProcessError("was killed\nat noon", "baker", 7, -9)
    recorder.note(report(baker, Stage.FAILED, 12.0, exitcode=-9, failure=lambda: failure))
    row = recorder.table().rows["baker"]
    assert (row.state, row.started, row.ended) == (Stage.FAILED, 10.0, 12.0)
    assert (row.exitcode, row.signal, row.error) == (-9, "SIGKILL", "process baker (pid 7): was killed")


def test_a_watcher_sees_everything_that_happens_to_a_process(server: Server, recorder: Recorder) -> None:
    """Also what happens while nothing can be written: it is not made one commit of."""
    client = Client(SCHEMA, server.address, NAMESPACE)
    seen = ClientWatchers(client).changes(("rows.baker.state",), {"timeout": 10})
    baker = process()
    stages = [Stage.NEW, Stage.RUNNING, Stage.RESTING, Stage.RUNNING, Stage.RESTING, Stage.RUNNING, Stage.RETURNED]
    for stage in stages:
        recorder.note(report(baker, stage))
    news = [getattr(next(seen), "new", None) for _ in stages]
    assert [new.state if isinstance(new, ProcessRow) else new for new in news] == stages
    seen.close()
    client.close()


def test_many_processes_share_a_commit(server: Server, recorder: Recorder) -> None:
    for number in range(500):
        recorder.note(report(process(f"n{number}"), Stage.RUNNING))
    recorder.flush(30)  # which may be long on a busy machine
    assert len(recorder.table().rows) == 500
    assert server.core.namespace(NAMESPACE).revision < 400


def test_an_error_of_several_lines_or_none_fits_a_row(recorder: Recorder) -> None:
    long = ProcessError("x" * 10_000, "baker")
    recorder.note(report(process(), Stage.FAILED, failure=lambda: long))
    error = recorder.table().rows["baker"].error
    assert error is not None
    assert len(error) == 300


@pytest.mark.parametrize(("code", "name"), [(0, None), (3, None), (-15, "SIGTERM"), (-40, "signal 40"), (None, None)])
def test_a_signal_has_its_name(recorder: Recorder, code: int | None, name: str | None) -> None:
    recorder.note(report(process(), Stage.FAILED, exitcode=code))
    assert recorder.table().rows["baker"].signal == name


def test_what_cannot_be_written_is_lost_and_nothing_else_happens(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "zproc")
    nowhere = Recorder(lambda: "unix:///nowhere/s")
    began = time.monotonic()
    for _ in range(3):
        nowhere.note(report(process(), Stage.RUNNING))
    assert time.monotonic() - began < 0.5
    nowhere.flush()
    nowhere.close()
    assert {record.levelno for record in caplog.records} == {logging.DEBUG}


def test_a_report_that_cannot_be_made_a_row_of_costs_itself_only(recorder: Recorder) -> None:
    def fail() -> ProcessError:
        raise RuntimeError("no words")

    recorder.note(report(process("bad"), Stage.FAILED, failure=fail))
    recorder.flush()
    recorder.note(report(process("good"), Stage.RUNNING))
    assert list(recorder.table().rows) == ["good"]


def test_noting_does_not_wait_for_a_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WAITING", 10)
    answered = threading.Event()

    def address() -> str:
        answered.wait(20)
        return "unix:///nowhere/s"

    stuck = Recorder(address)
    began = time.monotonic()
    for number in range(100):
        stuck.note(report(process(f"n{number}"), Stage.RUNNING))
    assert len(stuck._waiting) <= 10
    stuck.flush(0.05)
    assert time.monotonic() - began < 5
    answered.set()
    stuck.close()


def test_the_thread_goes_when_there_is_nothing_to_do_and_comes_again(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_IDLE", 0.01)
    for number in range(2):
        recorder.note(report(process(f"n{number}"), Stage.RUNNING))
        thread = recorder._thread
        recorder.flush()
        if thread is not None:
            thread.join(10)
        assert recorder._thread is None
    assert len(recorder.table().rows) == 2


def test_after_the_end_nothing_is_noted(server: Server) -> None:
    closed = Recorder(lambda: server.address)
    closed.note(report(process(), Stage.RUNNING))
    closed.flush()
    closed.close()
    closed.note(report(process("late"), Stage.RUNNING))
    closed.flush()
    assert closed._thread is None
    assert list(server.table.rows) == ["baker"]


def test_a_fork_writes_rows_of_its_own(server: Server, recorder: Recorder) -> None:
    recorder.note(report(process("mine"), Stage.RUNNING))
    recorder.flush()
    pid = os.fork()
    if pid == 0:
        try:
            recorder.flush()
            recorder.note(report(process("forked"), Stage.RUNNING))
            os._exit(0 if {"mine", "forked"} <= recorder.table().rows.keys() else 2)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    state = cast("ProcessTable", model_handle(cast("Client", recorder._client), (), ProcessTable))
    rows = state.get_when_equal("rows.forked.state", "stopped", timeout=10).rows
    assert rows["forked"].parent == pid
    assert rows["mine"].state is Stage.RUNNING


def test_a_fork_does_not_wait_for_who_was_in_there(server: Server, recorder: Recorder) -> None:
    with recorder._changed, recorder._joining:
        pid = os.fork()
        if pid == 0:
            try:
                os._exit(len(recorder.table().rows))
            finally:
                os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_who_tells_has_gone_when_the_connections_have(server: Server, recorder: Recorder) -> None:
    other = Recorder(lambda: server.address)
    other.note(report(process(), Stage.RUNNING))
    other.flush()
    other.close()
    row = recorder.table().get_when_equal("rows.baker.state", "stopped", timeout=10).rows["baker"]
    assert "left behind" in (row.error or "")


def test_a_process_is_no_worse_for_it_when_there_can_be_no_thread(
    monkeypatch: pytest.MonkeyPatch, recorder: Recorder
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    baker = process()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        recorder.note(report(baker, Stage.RUNNING, 10.0))
        Recorder(lambda: "nowhere", at_exit=False).close()
    recorder.note(report(baker, Stage.RETURNED, 12.0, exitcode=0))
    row = recorder.table().rows["baker"]
    assert (row.state, row.started, row.ended) == (Stage.RETURNED, 10.0, 12.0)
