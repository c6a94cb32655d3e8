"""What a piece of a program leaves behind: processes, threads, descriptors, socket files.

The law: what was there before is no leak, and what zproc keeps on purpose from one context to the next is there before,
because `settle` makes it. Anything else that is left after the grace period is named.
"""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from zproc.process import choose, descendants, describe, kill_tree, spare_pid, start

__all__ = ["GRACE", "Belongings", "LeakError", "leak_check", "runtime_directory", "settle", "wait_for_nothing"]

GRACE: Final = 5.0
"""How long what was begun may take to end, in seconds; promise P11 gives the same."""

_CONTENTLESS: Final = ("socket:", "pipe:", "anon_inode:", "/memfd:")
"""What the kernel calls descriptors that are no files."""


class LeakError(AssertionError):
    """Something was left behind.

    Attributes:
        left: what.
    """

    def __init__(self, left: Belongings) -> None:
        super().__init__(f"left behind:\n{left}")
        self.left = left


@dataclass(frozen=True, slots=True)
class Belongings:
    """What this process has: the things that could be left behind.

    Attributes:
        processes: its descendants, zombies included: whoever starts a process also collects it. Not the one that the
            fork server keeps in readiness, which is another after each start.
        threads: those of `threading.enumerate`.
        descriptors: sockets, pipes and the kernel's anonymous files (epoll, pidfd ...), as number and target.
        files: what lies in the runtime directory.
    """

    processes: frozenset[int]
    threads: frozenset[threading.Thread]
    descriptors: frozenset[tuple[str, str]]
    files: frozenset[str]

    @classmethod
    def now(cls, runtime: str | None = None) -> Belongings:
        """Return what there is now.

        Args:
            runtime: the directory whose files count; ``None`` for no files.
        """
        return cls(
            frozenset(process.pid for process in descendants(os.getpid())) - {spare_pid()},
            frozenset(threading.enumerate()),
            frozenset(_descriptors()),
            frozenset(_files(runtime) if runtime is not None else ()),
        )

    @classmethod
    def none(cls) -> Belongings:
        """Return nothing."""
        return cls(frozenset(), frozenset(), frozenset(), frozenset())

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
            [f"  process {describe(pid)}" for pid in sorted(self.processes)]
            + [f"  thread {thread.name}" for thread in self.threads]
            + [f"  descriptor {number}: {target}" for number, target in sorted(self.descriptors)]
            + [f"  file {name}" for name in sorted(self.files)]
        )


@contextlib.contextmanager
def leak_check(runtime: str | None = None, *, grace: float = GRACE) -> Iterator[None]:
    """Make sure that a block leaves no process, thread, descriptor or socket file behind.

    Args:
        runtime: the directory whose files count; ``None`` for no files.
        grace: how long what the block began may take to end after it, in seconds.

    Raises:
        LeakError: it did, and what. Processes that it left are killed.
    """
    settle()
    before = Belongings.now(runtime)
    yield
    wait_for_nothing(before, runtime, grace=grace)


def wait_for_nothing(
    before: Belongings, runtime: str | None, *, grace: float = GRACE, kept: Belongings | None = None
) -> None:
    """Wait until nothing is there that was not there before.

    Args:
        before: what was there before.
        runtime: the directory whose files count; ``None`` for no files.
        grace: how long it may take, in seconds.
        kept: what may stay.

    Raises:
        LeakError: something is. Processes among it are killed.
    """
    deadline = time.monotonic() + grace
    while True:
        # Asked before the look, which on a busy machine takes so long that what it found has ended since.
        late = time.monotonic() > deadline
        left = Belongings.now(runtime) - before - (kept or Belongings.none())
        if not left:
            return
        if late:
            error = LeakError(left)
            kill_tree(*left.processes)  # it is reported; it must not disturb what comes next
            raise error
        gc.collect()  # a cycle is no leak, unless nobody ever breaks it
        time.sleep(0.01)


def settle() -> None:
    """Make everything that zproc keeps from one start of a process to the next, such as the fork server."""
    if choose(None) == "forkserver":
        start(int, method="forkserver").wait(30)


@contextlib.contextmanager
def runtime_directory() -> Iterator[str]:
    """Give zproc's sockets a directory of their own for a while, so that other programs' are no leaks.

    In /tmp by name, because the path of a Unix socket must be short.
    """
    directory = tempfile.mkdtemp(prefix="zp", dir="/tmp" if os.path.isdir("/tmp") else None)  # noqa: S108 - made by mkdtemp
    previous = os.environ.get("ZPROC_RUNTIME_DIR")
    os.environ["ZPROC_RUNTIME_DIR"] = directory
    try:
        yield directory
    finally:
        if previous is None:
            os.environ.pop("ZPROC_RUNTIME_DIR", None)
        else:
            os.environ["ZPROC_RUNTIME_DIR"] = previous
        shutil.rmtree(directory, ignore_errors=True)


def _descriptors() -> Iterator[tuple[str, str]]:
    if not os.path.isdir("/proc/self/fd"):
        return
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the descriptor of this very listing is closed by now
            target = os.readlink(f"/proc/self/fd/{number}")
            if target.startswith(_CONTENTLESS):
                yield number, target


def _files(directory: str) -> Iterator[str]:
    for parent, _, names in os.walk(directory):
        yield from (os.path.join(parent, name) for name in names)
