"""P11: nobody survives the end of the process that began it all, whoever he is and however it ends.

The full matrix, each end of the root by each start method by each kind of descendant, is for the soak; in every run,
all kinds are there at once, and each end and each start method come up.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from zproc.process.run import latest_first

if TYPE_CHECKING:
    from tests.integration.conftest import Script

MARKER = "ZPROC_TEST_SURVIVORS"
WITHIN = 5.0

PROGRAM = """
import os, signal, subprocess, sys, time
import zproc

END, KINDS, FOLDER = sys.argv[1], sys.argv[2].split(","), sys.argv[3]
LAST = time.monotonic() + 90  # for the day when what is tested here does not work

class S(zproc.StateModel):
    x: int = 0

def there(name):
    with open(os.path.join(FOLDER, f"{name}-{os.getpid()}"), "w"):
        pass

def live(name):
    there(name)
    while time.monotonic() < LAST:
        time.sleep(0.5)
    os._exit(0)

def program(name, **options):
    code = f"import time; open({os.path.join(FOLDER, name)!r}, 'w').close(); time.sleep(90)"
    return subprocess.Popen([sys.executable, "-c", code], **options)

def child(state):
    live("child")

def nested(ctx):
    ctx.spawn(nested_child)
    live("nested")

def nested_child(state):
    program("nested_program")
    live("nested_child")

def own_context(state):
    ctx = zproc.Context(S)
    ctx.spawn(child)
    live("own_context")

def grandchild(state):
    program("grandchild")
    live("has_grandchild")

def session(state):
    program("session", start_new_session=True)
    live("has_session")

def orphan(state):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            live("orphan")
        os._exit(0)
    os.wait()
    live("has_orphan")

def stopped(state):
    there("stopped")
    os.kill(os.getpid(), signal.SIGSTOP)
    live("went_on")

def deaf(state):
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    live("deaf")

def forker(state):
    there("forker")
    while time.monotonic() < LAST:
        if os.fork() == 0:
            live("forked")
        time.sleep(0.02)

def chain(state):
    there("chain")
    while time.monotonic() < LAST:  # each link makes the next one and goes
        if os.fork():
            os._exit(0)
        time.sleep(0.002)

# What is to be seen of each kind before the root may end, and how it is made.
ZOO = {
    "child": (child, ["child"], {}),
    "nested": (nested, ["nested", "nested_child", "nested_program"], {"pass_context": True}),
    "own_context": (own_context, ["own_context", "child"], {}),
    "grandchild": (grandchild, ["grandchild"], {}),
    "session": (session, ["session"], {}),
    "orphan": (orphan, ["orphan"], {}),
    "stopped": (stopped, ["stopped"], {}),
    "deaf": (deaf, ["deaf"], {}),
    "forker": (forker, ["forker", "forked"], {}),
    "chain": (chain, ["chain"], {}),
}

def main():
    import logging
    logging.disable()  # a chain that loses its first link is said to have died
    ctx = zproc.Context(S)
    names = []
    for kind in KINDS:
        function, seen, options = ZOO[kind]
        ctx.spawn(**options)(function) if options else ctx.spawn(function)
        names += seen
    while not all(any(file.split("-")[0] == name for file in os.listdir(FOLDER)) for name in names):
        time.sleep(0.01)
    print("ready", flush=True)
    if END == "return":
        return
    if END == "raise":
        raise ValueError("the program failed")
    if END == "_exit":
        os._exit(7)
    while time.monotonic() < LAST:
        time.sleep(0.1)  # not longer: Ctrl-C that comes just before a sleep is noticed after it

main()
"""

ENDS = ["return", "raise", "_exit", "SIGTERM", "SIGINT", "SIGKILL"]
METHODS = ["forkserver", "spawn", "fork"]
KINDS = ["child", "nested", "own_context", "grandchild", "session", "orphan", "stopped", "deaf", "forker", "chain"]


@pytest.fixture
def empty_directory() -> Iterator[str]:
    """A runtime directory in which nothing but these programs' servers leave anything; its path must be short."""
    with tempfile.TemporaryDirectory(prefix="zs", dir="/tmp") as directory:
        yield directory


def described(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return f"{process.pid} of {process.ppid()}, {process.status()}: {process.cmdline()[:4]}"
    return f"{process.pid} just now"


def marked(token: str) -> list[psutil.Process]:
    """Find who was begun by a program, whoever his parents are now."""
    found = []
    for pid in latest_first(psutil.pids(), int(Path("/proc/loadavg").read_text().split()[-1])):
        with contextlib.suppress(psutil.Error, OSError):
            process = psutil.Process(pid)
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARKER) == token:
                found.append(process)
    return found


def end(script: Script, directory: str, folder: Path, method: str, how: str, kinds: list[str]) -> None:
    token = secrets.token_hex(8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(MARKER, token)
        patch.setenv("XDG_RUNTIME_DIR", directory)
        program = script(PROGRAM, how, ",".join(kinds), str(folder), method=method)
    assert program.stdout is not None
    try:
        assert program.stdout.readline() == "ready\n", program.communicate(timeout=60)
        if how.startswith("SIG"):
            program.send_signal(signal.Signals[how])
        program.wait(30)
        ended = time.monotonic()
        seen = 0
        while seen < 5:  # who is between a fork and an exit can be missed by one look
            left = marked(token)
            took = time.monotonic() - ended
            assert not left or took < WITHIN, f"after {took:.1f} s: {[*map(described, left)]}"
            seen = 0 if left else seen + 1
            time.sleep(0.02)
        assert [name for _, _, names in os.walk(directory) for name in names] == []
        expected = {"return": 0, "raise": 1, "_exit": 7}.get(how)
        assert program.returncode == (-signal.Signals[how] if expected is None else expected)
    finally:
        for order in (signal.SIGSTOP, signal.SIGKILL):
            for process in marked(token):
                with contextlib.suppress(psutil.Error):
                    process.send_signal(order)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("how", "method"),
    [
        ("SIGKILL", "forkserver"),
        ("SIGKILL", "spawn"),
        ("SIGKILL", "fork"),
        ("return", "fork"),
        ("raise", "forkserver"),
        ("_exit", "fork"),
        ("SIGTERM", "forkserver"),
        ("SIGINT", "fork"),
    ],
)
def test_p11_nobody_survives(script: Script, empty_directory: str, tmp_path: Path, how: str, method: str) -> None:
    """All kinds at once; each of them alone in the soak."""
    folder = tmp_path / "there"
    folder.mkdir()
    end(script, empty_directory, folder, method, how, KINDS)


@pytest.mark.soak
@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("how", ENDS)
def test_p11_nobody_of_any_kind_survives(
    script: Script, empty_directory: str, tmp_path: Path, how: str, method: str, kind: str
) -> None:
    """The matrix: six ends by three start methods by ten kinds of descendants."""
    folder = tmp_path / "there"
    folder.mkdir()
    end(script, empty_directory, folder, method, how, [kind])
