"""Processes: making them, waiting for them, ending them, and what they are told by signals."""

import signal
import threading

import zproc


class Bakery(zproc.StateModel):
    cookies: int = 0
    ready: bool = False
    closed: bool = False


def bake(state: Bakery, number: int) -> int:
    state.cookies += number
    return number


def wait_for_ever(state: Bakery) -> None:
    threading.Event().wait()


def tidy_up_at_the_end(state: Bakery) -> None:
    zproc.signal_to_exception(signal.SIGTERM)  # from here on, it is raised as an exception
    try:
        state.ready = True
        state.get_when_equal("cookies", -1)
    except zproc.SignalException as caught:
        zproc.exception_to_signal(caught)  # and from here on it is a signal again
        state.closed = True
        raise zproc.ProcessExit(3) from None  # leave with this exit code


with zproc.Context(Bakery) as ctx:
    process: zproc.Process[int] = ctx.spawn(bake, 5)
    assert process.wait(timeout=10) == 5  # what the function returns
    assert (process.exitcode, process.is_alive) == (0, False)

    bakers: zproc.ProcessList[int] = ctx.spawn(count=2)(bake, 1)
    assert bakers.wait(timeout=10) == [1, 1]

    endless = ctx.spawn(wait_for_ever)
    endless.stop(grace=1)  # SIGTERM, and SIGKILL a second later
    assert endless.signal == signal.SIGTERM

    tidy = ctx.spawn(tidy_up_at_the_end)
    ctx.state.get_when_equal("ready", True, timeout=10)
    assert tidy.pid is not None
    zproc.send_signal(signal.SIGTERM, tidy.pid)
    error = tidy.exception(timeout=10)
    assert isinstance(error, zproc.ProcessError)
    assert (ctx.state.closed, error.exitcode) == (True, 3)

    table: zproc.ProcessTable = ctx.processes  # the record of all processes, a state like any other
    assert {row.name for row in table.rows.values()} >= {"bake", "wait_for_ever", "tidy_up_at_the_end"}
