"""Ending whole trees of processes.

The law: stop (SIGSTOP) everything first, scanning again until nothing new is found, and only then kill. Killing a
process while its relatives run would miss what they forked since the last scan, and orphans can no longer be found
through their parents. A process is identified by its id and its creation time, so that a reused id is never hit.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterable
from typing import NoReturn

import psutil

__all__ = ["descendants", "describe", "end_all", "end_self", "family", "kill_descendants", "kill_families", "kill_tree"]

_SETTLING = 0.5
"""How long to wait for stops to take effect, in seconds: a process in uninterruptible sleep stops later."""

_HELD = 4.0
"""How long, in seconds, a thread of a process that ends itself may be held before it ends the process at once."""

_STILL = frozenset({psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP, psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD})


def family(pid: int) -> set[psutil.Process]:
    """Return a process and its descendants; nothing if it is gone."""
    found: set[psutil.Process] = set()
    stack = _processes([pid])
    while stack:
        process = stack.pop()
        if process not in found:
            found.add(process)
            stack += _processes(_children(process.pid))
    return found


def descendants(pid: int) -> set[psutil.Process]:
    """Return the children, grandchildren ... of a process, not itself."""
    return {process for process in family(pid) if process.pid != pid}


def describe(pid: int) -> str:
    """Describe a process in a line for people."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            return f"{pid} ({process.status()}): {' '.join(process.cmdline()) or process.name()}"
    except psutil.Error:
        return f"{pid}: gone"


def kill_tree(*pids: int, spare: Collection[int] = ()) -> None:
    """Kill processes with all their descendants.

    Args:
        pids: the roots; those that are gone are skipped.
        spare: processes to leave alive, with their descendants.
    """
    kill_families(_processes(pids), spare=spare)


def kill_families(roots: Iterable[psutil.Process], *, spare: Collection[int] = ()) -> None:
    """Kill processes that were found earlier, with all their descendants; a process that reused an id is not hit."""
    roots = list(roots)
    end_all(lambda: [each for each in roots if each.is_running()], spare=spare)


def kill_descendants(pid: int, *, spare: Collection[int] = ()) -> set[psutil.Process]:
    """Kill all descendants of a process, but not itself, and return them."""
    return end_all(lambda: _processes(_children(pid)), spare=spare)


def end_all(find: Callable[[], Iterable[psutil.Process]], *, spare: Collection[int] = ()) -> set[psutil.Process]:
    """Stop what a search finds, and its descendants, until there is nothing new; then kill all of it, and return it.

    Args:
        find: the search; it is called repeatedly, and may find the same again.
        spare: processes to leave alive, with their descendants. The calling process is always spared.
    """
    kept = {os.getpid(), *spare}
    stopped: set[psutil.Process] = set()
    while fresh := _freeze(find(), stopped, kept):
        _settle(fresh)
    _signal(stopped, signal.SIGKILL)
    return stopped


def end_self() -> NoReturn:
    """Kill this process and all its descendants.

    A process cannot stop itself and go on scanning. So that its other threads create no more children, each is blocked
    at the next audit event that it raises; creating a process raises one.
    """
    me = threading.get_ident()

    def hold(_event: str, _args: tuple[object, ...]) -> None:
        if threading.get_ident() != me:
            threading.Event().wait(_HELD)
            # It may hold a lock, that of an import say, for which the look waits. Not by `os.kill`, which is reported.
            signal.raise_signal(signal.SIGKILL)

    sys.addaudithook(hold)
    kill_descendants(os.getpid())
    kill_descendants(os.getpid())  # what was being forked during the first scan
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("survived SIGKILL")


def _freeze(
    roots: Iterable[psutil.Process], stopped: set[psutil.Process], kept: Collection[int]
) -> set[psutil.Process]:
    """Walk trees, stop what is not stopped yet, and return that.

    Each process is stopped as soon as it is seen, before its children are listed. Scanning first and stopping
    afterwards takes longer than a fork: a chain of processes, each of which forks the next and exits, would never be
    caught.
    """
    fresh: set[psutil.Process] = set()
    walked: set[psutil.Process] = set()
    for root in roots:  # one after the other, for the same reason
        stack = [root]
        while stack:
            process = stack.pop()
            if process.pid in kept or process in walked:
                continue
            walked.add(process)
            if process not in stopped:
                _signal([process], signal.SIGSTOP)
                fresh.add(process)
            stack += _processes(_children(process.pid))
    stopped |= fresh
    return fresh


def _processes(pids: Iterable[int]) -> list[psutil.Process]:
    found = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            found.append(psutil.Process(pid))
    return found


def _children(pid: int) -> list[int]:
    """Return the children of a process; possibly not all of them if it is not stopped."""
    try:
        lists = [f"/proc/{pid}/task/{task}/children" for task in os.listdir(f"/proc/{pid}/task")]
        return [int(child) for each in lists for child in _read(each).split()]
    except (FileNotFoundError, ProcessLookupError):  # it is gone, or this kernel does not list children
        with contextlib.suppress(psutil.NoSuchProcess):
            return [each.pid for each in psutil.Process(pid).children()]
    return []


def _read(path: str) -> bytes:
    # As bytes: to look an encoding up is an import, and the thread that was held may be in the middle of another one.
    with open(path, "rb") as file:
        return file.read()


def _signal(processes: Iterable[psutil.Process], signum: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):  # gone, or setuid: there is nothing that we may do
            process.send_signal(signum)


def _settle(processes: Iterable[psutil.Process]) -> None:
    """Wait until they are stopped: a fork under way when the signal came is completed first."""
    deadline = time.monotonic() + _SETTLING
    for process in processes:
        while _moves(process) and time.monotonic() < deadline:
            time.sleep(0.0005)


def _moves(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.status() not in _STILL
    return False
