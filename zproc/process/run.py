"""The mark by which every descendant of a run is recognized.

The law: the first process of a program to start another is the root of the run, and names it. Every process that zproc
starts from then on carries that name, and so does everything started by those, with or without zproc; `sweep` ends
whatever carries it. It is the last line of defence, for processes whose ancestors are gone. The root itself is not
marked: what a program starts without zproc is none of zproc's business.

What was exec'ed carries the name in its environment. What was only forked does not, because the kernel shows the
environment that a program started with; so a process forked by zproc opens an empty in-memory file of that name, which
its forks inherit. A process that clears its environment *and* closes its descriptors is not found. zproc's own children
need none of this as long as their watch on their parent works.
"""

from __future__ import annotations

import contextlib
import os
import sys
import uuid
from collections.abc import Collection, Iterable, Iterator

import psutil

from zproc.exceptions import UsageError
from zproc.process import tree

__all__ = ["VARIABLE", "environment", "is_root", "join", "latest_first", "run_id", "sweep"]

VARIABLE = "ZPROC_RUN_ID"
"""The environment variable that names the run."""

_LOOKS = 3
"""How many scans in a row have to find nothing: a process between fork and exit can be missed by one."""

_LOOKS_AT_MOST = 20
"""The same while new processes appear on this machine: they may be the ones to be found."""

_named: tuple[str, int] | None = None
"""The run that was named here, and by which process: forks inherit this."""

_marked: set[str] = set()


def run_id() -> str:
    """Return the name of this run; the first call in its first process creates it, and makes this process the root."""
    global _named  # noqa: PLW0603 - there is one run
    if VARIABLE in os.environ:
        return os.environ[VARIABLE]
    if _named is None:
        _named = uuid.uuid4().hex, os.getpid()
    return _named[0]


def is_root() -> bool:
    """Return whether the run began in this process; only then may it be swept when this process ends."""
    return VARIABLE not in os.environ and _named is not None and _named[1] == os.getpid()


def environment() -> dict[str, str]:
    """Return the environment for a process that is to be marked."""
    return {**os.environ, VARIABLE: run_id()}


def join() -> None:
    """Mark this process, and thereby its forks."""
    name = os.environ[VARIABLE] = run_id()
    create = getattr(os, "memfd_create", None)  # Linux
    if create is not None and name not in _marked:
        create(_mark(name))  # stays open, whoever has it
        _marked.add(name)


def sweep(run: str, *, spare: Collection[int] = ()) -> set[int]:
    """Kill every process of a run.

    Args:
        run: what `run_id` returned in a process of that run.
        spare: processes to leave alive, though not their descendants. The calling process is always spared.

    Returns:
        The processes that were killed.

    Raises:
        UsageError: the name is empty.
    """
    if not run:
        raise UsageError("a sweep needs the name of a run")
    killed: set[int] = set()
    kept = {os.getpid(), *spare}

    def members() -> Iterator[psutil.Process]:
        # Newest first, each dealt with before the next is examined: a process that keeps forking and exiting does not
        # stay anywhere for long.
        for pid in latest_first(psutil.pids(), _newest_process()):
            if pid not in kept and _belongs(pid, run):
                with contextlib.suppress(psutil.NoSuchProcess):
                    yield psutil.Process(pid)

    looks, newest = 0, _newest_process()
    while looks < (_LOOKS if _newest_process() == newest else _LOOKS_AT_MOST):
        if looks % _LOOKS == 0:
            newest = _newest_process()
        found = tree.end_all(members, spare=kept)
        looks = 0 if found else looks + 1
        killed |= {process.pid for process in found}
        # A killed process remains visible for a moment; one that cannot be killed must not keep this going for ever.
        _, stuck = psutil.wait_procs(list(found), timeout=1)
        kept |= {process.pid for process in stuck}
    return killed


def latest_first(pids: Iterable[int], newest: int) -> list[int]:
    """Return processes in the order of their creation, the latest first.

    Args:
        pids: their process ids.
        newest: the id that was assigned last. Higher ones are older: after the system's highest id, often 32768,
            numbering starts over.
    """
    return sorted(pids, key=lambda pid: (pid > newest, -pid))


def _newest_process() -> int:
    """Return the id of the newest process; where the kernel does not tell, one above all."""
    with contextlib.suppress(OSError), open("/proc/loadavg", encoding="ascii") as file:
        return int(file.read().split()[-1])
    return sys.maxsize


def _belongs(pid: int, run: str) -> bool:
    with contextlib.suppress(psutil.Error, OSError):  # just ended, a zombie, or another user's
        if os.path.isdir("/proc/self/fd"):
            return _has_mark(f"/proc/{pid}", run)
        process = psutil.Process(pid)
        return process.uids().real == os.getuid() and process.environ().get(VARIABLE) == run
    return False


def _has_mark(folder: str, run: str) -> bool:
    """Return whether a process is marked; without psutil, which takes ten times as long."""
    with open(f"{folder}/environ", "rb") as file:
        if f"{VARIABLE}={run}".encode() in file.read().split(b"\0"):
            return True
    if os.readlink(f"{folder}/exe") != os.readlink("/proc/self/exe"):  # no fork of a Python that zproc runs in
        return False
    # The whole name, never its beginning: what is found is killed.
    name = f"/memfd:{_mark(run)} (deleted)"
    return any(os.readlink(f"{folder}/fd/{number}") == name for number in os.listdir(f"{folder}/fd"))


def _mark(run: str) -> str:
    return f"zproc-run-{run}"
