"""A command run alone: within a time limit, and nothing of it left when it is over.

The law: whatever a benchmark or its peer starts is ended here at the latest, however it was detached, and named; and
nothing else is touched. Orphans are handed to this process by the kernel, so only its own descendants are looked at.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

__all__ = ["Ending", "adopt_orphans", "run_alone"]

_PR_SET_CHILD_SUBREAPER = 36

_GRACE = 6.0
"""How long descendants may take to end by themselves, in seconds: a state server without an owner has five."""


@dataclass(frozen=True)
class Ending:
    """How a command ended.

    Attributes:
        trouble: what went wrong, in a line; empty if nothing did.
        said: the end of what it said to its standard error.
        left: the processes that it left behind and that were ended here; none if it was ended itself.
    """

    trouble: str
    said: str
    left: Sequence[str]


def adopt_orphans() -> bool:
    """Become the parent of the orphans among the descendants; return whether this system can do that."""
    if not sys.platform.startswith("linux"):
        return False
    return not ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def run_alone(command: Sequence[str], limit: float, grace: float = _GRACE) -> Ending:
    """Run a command to its end, and see to it that nothing remains of it.

    Args:
        command: the program and its arguments.
        limit: how long it may take, in seconds.
        grace: how long its descendants may take to end once it has, in seconds.
    """
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=errors)
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            _end(before, process, 0)
            trouble, left = f"not done after {limit:g} s", []
        except BaseException:
            _end(before, process, 0)
            raise
        else:
            trouble, left = f"ended with exit code {code}" if code else "", _end(before, process, grace)
        errors.seek(0)
        return Ending(trouble, errors.read().decode(errors="replace")[-4000:].strip(), left)


def _descendants(before: set[int]) -> list[psutil.Process]:
    alive = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.pid not in before and child.status() != psutil.STATUS_ZOMBIE:
                alive.append(child)
    return alive


def _reap(before: set[int]) -> None:
    """Take away adopted children that have ended."""
    for child in psutil.Process().children():
        if child.pid not in before:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child.pid, os.WNOHANG)


def _end(before: set[int], process: subprocess.Popen[bytes], grace: float) -> list[str]:
    """Wait for the descendants to end, then end them; return those that had to be."""
    deadline = time.monotonic() + grace
    while (alive := _descendants(before)) and time.monotonic() < deadline:
        _reap(before)
        time.sleep(0.02)
    names = []
    # Again and again: one that is about to be killed may be forking.
    while alive:
        for child in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                if child.pid != process.pid:
                    names.append(f"{child.pid} {' '.join(child.cmdline())[:120] or child.name()}")
                child.kill()
        process.poll()
        _reap(before)
        alive = _descendants(before)
    process.wait()
    _reap(before)
    return list(dict.fromkeys(names))
