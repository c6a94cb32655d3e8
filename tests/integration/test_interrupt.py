"""Ctrl-C in a terminal: the whole program ends, once, and one traceback is seen."""

from __future__ import annotations

import contextlib
import os
import pty
import secrets
import select
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

if TYPE_CHECKING:
    from tests.integration.conftest import Eventually

MARKER = "ZPROC_TEST_INTERRUPT"

PROGRAM = """
import os, signal, sys, time
import zproc

class S(zproc.StateModel):
    ready: int = 0
    cleaned: int = 0

def sleep(state):
    state.ready += 1
    time.sleep(60)

def wait(state):
    state.ready += 1
    state.get_when_equal("ready", -1)

def nested(ctx):
    ctx.spawn(sleep)
    ctx.state.ready += 1
    ctx.wait_all()

ctx = zproc.Context(S, wait=True)
before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
ctx.spawn(count=3, restart="always")(sleep)
ctx.spawn(wait)
ctx.spawn(pass_context=True)(nested)
ctx.call_when_equal("ready", -2, stateful=False)(sleep)
ctx.state.get_when_equal("ready", 6)
assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before, "a handler was installed"
{rest}
"""

READY = 'print("ready", flush=True)'

WAYS = {
    "waits for all": ("{ready}\nctx.wait_all()", "KeyboardInterrupt"),
    # In short pieces: a Ctrl-C that comes just before a sleep is noticed after it, and that is Python's.
    "sleeps": ("{ready}\nfor _ in range(600): time.sleep(0.1)", "KeyboardInterrupt"),
    "waits at its end": ("{ready}", "KeyboardInterrupt"),
    "waits for a change": ('{ready}\nctx.state.get_when_equal("ready", -1)', "KeyboardInterrupt"),
    "catches it": (
        (
            "try:\n    {ready}\n    for _ in range(600): time.sleep(0.1)\n"
            "except KeyboardInterrupt:\n    print('bye', flush=True); ctx.close()"
        ),
        "bye",
    ),
}


def run(program: Path, method: str, token: str) -> tuple[subprocess.Popen[bytes], int]:
    """Run a program in a terminal of its own, and return it with the terminal's other side."""
    ours, its = pty.openpty()
    environment = {**os.environ, "ZPROC_START_METHOD": method, MARKER: token}
    environment.pop("ZPROC_RUN_ID", None)
    # A shell in between, as for a user: it makes the terminal its own, and the program gets Ctrl-C in its group.
    take = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", take, sys.executable, str(program)],
        stdin=its,
        stdout=its,
        stderr=its,
        env=environment,
        start_new_session=True,
    )
    os.close(its)
    return process, ours


def read_until(terminal: int, text: str, within: float = 30.0) -> str:
    """Read until a text has come; until nobody can write any more if it is empty."""
    seen, end = "", time.monotonic() + within
    while not text or text not in seen:
        assert select.select([terminal], [], [], max(0.0, end - time.monotonic()))[0], f"only {seen!r}"
        try:
            data = os.read(terminal, 65536)
        except OSError:  # the last one that had the terminal has closed it
            break
        if not data:
            break
        seen += data.decode()
    return seen


def living(token: str) -> list[int]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARKER) == token:
                found.append(process.pid)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "method"),
    [
        ("waits for all", "forkserver"),
        ("waits for all", "fork"),
        ("waits for all", "spawn"),
        ("sleeps", "forkserver"),
        ("waits at its end", "fork"),
        ("waits for a change", "forkserver"),
        ("catches it", "forkserver"),
    ],
)
def test_ctrl_c_ends_the_whole_program_once(way: str, method: str, tmp_path: Path, eventually: Eventually) -> None:
    rest, said = WAYS[way]
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(PROGRAM).replace("{rest}", rest).replace("{ready}", READY))
    token = secrets.token_hex(8)
    process, terminal = run(program, method, token)
    try:
        read_until(terminal, "ready\r\n")
        os.write(terminal, b"\x03")
        seen = read_until(terminal, "")
        process.wait(20)
        assert seen.count("Traceback") == (said == "KeyboardInterrupt"), seen
        assert seen.count(said) == 1, seen
        # Python tells of an interrupt of what runs at its exit, and leaves the status as it was.
        ended = {"catches it": {0}, "waits at its end": {0, -signal.SIGINT}}.get(way, {-signal.SIGINT})
        assert process.returncode in ended
        eventually(lambda: not living(token))
    finally:
        os.close(terminal)
        process.kill()
        process.wait()
        for pid in living(token):
            os.kill(pid, signal.SIGKILL)
