"""The descriptors that belong to one process."""

from __future__ import annotations

import dis
import gc
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import zproc.process as zp
from zproc.process import descriptor


def is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def test_a_pair_is_a_line_with_two_ends() -> None:
    near, far = descriptor.pair()
    os.write(near, b"down")
    os.write(far, b"up")
    assert (os.read(far, 9), os.read(near, 9)) == (b"down", b"up")
    descriptor.close(near, far, -1)
    assert not is_open(near)
    assert not is_open(far)


def test_the_default_timeout_of_the_program_is_not_that_of_lines(default_timeout: float) -> None:
    near, far = descriptor.pair()
    assert os.get_blocking(near)
    assert os.get_blocking(far)
    with descriptor.socket_of(near) as one:
        assert one.gettimeout() is None
        assert os.get_blocking(near)
        descriptor.keep(one.detach())
    os.set_blocking(far, False)
    with descriptor.socket_of(far) as other:
        assert other.gettimeout() == 0
        descriptor.keep(other.detach())
    descriptor.close(near, far)


def test_closing_twice_is_an_error() -> None:
    """The second time would hit whoever was given the number meanwhile."""
    near, far = descriptor.pair()
    descriptor.close(near, far)
    with pytest.raises(OSError, match="descriptor"):
        descriptor.close(near)


def test_a_fork_does_not_have_what_was_kept() -> None:
    """Neither one of zproc's making nor one of anybody else's."""
    near, far = descriptor.pair()
    try:
        assert zp.start(lambda: (is_open(near), is_open(far)), method="fork").wait(20) == (False, False)
        pid = os.fork()
        if pid == 0:
            os._exit(is_open(near) or is_open(far))
        assert os.waitpid(pid, 0)[1] == 0
    finally:
        descriptor.close(near, far)


def test_what_is_parked_keeps_its_number_and_reaches_nobody() -> None:
    """An object that came along with a fork may close its number at any time: it must not be another's by then."""
    ours, theirs = socket.socketpair()
    spared, silent = socket.socketpair()

    def park() -> tuple[bytes, bool]:
        descriptor.park(spare=frozenset({spared.fileno()}))
        spared.send(b"spared")
        os.write(theirs.fileno(), b"into the void")
        number = theirs.fileno()
        theirs.close()
        return os.read(ours.fileno(), 9), is_open(number)

    with ours, theirs, spared, silent:
        # Run in a plain fork, because the line of a child of zproc's would be parked with all the rest.
        pid = os.fork()
        if pid == 0:
            os._exit(0 if park() == (b"", False) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert silent.recv(9) == b"spared"
        ours.setblocking(False)
        with pytest.raises(BlockingIOError):
            ours.recv(9)


def test_a_silenced_number_reads_as_empty() -> None:
    near, far = descriptor.pair()
    descriptor.silence(near)
    assert os.read(near, 9) == b""
    descriptor.close(near, far)


def test_where_processes_cannot_be_started_the_package_can_be_imported() -> None:
    """As on Windows: what is missing there is asked for only when a process is started, and said then."""
    code = """
import os, select, signal, socket, sys
import psutil, cloudpickle, tblib, subprocess, multiprocessing
for module, names in {
    os: "fork register_at_fork pidfd_open memfd_create getppid waitid WNOHANG set_blocking getuid setsid".split(),
    signal: "SIGKILL SIGSTOP SIGCONT SIGHUP SIGQUIT pthread_sigmask pidfd_send_signal SIG_BLOCK SIG_SETMASK".split(),
    socket: ["AF_UNIX", "send_fds", "recv_fds"],
    select: ["poll"],
}.items():
    for name in names:
        delattr(module, name)
import zproc.process
from zproc.exceptions import UsageError
try:
    zproc.process.start(print)
except UsageError as error:
    print(zproc.process.choose(), error)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(descriptor.__file__).parent.parent.parent)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False, timeout=30
    )
    assert (done.stdout, done.stderr) == ("spawn zproc starts processes on POSIX systems only, so far\n", "")


def test_who_is_lent_a_descriptor_never_owns_it_wherever_he_is_interrupted() -> None:
    """Ctrl-C may come after any call, and an object that is collected closes what it owns."""
    near, far = descriptor.pair()
    interrupted = 0
    try:
        for step in range(60):
            interrupted += _interrupted(lambda: _lent(near), step)
            gc.collect(0)
            assert is_open(near), f"closed by an interrupt at step {step}"
        assert 5 < interrupted < 60
    finally:
        descriptor.close(near, far)


def _lent(number: int) -> None:
    with descriptor.lend(number) as stream:
        stream.send(b"!")


def _interrupted(function: Callable[[], None], step: int) -> bool:
    """Interrupt a call at one of the places where the interpreter looks for signals; tell whether it was so long."""
    left = step
    last: dict[FrameType, str] = {}

    def interrupt(frame: FrameType, event: str, _: object) -> Any:
        nonlocal left
        frame.f_trace_opcodes = True
        if event == "opcode":
            if last.get(frame, "").startswith(("CALL", "RESUME", "JUMP_BACKWARD")):
                left -= 1
                if left < 0:
                    sys.settrace(None)
                    raise KeyboardInterrupt
            last[frame] = dis.opname[frame.f_code.co_code[frame.f_lasti]]
        return interrupt

    before = sys.gettrace()
    sys.settrace(interrupt)
    try:
        function()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
        last.clear()
    return False


CLOSED = """
import os, sys, zproc.process as zp
os.closerange(0, 3)
answers = [zp.start(lambda: [os.readlink(f"/proc/self/fd/{number}") for number in (0, 1, 2)], method=method).wait(20)
           for method in ("forkserver", "spawn", "fork")]
os.write(int(sys.argv[1]), repr(answers).encode())
"""


def test_closed_standard_streams_are_no_obstacle_and_nobody_elses_number() -> None:
    reading, writing = os.pipe()
    try:
        done = subprocess.run([sys.executable, "-c", CLOSED, str(writing)], pass_fds=[writing], timeout=60, check=False)
        assert done.returncode == 0
        assert os.read(reading, 10_000).decode() == repr([["/dev/null"] * 3] * 3)
    finally:
        os.close(reading)
        os.close(writing)
