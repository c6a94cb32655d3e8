"""How a child comes into being: the choices, and which one is taken when nobody chose.

The law: the program's word counts before the environment's, and the environment's before the platform's. This module
knows the names of the methods and nothing about how they work.
"""

from __future__ import annotations

import enum
import os

from zproc.exceptions import UsageError

__all__ = ["VARIABLE", "StartMethod", "choose"]

VARIABLE = "ZPROC_START_METHOD"
"""The environment variable that overrides the platform's default."""


class StartMethod(enum.StrEnum):
    """How a child process is made.

    * ``forkserver``: a small process, single-threaded and with zproc loaded, forks it. Milliseconds, safe with threads.
    * ``spawn``: a new interpreter. Slowest, and needs nothing of the platform.
    * ``fork``: a copy of this process. Fastest, and refused when the program has threads.
    """

    FORK = "fork"
    FORKSERVER = "forkserver"
    SPAWN = "spawn"


def choose(method: StartMethod | str | None = None) -> StartMethod:
    """Tell which start method applies.

    Args:
        method: what the caller asked for; ``None`` leaves it to `VARIABLE`, and that to the platform.

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
    """List the methods of this platform, its default first."""
    if hasattr(os, "fork"):
        return StartMethod.FORKSERVER, StartMethod.SPAWN, StartMethod.FORK
    return (StartMethod.SPAWN,)
