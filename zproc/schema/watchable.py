"""The methods for watching a live state: every condition in every form.

The law: only signatures and documentation are here. What a condition means is defined in ``condition``; how to wait for
it is up to the live state. Everything that is not a live state refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, Protocol, Self, TypedDict, TypeVar, Unpack, cast

from zproc.arguments import FLAG, REVISION, SECONDS, Kind, count_of, expect_all, expect_known, or_none
from zproc.exceptions import UsageError
from zproc.schema import condition
from zproc.schema.condition import Condition
from zproc.schema.event import Change, Commit, Resync

__all__ = [
    "WATCHERS",
    "EventOptions",
    "Options",
    "Stream",
    "StreamOptions",
    "Watchable",
    "Watchers",
    "check",
    "watchers_of",
]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Options(TypedDict, total=False):
    """How to wait.

    Attributes:
        timeout: how long to wait for each result, in seconds; ``None`` for as long as it takes.
        live: skip to the newest whenever there are several; by default, none is skipped.
        since: the revision to start after; 0 for all that the history holds. By default, now.
        include_own: whether commits of this process count; they do.
        duplicate_okay: whether commits count that set a value to what it was.
    """

    timeout: float | None
    live: bool
    since: int | None
    include_own: bool
    duplicate_okay: bool


class StreamOptions(Options, total=False):
    """How to wait for one after the other.

    Attributes:
        count: after how many results to end; ``None`` for never.
    """

    count: int | None


class EventOptions(StreamOptions, total=False):
    """How to wait for events.

    Attributes:
        exclude: fields whose changes are ignored.
    """

    exclude: tuple[str, ...] | list[str]


def check(options: object, kind: type) -> None:
    """Check options, because a misspelt one would be a wait without end.

    Args:
        options: by name.
        kind: the class that lists them.

    Raises:
        UsageError: there is no such option, or it has no such value.
    """
    given = cast("dict[str, object]", options)
    expect_known(given, kind.__annotations__)  # of a TypedDict these are the inherited ones, too
    expect_all(*((f"the option {name!r}", value, _WANTED[name]) for name, value in given.items() if name in _WANTED))


_WANTED: Final[Mapping[str, Kind]] = {
    "timeout": or_none(SECONDS, " for as long as it takes"),
    "since": or_none(REVISION, " for now"),
    "count": or_none(count_of("results"), " for any number"),
    "live": FLAG,
    "include_own": FLAG,
    "duplicate_okay": FLAG,
}


class Stream(Protocol[T_co]):
    """Results as they come: an iterator that waits; to be closed, or used in a ``with`` statement, if left early."""

    def __iter__(self) -> Iterator[T_co]:
        """Return itself."""
        ...

    def __next__(self) -> T_co:
        """Wait for the next result.

        Raises:
            StopIteration: there were ``count`` of them, or it was closed.
            WaitTimeout: none came in time; the next call waits again.
            HistoryGone: what was asked for by ``since`` is no longer held.
            Unavailable: no server answers.
        """
        ...

    def close(self) -> None:
        """End it; whoever waits for a result in another thread gets none."""
        ...

    def go_live(self) -> None:
        """Skip whatever has come and was not looked at yet."""
        ...

    def __enter__(self) -> Self:
        """Return itself."""
        ...

    def __exit__(self, *error: object) -> None:
        """Close it."""
        ...


class Watchers(Protocol):
    """The implementation of watching behind a live state."""

    def here(self) -> int:
        """Return the number of the newest commit."""
        ...

    def get(self, wanted: Condition[T], options: Options) -> T:
        """Wait once."""
        ...

    def states(self, wanted: Condition[T], options: StreamOptions) -> Stream[T]:
        """Return the states that meet a condition, as they come."""
        ...

    def changes(self, fields: tuple[str, ...], options: EventOptions) -> Stream[Change | Resync[object]]:
        """Return the changes of some fields, as they come."""
        ...

    def commits(self, fields: tuple[str, ...], options: EventOptions) -> Stream[Commit | Resync[object]]:
        """Return the commits that change any of some fields, as they come."""
        ...

    def values(self, field: str, options: StreamOptions) -> Stream[Change | Resync[object]]:
        """Return how the value of a field changes from commit to commit."""
        ...


WATCHERS: Final = "__zproc_watchers__"
"""The name of the method by which a live state gives its watchers."""


def watchers_of(state: object, name: str) -> Watchers:
    """Return the watchers of a live state.

    Args:
        state: the live state.
        name: the method that was called, for the error.

    Raises:
        UsageError: it is none.
    """
    give = getattr(type(state), WATCHERS, None)
    if give is None:
        raise UsageError(
            f"{name} waits for others to change the state; use it on a live state, ctx.state, "
            "outside of atomic functions"
        )
    return cast("Callable[[object], Watchers]", give)(state)


class Watchable:
    """A state that can be waited for.

    The forms ``get_when_…`` wait for one state that meets the condition, the present one included where the condition
    can be told of one state alone, and return it as a frozen copy. The forms ``when_…`` give one such state after the
    other: that of each commit that touches the field. Both take `Options`, the second `StreamOptions`.

    Every form raises:

    * ``UnknownPath``: a field leads nowhere; the error names the nearest.
    * ``WaitTimeout``: it did not happen in time.
    * ``HistoryGone``: commits after ``since`` are not held any longer.
    * ``Unavailable``: no server answers.
    * ``UsageError``: this is not a live state, or the field never has a value that equals the one it is compared with.
    """

    __slots__ = ()

    def go_live(self) -> int:
        """Return the revision of the newest commit, to be given as ``since`` by later waits.

        Nothing is kept from one wait to the next: a wait without ``since`` begins at its call. With it, what happens
        between two calls is not missed either.
        """
        return watchers_of(self, "go_live").here()

    def get_when_change(
        self, *fields: str, exclude: tuple[str, ...] | list[str] = (), **options: Unpack[Options]
    ) -> Self:
        """Wait for the next commit that changes any of some fields, and return the state that it made, frozen.

        Args:
            fields: dotted paths, ``"oven.temp"`` or ``"oven"`` for anything below it, or patterns, ``"stock.*"``; none
                for every field.
            exclude: fields whose changes are ignored.
            options: see `Options`.
        """
        return watchers_of(self, "get_when_change").get(condition.change(self.__class__, fields, exclude), options)

    def when_change(self, *fields: str, **options: Unpack[EventOptions]) -> Stream[Self]:
        """Return the state after each commit that changes any of some fields; see `get_when_change`."""
        wanted = condition.change(self.__class__, fields, options.get("exclude", ()))
        return watchers_of(self, "when_change").states(wanted, options)

    def get_when(self, test: Callable[[Self], object], **options: Unpack[Options]) -> Self:
        """Wait until the state passes a test, and return it, frozen; the present one counts.

        Args:
            test: is given a frozen copy of the state.
            options: see `Options`.
        """
        return watchers_of(self, "get_when").get(condition.passing(self.__class__, test), options)

    def when(self, test: Callable[[Self], object], **options: Unpack[StreamOptions]) -> Stream[Self]:
        """Return each state that passes a test, the present one first if it does; see `get_when`."""
        return watchers_of(self, "when").states(condition.passing(self.__class__, test), options)

    def get_when_equal(self, field: str, value: object, **options: Unpack[Options]) -> Self:
        """Wait until a field has a value, and return the state in which it has, frozen; the present one counts.

        Args:
            field: a dotted path.
            value: what it is compared with, by ``==``.
            options: see `Options`.
        """
        wanted = condition.on_field(self.__class__, "equal", field, value)
        return watchers_of(self, "get_when_equal").get(wanted, options)

    def when_equal(self, field: str, value: object, **options: Unpack[StreamOptions]) -> Stream[Self]:
        """Return each state in which a field has a value; see `get_when_equal`."""
        wanted = condition.on_field(self.__class__, "equal", field, value)
        return watchers_of(self, "when_equal").states(wanted, options)

    def get_when_not_equal(self, field: str, value: object, **options: Unpack[Options]) -> Self:
        """Wait until a field has another value than this; see `get_when_equal`."""
        wanted = condition.on_field(self.__class__, "not_equal", field, value)
        return watchers_of(self, "get_when_not_equal").get(wanted, options)

    def when_not_equal(self, field: str, value: object, **options: Unpack[StreamOptions]) -> Stream[Self]:
        """Return each state in which a field has another value than this; see `get_when_equal`."""
        wanted = condition.on_field(self.__class__, "not_equal", field, value)
        return watchers_of(self, "when_not_equal").states(wanted, options)

    def get_when_none(self, field: str, **options: Unpack[Options]) -> Self:
        """Wait until a field is ``None``; see `get_when_equal`."""
        wanted = condition.on_field(self.__class__, "none", field)
        return watchers_of(self, "get_when_none").get(wanted, options)

    def when_none(self, field: str, **options: Unpack[StreamOptions]) -> Stream[Self]:
        """Return each state in which a field is ``None``; see `get_when_equal`."""
        wanted = condition.on_field(self.__class__, "none", field)
        return watchers_of(self, "when_none").states(wanted, options)

    def get_when_not_none(self, field: str, **options: Unpack[Options]) -> Self:
        """Wait until a field is not ``None``; see `get_when_equal`."""
        wanted = condition.on_field(self.__class__, "not_none", field)
        return watchers_of(self, "get_when_not_none").get(wanted, options)

    def when_not_none(self, field: str, **options: Unpack[StreamOptions]) -> Stream[Self]:
        """Return each state in which a field is not ``None``; see `get_when_equal`."""
        wanted = condition.on_field(self.__class__, "not_none", field)
        return watchers_of(self, "when_not_none").states(wanted, options)

    def get_when_truthy(self, field: str, **options: Unpack[Options]) -> Self:
        """Wait until a field is true; see `get_when_equal`."""
        wanted = condition.on_field(self.__class__, "truthy", field)
        return watchers_of(self, "get_when_truthy").get(wanted, options)

    def when_truthy(self, field: str, **options: Unpack[StreamOptions]) -> Stream[Self]:
        """Return each state in which a field is true; see `get_when_equal`."""
        wanted = condition.on_field(self.__class__, "truthy", field)
        return watchers_of(self, "when_truthy").states(wanted, options)

    def get_when_falsy(self, field: str, **options: Unpack[Options]) -> Self:
        """Wait until a field is false; see `get_when_equal`."""
        wanted = condition.on_field(self.__class__, "falsy", field)
        return watchers_of(self, "get_when_falsy").get(wanted, options)

    def when_falsy(self, field: str, **options: Unpack[StreamOptions]) -> Stream[Self]:
        """Return each state in which a field is false; see `get_when_equal`."""
        wanted = condition.on_field(self.__class__, "falsy", field)
        return watchers_of(self, "when_falsy").states(wanted, options)

    def get_when_available(self, field: str, **options: Unpack[Options]) -> Self:
        """Wait until something but ``None`` stands at a field; see `get_when_equal`."""
        wanted = condition.on_field(self.__class__, "available", field)
        return watchers_of(self, "get_when_available").get(wanted, options)

    def when_available(self, field: str, **options: Unpack[StreamOptions]) -> Stream[Self]:
        """Return each state in which something but ``None`` stands at a field; see `get_when_equal`."""
        wanted = condition.on_field(self.__class__, "available", field)
        return watchers_of(self, "when_available").states(wanted, options)

    def changes(self, *fields: str, **options: Unpack[EventOptions]) -> Stream[Change | Resync[Self]]:
        """Return the changes of some fields, as they come, none left out.

        Args:
            fields: dotted paths, ``"oven.temp"`` or ``"oven"`` for anything below it, or patterns, ``"stock.*"``; none
                for every field.
            options: see `EventOptions`.

        Returns:
            An iterator of `Change`; where some were dropped before they could be told, of one `Resync`.
        """
        return cast("Stream[Change | Resync[Self]]", watchers_of(self, "changes").changes(fields, options))

    def commits(self, *fields: str, **options: Unpack[EventOptions]) -> Stream[Commit | Resync[Self]]:
        """Return the commits that change any of some fields, whole, as they come; otherwise as `changes`."""
        return cast("Stream[Commit | Resync[Self]]", watchers_of(self, "commits").commits(fields, options))
