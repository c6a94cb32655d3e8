"""The mark by which all processes of a run are known.

The law: the first process of a program that starts another is the run's root, and names the run. From then on
everything that is started, by zproc or by anybody, by its descendants or by theirs, carries the name, and `sweep` ends
what carries it. It is the last guard, for processes that nobody is related to any more.

What was exec'ed carries the name in its environment. What was only forked does not, because the kernel shows the
environment that a program began with; so a process that forks opens an empty file of that name in memory, and its forks
have it open, too. What clears its environment *and* closes its descriptors is not found. zproc's own children need none
of this as long as their watch over their parent works.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Collection

import psutil

from zproc.exceptions import UsageError
from zproc.process import tree

__all__ = ["VARIABLE", "is_root", "mark_forks", "run_id", "sweep"]

VARIABLE = "ZPROC_RUN_ID"
"""The environment variable that names the run."""

_root: int | None = None
_marks: dict[str, int] = {}


def run_id() -> str:
    """Give the name of this run; the first call in the first process makes it, and this process the root."""
    global _root  # noqa: PLW0603 - there is one run
    if VARIABLE not in os.environ:
        os.environ[VARIABLE] = uuid.uuid4().hex
        _root = os.getpid()
    return os.environ[VARIABLE]


def is_root() -> bool:
    """Tell whether the run began in this very process; only then may the run be swept when it ends."""
    return _root == os.getpid()


def mark_forks() -> None:
    """Have this process's forks, from now on, carry the name of the run."""
    name = run_id()
    create = getattr(os, "memfd_create", None)  # Linux
    if create is not None and name not in _marks:
        _marks[name] = create(_mark(name))


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

    def members() -> list[psutil.Process]:
        return [each for each in psutil.process_iter() if each.pid not in kept and _belongs(each, run)]

    while found := tree.end_all(members, spare=kept):
        killed |= {process.pid for process in found}
        # A killed process can be seen for a moment longer; one that cannot be killed must not keep this going for ever.
        _, stuck = psutil.wait_procs(list(found), timeout=1)
        kept |= {process.pid for process in stuck}
    return killed


def _belongs(process: psutil.Process, run: str) -> bool:
    with contextlib.suppress(psutil.Error, OSError):  # ended just now, or another user's
        if process.uids().real != os.getuid() or process.status() == psutil.STATUS_ZOMBIE:
            return False
        return process.environ().get(VARIABLE) == run or _holds(process.pid, f"/memfd:{_mark(run)} (deleted)")
    return False


def _holds(pid: int, name: str) -> bool:
    folder = f"/proc/{pid}/fd"
    if not os.path.isdir(folder):
        return False
    # The whole name, never its beginning: what is found is killed.
    return any(os.readlink(f"{folder}/{number}") == name for number in os.listdir(folder))


def _mark(run: str) -> str:
    return f"zproc-run-{run}"
