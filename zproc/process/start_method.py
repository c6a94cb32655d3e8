"""The start methods, and which one applies.

The law: an explicit choice overrides the environment, which overrides the platform's default. This module knows the
names of the methods and nothing about how they work.
"""

from __future__ import annotations

import enum
import os

from zproc.exceptions import UsageError

__all__ = ["VARIABLE", "StartMethod", "choose"]

VARIABLE = "ZPROC_START_METHOD"
"""The environment variable that overrides the platform's default."""


class StartMethod(enum.StrEnum):
    """How a child process is started.

    * ``forkserver``: forked by a single-threaded process that has zproc loaded. Takes milliseconds, safe with threads.
    * ``spawn``: a new interpreter. Slowest, and available everywhere.
    * ``fork``: a copy of this process. Refused when the program has threads.
    """

    FORK = "fork"
    FORKSERVER = "forkserver"
    SPAWN = "spawn"


def choose(method: StartMethod | str | None = None) -> StartMethod:
    """Return the start method that applies.

    Args:
        method: the caller's choice; ``None`` for that of the environment variable `VARIABLE`, or else the platform's.

    Raises:
        UsageError: there is no such method, or not on this platform.
    """
    origin = "start method"
    if method is None and (method := os.environ.get(VARIABLE)) is not None:
        origin = VARIABLE
    available = _available()
    if method is None:
        return available[0]
    for choice in available:
        if method == choice.value:
            return choice
    raise UsageError(f"{origin} {str(method)!r} is not one of {', '.join(choice.value for choice in available)}")


def _available() -> tuple[StartMethod, ...]:
    """Return the methods of this platform, its default first."""
    if hasattr(os, "fork"):
        return StartMethod.FORKSERVER, StartMethod.SPAWN, StartMethod.FORK
    return (StartMethod.SPAWN,)
