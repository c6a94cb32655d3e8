"""Drafts of lists, dicts and sets: the complete builtin interface, each change recorded as the smallest op.

The law: results, exceptions and final contents are those of the builtin. An element is handed out as a draft or a plain
value, or, when it leaves the container, as a copy.
"""

from __future__ import annotations

import operator
from collections.abc import (
    Callable,
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Mapping,
    MutableMapping,
    MutableSequence,
    MutableSet,
    ValuesView,
)
from typing import ClassVar, SupportsIndex, TypeAlias, cast, overload

from zproc.schema.draft import Draft
from zproc.schema.ops import MISSING, Add, Delete, Discard, Set, Splice
from zproc.schema.values import detached, value_of
from zproc.typing import Key

__all__ = ["DictDraft", "ListDraft", "SetDraft"]

_Slice: TypeAlias = "slice[int | None, int | None, int | None]"


def _listed(values: Iterable[object]) -> list[object]:
    """Return a list of its own: the values may be those of the very list that is going to be changed."""
    return list(cast("Iterable[object]", value_of(values)))


class ListDraft(Draft, MutableSequence[object], stands_for=list):
    """The draft of a list."""

    __slots__ = ()
    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # like a list

    def _items(self) -> list[object]:
        return cast("list[object]", self.__zproc_value__())

    def __len__(self) -> int:
        return len(self._items())

    def __iter__(self) -> Iterator[object]:
        iter(self._items())  # who goes through them all has them all fetched, if they are elsewhere
        index = 0
        while index < len(items := self._items()):
            yield self._zproc_child(index, items[index])
            index += 1

    def __contains__(self, value: object) -> bool:
        return value_of(value) in self._items()

    @overload
    def __getitem__(self, index: int) -> object: ...
    @overload
    def __getitem__(self, index: _Slice) -> list[object]: ...
    def __getitem__(self, index: int | _Slice) -> object:
        items = self._items()
        if isinstance(index, slice):
            return [self._zproc_child(place, items[place]) for place in range(*index.indices(len(items)))]
        value = items[index]
        return self._zproc_child(self._place(index), value)

    def _place(self, index: SupportsIndex) -> int:
        place = operator.index(index)
        return place if place >= 0 else place + len(self._items())

    def _existing(self, index: SupportsIndex, complaint: str) -> int:
        place = self._place(index)
        if not 0 <= place < len(self._items()):
            raise IndexError(complaint)
        return place

    @overload
    def __setitem__(self, index: int, value: object) -> None: ...
    @overload
    def __setitem__(self, index: _Slice, value: Iterable[object]) -> None: ...
    def __setitem__(self, index: int | _Slice, value: object) -> None:
        if not isinstance(index, slice):
            self._zproc_put(self._existing(index, "list assignment index out of range"), value)
            return
        new = _listed(cast("Iterable[object]", value))
        start, stop, step = index.indices(len(self._items()))
        if step == 1:
            self._splice(start, max(stop - start, 0), new)
            return
        places = range(start, stop, step)
        if len(places) != len(new):
            raise ValueError(f"attempt to assign sequence of size {len(new)} to extended slice of size {len(places)}")
        for place, item in zip(places, new, strict=True):
            self._zproc_put(place, item)

    def __delitem__(self, index: int | _Slice) -> None:
        if not isinstance(index, slice):
            self._splice(self._existing(index, "list assignment index out of range"), 1, [])
            return
        start, stop, step = index.indices(len(self._items()))
        if step == 1:
            self._splice(start, max(stop - start, 0), [])
            return
        for place in sorted(range(start, stop, step), reverse=True):
            self._splice(place, 1, [])

    def _splice(self, at: int, remove: int, insert: list[object]) -> None:
        """Replace a run of elements; children in it leave, children behind it move."""
        if not remove and not insert:
            return
        end = at + remove
        path = self._zproc_path()
        known = cast("dict[int, Draft]", self._zproc_children)
        leaving = self._zproc_values([place for place in known if at <= place < end])
        self._zproc_apply(Splice(path, at, remove, tuple(insert)))
        self._zproc_leave(leaving)
        shift = len(insert) - remove
        if shift:
            self._move({place: place + shift for place in known if place >= end})

    def _move(self, places: Mapping[int, int]) -> None:
        known = cast("dict[int, Draft]", self._zproc_children)
        moved = {places.get(place, place): child for place, child in known.items()}
        known.clear()
        known.update(moved)
        for place, child in moved.items():
            object.__setattr__(child, "_zproc_key", place)

    def insert(self, index: SupportsIndex, value: object) -> None:
        place = operator.index(index)
        start, _, _ = slice(place, None).indices(len(self._items()))
        self._splice(start, 0, [value])

    def append(self, value: object) -> None:
        self._splice(len(self._items()), 0, [value])

    def extend(self, values: Iterable[object]) -> None:
        self._splice(len(self._items()), 0, _listed(values))

    def pop(self, index: SupportsIndex = -1) -> object:
        items = self._items()
        place = operator.index(index)
        if not items:
            raise IndexError("pop from empty list")
        place = self._existing(place, "pop index out of range")
        value = detached(items[place])
        self._splice(place, 1, [])
        return value

    def remove(self, value: object) -> None:
        try:
            place = self.index(value)
        except ValueError:
            raise ValueError("list.remove(x): x not in list") from None
        self._splice(place, 1, [])

    def index(self, value: object, start: int = 0, stop: int | None = None) -> int:
        items = self._items()
        return items.index(value_of(value), start, len(items) if stop is None else stop)

    def count(self, value: object) -> int:
        return self._items().count(value_of(value))

    def clear(self) -> None:
        self._splice(0, len(self._items()), [])

    def copy(self) -> list[object]:
        """Return the elements as a list of drafts and plain values, as ``list.copy`` returns the same elements."""
        return list(self)

    def reverse(self) -> None:
        self._reorder(list(reversed(range(len(self._items())))))

    def sort(self, *, key: Callable[[object], object] | None = None, reverse: bool = False) -> None:
        elements = list(self)
        keys = elements if key is None else [key(element) for element in elements]
        self._reorder(sorted(range(len(elements)), key=keys.__getitem__, reverse=reverse))  # type: ignore[arg-type]  # TypeError as list.sort

    def _reorder(self, order: list[int]) -> None:
        if order == list(range(len(order))):
            return
        items = self._items()
        self._zproc_apply(Splice(self._zproc_path(), 0, len(items), tuple([items[place] for place in order])))
        self._move({old: new for new, old in enumerate(order)})

    def __iadd__(self, values: Iterable[object]) -> ListDraft:
        self.extend(values)
        return self

    def __imul__(self, times: SupportsIndex) -> ListDraft:
        count = operator.index(times)
        if count <= 0:
            self.clear()
        else:
            self.extend(self._items() * (count - 1))
        return self

    def __add__(self, other: list[object]) -> list[object]:
        return self.copy() + cast("list[object]", value_of(other))

    def __radd__(self, other: list[object]) -> list[object]:
        return other + self.copy()

    def __mul__(self, times: SupportsIndex) -> list[object]:
        return self.copy() * times

    __rmul__ = __mul__

    def __eq__(self, other: object) -> bool:
        return self._items() == value_of(other)

    def __lt__(self, other: list[object]) -> bool:
        return self._items() < cast("list[object]", value_of(other))

    def __le__(self, other: list[object]) -> bool:
        return self._items() <= cast("list[object]", value_of(other))

    def __gt__(self, other: list[object]) -> bool:
        return self._items() > cast("list[object]", value_of(other))

    def __ge__(self, other: list[object]) -> bool:
        return self._items() >= cast("list[object]", value_of(other))


class DictDraft(Draft, MutableMapping[Key, object], stands_for=dict):
    """The draft of a dict."""

    __slots__ = ()
    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # like a dict

    def _items(self) -> dict[Key, object]:
        return cast("dict[Key, object]", self.__zproc_value__())

    def __len__(self) -> int:
        return len(self._items())

    def __iter__(self) -> Iterator[Key]:
        return iter(self._items())

    def __reversed__(self) -> Iterator[Key]:
        return reversed(self._items())

    def __contains__(self, key: object) -> bool:
        return key in self._items()

    def __getitem__(self, key: Key) -> object:
        return self._zproc_child(key, self._items()[key])

    def __setitem__(self, key: Key, value: object) -> None:
        hash(key)
        self._zproc_put(key, value)

    def __delitem__(self, key: Key) -> None:
        if key not in self._items():
            raise KeyError(key)
        path = (*self._zproc_path(), key)
        leaving = self._zproc_values((key,))
        self._zproc_apply(Delete(path))
        self._zproc_leave(leaving)

    def keys(self) -> KeysView[Key]:
        return _Keys(self)

    def values(self) -> ValuesView[object]:
        return _Values(self)

    def items(self) -> ItemsView[Key, object]:
        return _Items(self)

    def setdefault(self, key: Key, default: object = None) -> object:
        """Return what stands at a key, after putting the default there if nothing did, as what can be changed."""
        if key not in self._items():
            self[key] = default
        return self[key]

    @overload
    def pop(self, key: Key, /) -> object: ...
    @overload
    def pop(self, key: Key, /, default: object) -> object: ...
    def pop(self, key: Key, /, default: object = MISSING) -> object:
        items = self._items()
        if not items or key not in items:  # an empty dict does not look at the key
            if default is MISSING:
                raise KeyError(key)
            return default
        value = detached(items[key])
        del self[key]
        return value

    def popitem(self) -> tuple[Key, object]:
        items = self._items()
        if not items:
            raise KeyError("popitem(): dictionary is empty")
        key = next(reversed(items))
        return key, self.pop(key)

    def clear(self) -> None:
        """Remove every key: one change, however many there are."""
        if not self._items():
            return
        leaving = self._zproc_values(list(self._zproc_children))
        self._zproc_apply(Set(self._zproc_path(), {}))
        self._zproc_leave(leaving)

    def copy(self) -> dict[Key, object]:
        """Return the items as a dict of drafts and plain values, as ``dict.copy`` returns the same values."""
        return {key: self[key] for key in self}

    def __or__(self, other: Mapping[Key, object]) -> dict[Key, object]:
        return self.copy() | dict(other) if isinstance(other, (dict, DictDraft)) else NotImplemented

    def __ror__(self, other: Mapping[Key, object]) -> dict[Key, object]:
        return other | self.copy() if isinstance(other, dict) else NotImplemented

    def __ior__(self, other: Mapping[Key, object] | Iterable[tuple[Key, object]]) -> DictDraft:
        self.update(other)
        return self

    def __eq__(self, other: object) -> bool:
        return self._items() == value_of(other)


class _Keys(KeysView[Key]):
    _mapping: DictDraft

    def __reversed__(self) -> Iterator[Key]:
        return reversed(self._mapping)


class _Values(ValuesView[object]):
    _mapping: DictDraft

    def __reversed__(self) -> Iterator[object]:
        return (self._mapping[key] for key in reversed(self._mapping))


class _Items(ItemsView[Key, object]):
    _mapping: DictDraft

    def __reversed__(self) -> Iterator[tuple[Key, object]]:
        return ((key, self._mapping[key]) for key in reversed(self._mapping))


_Operator: TypeAlias = "Callable[[SetDraft, object], object]"


def _as_set_does(name: str) -> Callable[[SetDraft, object], object]:
    """Make an operator out of that of ``set``, which takes sets only."""
    of_set = cast("Callable[[object, object], object]", getattr(set, name))

    def apply(draft: SetDraft, other: object) -> object:
        return of_set(draft._items(), value_of(other))  # noqa: SLF001 - a draft of this module

    return apply


def _in_place(name: str) -> Callable[[SetDraft, object], object]:
    """Make an in-place operator out of a method, which would take any iterable."""

    def apply(draft: SetDraft, other: object) -> object:
        values = value_of(other)
        if not isinstance(values, (set, frozenset)):
            return NotImplemented
        getattr(draft, name)(set(values))
        return draft

    return apply


class SetDraft(Draft, stands_for=set):
    """The draft of a set."""

    # Not a subclass of MutableSet, whose operators take any iterable, as those of a set do not.

    __slots__ = ()
    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # like a set

    def _items(self) -> set[Key]:
        return cast("set[Key]", self.__zproc_value__())

    def __len__(self) -> int:
        return len(self._items())

    def __iter__(self) -> Iterator[Key]:
        return iter(self._items())

    def __contains__(self, value: object) -> bool:
        return value in self._items()

    def add(self, value: Key) -> None:
        self.update((value,))

    def discard(self, value: Key) -> None:
        self.difference_update((value,))

    def remove(self, value: Key) -> None:
        if value not in self._items():
            raise KeyError(value)
        self.discard(value)

    def pop(self) -> Key:
        for value in self._items():
            self.discard(value)
            return value
        raise KeyError("pop from an empty set")

    def clear(self) -> None:
        self.difference_update(set(self._items()))

    def update(self, *others: Iterable[Key]) -> None:
        items = self._items()
        new = tuple(dict.fromkeys(value for other in others for value in other if value not in items))
        if new:
            self._zproc_apply(Add(self._zproc_path(), new))

    def difference_update(self, *others: Iterable[Key]) -> None:
        items = self._items()
        gone = tuple(dict.fromkeys(value for other in others for value in other if value in items))
        if gone:
            self._zproc_apply(Discard(self._zproc_path(), gone))

    def intersection_update(self, *others: Iterable[Key]) -> None:
        items = self._items()
        self.difference_update(items - items.intersection(*others))

    def symmetric_difference_update(self, other: Iterable[Key]) -> None:
        other, items = set(other), set(self._items())
        self.difference_update(items & other)
        self.update(other - items)

    def copy(self) -> set[Key]:
        return set(self._items())

    def union(self, *others: Iterable[Key]) -> set[Key]:
        return self._items().union(*others)

    def intersection(self, *others: Iterable[Key]) -> set[Key]:
        return self._items().intersection(*others)

    def difference(self, *others: Iterable[Key]) -> set[Key]:
        return self._items().difference(*others)

    def symmetric_difference(self, other: Iterable[Key]) -> set[Key]:
        return self._items().symmetric_difference(other)

    def isdisjoint(self, other: Iterable[Key]) -> bool:
        return self._items().isdisjoint(other)

    def issubset(self, other: Iterable[Key]) -> bool:
        return self._items().issubset(other)

    def issuperset(self, other: Iterable[Key]) -> bool:
        return self._items().issuperset(other)

    __or__: ClassVar[_Operator] = _as_set_does("__or__")
    __ror__: ClassVar[_Operator] = _as_set_does("__ror__")
    __and__: ClassVar[_Operator] = _as_set_does("__and__")
    __rand__: ClassVar[_Operator] = _as_set_does("__rand__")
    __sub__: ClassVar[_Operator] = _as_set_does("__sub__")
    __rsub__: ClassVar[_Operator] = _as_set_does("__rsub__")
    __xor__: ClassVar[_Operator] = _as_set_does("__xor__")
    __rxor__: ClassVar[_Operator] = _as_set_does("__rxor__")
    __le__: ClassVar[_Operator] = _as_set_does("__le__")
    __lt__: ClassVar[_Operator] = _as_set_does("__lt__")
    __ge__: ClassVar[_Operator] = _as_set_does("__ge__")
    __gt__: ClassVar[_Operator] = _as_set_does("__gt__")

    __ior__: ClassVar[_Operator] = _in_place("update")
    __isub__: ClassVar[_Operator] = _in_place("difference_update")
    __iand__: ClassVar[_Operator] = _in_place("intersection_update")
    __ixor__: ClassVar[_Operator] = _in_place("symmetric_difference_update")

    def __eq__(self, other: object) -> bool:
        return self._items() == value_of(other)


MutableSet.register(SetDraft)
