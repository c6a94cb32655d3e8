"""Processes that call a function whenever a condition on the state is met: every condition of the live state's methods.

The law: a process watches from the moment at which it was asked for, however long it takes to start. It records what it
has finished, so that its successor, if it is restarted, continues after that.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Concatenate, Final, Generic, TypeAlias, TypeVar, Unpack, cast

from zproc.arguments import FLAG, NAMED, POSITIONAL, Kind, expect_all
from zproc.client import Bookmark, ClientWatchers, Place, address_of, new_session
from zproc.exceptions import UsageError
from zproc.process import Manager, Options, Process, refuse_misfit
from zproc.schema import condition
from zproc.schema.condition import Condition
from zproc.schema.model import StateModel
from zproc.schema.watchable import StreamOptions, check
from zproc.typing import SessionId

__all__ = ["CallOptions", "CallWhen"]

M = TypeVar("M", bound=StateModel)

Called: TypeAlias = Callable[Concatenate[M, M, ...], object] | Callable[[M], object]
"""The function that is called: with a snapshot and the live state, or, with ``stateful=False``, the snapshot only."""


class CallOptions(Options, total=False):
    """How a function is called for each event, in addition to the options of its process.

    Attributes:
        args: positional arguments of the function after the snapshot and the state.
        kwargs: its keyword arguments.
        stateful: whether it receives the live state; by default it does.
        timeout: how long to wait for each event, in seconds; then the process fails with `WaitTimeout`.
        live: whether to skip to the newest event if there are several; by default, none is skipped.
        since: the revision to start after; 0 for all that the history holds. By default, the current one.
        count: after how many calls the process ends; ``None`` for never.
        include_own: whether commits of the process itself count, also from before a restart; by default they do not.
        duplicate_okay: whether commits count that set a value to what it was.
    """

    args: Sequence[object]
    kwargs: Mapping[str, object]
    stateful: bool
    timeout: float | None
    live: bool
    since: int | None
    count: int | None
    include_own: bool
    duplicate_okay: bool


_KINDS: Final[Mapping[str, Kind]] = {
    "args": POSITIONAL,
    "kwargs": NAMED,
    "retry_args": POSITIONAL,
    "retry_kwargs": NAMED,
    "stateful": FLAG,
}
_GIVEN: Final = "the snapshot comes before them, and the live state after that; stateful=False leaves the second out"
_STREAM: Final = ("timeout", "live", "since", "include_own", "duplicate_okay")
_CALL: Final = ("args", "kwargs", "stateful", "count")


class CallWhen(Generic[M]):
    """The methods of a context that start such processes.

    Each method returns a decorator, which starts a process that calls the function with a frozen copy of the state, the
    live state, and ``args`` and ``kwargs``. The decorator returns the `Process`. The options are `CallOptions`, which
    include those of every process. `ProcessExit`, raised in the function, ends the process; any other exception makes
    it fail, and if it is restarted it goes on after the last event that it has finished.

    Every method raises ``UnknownPath`` if there is no such field, and ``UsageError`` if the context is closed.
    """

    _manager: Manager

    @property
    def state(self) -> M:
        """The live state."""
        raise NotImplementedError

    def call_when_change(
        self, *fields: str, exclude: Sequence[str] = (), **options: Unpack[CallOptions]
    ) -> Callable[[Called[M]], Process[None]]:
        """Call a function with the state after each commit that changes any of the given fields.

        Args:
            fields: dotted paths, ``"oven.temp"`` or ``"oven"`` for anything below it, or patterns, ``"stock.*"``; none
                for every field.
            exclude: fields whose changes are ignored.
            options: see `CallOptions`.
        """
        if any(callable(field) for field in fields):
            raise UsageError('the fields come first, and the function after them: @ctx.call_when_change("cookies")')
        return self._call("change", fields, exclude, options=options)

    def call_when(
        self, test: Callable[[M], object], **options: Unpack[CallOptions]
    ) -> Callable[[Called[M]], Process[None]]:
        """Call a function with each state that passes a test, beginning with the current one if it does.

        Args:
            test: called with a frozen copy of the state.
            options: see `CallOptions`.
        """
        return self._call("passing", test, options=options)

    def call_when_equal(
        self, field: str, value: object, **options: Unpack[CallOptions]
    ) -> Callable[[Called[M]], Process[None]]:
        """Call a function with each state in which a field has a value, the present one first if it has.

        Args:
            field: a dotted path.
            value: what it is compared with, by ``==``.
            options: see `CallOptions`.
        """
        return self._call("equal", field, value, options=options)

    def call_when_not_equal(
        self, field: str, value: object, **options: Unpack[CallOptions]
    ) -> Callable[[Called[M]], Process[None]]:
        """Call a function with each state in which a field has another value than this; see `call_when_equal`."""
        return self._call("not_equal", field, value, options=options)

    def call_when_none(self, field: str, **options: Unpack[CallOptions]) -> Callable[[Called[M]], Process[None]]:
        """Call a function with each state in which a field is ``None``; see `call_when_equal`."""
        return self._call("none", field, options=options)

    def call_when_not_none(self, field: str, **options: Unpack[CallOptions]) -> Callable[[Called[M]], Process[None]]:
        """Call a function with each state in which a field is not ``None``; see `call_when_equal`."""
        return self._call("not_none", field, options=options)

    def call_when_truthy(self, field: str, **options: Unpack[CallOptions]) -> Callable[[Called[M]], Process[None]]:
        """Call a function with each state in which a field is true; see `call_when_equal`."""
        return self._call("truthy", field, options=options)

    def call_when_falsy(self, field: str, **options: Unpack[CallOptions]) -> Callable[[Called[M]], Process[None]]:
        """Call a function with each state in which a field is false; see `call_when_equal`."""
        return self._call("falsy", field, options=options)

    def call_when_available(self, field: str, **options: Unpack[CallOptions]) -> Callable[[Called[M]], Process[None]]:
        """Call a function with each state in which something but ``None`` stands at a field; see `call_when_equal`."""
        return self._call("available", field, options=options)

    def _call(self, name: str, *arguments: Any, options: CallOptions) -> Callable[[Called[M]], Process[None]]:
        state = self.state
        _condition(state.__class__, name, arguments)
        check(options, CallOptions)
        client, _ = address_of(state)  # type: ignore[arg-type]  # a handle, typed as what it stands for
        epoch, revision = client.position()
        stream = {key: value for key, value in options.items() if key in _STREAM}
        process = cast("Options", {key: value for key, value in options.items() if key not in (*_STREAM, *_CALL)})

        expect_all(*((key, value, _KINDS[key]) for key, value in options.items() if key in _KINDS))

        def decorator(function: Called[M]) -> Process[None]:
            _refuse_async(function)
            first = (state,) if options.get("stateful", True) else ()
            args, kwargs = options.get("args", ()), options.get("kwargs", {})
            again = options.get("retry_args", args), options.get("retry_kwargs", kwargs)
            for positional, named in (args, kwargs), again:
                # The snapshot comes before them; what stands for it here is only counted.
                refuse_misfit(function, (state, *first, *positional), named, _GIVEN)
            bookmark = Bookmark.make(Place(epoch, revision), client.address)
            common = (state, (name, arguments), stream, options.get("count"), bookmark, new_session(), function)
            try:
                made = self._manager.make(
                    _attend,
                    (*common, (*first, *args), dict(kwargs)),
                    options={
                        "name": getattr(function, "__name__", type(function).__name__),
                        **process,
                        "retry_args": (*common, (*first, *again[0]), dict(again[1])),
                        "retry_kwargs": {},
                    },
                    about=function,
                )
            except BaseException:
                bookmark.remove()
                raise
            made.add_done_callback(lambda _: bookmark.remove())
            return made

        return decorator


def _refuse_async(function: Called[M]) -> None:
    if not callable(function):
        raise UsageError(f"what is called is a function of the snapshot and the state, not {function!r}")
    if inspect.iscoroutinefunction(function):
        raise UsageError(
            f"{function.__qualname__} is async, and nobody would await it; watch by zproc.aio in async code"
        )


_ON_FIELD: Final = frozenset(condition.CONDITIONS)


def _condition(model: type[M], name: str, arguments: tuple[Any, ...]) -> Condition[M]:
    if name in _ON_FIELD:
        return condition.on_field(model, name, *arguments)
    if name == "passing":
        return condition.passing(model, *arguments)
    return condition.change(model, *arguments)


def _attend(
    state: M,
    wanted: tuple[str, tuple[Any, ...]],
    options: StreamOptions,
    count: int | None,
    bookmark: Bookmark,
    session: SessionId,
    function: Callable[..., object],
    args: tuple[object, ...],
    kwargs: dict[str, object],
) -> None:
    """Run in the process: call the function for each event, continuing after what was finished before."""
    client, _ = address_of(state)  # type: ignore[arg-type]  # a handle, typed as what it stands for
    place = bookmark.place()
    bookmark.move(replace(place, lives=place.lives + 1))
    client.continue_as(session, place.lives)
    if place.begun or place.results:
        options = cast("StreamOptions", {key: value for key, value in options.items() if key != "since"})
    found = ClientWatchers(client).states(
        _condition(state.__class__, *wanted),
        cast("StreamOptions", {"include_own": False, **options}),
        (place.epoch, place.revision),
        present=not place.begun,
    )
    results = place.results
    while count is None or results < count:
        snapshot = next(found)
        function(snapshot, *args, **kwargs)
        results += 1
        bookmark.move(Place(found.cursor.epoch, found.cursor.revision, results, begun=True, lives=place.lives + 1))
