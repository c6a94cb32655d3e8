"""The methods of a context that make processes, and those that are about all processes that it has made.

The law: arguments are taken in all the forms in which the original takes them, and come to calls that the manager makes
processes of. What a process is, and what becomes of it, is decided there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar, Unpack, overload

from zproc.core.supervisor import Strategy
from zproc.process import Manager, Options, Process, ProcessList, StrategyName, mapped, times

__all__ = ["Spawning"]

R = TypeVar("R")

_GRACE: Final = 2.0
"""How long processes may take to end when they are asked to, in seconds."""


class Spawning:
    """What a context offers of processes, besides `Context.spawn`."""

    _manager: Manager

    def _first(self, *, stateful: bool, pass_context: bool) -> tuple[object, ...]:
        """Return what functions are given before their arguments."""
        raise NotImplementedError

    @property
    def process_list(self) -> ProcessList[Any]:
        """The processes that this context has made, in that order; of those that have ended, the last thousand."""
        return self._manager.record()

    @overload
    def process(
        self,
        function: Callable[..., R],
        /,
        *,
        args: Sequence[object] = ...,
        kwargs: Mapping[str, object] | None = ...,
        stateful: bool = ...,
        pass_context: bool = ...,
        **options: Unpack[Options],
    ) -> Process[R]: ...
    @overload
    def process(
        self,
        function: None = None,
        /,
        *,
        args: Sequence[object] = ...,
        kwargs: Mapping[str, object] | None = ...,
        stateful: bool = ...,
        pass_context: bool = ...,
        **options: Unpack[Options],
    ) -> Callable[[Callable[..., R]], Process[R]]: ...
    def process(
        self,
        function: Callable[..., R] | None = None,
        /,
        *,
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
        stateful: bool = True,
        pass_context: bool = False,
        **options: Unpack[Options],
    ) -> Process[R] | Callable[[Callable[..., R]], Process[R]]:
        """Start a process as `spawn` does, with arguments and options in one call; a decorator without a function.

        Args:
            function: what to call.
            args: its positional arguments, after the live state.
            kwargs: its named arguments.
            stateful: whether it is given the live state first.
            pass_context: whether it is given this context instead.
            options: see `zproc.process.Options`.

        Raises what `spawn` does.
        """

        def make(function: Callable[..., R]) -> Process[R]:
            first = self._first(stateful=stateful, pass_context=pass_context)
            return self._manager.make(function, args, kwargs, first=first, options=options)

        if function is not None:
            return make(function)
        self._manager.check(options)
        return make

    def process_factory(
        self,
        *functions: Callable[..., R],
        count: int = 1,
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
        stateful: bool = True,
        pass_context: bool = False,
        strategy: StrategyName = Strategy.ONE_FOR_ONE,
        **options: Unpack[Options],
    ) -> ProcessList[R]:
        """Start ``count`` processes of each of some functions.

        Args:
            functions: what to call.
            count: how many processes to make of each.
            args: their positional arguments after that.
            kwargs: their named arguments.
            stateful: whether they are given the live state first.
            pass_context: whether they are given this context instead.
            strategy: who is restarted with one that fails: see `ProcessList`.
            options: see `zproc.process.Options`.
        """
        calls = [(function, args, kwargs or {}) for function in functions for _ in range(times(count))]
        first = self._first(stateful=stateful, pass_context=pass_context)
        return self._manager.make_many(calls, first=first, strategy=strategy, options=options)

    def spawn_map(
        self,
        function: Callable[..., R],
        map_iter: Iterable[object] | None = None,
        *,
        map_args: Iterable[Sequence[object]] | None = None,
        map_kwargs: Iterable[Mapping[str, object]] | None = None,
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
        stateful: bool = True,
        pass_context: bool = False,
        strategy: StrategyName = Strategy.ONE_FOR_ONE,
        **options: Unpack[Options],
    ) -> ProcessList[R]:
        """Start a process for each item: ``function(state, item, *map_args[i], *args, **map_kwargs[i], **kwargs)``.

        The shortest of the three iterables says how many; those that are not given are left out.

        Args:
            function: what to call.
            map_iter: gives the first argument of each, after the live state.
            map_args: gives further positional arguments of each.
            map_kwargs: gives named arguments of each.
            args: their positional arguments after that.
            kwargs: their named arguments.
            stateful: whether they are given the live state first.
            pass_context: whether they are given this context instead.
            strategy: who is restarted with one that fails: see `ProcessList`.
            options: see `zproc.process.Options`.

        Raises:
            UsageError: none of the three is given.
        """
        calls = mapped(function, map_iter, map_args, map_kwargs, args, kwargs or {})
        first = self._first(stateful=stateful, pass_context=pass_context)
        return self._manager.make_many(calls, first=first, strategy=strategy, options=options)

    def wait_all(self, timeout: float | None = None, *, safe: bool = False) -> list[Any]:
        """Wait until all processes of this context have ended, or one has failed; see `ProcessList.wait`.

        Args:
            timeout: how long to wait, in seconds; ``None`` for as long as it takes.
            safe: whether to return the errors in the places of the results, instead of raising the first one.
        """
        return self.process_list.wait(timeout, safe=safe)

    def start_all(self) -> None:
        """Start those processes of this context that were made with ``start=False`` and not started yet."""
        self.process_list.start()

    def stop_all(self, grace: float = _GRACE) -> None:
        """End all processes of this context, the last one first, and wait until they are gone.

        Args:
            grace: how long they may take after SIGTERM before they are killed, in seconds.
        """
        self.process_list.stop(grace)
