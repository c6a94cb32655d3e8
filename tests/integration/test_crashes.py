"""Processes that die in every way at every moment: the right error for each, never a hang, and everything goes on.

The whole matrix, each death at each moment by each start method, is for the soak; in every run, each death and each
moment comes up once, by the default method.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

import psutil
import pytest

import zproc
from zproc import process as zp

if TYPE_CHECKING:
    from tests.integration.conftest import Eventually, Script

WITHIN = 20.0


class State(zproc.StateModel):
    n: int = 0

    @zproc.action
    def add(self, by: int) -> int:
        self.n += by
        return self.n


class Mine(Exception):
    """An exception of the test's own."""


def segfault() -> None:
    faulthandler.disable()  # what pytest has switched on would print a page for a crash that is wanted
    ctypes.string_at(0)


def os_exit() -> None:
    os._exit(3)


def sys_exit() -> NoReturn:
    sys.exit(4)


def libc_exit() -> None:
    ctypes.CDLL(None).exit(5)


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail() -> NoReturn:
    raise Mine("on purpose")


DEATHS: dict[str, Callable[[], object]] = {
    "segfault": segfault,
    "os._exit": os_exit,
    "sys.exit": sys_exit,
    "libc.exit": libc_exit,
    "SIGKILL": kill,
    "exception": fail,
}

CODES = {"segfault": -signal.SIGSEGV, "SIGKILL": -signal.SIGKILL, "os._exit": 3, "libc.exit": 5, "sys.exit": 4}


class Bomb:
    """Something that goes off when it is packed, unpacked or forgotten: in the child, whoever packs it."""

    def __init__(self, moment: str, death: str) -> None:
        self.moment, self.death, self.home = moment, death, os.getpid()

    def __getstate__(self) -> dict[str, object]:
        if self.moment == "result packed" and os.getpid() != self.home:
            DEATHS[self.death]()
        return self.__dict__

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        if self.moment == "argument unpacked" and os.getpid() != self.home:
            DEATHS[self.death]()

    def __del__(self) -> None:
        if getattr(self, "moment", "") == "forgotten" and os.getpid() != self.home:
            DEATHS[self.death]()


class ReturnBomb:
    """A value that cannot be unpacked by the parent."""

    def __reduce__(self) -> tuple[object, ...]:
        return fail, ()


def use(bomb: Bomb) -> object:
    if bomb.moment == "function":
        DEATHS[bomb.death]()
    if bomb.moment == "thread":
        import threading

        thread = threading.Thread(target=DEATHS[bomb.death])
        thread.start()
        thread.join()
    return bomb if bomb.moment == "result packed" else "returned"


MOMENTS = ["argument unpacked", "function", "result packed", "forgotten", "thread"]


def check(moment: str, death: str, outcome: BaseException | None, process: zproc.Process[object]) -> None:
    """Hold an ending to what it has to be."""
    returned = {
        # The answer was told before, or the exception is one that an interpreter only prints.
        ("forgotten", "exception"), ("forgotten", "sys.exit"), ("thread", "exception"), ("thread", "sys.exit"),
    }  # fmt: skip
    if (moment, death) in returned:
        assert outcome is None
        return
    if death == "sys.exit":
        assert process.exitcode == 4
    if death == "exception":
        assert isinstance(outcome, zproc.RemoteError)
        assert "on purpose" in outcome.error
        assert isinstance(outcome.__cause__, Mine)
        assert "fail" in outcome.traceback
    elif moment == "forgotten" and outcome is None:
        return  # it was forgotten after the answer was told
    else:
        assert isinstance(outcome, zproc.ProcessError)
        expected = {
            "segfault": -signal.SIGSEGV,
            "SIGKILL": -signal.SIGKILL,
            "os._exit": 3,
            "libc.exit": 5,
            "sys.exit": 4,
        }
        assert process.exitcode == expected[death]
        assert outcome.exitcode == expected[death]


def crash(ctx: zproc.Context[State], moment: str, death: str, method: str = "forkserver") -> None:
    began = time.monotonic()
    bomb = Bomb(moment, death)
    process = ctx.spawn(stateful=False)(use, bomb)
    outcome = process.exception(WITHIN)
    bomb.moment = ""  # what lies about here, still to be collected, is in every fork of this process
    if (method, moment) == ("fork", "argument unpacked"):
        assert process.wait(0) == "returned", "a fork has its arguments, and unpacks nothing"
    else:
        check(moment, death, outcome, process)
    assert time.monotonic() - began < WITHIN
    # And everything goes on.
    assert ctx.spawn(stateful=False)(lambda: 7).wait(WITHIN) == 7
    assert ctx.state.add(1) > 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_t26_each_death_at_each_moment_is_the_right_error() -> None:
    """Along a diagonal: all of the matrix is for the soak."""
    with zproc.Context(State) as ctx:
        for number, death in enumerate(DEATHS):
            crash(ctx, "function", death)
            crash(ctx, MOMENTS[number % len(MOMENTS)], death)


@pytest.mark.soak
@pytest.mark.parametrize("death", DEATHS)
@pytest.mark.parametrize("moment", MOMENTS)
def test_t26_any_death_at_any_moment_is_the_right_error(method: str, moment: str, death: str) -> None:
    with zproc.Context(State, start_method=method) as ctx:
        crash(ctx, moment, death, method)


def test_t26_a_result_that_cannot_be_unpacked_is_an_error_and_no_hang(method: str) -> None:
    with zproc.Context(State, start_method=method) as ctx:
        with pytest.raises(zproc.RemoteError, match="cannot be read here") as caught:
            ctx.spawn(stateful=False)(ReturnBomb).wait(WITHIN)
        assert "on purpose" in str(caught.value)
        assert ctx.spawn(stateful=False)(int).wait(WITHIN) == 0


def _murder(pids: list[int], seed: int) -> None:
    time.sleep(random.Random(seed).random() * 0.05)
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


@pytest.mark.parametrize("count", [1, 2, 5, 13])
def test_t27_processes_that_kill_each_other_are_all_told_of(count: int) -> None:
    def victim(state: State) -> int:
        state.get_when_truthy("n")
        time.sleep(60)
        return 1

    with zproc.Context(State) as ctx:
        victims = ctx.spawn(count=count)(victim)
        pids = [each.pid or 0 for each in victims]
        killers = [ctx.spawn(stateful=False)(_murder, pids[::step], seed) for seed, step in enumerate((1, -1, 2))]
        ctx.state.n = 1
        outcomes = victims.wait(WITHIN, safe=True)
        assert all(isinstance(each, zproc.ProcessError) and each.signal is signal.SIGKILL for each in outcomes)
        for each in killers:
            each.wait(WITHIN)
        assert ctx.state.add(1) == 2


def test_t28_nobody_outlives_a_root_that_kills_itself(script: Script, method: str, eventually: Eventually) -> None:
    program = script(
        """
        import os, signal, time, zproc

        class S(zproc.StateModel):
            n: int = 0

        def work(state):
            while True:
                state.n += 1

        ctx = zproc.Context(S)
        workers = ctx.spawn(count=3)(work)
        while ctx.state.n < 3:
            pass
        print(*[each.pid for each in workers], ctx._host.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        method=method,
    )
    assert program.stdout is not None
    pids = [int(pid) for pid in program.stdout.readline().split()]
    assert len(pids) == 4
    program.wait(20)
    eventually(lambda: not any(psutil.pid_exists(pid) and _lives(pid) for pid in pids))


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_t30_the_fork_server_heeds_no_ctrl_c_and_when_killed_another_takes_its_place(script: Script) -> None:
    program = script(
        """
        import logging, os, signal, zproc
        from zproc.process import fork_server_pid
        logging.disable()

        class S(zproc.StateModel):
            n: int = 0

        def wait(state):
            state.get_when_truthy("n")
            return os.getppid()

        if __name__ == "__main__":
            with zproc.Context(S, start_method="spawn") as ctx:
                one = ctx.spawn(start_method="forkserver")(wait)
                server = fork_server_pid()
                for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    os.kill(server, signum)
                two = ctx.spawn(start_method="forkserver")(wait)
                ctx.state.n = 1
                print(one.wait(20) == two.wait(20) == server)
                ctx.state.n = 0
                three = ctx.spawn(start_method="forkserver", restart="on_failure", retry_delay=0.01)(wait)
                os.kill(server, signal.SIGKILL)
                ctx.state.n = 1
                print(three.wait(20) == fork_server_pid() != server, three.restarts)
        """
    )
    out, err = program.communicate(timeout=60)
    assert (out, err) == ("True\nTrue 1\n", "")


def test_t31_one_crash_too_many_is_the_last_and_crashes_far_apart_are_not(tmp_path: object) -> None:
    def crash_often(state: State, most: int, pause: float) -> int:
        if state.add(1) <= most:
            time.sleep(pause)
            os.abort()
        return int(state.n)

    with zproc.Context(State, retry_delay=0.0, restart="on_failure") as ctx:
        within = ctx.spawn(name="within", intensity=(3, 60.0))(crash_often, 99, 0.0)
        with pytest.raises(zproc.ProcessError) as caught:
            within.wait(WITHIN)
        assert within.restarts == 3
        assert caught.value.__notes__ == ["gave up: it failed 4 times within 60 s"]
        ctx.state.n = 0
        assert ctx.spawn(intensity=(1, 0.05))(crash_often, 3, 0.1).wait(WITHIN) == 4


def test_54_a_crash_loop_is_bounded_by_its_rests() -> None:
    """1,000 crashes in a row would take a minute of processor time; the rests grow, and then it is given up."""
    with zproc.Context(State) as ctx:
        process = ctx.spawn(restart="on_failure", retry_delay=0.02, intensity=(6, 60.0), stateful=False)(os_exit)
        before = time.process_time()
        began = time.monotonic()
        with pytest.raises(zproc.ProcessError, match="exit code 3") as caught:
            process.wait(60)
        assert caught.value.__notes__ == ["gave up: it failed 7 times within 60 s"]
        assert time.monotonic() - began >= 0.02 * (1 + 2 + 4 + 8 + 16 + 32) * 0.75
        assert time.process_time() - before < 2


def test_55_an_exception_of_a_class_that_only_the_child_has_arrives_in_words(method: str) -> None:
    def define_and_raise() -> NoReturn:
        class Strange(Exception):
            def __reduce__(self) -> tuple[object, ...]:
                raise TypeError("stays where it is")

        raise Strange("of the child's own")

    with zproc.Context(State, start_method=method) as ctx:
        with pytest.raises(zproc.RemoteException, match="of the child's own") as caught:
            ctx.spawn(stateful=False)(define_and_raise).wait(WITHIN)
        assert caught.value.__cause__ is None
        assert "define_and_raise" in caught.value.traceback
        assert isinstance(caught.value, zproc.ProcessWaitError)


def test_52_a_process_that_is_stopped_or_deaf_or_a_zombie_ends_when_it_is_told_to(method: str) -> None:
    def stopped() -> None:
        os.kill(os.getpid(), signal.SIGSTOP)

    def deaf() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        zp.announce_ready()
        time.sleep(60)

    with zproc.Context(State, start_method=method) as ctx:
        one = ctx.spawn(stateful=False)(stopped)
        two = ctx._manager.make(deaf, ready=True)
        three = ctx.spawn(stateful=False)(int)
        three.wait(WITHIN)
        began = time.monotonic()
        ctx.process_list.stop(grace=0.5)
        assert time.monotonic() - began < 15
        assert two.signal is signal.SIGKILL
        assert not any(each.is_alive for each in (one, two, three))
        assert three.wait(0) == 0
