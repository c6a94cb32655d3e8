"""What every test is held to: it leaves no process, thread, descriptor or socket file behind.

The law: a test's leftovers are that test's failure, named, and never the next one's mystery. The check is on for every
test and costs a few hundred microseconds; only where something is left does it wait, because a process that was asked
to end is given `GRACE` to do so.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator

import psutil
import pytest
from hypothesis import HealthCheck, settings

from zproc.process import birth, describe, kill_tree, shut_down
from zproc.testing.leaks import Belongings, LeakError, wait_for_nothing

# What is started in the background inherits that Ctrl-C is ignored, and so would every program of these tests.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Without a buffer, a line is written in two parts, and those of programs with several processes come mixed; see
# `whole_lines`.
os.environ.pop("PYTHONUNBUFFERED", None)

# Where containers set this, each of the hundreds of programs that tests start would compile zproc anew, which takes a
# third of its time. This process has it from its environment, and those that it starts have it from this process.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Files that are checked by mypy, and never run.
collect_ignore = ["typing"]

GRACE = 5.0
"""How long, in seconds, what a test began may take to end; promise P11 gives the same."""

RUN_MARKER = "ZPROC_TEST_RUN"
"""The environment variable by which a process tells, even when its parents are gone, which test run it came from."""

# Time limits belong to pytest-timeout: a shared machine is slow at odd moments, and `deadline` and the health check
# `too_slow` would call that a bug. A test with health checks of its own has to name that one, too.
settings.register_profile(
    "default", deadline=None, max_examples=100, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("quick", settings.get_profile("default"), max_examples=20)
settings.register_profile("thorough", settings.get_profile("default"), max_examples=5_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def kept_on_purpose() -> Belongings:
    """What zproc keeps between tests by design, once it exists; asked only when something was left.

    This is the one place for exemptions (the fork server and its pipes, say), and it names things exactly, as their
    owner knows them: an exemption by a pattern would exempt the leaks that look like it, too.
    """
    return Belongings.none()


@pytest.fixture(scope="session", autouse=True)
def runtime_directory() -> Iterator[str]:
    """A runtime directory of this worker's own: other workers' sockets are not this one's leaks.

    In /tmp by name, because the path of a Unix socket must be short and pytest's directories are not.
    """
    directory = tempfile.mkdtemp(prefix="zp", dir="/tmp" if os.path.isdir("/tmp") else None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", directory)
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def default_timeout() -> Iterator[float]:
    """Be a program that has given every new socket a timeout, in seconds: many do, for the sake of their downloads."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(0.05)
    yield 0.05
    socket.setdefaulttimeout(before)


@pytest.fixture(scope="session")
def whole_lines() -> Iterator[str]:
    """A folder for the PYTHONPATH of programs whose output is read while they run: they write line by line.

    As on a terminal, each line in one write, so that those of several processes do not come mixed. Every interpreter
    that a program starts does so, too; with PYTHONUNBUFFERED each would write a line in two parts, text and end.
    """
    with tempfile.TemporaryDirectory(prefix="zl") as folder:
        with open(os.path.join(folder, "sitecustomize.py"), "w", encoding="ascii") as file:
            file.write("import sys\nif sys.stdout is not None:\n    sys.stdout.reconfigure(line_buffering=True)\n")
        yield folder


@pytest.fixture(scope="session", autouse=True)
def forks_are_allowed() -> Iterator[None]:
    """Have `fork` for a start method although pytest's plugins have threads, for which it would be refused."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(birth, "strangers", list)
        yield


@pytest.fixture(scope="session", autouse=True)
def nobody_outlives_the_run() -> Iterator[None]:
    """Find what `nothing_is_left` cannot see: descendants whose parents died before them."""
    token = secrets.token_hex(8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(RUN_MARKER, token)
        yield
    shut_down()  # the fork server lives as long as who uses it, which is this process
    deadline = time.monotonic() + GRACE
    while (left := _marked(token)) and time.monotonic() < deadline:
        time.sleep(0.05)
    if left := _marked(token) - kept_on_purpose().processes:
        listed = "\n".join(f"  process {describe(pid)}" for pid in sorted(left))
        kill_tree(*left)
        pytest.fail(f"these outlived the test run:\n{listed}", pytrace=False)


@pytest.fixture(autouse=True)
def nothing_is_left(runtime_directory: str) -> Iterator[None]:
    """Fail a test that leaves a process, thread, descriptor or socket file behind.

    It is set up first among the fixtures of a function, and so torn down last. What fixtures of a wider scope hold was
    there before the test began.
    """
    before = Belongings.now(runtime_directory)
    yield
    if not Belongings.now(runtime_directory) - before:
        return
    message = ""
    try:
        wait_for_nothing(before, runtime_directory, grace=GRACE, kept=kept_on_purpose())
    except LeakError as error:
        message = f"the test {error}"
    if message:
        pytest.fail(message, pytrace=False)


def _marked(token: str) -> frozenset[int]:
    found = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):  # ended just now, or another user's
            if process.pid != os.getpid() and process.environ().get(RUN_MARKER) == token:
                found.add(process.pid)
    return frozenset(found)
