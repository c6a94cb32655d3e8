"""What a process is to do, and what is to happen when it fails.

The law: a task is complete and makes sense before anything is started of it. A name that is no option is an error here.
"""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Generic, Literal, TypeAlias, TypedDict, TypeVar

from zproc.arguments import (
    FLAG,
    FUNCTION,
    NAMED,
    POSITIONAL,
    TEXT,
    Kind,
    expect,
    expect_all,
    expect_known,
    or_none,
    refuse_unfinished,
)
from zproc.core.supervisor import Policy, Restart
from zproc.exceptions import ProcessError, RemoteError, UsageError
from zproc.process import parcel
from zproc.process.fitting import refuse_misfit
from zproc.process.signals import SignalException
from zproc.process.start_method import StartMethod, choose

__all__ = ["Options", "Reason", "Task", "listed"]

R = TypeVar("R")

Reason: TypeAlias = type[BaseException] | signal.Signals
"""What one may try again for: an exception of the function's, a signal that ended the process."""


class Options(TypedDict, total=False):
    """How a process is made, and what happens when it fails.

    Attributes:
        name: what it is called in messages; by default what its function is called.
        start: whether to start it at once (it does), or to leave that to `Process.start`.
        start_method: how it is made.
        restart: after which endings it is started again: ``"never"``, ``"on_failure"`` or ``"always"``, whatever it
            was that ended it. A process that was told to stop stays stopped.
        retry_for: exceptions, and signals, after which it is started again, whatever ``restart`` says.
        retry_delay: how long it rests after its first failure, in seconds.
        backoff: how many times longer each further rest is; 1 for always the same.
        max_delay: the longest rest, in seconds.
        jitter: which part of a rest is left to chance.
        max_retries: how many tries there may be after the first.
        intensity: how many failures may fall into how many seconds; with one more it is given up. By default 5 a
            minute, unless ``max_retries`` says how often.
        retry_args: the arguments of all tries but the first.
        retry_kwargs: the named arguments of all tries but the first.
    """

    name: str
    start: bool
    start_method: StartMethod | str | None
    restart: Restart | Literal["never", "on_failure", "always"]
    retry_for: Reason | Iterable[Reason]
    retry_delay: float
    backoff: float
    max_delay: float
    jitter: float
    max_retries: int | None
    intensity: tuple[int, float] | None
    retry_args: Sequence[object]
    retry_kwargs: Mapping[str, object]


_OWN = frozenset({"name", "start", "start_method", "retry_for", "retry_args", "retry_kwargs"})
_KINDS: Final[Mapping[str, Kind]] = {
    "name": or_none(TEXT),
    "start": FLAG,
    "retry_args": POSITIONAL,
    "retry_kwargs": NAMED,
}


_FIRST: Final = "the state, or with pass_context=True the context, comes before them; stateful=False leaves it out"
OPTIONS: Final = frozenset({*Options.__annotations__, "count", "strategy", "pass_context", "stateful"})
"""What ``ctx.spawn`` can be told, `Options` included."""


@dataclasses.dataclass(frozen=True)
class Task(Generic[R]):
    """A call, and what goes with it.

    Attributes:
        target: what to call.
        first: its first arguments, in each try.
        args: the others, and the named ones in ``kwargs``.
        retry_args: what takes their place in all tries but the first; likewise ``retry_kwargs``.
        name: what the process is called in messages.
        method: how it is made.
        policy: when it is tried again.
        retry_for: what it is tried again for, whatever the policy says.
        function: the full name of the function that this is about.
    """

    target: Callable[..., R]
    first: tuple[object, ...]
    args: Sequence[object]
    kwargs: Mapping[str, object]
    retry_args: Sequence[object]
    retry_kwargs: Mapping[str, object]
    name: str
    method: StartMethod
    policy: Policy
    retry_for: tuple[Reason, ...]
    function: str

    @classmethod
    def of(
        cls,
        target: Callable[..., R],
        args: Sequence[object],
        kwargs: Mapping[str, object] | None,
        first: tuple[object, ...],
        options: Mapping[str, Any],
        about: object = None,
    ) -> Task[R]:
        """Make a task of a call and of `Options`.

        Args:
            target: what to call.
            args: its positional arguments.
            kwargs: its named arguments.
            first: what comes before ``args`` in each try.
            options: the options.
            about: the program's own function, if the target is one that calls it.

        Raises:
            UsageError: an option does not exist, or makes no sense, or the target does not take these arguments.
        """
        expect("what is called", target, FUNCTION)
        refuse_unfinished(target)
        expect_all(("args", args, POSITIONAL), ("kwargs", kwargs, or_none(NAMED)))
        known = {each.name for each in dataclasses.fields(Policy)}
        expect_known(options, known | _OWN)
        expect_all(*((name, value, _KINDS[name]) for name, value in options.items() if name in _KINDS))
        again = options.get("retry_args", args), options.get("retry_kwargs", kwargs)
        for positional, named in ((args, kwargs), again):
            refuse_misfit(target, (*first, *positional), named or {}, _FIRST if first else "", OPTIONS)
        policy = {key: value for key, value in options.items() if key in known}
        if policy.get("max_retries") is not None:
            policy.setdefault("intensity", None)
        kwargs = {} if kwargs is None else kwargs
        return cls(
            target=target,
            first=first,
            args=args,
            kwargs=kwargs,
            retry_args=options.get("retry_args", args),
            retry_kwargs=options.get("retry_kwargs", kwargs),
            name=str(options.get("name") or getattr(target, "__name__", type(target).__name__)),
            method=choose(options.get("start_method")),
            policy=Policy(**{**policy, "restart": _restart(policy.get("restart", Restart.NEVER))}),
            retry_for=_reasons(options.get("retry_for", ())),
            function=_name(target if about is None else about),
        )

    def call(self, attempt: int) -> tuple[Sequence[object], Mapping[str, object]]:
        """Give the arguments of a try; the first is 1."""
        if attempt == 1:
            return (*self.first, *self.args), self.kwargs
        return (*self.first, *self.retry_args), self.retry_kwargs


def listed(error: ProcessError, reasons: Iterable[Reason]) -> bool:
    """Tell whether a process ended in one of the ways that are listed.

    An exception counts as the original and as the `ProcessError` that tells of it. One that could not travel is known
    by the names of its classes.
    """
    kinds = set(error.kinds) if isinstance(error, RemoteError) else set()
    cause = error.__cause__
    for reason in reasons:
        if isinstance(reason, type):
            if isinstance(error, reason) or isinstance(cause, reason) or parcel.full_name(reason) in kinds:
                return True
        elif error.signal is reason or (isinstance(cause, SignalException) and cause.signum == reason):
            return True
    return False


def _name(function: object) -> str:
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{getattr(named, '__qualname__', '')}"


def _restart(value: str) -> Restart:
    try:
        return Restart(value)
    except ValueError:
        raise UsageError(f"restart {value!r} is not one of {', '.join(Restart)}") from None


def _reasons(given: Reason | Iterable[Reason]) -> tuple[Reason, ...]:
    reasons = (given,) if isinstance(given, (type, str)) or not isinstance(given, Iterable) else tuple(given)
    for each in reasons:
        if not (isinstance(each, type) and issubclass(each, BaseException)) and not isinstance(each, signal.Signals):
            raise UsageError(f"retry_for: {parcel.describe(each)} is neither an exception class nor a signal")
    return reasons
