"""What every test is held to: it leaves no process, thread, descriptor or socket file behind.

The law: a test's leftovers are that test's failure, named, and never the next one's mystery. The check is on for every
test and costs a few hundred microseconds; only where something is left does it wait, because a process that was asked
to end is given `GRACE` to do so.
"""

from __future__ import annotations

import contextlib
import gc
import os
import secrets
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, settings

# What is started in the background inherits that Ctrl-C is ignored, and so would every program of these tests.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Files that are checked by mypy, and never run.
collect_ignore = ["typing"]

GRACE = 5.0
"""How long, in seconds, what a test began may take to end; promise P11 gives the same."""

RUN_MARKER = "ZPROC_TEST_RUN"
"""The environment variable by which a process tells, even when its parents are gone, which test run it came from."""

# Time limits belong to pytest-timeout: a shared machine is slow at odd moments, and `deadline` would call that a bug.
settings.register_profile("default", deadline=None, max_examples=100, print_blob=True)
settings.register_profile("quick", settings.get_profile("default"), max_examples=20)
settings.register_profile(
    "thorough",
    settings.get_profile("default"),
    max_examples=5_000,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@dataclass(frozen=True, slots=True)
class Belongings:
    """What this process has: the things that a test could leave behind.

    Attributes:
        processes: its descendants, zombies included: whoever starts a process also collects it.
        threads: those of `threading.enumerate`.
        descriptors: sockets, pipes and the kernel's anonymous files (epoll, pidfd ...), as number and target.
        files: what lies in the runtime directory.
    """

    processes: frozenset[int]
    threads: frozenset[threading.Thread]
    descriptors: frozenset[tuple[str, str]]
    files: frozenset[str]

    @classmethod
    def now(cls, runtime: str) -> Belongings:
        return cls(
            frozenset(_descendants(os.getpid())),
            frozenset(threading.enumerate()),
            frozenset(_descriptors()),
            frozenset(_files(runtime)),
        )

    def __sub__(self, other: Belongings) -> Belongings:
        return Belongings(
            self.processes - other.processes,
            self.threads - other.threads,
            self.descriptors - other.descriptors,
            self.files - other.files,
        )

    def __bool__(self) -> bool:
        return bool(self.processes or self.threads or self.descriptors or self.files)

    def __str__(self) -> str:
        return "\n".join(
            [f"  process {_describe(pid)}" for pid in sorted(self.processes)]
            + [f"  thread {thread.name}" for thread in self.threads]
            + [f"  descriptor {number}: {target}" for number, target in sorted(self.descriptors)]
            + [f"  file {name}" for name in sorted(self.files)]
        )


def kept_on_purpose() -> Belongings:
    """What zproc keeps between tests by design, once it exists; asked only when something was left.

    This is the one place for exemptions (the fork server and its pipes, say), and it names things exactly, as their
    owner knows them: an exemption by a pattern would exempt the leaks that look like it, too.
    """
    return Belongings(frozenset(), frozenset(), frozenset(), frozenset())


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


@pytest.fixture(scope="session", autouse=True)
def nobody_outlives_the_run() -> Iterator[None]:
    """Find what `nothing_is_left` cannot see: descendants whose parents died before them."""
    token = secrets.token_hex(8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(RUN_MARKER, token)
        yield
    deadline = time.monotonic() + GRACE
    while (left := _marked(token)) and time.monotonic() < deadline:
        time.sleep(0.05)
    if left := _marked(token) - kept_on_purpose().processes:
        listed = "\n".join(f"  process {_describe(pid)}" for pid in sorted(left))
        _kill(left)
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
    deadline = time.monotonic() + GRACE
    while left := Belongings.now(runtime_directory) - before - kept_on_purpose():
        if time.monotonic() > deadline:
            message = f"the test left behind:\n{left}"
            _kill(left.processes)  # it has failed; what it left must not disturb the others
            pytest.fail(message, pytrace=False)
        gc.collect()  # a cycle is no leak, unless nobody ever breaks it
        time.sleep(0.01)


def _descendants(pid: int) -> Iterator[int]:
    # psutil reads every process of the machine for this; the kernel knows a process's children.
    try:
        children = [
            int(child)
            for thread in os.listdir(f"/proc/{pid}/task")
            for child in Path(f"/proc/{pid}/task/{thread}/children").read_text().split()
        ]
    except (FileNotFoundError, ProcessLookupError):  # it ended just now, or this is no Linux
        with contextlib.suppress(psutil.NoSuchProcess):
            yield from (child.pid for child in psutil.Process(pid).children(recursive=True))
        return
    for child in children:
        yield child
        yield from _descendants(child)


def _descriptors() -> Iterator[tuple[str, str]]:
    if not os.path.isdir("/proc/self/fd"):
        return
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the descriptor of this very listing is closed by now
            target = os.readlink(f"/proc/self/fd/{number}")
            if target.startswith(("socket:", "pipe:", "anon_inode:", "/memfd:")):
                yield number, target


def _files(directory: str) -> Iterator[str]:
    for parent, _, names in os.walk(directory):
        yield from (os.path.join(parent, name) for name in names)


def _marked(token: str) -> frozenset[int]:
    found = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):  # ended just now, or another user's
            if process.pid != os.getpid() and process.environ().get(RUN_MARKER) == token:
                found.add(process.pid)
    return frozenset(found)


def _describe(pid: int) -> str:
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            return f"{pid} ({process.status()}): {' '.join(process.cmdline()) or process.name()}"
    except psutil.Error:
        return f"{pid}: gone"


def _kill(pids: frozenset[int]) -> None:
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            psutil.Process(pid).kill()
