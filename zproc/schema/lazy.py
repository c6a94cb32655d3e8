"""Dicts and lists whose contents are elsewhere and are fetched on demand.

The law: to its user, a lazy container is the dict or list that it stands for, copied at one moment. One element is
looked up without the others; whatever needs all of them fetches all, and from then on it is an ordinary dict or list.
What was handed out before stays the very object.
"""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import Final, Protocol, Self, SupportsIndex, TypeAlias, cast, overload

from zproc.schema.ops import MISSING
from zproc.typing import Key

__all__ = ["CannotAsk", "LazyDict", "LazyList", "Source", "type_of"]

_SOME: Final = 64
"""How many elements are looked up before it is asked how many there are."""

_LOOKS: Final = 64
"""How many elements can be fetched together in the time in which one is looked up."""


class CannotAsk(Exception):
    """A key cannot be sent to where a dict is."""


class Source(Protocol):
    """Where the contents are, which do not change while they may be asked for."""

    def element(self, key: Key) -> object:
        """Return what stands at a key or an index, MISSING if nothing does.

        Raises:
            CannotAsk: a key like this cannot be sent, only be compared with those that are there.
        """
        ...

    def length(self) -> int:
        """Return how many elements there are."""
        ...

    def everything(self) -> object:
        """Return all of it, as a dict or list of its own."""
        ...


def _is_fetched_sooner(looks: int, length: Callable[[], int]) -> bool:
    """Whether to fetch all elements rather than one more; the length is asked for at powers of two only."""
    return looks >= _SOME and looks & (looks - 1) == 0 and looks * _LOOKS >= length()


class LazyDict(dict[Key, object]):
    """A dict whose contents are fetched when they are looked at.

    Args:
        source: where they are.
        looked: what was looked up there already.
        changed: what was changed here since.
    """

    __slots__ = ("_changed", "_length", "_looked", "_source")

    def __init__(self, source: Source, looked: Mapping[Key, object] = {}, changed: Mapping[Key, object] = {}) -> None:
        super().__init__()
        self._source: Source | None = source
        """``None`` once everything is here, and in the dict itself."""
        self._looked: dict[Key, object] = dict(looked)
        """What was looked up, MISSING for nothing."""
        self._changed: dict[Key, object] = dict(changed)
        """What was put at keys or, where it is MISSING, taken away; new keys in the order in which they were put."""
        self._length: int | None = None

    def _loaded(self) -> LazyDict:
        """Fetch everything."""
        if self._source is not None:
            everything = cast("dict[Key, object]", self._source.everything())
            everything.update((key, value) for key, value in self._looked.items() if value is not MISSING)
            for key, value in self._changed.items():
                # A key that was taken away and put again is at the end.
                if value is MISSING or self._looked[key] is MISSING:
                    everything.pop(key, None)
                if value is not MISSING:
                    everything[key] = value
            self._source = None
            super().update(everything)
            self._looked, self._changed = {}, {}
        return self

    def _found(self, key: Key) -> object:
        """Return what stands at a key, MISSING for nothing."""
        if self._source is not None:
            found = self._changed.get(key, self._changed)
            return self._original(key) if found is self._changed else found
        return super().get(key, MISSING)

    def _original(self, key: Key) -> object:
        if key not in self._looked:
            assert self._source is not None, "whoever has everything asks nobody"
            try:
                if not _is_fetched_sooner(len(self._looked), self._original_length):
                    self._looked[key] = self._source.element(key)
                    return self._looked[key]
            except CannotAsk:
                pass
            self._loaded()
            return self._found(key)
        return self._looked[key]

    def _original_length(self) -> int:
        if self._length is None:
            assert self._source is not None, "whoever has everything asks nobody"
            self._length = self._source.length()
        return self._length

    # What is done without the others

    def __getitem__(self, key: Key) -> object:
        found = self._found(key)
        if found is MISSING:
            raise KeyError(key)
        return found

    def get(self, key: Key, default: object = None) -> object:
        found = self._found(key)
        return default if found is MISSING else found

    def __contains__(self, key: object) -> bool:
        return self._found(key) is not MISSING

    def __len__(self) -> int:
        if self._source is None:
            return super().__len__()
        more = sum((value is not MISSING) - (self._looked[key] is not MISSING) for key, value in self._changed.items())
        return self._original_length() + more

    def __setitem__(self, key: Key, value: object) -> None:
        was = self._found(key)
        if self._source is None:
            super().__setitem__(key, value)
            return
        if was is MISSING and self._changed.pop(key, None) is MISSING and self._looked[key] is not MISSING:
            # Taken away and put again: that moves it, so all have to be seen.
            self._changed[key] = MISSING
            self._loaded()[key] = value
            return
        self._changed[key] = value

    def __delitem__(self, key: Key) -> None:
        if self._found(key) is MISSING:
            raise KeyError(key)
        if self._source is None:
            super().__delitem__(key)
        else:
            self._changed[key] = MISSING

    def pop(self, key: Key, default: object = MISSING) -> object:
        found = self._found(key)
        if found is not MISSING:
            del self[key]
            return found
        if default is MISSING:
            raise KeyError(key)
        return default

    def __copy__(self) -> dict[Key, object]:
        return self.copy() if self._source is None else LazyDict(self._source, self._looked, self._changed)

    # What has to see all of them

    def __iter__(self) -> Iterator[Key]:
        self._loaded()
        return super().__iter__()

    def __reversed__(self) -> Iterator[Key]:
        self._loaded()
        return super().__reversed__()

    def keys(self) -> KeysView[Key]:  # type: ignore[override]  # of a dict of its own
        self._loaded()
        return super().keys()

    def values(self) -> ValuesView[object]:  # type: ignore[override]  # as above
        self._loaded()
        return super().values()

    def items(self) -> ItemsView[Key, object]:  # type: ignore[override]  # as above
        self._loaded()
        return super().items()

    def __eq__(self, other: object) -> bool:
        self._loaded()
        return super().__eq__(other._loaded() if isinstance(other, LazyDict) else other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None

    def __repr__(self) -> str:
        self._loaded()
        return super().__repr__()

    def copy(self) -> dict[Key, object]:
        return dict(self.items())

    def clear(self) -> None:
        self._loaded()
        super().clear()

    def popitem(self) -> tuple[Key, object]:
        self._loaded()
        return super().popitem()

    def update(self, other: Mapping[Key, object]) -> None:  # type: ignore[override]  # nobody needs the other forms
        for key, value in other.items():
            self[key] = value

    def setdefault(self, key: Key, default: object = None) -> object:
        if key not in self:
            self[key] = default
        return self[key]

    def __or__(self, other: dict[Key, object]) -> dict[Key, object]:  # type: ignore[override]  # as above
        return self.copy() | other

    def __ror__(self, other: dict[Key, object]) -> dict[Key, object]:  # type: ignore[override]  # as above
        return other | self.copy()

    def __ior__(self, other: Mapping[Key, object]) -> Self:  # type: ignore[override]  # as above
        self.update(other)
        return self


_Slice: TypeAlias = "slice[SupportsIndex | None, SupportsIndex | None, SupportsIndex | None]"


def _whole(name: str) -> object:
    """Make a method that has everything here before it does what that of a list does."""
    method = getattr(list, name)

    def call(items: LazyList, *arguments: object, **options: object) -> object:
        given = [argument.loaded() if isinstance(argument, LazyList) else argument for argument in arguments]
        return method(items.loaded(), *given, **options)

    return call


class LazyList(list[object]):
    """A list whose contents are fetched when they are looked at.

    As long as they are elsewhere, only its ends are moved: a queue that is appended to and popped from the front, or a
    stack, stays where it is. A change in the middle fetches it.

    Args:
        source: where they are.
    """

    __slots__ = ("_first", "_head", "_looked", "_source", "_stop", "_tail")

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source: Source | None = source
        """``None`` once everything is here, and in the list itself."""
        # What it is: the head, of the original what is from the first to the stop, and the tail.
        self._head: list[object] = []
        self._tail: list[object] = []
        self._first = 0
        self._stop: int | None = None
        """The length of the original, until it is asked for."""
        self._looked: dict[int, object] = {}
        """Of the original, what was looked up or replaced."""

    def loaded(self) -> LazyList:
        """Fetch everything."""
        if self._source is not None:
            original = cast("list[object]", self._source.everything())
            for index, value in self._looked.items():
                original[index] = value
            items = [*self._head, *original[self._first : self._end()], *self._tail]
            self._source = None
            super().extend(items)
            self._head, self._tail, self._looked = [], [], {}
        return self

    def _end(self) -> int:
        if self._stop is None:
            assert self._source is not None, "whoever has everything asks nobody"
            self._stop = self._source.length()
        return self._stop

    def __len__(self) -> int:
        if self._source is None:
            return super().__len__()
        return len(self._head) + self._end() - self._first + len(self._tail)

    @overload
    def __getitem__(self, index: SupportsIndex) -> object: ...
    @overload
    def __getitem__(self, index: _Slice) -> list[object]: ...
    def __getitem__(self, index: SupportsIndex | _Slice) -> object:
        if self._source is not None:
            if isinstance(index, int):
                return self._element(index)
            if isinstance(index, slice):
                places = range(*index.indices(len(self)))
                if len(places) * _LOOKS < len(self):
                    return [self._element(place) for place in places]
            self.loaded()
        return super().__getitem__(index)

    def _element(self, index: int) -> object:
        place = index + len(self) if index < 0 else index
        if not 0 <= place < len(self):
            raise IndexError("list index out of range")
        if place < len(self._head):
            return self._head[place]
        place += self._first - len(self._head)
        return self._original(place) if place < self._end() else self._tail[place - self._end()]

    def _original(self, place: int) -> object:
        if place not in self._looked:
            assert self._source is not None, "whoever has everything asks nobody"
            try:
                if not _is_fetched_sooner(len(self._looked), self._end):
                    self._looked[place] = self._source.element(place)
                    return self._looked[place]
            except CannotAsk:
                pass
            place += len(self._head) - self._first
            return self.loaded()[place]
        return self._looked[place]

    def __setitem__(self, index: SupportsIndex | _Slice, value: object) -> None:
        if self._source is not None:
            if isinstance(index, slice):
                start, stop, step = index.indices(len(self))
                value = list(cast("Iterable[object]", value))
                if step == 1 and self._replace(start, max(stop, start), value):
                    return
            elif isinstance(index, int) and self._put(index, value):
                return
            self.loaded()
        super().__setitem__(index, value)  # type: ignore[index]  # as above

    def _put(self, index: int, value: object) -> bool:
        """Replace the value at an index, and return whether there is one."""
        place = index + len(self) if index < 0 else index
        if not 0 <= place < len(self):
            return False
        if place < len(self._head):
            self._head[place] = value
            return True
        place += self._first - len(self._head)
        if place < self._end():
            self._looked[place] = value
        else:
            self._tail[place - self._end()] = value
        return True

    def _replace(self, start: int, stop: int, new: list[object]) -> bool:
        """Replace a run of elements by others, and return whether that could be done at the ends."""
        head, middle = len(self._head), self._end() - self._first
        if start >= head + middle:
            self._tail[start - head - middle : stop - head - middle] = new
        elif start <= head:
            self._first += min(max(stop - head, 0), middle)
            self._tail[: max(stop - head - middle, 0)] = []
            self._head[start:stop] = new
        elif stop >= head + middle:
            self._stop = self._first + start - head
            self._tail[: stop - head - middle] = new
        else:
            return False
        return True

    def __copy__(self) -> list[object]:
        if self._source is None:
            return self.copy()
        made = LazyList(self._source)
        made._head, made._tail, made._looked = [*self._head], [*self._tail], {**self._looked}
        made._first, made._stop = self._first, self._stop
        return made

    def copy(self) -> list[object]:
        return [*self.loaded()]

    # What has to see all of them

    def __radd__(self, other: list[object]) -> list[object]:
        # No list has it, but without it C adds what is in the list itself, where nothing is yet.
        return [*other, *self]

    def __iter__(self) -> Iterator[object]:
        self.loaded()
        return super().__iter__()


for _name in (  # noqa: SIM905 - a list would be 30 lines
    "__add__ __contains__ __delitem__ __eq__ __ge__ __gt__ __iadd__ __imul__ __le__ __lt__ __mul__ __ne__ __repr__ "
    "__reversed__ __rmul__ append clear count extend index insert pop remove reverse sort"
).split():
    setattr(LazyList, _name, _whole(_name))


def type_of(value: object) -> type:
    """Return the type of a value: of one that is elsewhere, that of the dict or list that it stands for."""
    kind = type(value)
    if kind is LazyDict:
        return dict
    return list if kind is LazyList else kind
