"""Live handles of lists, dicts and sets: the whole ordinary interface of each.

The law: reading is done on the value as it is now, in one round trip at most however much of it is looked at; of a
field that is too large to be held, only what was asked for is sent. A change that
needs to know nothing of the present is one op and one round trip; every other is the draft's own method run in a turn,
so that what it saw is what it changed. Arguments are looked at before the turn: they may be live themselves.
"""

from __future__ import annotations

import operator
from collections.abc import (
    Callable,
    ItemsView,
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
    MutableSequence,
    MutableSet,
    Set as AbstractSet,
    Sized,
    ValuesView,
)
from typing import SupportsIndex, cast, overload

from zproc.client.handle import Handle
from zproc.client.number import sent
from zproc.client.replica import LARGE
from zproc.client.turn import transact
from zproc.schema.containers import DictDraft, ListDraft, SetDraft
from zproc.schema.ops import MISSING, Add, Discard, Op, Set, Splice
from zproc.schema.values import View, detached, plain
from zproc.typing import Key

__all__ = ["DictHandle", "ListHandle", "SetHandle"]


def _value(other: object) -> object:
    return other.__zproc_value__() if isinstance(other, View) else other


class ListHandle(Handle, MutableSequence[object], stands_for=list):
    """The live handle of a list."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]  # like a list

    def _items(self) -> list[object]:
        return cast("list[object]", self.__zproc_value__())

    def _turn(self, function: Callable[[ListDraft], object], name: str) -> object:
        return transact(self, function, name)

    def __len__(self) -> int:
        found = self._zproc_found()
        return self._zproc_length() if found is LARGE else len(cast("Sized", found))

    def __iter__(self) -> Iterator[object]:
        return iter([self._zproc_part(index, value) for index, value in enumerate(self._items())])

    def __reversed__(self) -> Iterator[object]:
        return reversed(list(self))

    def __contains__(self, value: object) -> bool:
        return _value(value) in self._items()

    @overload
    def __getitem__(self, index: SupportsIndex) -> object: ...
    @overload
    def __getitem__(self, index: slice) -> list[object]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> object:
        found = self._zproc_found()
        if found is LARGE and not isinstance(index, slice) and (place := _index(index)) >= 0:
            return self._zproc_element(place, IndexError("list index out of range"))
        items = self._items() if found is LARGE else cast("list[object]", found)
        if isinstance(index, slice):
            return [self._zproc_part(place, items[place]) for place in range(*index.indices(len(items)))]
        value = items[index]
        asked = index.__index__()
        return self._zproc_child(asked if asked >= 0 else asked + len(items), value, asked)

    @overload
    def __setitem__(self, index: SupportsIndex, value: object) -> None: ...
    @overload
    def __setitem__(self, index: slice, value: Iterable[object]) -> None: ...
    def __setitem__(self, index: SupportsIndex | slice, value: object) -> None:
        if isinstance(index, slice):
            new = cast("list[object]", plain(list(cast("Iterable[object]", _value(value)))))
            self._turn(lambda draft: draft.__setitem__(index, new), "__setitem__")
            return
        place = _index(index)
        echo = self._zproc_echo(place, value)
        if echo is None:
            one = plain(value)
            self._turn(lambda draft: draft.__setitem__(place, one), "__setitem__")
        elif echo:
            self._zproc_commit(*echo)
            sent(value)

    def __delitem__(self, index: SupportsIndex | slice) -> None:
        which = index if isinstance(index, slice) else _index(index)
        self._turn(lambda draft: draft.__delitem__(which), "__delitem__")

    def insert(self, index: SupportsIndex, value: object) -> None:
        self._zproc_commit(Splice(self._zproc_path, operator.index(index), 0, (plain(value),)))

    def append(self, value: object) -> None:
        self._zproc_commit(Splice(self._zproc_path, None, 0, (plain(value),)))

    def extend(self, values: Iterable[object]) -> None:
        new = cast("list[object]", plain(list(cast("Iterable[object]", _value(values)))))
        if new:
            self._zproc_commit(Splice(self._zproc_path, None, 0, tuple(new)))

    def pop(self, index: SupportsIndex = -1) -> object:
        place = operator.index(index)
        return self._turn(lambda draft: draft.pop(place), "pop")

    def remove(self, value: object) -> None:
        wanted = _value(value)
        self._turn(lambda draft: draft.remove(wanted), "remove")

    def index(self, value: object, start: int = 0, stop: int | None = None) -> int:
        items = self._items()
        return items.index(_value(value), start, len(items) if stop is None else stop)

    def count(self, value: object) -> int:
        return self._items().count(_value(value))

    def clear(self) -> None:
        self._turn(lambda draft: draft.clear(), "clear")

    def copy(self) -> list[object]:
        """Return a plain, detached list."""
        return cast("list[object]", detached(self._items()))

    def reverse(self) -> None:
        self._turn(lambda draft: draft.reverse(), "reverse")

    def sort(self, *, key: Callable[[object], object] | None = None, reverse: bool = False) -> None:
        self._turn(lambda draft: draft.sort(key=key, reverse=reverse), "sort")

    def __iadd__(self, values: Iterable[object]) -> ListHandle:
        self.extend(values)
        return self

    def __imul__(self, times: SupportsIndex) -> ListHandle:
        number = operator.index(times)
        self._turn(lambda draft: draft.__imul__(number) is None, "__imul__")
        return self

    def __add__(self, other: list[object]) -> list[object]:
        return self.copy() + cast("list[object]", _value(other))

    def __radd__(self, other: list[object]) -> list[object]:
        return other + self.copy()

    def __mul__(self, times: SupportsIndex) -> list[object]:
        return self.copy() * times

    __rmul__ = __mul__

    def __eq__(self, other: object) -> bool:
        return self._items() == _value(other)

    def __lt__(self, other: list[object]) -> bool:
        return self._items() < cast("list[object]", _value(other))

    def __le__(self, other: list[object]) -> bool:
        return self._items() <= cast("list[object]", _value(other))

    def __gt__(self, other: list[object]) -> bool:
        return self._items() > cast("list[object]", _value(other))

    def __ge__(self, other: list[object]) -> bool:
        return self._items() >= cast("list[object]", _value(other))


def _index(index: SupportsIndex) -> int:
    try:
        return operator.index(index)
    except TypeError:
        raise TypeError(f"list indices must be integers or slices, not {type(index).__name__}") from None


class _Items(ItemsView[Key, object]):
    """The items of a live dict: those of the moment, whenever they are gone through."""

    _mapping: DictHandle

    def __iter__(self) -> Iterator[tuple[Key, object]]:
        return iter(list(self._mapping.zproc_parts().items()))

    def __repr__(self) -> str:
        return repr(cast("dict[Key, object]", _value(self._mapping)).items())


class _Values(ValuesView[object]):
    """The values of a live dict: those of the moment, whenever they are gone through."""

    _mapping: DictHandle

    def __iter__(self) -> Iterator[object]:
        return iter(list(self._mapping.zproc_parts().values()))

    def __contains__(self, value: object) -> bool:
        return _value(value) in cast("dict[Key, object]", _value(self._mapping)).values()

    def __repr__(self) -> str:
        return repr(cast("dict[Key, object]", _value(self._mapping)).values())


class DictHandle(Handle, MutableMapping[Key, object], stands_for=dict):
    """The live handle of a dict."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]  # like a dict

    def _items(self) -> dict[Key, object]:
        return cast("dict[Key, object]", self.__zproc_value__())

    def zproc_parts(self) -> dict[Key, object]:
        """Return keys and values of one moment."""
        return {key: self._zproc_part(key, value) for key, value in self._items().items()}

    def _turn(self, function: Callable[[DictDraft], object], name: str) -> object:
        return transact(self, function, name)

    def __len__(self) -> int:
        found = self._zproc_found()
        return self._zproc_length() if found is LARGE else len(cast("Sized", found))

    def __iter__(self) -> Iterator[Key]:
        return iter(self._items())

    def __reversed__(self) -> Iterator[Key]:
        return reversed(self._items())

    def __contains__(self, key: object) -> bool:
        hash(key)
        found = self._zproc_found()
        return self._zproc_has(key) if found is LARGE else key in cast("dict[Key, object]", found)

    def __getitem__(self, key: Key) -> object:
        hash(key)
        found = self._zproc_found()
        if found is LARGE:
            return self._zproc_element(key, KeyError(key))
        return self._zproc_child(key, cast("dict[Key, object]", found)[key])

    def __setitem__(self, key: Key, value: object) -> None:
        hash(key)
        self._zproc_put(key, value)

    def __delitem__(self, key: Key) -> None:
        self._turn(lambda draft: draft.__delitem__(key), "__delitem__")

    def items(self) -> ItemsView[Key, object]:
        return _Items(self)

    def values(self) -> ValuesView[object]:
        return _Values(self)

    @overload
    def pop(self, key: Key, /) -> object: ...
    @overload
    def pop(self, key: Key, /, default: object) -> object: ...
    def pop(self, key: Key, /, default: object = MISSING) -> object:
        nothing = MISSING if default is MISSING else object()  # the default itself may be live
        found = self._turn(lambda draft: draft.pop(key, nothing), "pop")
        return default if found is nothing else found

    def popitem(self) -> tuple[Key, object]:
        return cast("tuple[Key, object]", self._turn(lambda draft: draft.popitem(), "popitem"))

    def setdefault(self, key: Key, default: object = None) -> object:
        new = plain(default)
        return self._zproc_child(key, self._turn(lambda draft: draft.setdefault(key, new), "setdefault"))

    def update(self, *others: object, **more: object) -> None:
        new: dict[Key, object] = {}
        new.update(*[cast("Mapping[Key, object]", _value(other)) for other in others])
        new.update(more)
        ops: list[Op] = [Set((*self._zproc_path, key), plain(value)) for key, value in new.items()]
        if ops:
            self._zproc_commit(*ops)

    def clear(self) -> None:
        self._turn(lambda draft: draft.clear(), "clear")

    def copy(self) -> dict[Key, object]:
        """Return a plain, detached dict."""
        return cast("dict[Key, object]", detached(self._items()))

    def __or__(self, other: Mapping[Key, object]) -> dict[Key, object]:
        return self.copy() | cast("dict[Key, object]", _value(other))

    def __ror__(self, other: Mapping[Key, object]) -> dict[Key, object]:
        return cast("dict[Key, object]", _value(other)) | self.copy()

    def __ior__(self, other: Mapping[Key, object] | Iterable[tuple[Key, object]]) -> DictHandle:
        self.update(other)
        return self

    def __eq__(self, other: object) -> bool:
        return self._items() == _value(other)


class SetHandle(Handle, MutableSet[Key], stands_for=set):
    """The live handle of a set."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]  # like a set

    def _items(self) -> set[Key]:
        return cast("set[Key]", self.__zproc_value__())

    def _turn(self, function: Callable[[SetDraft], object], name: str) -> object:
        return transact(self, function, name)

    def __len__(self) -> int:
        found = self._zproc_found()
        return self._zproc_length() if found is LARGE else len(cast("Sized", found))

    def __iter__(self) -> Iterator[Key]:
        return iter(self._items())

    def __contains__(self, value: object) -> bool:
        hash(value)
        found = self._zproc_found()
        return self._zproc_has(value) if found is LARGE else value in cast("set[Key]", found)

    def add(self, value: Key) -> None:
        self._zproc_commit(Add(self._zproc_path, _elements([value])))

    def discard(self, value: Key) -> None:
        self._zproc_commit(Discard(self._zproc_path, _elements([value])))

    def remove(self, value: Key) -> None:
        self._turn(lambda draft: draft.remove(value), "remove")

    def pop(self) -> Key:
        return self._turn(lambda draft: draft.pop(), "pop")

    def clear(self) -> None:
        self._turn(lambda draft: draft.clear(), "clear")

    def update(self, *others: Iterable[Key]) -> None:
        new = _elements(value for other in others for value in other)
        if new:
            self._zproc_commit(Add(self._zproc_path, new))

    def difference_update(self, *others: Iterable[Key]) -> None:
        gone = _elements(value for other in others for value in other)
        if gone:
            self._zproc_commit(Discard(self._zproc_path, gone))

    def intersection_update(self, *others: Iterable[Key]) -> None:
        kept = [set(other) for other in others]
        self._turn(lambda draft: draft.intersection_update(*kept), "intersection_update")

    def symmetric_difference_update(self, other: Iterable[Key]) -> None:
        changed = set(other)
        self._turn(lambda draft: draft.symmetric_difference_update(changed), "symmetric_difference_update")

    def copy(self) -> set[Key]:
        """Return a plain, detached set."""
        return set(self._items())

    def union(self, *others: Iterable[Key]) -> set[Key]:
        return self._items().union(*others)

    def intersection(self, *others: Iterable[Key]) -> set[Key]:
        return self._items().intersection(*others)

    def difference(self, *others: Iterable[Key]) -> set[Key]:
        return self._items().difference(*others)

    def symmetric_difference(self, other: Iterable[Key]) -> set[Key]:
        return self._items().symmetric_difference(other)

    def issubset(self, other: Iterable[Key]) -> bool:
        return self._items().issubset(other)

    def issuperset(self, other: Iterable[Key]) -> bool:
        return self._items().issuperset(other)

    def isdisjoint(self, other: Iterable[Key]) -> bool:
        return self._items().isdisjoint(other)

    # A new set is a plain one. The mixins of MutableSet would ask for one element after the other.

    def __or__(self, other: AbstractSet[Key]) -> set[Key]:
        return self._items() | cast("set[Key]", _value(other))

    def __and__(self, other: AbstractSet[Key]) -> set[Key]:
        return self._items() & cast("set[Key]", _value(other))

    def __sub__(self, other: AbstractSet[Key]) -> set[Key]:
        return self._items() - cast("set[Key]", _value(other))

    def __xor__(self, other: AbstractSet[Key]) -> set[Key]:
        return self._items() ^ cast("set[Key]", _value(other))

    def __ror__(self, other: AbstractSet[Key]) -> set[Key]:
        return cast("set[Key]", other) | self._items()

    def __rand__(self, other: AbstractSet[Key]) -> set[Key]:
        return cast("set[Key]", other) & self._items()

    def __rsub__(self, other: AbstractSet[Key]) -> set[Key]:
        return cast("set[Key]", other) - self._items()

    def __rxor__(self, other: AbstractSet[Key]) -> set[Key]:
        return cast("set[Key]", other) ^ self._items()

    def __le__(self, other: AbstractSet[Key]) -> bool:
        return self._items() <= cast("set[Key]", _value(other))

    def __lt__(self, other: AbstractSet[Key]) -> bool:
        return self._items() < cast("set[Key]", _value(other))

    def __ge__(self, other: AbstractSet[Key]) -> bool:
        return self._items() >= cast("set[Key]", _value(other))

    def __gt__(self, other: AbstractSet[Key]) -> bool:
        return self._items() > cast("set[Key]", _value(other))

    def __ior__(self, other: AbstractSet[Key]) -> SetHandle:
        if not isinstance(other, AbstractSet):
            return NotImplemented
        self.update(other)
        return self

    def __isub__(self, other: AbstractSet[Key]) -> SetHandle:
        if not isinstance(other, AbstractSet):
            return NotImplemented
        self.difference_update(set(other))
        return self

    def __iand__(self, other: AbstractSet[Key]) -> SetHandle:
        if not isinstance(other, AbstractSet):
            return NotImplemented
        self.intersection_update(other)
        return self

    def __ixor__(self, other: AbstractSet[Key]) -> SetHandle:
        if not isinstance(other, AbstractSet):
            return NotImplemented
        self.symmetric_difference_update(other)
        return self

    def __eq__(self, other: object) -> bool:
        return self._items() == _value(other)


def _elements(values: Iterable[Key]) -> tuple[Key, ...]:
    """Return values as elements of a set: each once, and hashable."""
    return tuple(map(plain, dict.fromkeys(values)))
