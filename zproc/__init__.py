"""Shared state for Python processes that is declared, validated and watched.

Declare the state as a `StateModel`, make a `Context` of it, and use ``ctx.state`` from as many processes as you like::

    class AppState(zproc.StateModel):
        cookies: int = Field(default=0, ge=0)


    ctx = zproc.Context(AppState)
    ctx.state.cookies = 5

The law: what is not named here is not public.
"""

from zproc.client import atomic, transaction
from zproc.context import Context
from zproc.core.limits import Limits
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
    ProtocolError,
    RemoteError,
    SchemaError,
    SchemaMismatch,
    Unavailable,
    UnknownPath,
    UsageError,
    ValidationRefused,
    ValidatorCrashed,
    WaitTimeout,
)
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
    "ProtocolError",
    "RemoteError",
    "Resync",
    "SchemaError",
    "SchemaMismatch",
    "Server",
    "SignalException",
    "StateModel",
    "Stream",
    "Unavailable",
    "UnknownPath",
    "UsageError",
    "ValidationRefused",
    "ValidatorCrashed",
    "WaitTimeout",
    "Watch",
    "action",
    "atomic",
    "exception_to_signal",
    "ping",
    "send_signal",
    "signal_to_exception",
    "start_server",
    "transaction",
]
