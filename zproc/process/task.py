"""What a process is to do, and what happens when it fails.

The law: a task is complete and consistent before any process is started for it. An unknown option is an error here.
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
"""A reason to restart: an exception of the function, or a signal that ended the process."""


class Options(TypedDict, total=False):
    """How a process is started, and what happens when it fails.

    Attributes:
        name: its name in messages; by default that of its function.
        start: whether to start it at once (the default), or to leave that to `Process.start`.
        start_method: its start method.
        restart: when to restart it: ``"never"``, ``"on_failure"`` or ``"always"``, whatever ended it. One that was
            stopped on command stays stopped.
        retry_for: exceptions and signals after which to restart it, whatever ``restart`` says.
        retry_delay: how long to wait before the first restart, in seconds.
        backoff: the factor by which each further delay is longer; 1 for equal delays.
        max_delay: the longest delay, in seconds.
        jitter: the fraction of a delay that is random.
        max_retries: how many restarts there may be.
        intensity: how many failures are allowed within how many seconds; with one more it is given up. By default 5 in
            a minute, unless ``max_retries`` is given.
        retry_args: the positional arguments of all attempts but the first.
        retry_kwargs: the keyword arguments of all attempts but the first.
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
    """A call, and its options.

    Attributes:
        target: what to call.
        first: its first arguments, in each attempt.
        args: its other positional arguments; the keyword arguments are ``kwargs``.
        retry_args: what replaces them in all attempts but the first; likewise ``retry_kwargs``.
        name: the name of the process in messages.
        method: its start method.
        policy: when it is restarted.
        retry_for: the reasons to restart it, whatever the policy says.
        function: the full name of the program's function.
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
        """Make a task of a call and `Options`.

        Args:
            target: what to call.
            args: its positional arguments.
            kwargs: its keyword arguments.
            first: arguments that precede ``args`` in each attempt.
            options: the options.
            about: the program's own function, if the target is a wrapper that calls it.

        Raises:
            UsageError: an option does not exist or makes no sense, or the target does not accept these arguments.
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
        """Return the arguments of an attempt; the first is 1."""
        if attempt == 1:
            return (*self.first, *self.args), self.kwargs
        return (*self.first, *self.retry_args), self.retry_kwargs


def listed(error: ProcessError, reasons: Iterable[Reason]) -> bool:
    """Return whether a process ended for one of the listed reasons.

    An exception is matched by the original and by the `ProcessError` that reports it. One that could not be pickled is
    matched by the names of its classes.
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
