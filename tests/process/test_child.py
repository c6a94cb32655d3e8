"""What a child sees, and how it begins and ends."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import psutil
import pytest

import zproc.process as zp
from zproc.exceptions import ProcessError, RemoteError, UsageError
from zproc.process import run

Launch = Callable[..., Any]
Eventually = Callable[[Callable[[], object]], None]
Alive = Callable[[psutil.Process], bool]
WITHIN = 20.0

SCRIPT = """
import sys
import zproc.process as zp

class Custom(Exception):
    pass

def double(x):
    return 2 * x

def fail():
    raise Custom("mine")

print("main runs", __name__)
process = zp.start(double, (21,), method=sys.argv[1])
print(process.wait(20), zp.start(lambda: double(4), method=sys.argv[1]).wait(20))
try:
    zp.start(fail, method=sys.argv[1]).wait(20)
except zp.process.RemoteError as error:
    print(type(error.__cause__) is Custom)
nested = zp.start(lambda: zp.start(double, (5,), method=sys.argv[1]).wait(20), method=sys.argv[1])
print(nested.wait(20))
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["file", "stdin", "command"])
def test_a_script_needs_no_guard_and_no_file(method: zp.StartMethod, how: str, launch: Launch) -> None:
    """Its functions and classes work, it is run once, and nested processes can do the same."""
    out, err = launch(SCRIPT, method, how=how).finish()
    assert (out.splitlines(), err) == (["main runs __main__", "42 8", "True", "10"], "")


@pytest.mark.slow
def test_a_script_finds_the_modules_beside_it(method: zp.StartMethod, launch: Launch, tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text(
        "class Odd(Exception): pass\ndef f(x):\n    if x % 2: raise Odd(x)\n    return x"
    )
    source = """
    import sys, beside, zproc.process as zp
    print(zp.start(beside.f, (2,), method=sys.argv[1]).wait(20))
    try: zp.start(beside.f, (3,), method=sys.argv[1]).wait(20)
    except zp.process.RemoteError as error: print(isinstance(error.__cause__, beside.Odd))
    """
    assert launch(source, method).finish() == ("2\nTrue\n", "")


def look() -> tuple[object, ...]:
    environ = {name: value for name, value in os.environ.items() if name != run.VARIABLE}  # in children alone
    return os.getcwd(), environ, list(sys.path), list(sys.argv)


def test_a_child_sees_what_its_parent_sees(
    method: zp.StartMethod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEW", "set since the fork server began")
    monkeypatch.setenv("NOT_ASCII", "ü\udcff")
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "argv", ["program", "--option"])
    assert zp.start(look, method=method).wait(WITHIN) == look()


def test_a_working_directory_that_is_gone_is_no_obstacle(
    method: zp.StartMethod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert zp.start(int, method=method).wait(WITHIN) == 0


@pytest.mark.parametrize("other", ["spawn", "forkserver"])
def test_a_module_that_the_child_cannot_import_is_named(other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = type(sys)("handmade")
    exec("class Thing: pass", module.__dict__)
    monkeypatch.setitem(sys.modules, "handmade", module)
    with pytest.raises(RemoteError, match=r"cannot be read here: ModuleNotFoundError.*handmade") as caught:
        zp.start(print, (module.Thing(),), method=other).wait(WITHIN)
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)
    assert caught.value.__cause__.name == "handmade"


def test_a_child_reads_nothing_and_begins_with_clean_signals(method: zp.StartMethod) -> None:
    def begin() -> tuple[object, ...]:
        handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)]
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        return sys.stdin.read(), os.read(0, 9), handlers == [signal.default_int_handler, 0, 0], blocked

    before = signal.signal(signal.SIGUSR1, lambda *_: None), signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        assert zp.start(begin, method=method).wait(WITHIN) == ("", b"", True, set())
    finally:
        signal.signal(signal.SIGUSR1, before[0])
        signal.signal(signal.SIGTERM, before[1])


def test_who_ignores_the_interrupt_has_children_that_do(method: zp.StartMethod) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert zp.start(lambda: signal.getsignal(signal.SIGINT), method=method).wait(WITHIN) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_child_ends_like_a_program(method: zp.StartMethod, capfd: pytest.CaptureFixture[str]) -> None:
    """It joins its threads, runs what it registered itself, and flushes; what its parent registered is the parent's."""
    atexit.register(os.write, 1, b"parent's ")

    def live() -> str:
        stream = sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - pytest's own would need pytest
        go = threading.Event()

        def late() -> None:
            go.wait()
            stream.write("thread ")

        threading.Thread(target=late).start()
        atexit.register(stream.write, "atexit ")
        atexit.register(go.clear)
        stream.write("target ")
        go.set()
        return "done"

    try:
        assert zp.start(live, method=method).wait(WITHIN) == "done"
    finally:
        atexit.unregister(os.write)
    assert capfd.readouterr().out == "target thread atexit "


def test_a_message_for_leaving_goes_to_standard_error(
    method: zp.StartMethod, capfd: pytest.CaptureFixture[str]
) -> None:
    def leave() -> NoReturn:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
        sys.exit("so long")

    with pytest.raises(ProcessError, match="exit code 1"):
        zp.start(leave, method=method).wait(WITHIN)
    assert capfd.readouterr().err == "so long\n"


def test_a_child_knows_its_name_and_its_parent(method: zp.StartMethod) -> None:
    def tell() -> tuple[object, ...]:
        watch = zp.parent_watch()
        return zp.current_name(), watch.pid, watch.gone()

    assert zp.start(tell, name="me", method=method).wait(WITHIN) == ("me", os.getpid(), False)


def test_who_was_not_started_by_zproc_has_neither_name_nor_parent() -> None:
    assert zp.current_name() is None
    for call in (zp.parent_watch, zp.announce_ready):
        with pytest.raises(UsageError, match="zproc started"):
            call()


def test_a_fork_of_a_child_is_not_the_child(method: zp.StartMethod) -> None:
    def fork() -> int:
        pid = os.fork()
        if pid == 0:
            os._exit(0 if zp.current_name() is None else 1)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    assert zp.start(fork, method=method).wait(WITHIN) == 0


def test_ready_is_announced_once(method: zp.StartMethod) -> None:
    def twice() -> None:
        zp.announce_ready(1)
        zp.announce_ready(2)

    process = zp.start(twice, method=method, ready=True)
    with pytest.raises(RemoteError, match="before"):
        process.wait(WITHIN)
    assert process.ready_value == 1


def test_a_detached_child_is_out_of_reach_of_the_terminal(method: zp.StartMethod) -> None:
    near, far = os.pipe()

    def tell() -> tuple[object, ...]:
        return os.getsid(0) == os.getpid(), signal.getsignal(signal.SIGINT), os.path.exists(f"/proc/self/fd/{far}")

    own_session, handler, _ = zp.start(tell, method=method, detached=True).wait(WITHIN)
    assert (own_session, handler) == (True, signal.SIG_IGN)
    os.close(near)
    os.close(far)


def test_a_detached_fork_holds_nothing_of_its_parents() -> None:
    reading, writing = os.pipe()
    process = zp.start(announce_and_pause, method="fork", detached=True, ready=True)
    os.close(writing)
    assert os.read(reading, 1) == b""  # the end of the file, which an open copy would delay
    os.close(reading)
    process.stop()


def announce_and_pause() -> NoReturn:
    signal.alarm(60)
    zp.announce_ready()
    while True:
        signal.pause()


# --------------------------------------------------------------------------------------------------- the parent's death

FAMILY = """
import os, signal, subprocess, sys, time
import zproc.process as zp

def pause():
    signal.alarm(60)
    while True:
        signal.pause()

def brood():
    signal.alarm(60)
    grandchild = zp.start(pause, method=sys.argv[1])
    escaped = subprocess.Popen(
        [sys.executable, "-c", "import signal; signal.alarm(60); signal.pause()"], start_new_session=True
    )
    fork = os.fork()
    if fork == 0:
        os.setsid()
        pause()
    zp.announce_ready([os.getpid(), grandchild.pid, escaped.pid, fork])
    pause()

children = [zp.start(brood, method=sys.argv[1], ready=True), zp.start(pause, method=sys.argv[1])]
print(*children[0].ready_value, children[1].pid, zp.fork_server_pid() or "", flush=True)
"""

ENDS = {
    "SIGKILL": "os.kill(os.getpid(), signal.SIGKILL)",
    "SIGTERM": "os.kill(os.getpid(), signal.SIGTERM)",
    "_exit": "os._exit(3)",
    "exception": "raise RuntimeError('the end')",
    "return": "pass",
}


@pytest.mark.slow
@pytest.mark.parametrize("end", ENDS)
def test_nobody_outlives_the_root(
    method: zp.StartMethod, end: str, launch: Launch, eventually: Eventually, alive: Alive
) -> None:
    """P11: however it ends; with a sibling, a grandchild, a program in a session of its own, and a plain fork."""
    program = launch(FAMILY + "sys.stdin.read()\n" + ENDS[end] + "\n", method)
    family = program.pids()
    assert len(family) >= 5
    assert all(map(alive, family))
    program.process.stdin.close()
    program.process.wait()
    began = time.monotonic()
    eventually(lambda: not any(map(alive, family)))
    assert time.monotonic() - began < 2


MULTIPLIER = """
import os, signal, sys, time
import zproc.process as zp

def multiply(shape):
    signal.alarm(20)
    zp.announce_ready(os.getpid())
    for _ in range(300):
        pid = os.fork()
        if pid == 0:
            signal.alarm(20)
        if (pid == 0) == (shape == "fan"):
            signal.pause()
        time.sleep(0.005)
    signal.pause()

process = zp.start(multiply, (sys.argv[2],), method=sys.argv[1], ready=True)
print(process.pid, flush=True)
sys.stdin.read()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["fan", "chain"])
def test_a_child_that_forks_without_end_does_not_outlive_the_root(
    method: zp.StartMethod, shape: str, launch: Launch, eventually: Eventually
) -> None:
    program = launch(MULTIPLIER, method, shape)
    pid = program.line()
    group = os.getpgid(int(pid))
    eventually(lambda: len(members(group)) > 12)
    program.process.stdin.close()
    program.process.wait()
    eventually(lambda: not members(group))


def members(group: int) -> list[int]:
    """List the living processes of a group, which all of those that were forked are in."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except (psutil.Error, ProcessLookupError):
            continue
    return found


@pytest.mark.slow
def test_a_stopped_fork_server_child_does_not_outlive_the_root(
    launch: Launch, eventually: Eventually, alive: Alive
) -> None:
    """It cannot look after itself; the fork server does."""
    program = launch(FAMILY + "sys.stdin.read()\nos.kill(os.getpid(), signal.SIGKILL)", "forkserver")
    family = program.pids()
    for process in family[:2]:
        process.suspend()
    program.process.stdin.close()
    eventually(lambda: not any(map(alive, family)))


@pytest.mark.slow
def test_a_stopped_fork_server_does_not_outlive_the_root(launch: Launch, eventually: Eventually, alive: Alive) -> None:
    """Nor does anybody whom only it could end; there is no state server here to sweep."""
    program = launch(FAMILY + "sys.stdin.read()\nos.kill(os.getpid(), signal.SIGKILL)", "forkserver")
    family = program.pids()
    family[-1].suspend()
    eventually(lambda: family[-1].status() == psutil.STATUS_STOPPED)
    program.process.stdin.close()
    eventually(lambda: not any(map(alive, family)))


@pytest.mark.slow
def test_the_fork_server_outlives_the_thread_that_began_it(launch: Launch) -> None:
    """The kernel tells it of the end of that thread as if it were its owner's."""
    source = """
        import threading, zproc.process as zp
        def begin():
            zp.start(int, method="forkserver").wait(20)
        first = threading.Thread(target=begin)
        first.start(); first.join()
        server = zp.fork_server_pid()
        begin()
        print(zp.fork_server_pid() == server)
    """
    assert launch(source).finish() == ("True\n", "")


@pytest.mark.slow
def test_who_writes_by_the_line_has_children_who_do(method: zp.StartMethod, launch: Launch) -> None:
    """A line that was written is there, even if its writer is killed; and it is written at once, not in two parts."""
    source = """
        import os, signal, sys, zproc.exceptions, zproc.process as zp
        def child():
            print(sys.stdout.line_buffering, sys.stdout.write_through)
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            zp.start(child, method=sys.argv[1]).wait(20)
        except zproc.exceptions.ProcessError:
            print("end")
        os._exit(0)
    """
    assert launch(source, method).finish() == ("True False\nend\n", "")


@pytest.mark.slow
def test_when_a_process_in_the_middle_dies_its_own_go_with_it(
    method: zp.StartMethod, launch: Launch, eventually: Eventually, alive: Alive
) -> None:
    program = launch(FAMILY + "sys.stdin.read()", method)
    family = program.pids()
    os.kill(family[0].pid, signal.SIGKILL)
    eventually(lambda: not alive(family[1]))
    assert alive(family[4])  # the sibling
    # What is no child of zproc's lives on as it would without zproc, until the run is swept.
    for process in family[2:4]:
        process.kill()


@pytest.mark.slow
def test_who_may_linger_does_and_then_goes(
    method: zp.StartMethod, launch: Launch, eventually: Eventually, alive: Alive, tmp_path: Path
) -> None:
    source = """
    import os, signal, sys, time
    import zproc.process as zp

    def guard(name, act):
        signal.alarm(30)
        watch = zp.parent_watch()
        zp.announce_ready()
        watch.wait()
        if act:
            with open(name, "w") as file:
                file.write("swept")
            os._exit(0)
        signal.pause()

    def pause():
        signal.alarm(30)
        signal.pause()

    options = {"method": sys.argv[1], "ready": True, "detached": True, "linger": 1.0}
    guards = [zp.start(guard, ("swept", True), **options), zp.start(guard, ("", False), **options)]
    child = zp.start(pause, method=sys.argv[1])
    print(*[each.pid for each in guards], child.pid, flush=True)
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGKILL)
    """
    program = launch(source, method)
    guard, idler, child = program.pids()
    program.process.stdin.close()
    program.process.wait()
    began = time.monotonic()
    eventually(lambda: not alive(child) and not alive(guard))
    assert alive(idler)
    assert (tmp_path / "swept").read_text() == "swept"
    eventually(lambda: not alive(idler))
    assert 0.8 < time.monotonic() - began < 10  # it is the second who is timed, on a machine that may be busy


@pytest.mark.slow
def test_an_interrupt_ends_a_wait_at_once_and_leaves_nothing(
    method: zp.StartMethod, launch: Launch, eventually: Eventually, alive: Alive
) -> None:
    """Ctrl-C goes to the whole group: the waiting parent, its children, and the fork server, which is not impressed."""
    source = """
    import signal, sys, zproc.process as zp

    def pause():
        signal.alarm(60)
        signal.pause()

    def brood():
        signal.alarm(60)
        zp.announce_ready(zp.start(pause, method=sys.argv[1]).pid)
        signal.pause()

    child = zp.start(brood, method=sys.argv[1], ready=True)
    print(child.pid, child.ready_value, zp.fork_server_pid() or child.pid, flush=True)
    try:
        child.wait()
    except KeyboardInterrupt:
        print("interrupted", zp.start(int, method=sys.argv[1]).wait(20), flush=True)
        sys.stdin.read()
    """
    program = launch(source, method)
    child, grandchild, server = program.pids()
    eventually(lambda: psutil.Process(program.process.pid).status() == psutil.STATUS_SLEEPING)
    began = time.monotonic()
    program.interrupt()
    assert program.line() == "interrupted 0"
    assert time.monotonic() - began < 10
    eventually(lambda: not alive(child) and not alive(grandchild))
    assert alive(server) == (method is zp.StartMethod.FORKSERVER)
    assert program.finish() == ("", "")
    eventually(lambda: not alive(server))
