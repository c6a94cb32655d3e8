"""Ending whole trees of processes.

The law: stop first, look again until nothing new is found and all of it stands still, and only then kill. A process
that is killed while its relatives run leaves behind whatever they made since the last look, and orphans cannot be found
by their parents any more. A process is known by its number and its birth, so that a number that was given away is not
hit.
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
"""How long, in seconds, to wait for a stop to take effect: a process that waits for a disk obeys later."""

_STILL = frozenset({psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP, psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD})


def family(pid: int) -> set[psutil.Process]:
    """Find a process and its descendants; nothing if it is gone."""
    found: set[psutil.Process] = set()
    stack = _processes([pid])
    while stack:
        process = stack.pop()
        if process not in found:
            found.add(process)
            stack += _processes(_children(process.pid))
    return found


def descendants(pid: int) -> set[psutil.Process]:
    """Find the children, grandchildren ... of a process; not itself."""
    return {process for process in family(pid) if process.pid != pid}


def describe(pid: int) -> str:
    """Say what a process is, in a line for people."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            return f"{pid} ({process.status()}): {' '.join(process.cmdline()) or process.name()}"
    except psutil.Error:
        return f"{pid}: gone"


def kill_tree(*pids: int, spare: Collection[int] = ()) -> None:
    """Kill processes with all their descendants.

    Args:
        pids: the roots; one that is gone is passed over.
        spare: processes that live on, with their descendants.
    """
    kill_families(_processes(pids), spare=spare)


def kill_families(roots: Iterable[psutil.Process], *, spare: Collection[int] = ()) -> None:
    """Kill processes that were found before, with all their descendants; a later bearer of their number is not hit."""
    roots = list(roots)
    end_all(lambda: [each for each in roots if each.is_running()], spare=spare)


def kill_descendants(pid: int, *, spare: Collection[int] = ()) -> set[psutil.Process]:
    """Kill all descendants of a process, leave it alone, and return them."""
    return end_all(lambda: _processes(_children(pid)), spare=spare)


def end_all(find: Callable[[], Iterable[psutil.Process]], *, spare: Collection[int] = ()) -> set[psutil.Process]:
    """Stop what a search finds, and its descendants, until there is nothing new, kill all of it, and return it.

    Args:
        find: searches; it is called again and again, and may find what it has found before.
        spare: processes that live on, with their descendants. The calling process is one of them.
    """
    kept = {os.getpid(), *spare}
    stopped: set[psutil.Process] = set()
    while fresh := _freeze(find(), stopped, kept):
        _settle(fresh)
    _signal(stopped, signal.SIGKILL)
    return stopped


def end_self() -> NoReturn:
    """Kill this process and all its descendants.

    A process cannot stop itself and go on looking; so that its other threads make no more children, each of them is
    held at the next thing that the interpreter reports, and making a process is one of those.
    """
    me = threading.get_ident()

    def hold(_event: str, _args: tuple[object, ...]) -> None:
        if threading.get_ident() != me:
            threading.Event().wait()

    sys.addaudithook(hold)
    kill_descendants(os.getpid())
    kill_descendants(os.getpid())  # what was half-way through its making at the first time
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("survived SIGKILL")


def _freeze(
    roots: Iterable[psutil.Process], stopped: set[psutil.Process], kept: Collection[int]
) -> set[psutil.Process]:
    """Go through trees, stop who is not, and return those.

    Each of them is stopped as soon as it is seen, and its children are looked for right then. To look at all processes
    first and stop some of them after that takes longer than a fork: a chain of processes, of which the last one always
    makes the next, would be followed for ever and never caught.
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
    """List the children of a process; of one that is not stopped, perhaps not all."""
    try:
        lists = [f"/proc/{pid}/task/{task}/children" for task in os.listdir(f"/proc/{pid}/task")]
        return [int(child) for each in lists for child in _read(each).split()]
    except (FileNotFoundError, ProcessLookupError):  # it is gone, or this kernel does not tell
        with contextlib.suppress(psutil.NoSuchProcess):
            return [each.pid for each in psutil.Process(pid).children()]
    return []


def _read(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read()


def _signal(processes: Iterable[psutil.Process], signum: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):  # gone, or a setuid program's: nothing that we may do
            process.send_signal(signum)


def _settle(processes: Iterable[psutil.Process]) -> None:
    """Wait until they stand still: a fork that was under way when the signal came is completed first."""
    deadline = time.monotonic() + _SETTLING
    for process in processes:
        while _moves(process) and time.monotonic() < deadline:
            time.sleep(0.0005)


def _moves(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.status() not in _STILL
    return False
