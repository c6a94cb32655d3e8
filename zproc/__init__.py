"""Shared state for Python processes that is declared, validated and watched.

Declare the state as a `StateModel`, make a `Context` of it, and use ``ctx.state`` from as many processes as you like::

    class AppState(zproc.StateModel):
        cookies: int = Field(default=0, ge=0)


    ctx = zproc.Context(AppState)
    ctx.state.cookies = 5

The law: what is not named here is not public. A name costs nothing before it is used: what it needs is imported then,
so that a process which was started for one function does not load a validator, a transport and all the rest for it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from zproc.exceptions import (
    AuthenticationError,
    CommitRefused,
    CommitUnknown,
    Error,
    Fault,
    HistoryGone,
    LeaseLost,
    LimitExceeded,
    ProcessError,
    ProcessWaitError,
    ProtocolError,
    RemoteError,
    RemoteException,
    SchemaError,
    SchemaMismatch,
    Unavailable,
    UnknownPath,
    UsageError,
    ValidationRefused,
    ValidatorCrashed,
    WaitTimeout,
    WorkerDied,
)
from zproc.homes import lazy_getattr as _lazy_getattr

if TYPE_CHECKING:  # the same for who reads types; `tests/test_homes.py` compares the two
    from zproc.client import atomic, transaction
    from zproc.context import Context
    from zproc.core.limits import Limits
    from zproc.host import Server, ping, start_server
    from zproc.process import (
        Process,
        ProcessExit,
        ProcessList,
        SignalException,
        exception_to_signal,
        send_signal,
        signal_to_exception,
    )
    from zproc.record import ProcessTable
    from zproc.schema import StateModel, action
    from zproc.schema.event import Author, Change, Commit, Resync
    from zproc.schema.selection import Watch
    from zproc.schema.watchable import Stream
    from zproc.swarm import Swarm

__all__ = [
    "AuthenticationError",
    "Author",
    "Change",
    "Commit",
    "CommitRefused",
    "CommitUnknown",
    "Context",
    "Error",
    "Fault",
    "HistoryGone",
    "LeaseLost",
    "LimitExceeded",
    "Limits",
    "Process",
    "ProcessError",
    "ProcessExit",
    "ProcessList",
    "ProcessTable",
    "ProcessWaitError",
    "ProtocolError",
    "RemoteError",
    "RemoteException",
    "Resync",
    "SchemaError",
    "SchemaMismatch",
    "Server",
    "SignalException",
    "StateModel",
    "Stream",
    "Swarm",
    "Unavailable",
    "UnknownPath",
    "UsageError",
    "ValidationRefused",
    "ValidatorCrashed",
    "WaitTimeout",
    "Watch",
    "WorkerDied",
    "action",
    "atomic",
    "exception_to_signal",
    "ping",
    "send_signal",
    "signal_to_exception",
    "start_server",
    "transaction",
]


_HOMES = {
    "zproc.client": ["atomic", "transaction"],
    "zproc.context": ["Context"],
    "zproc.core.limits": ["Limits"],
    "zproc.host": ["Server", "ping", "start_server"],
    "zproc.process": [
        "Process",
        "ProcessExit",
        "ProcessList",
        "SignalException",
        "exception_to_signal",
        "send_signal",
        "signal_to_exception",
    ],
    "zproc.record": ["ProcessTable"],
    "zproc.schema": ["StateModel", "action"],
    "zproc.schema.event": ["Author", "Change", "Commit", "Resync"],
    "zproc.schema.selection": ["Watch"],
    "zproc.schema.watchable": ["Stream"],
    "zproc.swarm": ["Swarm"],
}


_PARTS = frozenset({"aio", "exceptions", "testing"})
"""Modules that users know by their own names, and that are loaded when they are asked for."""

if not TYPE_CHECKING:  # a checker would take any name for one of ours
    __getattr__ = _lazy_getattr(__name__, _HOMES, _PARTS)


def _preload() -> None:
    """Import everything, and make what every server needs: the fork server does so once, for all that it makes."""
    for home, names in _HOMES.items():
        for name in names:
            globals()[name] = getattr(importlib.import_module(home), name)
    importlib.import_module("zproc.host").preload()


def _rehearse() -> None:
    """Rehearse the start of a server, in a process that is likely to become one."""
    importlib.import_module("zproc.rehearsal").rehearse()


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
