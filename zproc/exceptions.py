"""Every error that leaves zproc, split by whose fault it is.

::

    Error
     +-- SchemaError               a model, a type or a path cannot be shared              (TypeError)
     |    +-- UnknownPath          no such field; names the nearest ones                   (AttributeError, LookupError)
     |    +-- SchemaMismatch       client and server declare the state differently
     +-- UsageError                the call makes no sense here: closed, dead, nested      (RuntimeError)
     +-- CommitRefused             nothing changed
     |    +-- ValidationRefused    the schema says no: path, rule, input of each fault     (ValueError)
     |    +-- ValidatorCrashed     a validator raised something that is not a refusal
     |    +-- LeaseLost            the turn was lost before the commit came
     +-- CommitUnknown             the connection was lost between send and answer
     +-- HistoryGone               the history no longer holds that revision               (LookupError)
     +-- LimitExceeded             a limit was reached; names it
     +-- ProtocolError             the peer said something that is not zproc
     +-- Unavailable               no server answers                                       (ConnectionError)
     +-- AuthenticationError       a server that does not know us, or that we do not know  (PermissionError)
     +-- WaitTimeout               the wait was longer than its timeout                    (TimeoutError)
     +-- ProcessError              a process ended badly: pid, exit code, signal
          +-- RemoteError          an exception of another process, the original as __cause__
          +-- WorkerDied           a worker died of an item

The law: an error is made of fields, computes its text from them, and survives pickling with its fields, notes and
cause. This module imports nothing of zproc.
"""

from __future__ import annotations

import signal as signals
from dataclasses import dataclass, field

__all__ = [
    "AuthenticationError",
    "CommitRefused",
    "CommitUnknown",
    "Error",
    "Fault",
    "HistoryGone",
    "LeaseLost",
    "LimitExceeded",
    "ProcessError",
    "ProcessWaitError",
    "ProtocolError",
    "RemoteError",
    "RemoteException",
    "SchemaError",
    "SchemaMismatch",
    "Unavailable",
    "UnknownPath",
    "UsageError",
    "ValidationRefused",
    "ValidatorCrashed",
    "WaitTimeout",
    "WorkerDied",
]


def _rebuild(cls: type[Error]) -> Error:
    return cls.__new__(cls)


@dataclass(eq=False)
class Error(Exception):
    """The base of every error that zproc raises."""

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle by fields, because ``args`` does not see keyword arguments."""
        return _rebuild, (type(self),), {**self.__dict__, "__cause__": self.__cause__}


@dataclass(eq=False)
class SchemaError(Error, TypeError):
    """A model, or a value's type, that cannot be shared between processes.

    Attributes:
        where: the dotted address of the offending field, or the model's name.
        reason: what is wrong with it, and what to write instead.
    """

    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


@dataclass(eq=False)
class UnknownPath(SchemaError, AttributeError, LookupError):
    """A path that leads to no field of the model.

    Attributes:
        nearest: names that exist there and look alike, best first.
    """

    nearest: tuple[str, ...] = ()

    def __str__(self) -> str:
        hint = f"; did you mean {' or '.join(map(repr, self.nearest))}?" if self.nearest else ""
        return f"{self.where}: {self.reason}{hint}"


@dataclass(eq=False)
class SchemaMismatch(SchemaError):
    """The client's model is not the one that the server holds, or that its own generated file was made from.

    Attributes:
        server: the server's fingerprint, if it was asked.
        client: the client's fingerprint.
        differences: one line a differing field.
        declared: what the server declares, field by field, if it left it to the client to find the differences.
    """

    server: str = ""
    client: str = ""
    differences: tuple[str, ...] = ()
    declared: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        listed = "".join(f"\n  {line}" for line in self.differences)
        prints = f" (server {self.server[:12]}, client {self.client[:12]})" if self.server else ""
        return f"{self.where}: {self.reason}{prints}{listed}"


@dataclass(eq=False)
class UsageError(Error, RuntimeError):
    """A call that makes no sense here: a closed context, a dead draft, a live handle inside its own atomic."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@dataclass(eq=False)
class CommitRefused(Error):
    """The server refused a commit; nothing of it was applied.

    Attributes:
        reason: why, in words.
    """

    reason: str

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a value.

    Attributes:
        path: the dotted address of the value.
        rule: the name of the rule that it breaks, as pydantic calls it (``greater_than_equal`` ...).
        message: the rule in words.
        given: the ``repr`` of the offending value, shortened.
    """

    path: str
    rule: str
    message: str
    given: str

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        given = f", given {self.given}" if self.given else ""
        return f"{where}{self.message} [{self.rule}{given}]"


@dataclass(eq=False)
class ValidationRefused(CommitRefused, ValueError):
    """The state would break its schema.

    Attributes:
        faults: what is wrong, one entry a broken rule.
    """

    faults: tuple[Fault, ...] = ()

    def __str__(self) -> str:
        return self.reason + "".join(f"\n  {fault}" for fault in self.faults)


@dataclass(eq=False)
class ValidatorCrashed(CommitRefused):
    """A validator of the model raised something that is not a refusal, or forgot to return.

    Attributes:
        validator: the qualified name of the validator or of the model it belongs to.
        error: the ``repr`` of what it raised.
    """

    validator: str = ""
    error: str = ""

    def __str__(self) -> str:
        return f"{self.reason}: {self.validator} raised {self.error}"


@dataclass(eq=False)
class LeaseLost(CommitRefused):
    """The caller's turn ended before its commit came: it overran the limit, was stopped, or lost its connection.

    Nothing of the atomic function was applied, and it was not run again; call it again if that is what you want.
    """


@dataclass(eq=False)
class CommitUnknown(Error):
    """The connection was lost after a commit was sent and before its answer came: it may or may not have been applied.

    Attributes:
        request_id: what the server knows the commit by; asking it again with this id settles the matter.
        reason: how the connection was lost.
    """

    request_id: int
    reason: str

    def __str__(self) -> str:
        return f"outcome of request {self.request_id} is unknown: {self.reason}"


@dataclass(eq=False)
class HistoryGone(Error, LookupError):
    """The history no longer holds (or does not hold yet) what was asked for.

    Attributes:
        asked: the revision asked for.
        oldest: the oldest revision that is still held.
    """

    asked: int
    oldest: int

    def __str__(self) -> str:
        if self.asked > self.oldest:
            return f"revision {self.asked} is not in the history: it has not come to that yet"
        return f"revision {self.asked} is not in the history; the oldest held is {self.oldest}"


@dataclass(eq=False)
class LimitExceeded(Error):
    """A limit was reached.

    Of ``compute_time`` it is told late where a single call into C takes longer, which nothing can interrupt.

    Attributes:
        limit: the limit's name, as in the settings.
        given: how much there was.
        allowed: how much there may be.
        cure: what to do about it, if that goes without asking how it came about.
    """

    limit: str
    given: float
    allowed: float
    cure: str = ""

    def __str__(self) -> str:
        allowed = _shown(self.allowed) + next((unit for end, unit in _UNITS.items() if self.limit.endswith(end)), "")
        reached = "" if self.given == self.allowed else f"{_shown(self.given)} is over "
        text = f"{reached}the limit of {allowed}" + ("" if reached else " was reached")
        return f"{self.limit}: {text}" + (f"; {self.cure}" if self.cure else "")


_UNITS = {"_bytes": " bytes", "frame": " bytes", "_time": " s"}
"""What limits are counted in, by how their names end; others are numbers of things."""


def _shown(amount: float) -> str:
    # Not as 1.07374e+09, from which what is over a limit cannot be told.
    return str(amount) if isinstance(amount, int) else f"{amount:g}"


@dataclass(eq=False)
class ProtocolError(Error):
    """The other side sent something that is not the zproc protocol, or another version of it.

    Attributes:
        reason: what was wrong with it.
    """

    reason: str

    def __str__(self) -> str:
        return self.reason


@dataclass(eq=False)
class Unavailable(Error, ConnectionError):
    """No server answers at the address.

    Attributes:
        address: where one was expected.
        reason: what happened instead.
    """

    address: str
    reason: str

    def __str__(self) -> str:
        return f"{self.address}: {self.reason}"


@dataclass(eq=False)
class AuthenticationError(Error, PermissionError):
    """The server at the address does not know this client's key, or is not the one whose key this client has.

    Attributes:
        address: where it listens.
        reason: which of the two, as far as can be told, and what to do.
    """

    address: str
    reason: str

    def __str__(self) -> str:
        return f"{self.address}: {self.reason}"


@dataclass(eq=False)
class WaitTimeout(Error, TimeoutError):
    """A wait took longer than its timeout.

    Attributes:
        what: what was waited for.
        timeout: how long was waited, in seconds.
    """

    what: str
    timeout: float

    def __str__(self) -> str:
        return f"{self.what}: not within {self.timeout:g} s"


@dataclass(eq=False)
class ProcessError(Error):
    """A process could not be started, or ended badly.

    Attributes:
        reason: what happened.
        name: the process's name.
        pid: its process id, if it had one.
        exitcode: its exit code; negative for a signal, ``None`` while unknown.
    """

    reason: str
    name: str = ""
    pid: int | None = None
    exitcode: int | None = None

    @property
    def signal(self) -> signals.Signals | None:
        """The signal that ended the process, if one did that has a name; real-time signals have none."""
        return next((known for known in signals.Signals if known == -(self.exitcode or 0)), None)

    def __str__(self) -> str:
        label = " ".join(filter(None, ["process", self.name, f"(pid {self.pid})" if self.pid else ""]))
        return f"{label}: {self.reason}"


@dataclass(eq=False)
class RemoteError(ProcessError):
    """An exception was raised in another process.

    The original exception, with the traceback it had there, is the ``__cause__`` where it could travel.

    Attributes:
        error: the ``repr`` of the original exception.
        traceback: its traceback, as text.
        kinds: the full names of its classes, its own first, by which it is known even if it could not travel.
    """

    error: str = ""
    traceback: str = ""
    kinds: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{super().__str__()}: {self.error}\n\n{self.traceback}".rstrip()


@dataclass(eq=False)
class WorkerDied(ProcessError):
    """A worker died while it was at an item; other items went to other workers.

    Attributes:
        item: the place of the item in its map; ``None`` for a single call.
        likely_out_of_memory: whether it was killed while the kernel was killing for want of memory.
    """

    item: int | None = None
    likely_out_of_memory: bool = False

    def __str__(self) -> str:
        doing = "" if self.item is None else f", at item {self.item}"
        memory = "; memory had likely run out" if self.likely_out_of_memory else ""
        return f"{super().__str__()}{doing}{memory}"


ProcessWaitError = ProcessError
"""What the library that this one replaces calls a `ProcessError`."""

RemoteException = RemoteError
"""What it calls a `RemoteError`."""
