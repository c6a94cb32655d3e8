"""For the tests of programs that use zproc: a server without processes, a clock to set, a check for leaks.

The law: a fake differs from the real thing in what its name says, and in nothing else. The rules, the loop, the client
and the messages are the real ones; only the process around the server, the clock, or the connection is replaced. What
needs Hypothesis is loaded on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from zproc.testing.clock import FakeClock
from zproc.testing.contexts import Contexts
from zproc.testing.interleaving import Interleaving
from zproc.testing.leaks import Belongings, LeakError, leak_check
from zproc.testing.line import Fault
from zproc.testing.memory import MemoryServer
from zproc.testing.record import History

if TYPE_CHECKING:
    from zproc.testing.generation import Strategies, strategies
    from zproc.testing.machine import state_machine
    from zproc.testing.operations import Operation

__all__ = [
    "Belongings",
    "Contexts",
    "FakeClock",
    "Fault",
    "History",
    "Interleaving",
    "LeakError",
    "MemoryServer",
    "Operation",
    "Strategies",
    "leak_check",
    "state_machine",
    "strategies",
]

_GENERATED = {
    "Operation": ("zproc.testing.operations", "Operation"),
    "Strategies": ("zproc.testing.generation", "Strategies"),
    "state_machine": ("zproc.testing.machine", "state_machine"),
    "strategies": ("zproc.testing.generation", "strategies"),
}


def __getattr__(name: str) -> object:
    if name not in _GENERATED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _GENERATED[name]
    try:
        found: object = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name != "hypothesis":
            raise
        raise ImportError(f"zproc.testing.{name} needs Hypothesis: pip install 'zproc[testing]'") from error
    return found
