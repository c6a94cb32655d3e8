"""A place of a live state whose type is known to the type checker.

The law: it holds no value, and each of its methods does what the state's own method does with its path. So
``ctx.select(lambda state: state.oven.temp).equals(180.0)`` means what ``state.get_when_equal`` means, and a wrong type
is an error before the program runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar, Unpack, cast

from zproc.schema import condition
from zproc.schema.condition import values_at
from zproc.schema.event import Change, Resync
from zproc.schema.model import StateModel
from zproc.schema.path import format_path, parse_path
from zproc.schema.snapshot import frozen
from zproc.schema.values import detached, is_atom, plain
from zproc.schema.watchable import Options, Stream, StreamOptions, watchers_of

__all__ = ["Watch"]

V = TypeVar("V")


class Watch(Generic[V]):
    """A place of a live state that can be waited for, as returned by ``ctx.select(lambda state: state.oven.temp)``.

    Every method raises ``Unavailable`` if no server answers, and those that wait raise ``WaitTimeout`` if it did not
    happen in time and ``HistoryGone`` if commits after ``since`` are not held any longer.

    Args:
        state: the live state.
        path: of the place, as a dotted path.

    Raises:
        UnknownPath: the path leads nowhere, or is a pattern; the error names the nearest.
    """

    __slots__ = ("_path", "_state")

    def __init__(self, state: StateModel, path: str) -> None:
        self._state = state
        self._path = parse_path(path, state.__class__)

    @property
    def path(self) -> str:
        """The dotted path, for whatever else takes one: ``ctx.call_when_change(watch.path)``."""
        return format_path(self._path)

    def __repr__(self) -> str:
        return f"<Watch of {self._state.__class__.__name__}.{self.path}>"

    def get(self) -> V:
        """Return what stands there now, as a frozen copy.

        Raises:
            UnknownPath: nothing does, as at a key that a dict has not got.
        """
        found: object = self._state[self.path]
        # A live number remembers its place; what is read here is the number alone.
        return cast("V", plain(found) if is_atom(found) else frozen(detached(found)))

    def equals(self, value: V, **options: Unpack[Options]) -> V:
        """Wait until a value stands there, and return it; the present one counts.

        Args:
            value: what is waited for; it is compared by ``==``.
            options: see `Options`.
        """
        return self._in(self._state.get_when_equal(self.path, value, **options))

    def when(self, test: Callable[[V], object], **options: Unpack[Options]) -> V:
        """Wait until what stands there passes a test, and return it; the present one counts.

        Args:
            test: is given a frozen copy of it.
            options: see `Options`.
        """
        wanted = condition.passing_at(self._state.__class__, self.path, cast("Callable[[object], object]", test))
        return self._in(watchers_of(self._state, "when").get(wanted, options))

    def changes(self, **options: Unpack[StreamOptions]) -> Stream[Change[V] | Resync[V | None]]:
        """Return its changes from commit to commit, none left out.

        Args:
            options: see `StreamOptions`.

        Returns:
            An iterator of `Change`, of what stood there before and after each commit that gave it another value, or of
            this value with ``duplicate_okay``. Where some were dropped before they could be told, of one `Resync` with
            what stands there then.
        """
        found = watchers_of(self._state, "changes").values(self.path, options)
        return cast("Stream[Change[V] | Resync[V | None]]", found)

    def _in(self, snapshot: StateModel) -> V:
        (found,) = values_at(snapshot, self._path)
        return cast("V", found)
