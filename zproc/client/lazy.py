"""Lazy parts of the state in a turn, which stay at the server and are fetched as far as they are looked at.

The law: to its user, a lazy part is the model, dict or list that it stands for, at the revision that the turn began at.
Of a model one field is fetched without the others, of a dict or list one element; what is certain to stand there, and
can be looked into itself, is not fetched before it is. Whatever needs all of a part fetches it in one request.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import Final, Protocol, cast

from zproc.client.handle import certain_kind
from zproc.client.replica import typed
from zproc.exceptions import LimitExceeded, SchemaError
from zproc.schema.lazy import CannotAsk, LazyDict, LazyList
from zproc.schema.ops import MISSING
from zproc.schema.shape import Kind, Shape, shape_at
from zproc.schema.snapshot import assemble
from zproc.typing import Key, Path

__all__ = ["OnDemand", "Turn", "lazy_part"]


class Turn(Protocol):
    """Who asks, in a turn, in which nobody changes the state."""

    @property
    def shape(self) -> Shape:
        """What the state is declared as."""
        ...

    def look(self, path: Path, question: str) -> object:
        """Ask about what stands at an address; see `Look`."""
        ...

    def whole(self, path: Path) -> object:
        """Return all of what stands at an address, however large."""
        ...


def lazy_part(turn: Turn, path: Path, shape: Shape) -> object:
    """Return what stands at an address without its contents, ``None`` if it cannot be looked into at the server.

    Args:
        turn: who asks.
        path: the address.
        shape: what stands there: a model, dict or list, if it is one that may be any of them or nothing.
    """
    if shape_at(turn.shape, (*path, next(iter(shape.fields), ""))) is None:
        return None
    if shape.model is not None:
        fields = _Fields(turn, path, shape)
        return None if shape.frozen else assemble(shape.model, OnDemand({}, fields.fetch, tuple(shape.fields)))
    lazy = _LAZY.get(shape.kind)
    return None if lazy is None else lazy(_Elsewhere(turn, path))


class _Fields:
    """The fields of a model that is a part of the state.

    Args:
        turn: who asks.
        path: where it stands.
        shape: what it is.
    """

    def __init__(self, turn: Turn, path: Path, shape: Shape) -> None:
        self._turn = turn
        self._path = path
        self._shape = shape

    def fetch(self, names: tuple[str, ...]) -> Mapping[str, object]:
        """Return some fields by name."""
        if len(names) > 1:
            values = self._turn.whole(self._path).__dict__
            return {name: values[name] for name in names}
        (name,) = names
        path, shape = (*self._path, name), self._shape.fields[name]
        lazy = None if certain_kind(shape) is None else lazy_part(self._turn, path, shape)
        if lazy is not None:
            return {name: lazy}
        (found,) = cast("list[object]", self._turn.look(path, "value"))
        return {name: typed(shape, path, found)}


_LAZY: Final[Mapping[Kind, type[LazyDict | LazyList]]] = {Kind.DICT: LazyDict, Kind.LIST: LazyList}


class _Elsewhere:
    """A dict or list at the server, in a turn, in which nobody changes it.

    Args:
        turn: the turn.
        path: where it stands.
    """

    def __init__(self, turn: Turn, path: Path) -> None:
        self._turn = turn
        self._path = path

    def element(self, key: Key) -> object:
        """Return what stands at a key or an index, MISSING if nothing does."""
        path = (*self._path, key)
        try:
            found = cast("list[object]", self._turn.look(path, "value"))
        except (SchemaError, LimitExceeded) as error:
            raise CannotAsk from error
        if not found:
            return MISSING
        shape = shape_at(self._turn.shape, path)
        assert shape is not None, "only such are lazy"
        return typed(shape, path, found[0])

    def length(self) -> int:
        """Return how many elements there are."""
        return cast("int", self._turn.look(self._path, "length"))

    def everything(self) -> object:
        """Return all of it."""
        return self._turn.whole(self._path)


class OnDemand(dict[str, object]):
    """The fields of a model, as the ``__dict__`` of an instance: fetched when they are first looked at.

    Whoever looks at one fetches one, and whoever looks at all of them (``repr``, ``==``, a copy of the state) fetches
    what is missing at once. C code that walks a dict without asking it would see only what is there, so it is given
    copies.
    """

    __slots__ = ("_fetch", "_names")

    def __init__(
        self,
        known: Mapping[str, object],
        fetch: Callable[[tuple[str, ...]], Mapping[str, object]],
        names: Collection[str],
    ) -> None:
        dict.__init__(self, known)
        self._fetch = fetch
        self._names = names

    def __missing__(self, name: str) -> object:
        if name not in self._names:
            raise KeyError(name)
        self.update(self._fetch((name,)))
        return self[name]

    def _all(self) -> dict[str, object]:
        """Return all fields, in their order."""
        missing = tuple(name for name in self._names if not dict.__contains__(self, name))
        if missing:
            self.update(self._fetch(missing))
        return {name: self[name] for name in self._names}

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __eq__(self, other: object) -> bool:
        return self._all() == (other._all() if isinstance(other, OnDemand) else other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None

    def __repr__(self) -> str:
        return repr(self._all())

    def keys(self) -> KeysView[str]:  # type: ignore[override]  # of a dict of its own
        """Return all names."""
        return self._all().keys()

    def values(self) -> ValuesView[object]:  # type: ignore[override]  # as above
        """Return all values."""
        return self._all().values()

    def items(self) -> ItemsView[str, object]:  # type: ignore[override]  # as above
        """Return all names, each with its value."""
        return self._all().items()

    def get(self, name: str, default: object = None) -> object:
        """Return the value of a name, or the default if there is no such name."""
        return self[name] if name in self._names else default

    def copy(self) -> OnDemand:
        """Return one that fetches on its own what is missing in both."""
        return self.__copy__()

    def __copy__(self) -> OnDemand:
        known = {name: dict.__getitem__(self, name) for name in self._names if dict.__contains__(self, name)}
        return OnDemand(known, self._fetch, self._names)

    def __deepcopy__(self, memo: dict[int, object]) -> dict[str, object]:
        """Whoever copies all wants all."""
        return copy.deepcopy(self._all(), memo)
