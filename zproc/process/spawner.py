"""The typed call that starts a process: `ctx.spawn`, in all its forms.

The law: a type checker sees the arguments of the function itself. Options are never among them, so that no argument of
a function can be taken for an option; they go into a call of their own, which returns the call that starts the process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Concatenate, Generic, Literal, ParamSpec, Protocol, TypeVar, Unpack, overload

from zproc.core.supervisor import Strategy
from zproc.process.manager import Manager, times
from zproc.process.process import Process
from zproc.process.process_list import ProcessList, StrategyName
from zproc.process.task import OPTIONS, Options

__all__ = ["Bare", "BareMany", "First", "Spawn", "With", "WithMany"]

C = TypeVar("C")
F = TypeVar("F", covariant=True)  # noqa: PLC0105 - it stands for one type, the first argument's
P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")


class First(Protocol):
    """Returns the arguments that precede a function's own."""

    def __call__(self, *, stateful: bool, pass_context: bool) -> tuple[object, ...]:
        """Return them: the state, the context or nothing."""
        ...


class With(Protocol[F]):
    """Starts a process that calls a function which takes one more argument first."""

    def __call__(self, function: Callable[Concatenate[F, P], R], /, *args: P.args, **kwargs: P.kwargs) -> Process[R]:
        """Start it."""
        ...


class WithMany(Protocol[F]):
    """Starts several processes that call such a function."""

    def __call__(
        self, function: Callable[Concatenate[F, P], R], /, *args: P.args, **kwargs: P.kwargs
    ) -> ProcessList[R]:
        """Start them."""
        ...


class Bare(Protocol):
    """Starts a process that calls a function with its own arguments only."""

    def __call__(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Process[R]:
        """Start it."""
        ...


class BareMany(Protocol):
    """Starts several processes that call such a function."""

    def __call__(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> ProcessList[R]:
        """Start them."""
        ...


class Spawn(Generic[S, C]):
    """Starts processes of a context; see ``Context.spawn``.

    Args:
        manager: creates them.
        first: returns the arguments that precede the function's own.
    """

    def __init__(self, manager: Manager, first: First) -> None:
        self._manager = manager
        self._first = first

    @overload
    def __call__(
        self, function: Callable[Concatenate[S, P], R], /, *args: P.args, **kwargs: P.kwargs
    ) -> Process[R]: ...
    @overload
    def __call__(
        self,
        *,
        pass_context: Literal[True],
        count: int,
        stateful: bool = ...,
        strategy: StrategyName = ...,
        **options: Unpack[Options],
    ) -> WithMany[C]: ...
    @overload
    def __call__(self, *, pass_context: Literal[True], stateful: bool = ..., **options: Unpack[Options]) -> With[C]: ...
    @overload
    def __call__(
        self,
        *,
        stateful: Literal[False],
        count: int,
        pass_context: Literal[False] = ...,
        strategy: StrategyName = ...,
        **options: Unpack[Options],
    ) -> BareMany: ...
    @overload
    def __call__(
        self, *, stateful: Literal[False], pass_context: Literal[False] = ..., **options: Unpack[Options]
    ) -> Bare: ...
    @overload
    def __call__(
        self,
        *,
        count: int,
        stateful: Literal[True] = ...,
        pass_context: Literal[False] = ...,
        strategy: StrategyName = ...,
        **options: Unpack[Options],
    ) -> WithMany[S]: ...
    @overload
    def __call__(
        self, *, stateful: Literal[True] = ..., pass_context: Literal[False] = ..., **options: Unpack[Options]
    ) -> With[S]: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[misc]  # a ParamSpec's arguments are any, too
        """Start a process that calls a function with its arguments; given options, return what does that."""
        if args:
            function, *rest = args
            return self._manager.make(function, rest, kwargs, first=self._first(stateful=True, pass_context=False))
        return self._configured(**kwargs)

    def _configured(
        self,
        *,
        count: int | None = None,
        stateful: bool = True,
        pass_context: bool = False,
        strategy: StrategyName = Strategy.ONE_FOR_ONE,
        **options: Unpack[Options],
    ) -> Callable[..., Any]:
        self._manager.check(options, OPTIONS)
        if count is not None:
            times(count)

        def make(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Process[Any] | ProcessList[Any]:
            first = self._first(stateful=stateful, pass_context=pass_context)
            if count is None:
                return self._manager.make(function, args, kwargs, first=first, options=options)
            calls: list[tuple[Callable[..., Any], tuple[Any, ...], Mapping[str, Any]]] = [(function, args, kwargs)]
            return self._manager.make_many(calls * times(count), first=first, strategy=strategy, options=options)

        return make
