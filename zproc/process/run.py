"""The mark by which all that descends from a run's processes is known.

The law: the first process of a program that starts another is the run's root, and names the run. What is started from
then on by zproc carries the name, and so does everything that is started, by anybody, by those or by theirs; `sweep`
ends what carries it. It is the last guard, for processes that nobody is related to any more. The root itself carries
nothing: what a program starts without zproc is none of zproc's business.

What was exec'ed carries the name in its environment. What was only forked does not, because the kernel shows the
environment that a program began with; so a process that zproc forked opens an empty file of that name in memory, and
its forks have it open, too. What clears its environment *and* closes its descriptors is not found. zproc's own children
need none of this as long as their watch over their parent works.
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
"""How many looks in a row have to find nobody: who is between a fork and an exit can be missed by one."""

_LOOKS_AT_MOST = 20
"""How many, while somebody on this machine makes processes: it may be whom we look for."""

_named: tuple[str, int] | None = None
"""The run that was named here, and by which process: a fork of it has this, too."""

_marked: set[str] = set()


def run_id() -> str:
    """Give the name of this run; the first call in the first process makes it, and this process the root."""
    global _named  # noqa: PLW0603 - there is one run
    if VARIABLE in os.environ:
        return os.environ[VARIABLE]
    if _named is None:
        _named = uuid.uuid4().hex, os.getpid()
    return _named[0]


def is_root() -> bool:
    """Tell whether the run began in this very process; only then may the run be swept when it ends."""
    return VARIABLE not in os.environ and _named is not None and _named[1] == os.getpid()


def environment() -> dict[str, str]:
    """Give the environment for a process that is to carry the name of the run."""
    return {**os.environ, VARIABLE: run_id()}


def join() -> None:
    """Have this process carry the name of the run, and its forks."""
    name = os.environ[VARIABLE] = run_id()
    create = getattr(os, "memfd_create", None)  # Linux
    if create is not None and name not in _marked:
        create(_mark(name))  # stays open, whoever has it
        _marked.add(name)


def sweep(run: str, *, spare: Collection[int] = ()) -> set[int]:
    """Kill every process of a run.

    Args:
        run: what `run_id` told in a process of that run.
        spare: processes that live on, but not their descendants. The calling process lives on anyway.

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
        # The newest first, and each of them dealt with before the next is looked at: a process that forks and leaves,
        # again and again, is nowhere for long.
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
        # A killed process can be seen for a moment longer; one that cannot be killed must not keep this going for ever.
        _, stuck = psutil.wait_procs(list(found), timeout=1)
        kept |= {process.pid for process in stuck}
    return killed


def latest_first(pids: Iterable[int], newest: int) -> list[int]:
    """Put processes in the order in which they were made, the latest one first.

    Args:
        pids: their process ids.
        newest: the one that was given away last. Those above it are of the round before: after the highest one that the
            system allows, often 32768, it begins anew with low ones.
    """
    return sorted(pids, key=lambda pid: (pid > newest, -pid))


def _newest_process() -> int:
    """Tell which process was made last; where the kernel does not tell, one that is above all."""
    with contextlib.suppress(OSError), open("/proc/loadavg", encoding="ascii") as file:
        return int(file.read().split()[-1])
    return sys.maxsize


def _belongs(pid: int, run: str) -> bool:
    with contextlib.suppress(psutil.Error, OSError):  # ended just now, a zombie, or another user's
        if os.path.isdir("/proc/self/fd"):
            return _has_mark(f"/proc/{pid}", run)
        process = psutil.Process(pid)
        return process.uids().real == os.getuid() and process.environ().get(VARIABLE) == run
    return False


def _has_mark(folder: str, run: str) -> bool:
    """Look for the name of a run at a process, without psutil, which takes ten times as long for the same."""
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
