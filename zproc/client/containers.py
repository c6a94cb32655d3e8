"""Live handles of lists, dicts and sets: the complete builtin interface.

The law: a read is of the present value, in one round trip at most however much of it is looked at; of a field that is
too large to be held, only what was asked for is sent. A change that does not depend on the present value is one op and
one round trip; any other is the draft's own method, run in a turn, so that what it saw is what it changed. Arguments
are evaluated before the turn, because they may be live themselves.
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
    Set as AbstractSet,
    ValuesView,
)
from contextlib import suppress
from typing import ClassVar, Generic, SupportsIndex, cast, overload

from typing_extensions import TypeVar

from zproc.client.container import ContainerHandle
from zproc.client.number import sent
from zproc.client.replica import LARGE
from zproc.client.turn import transact
from zproc.exceptions import SchemaError
from zproc.schema.containers import DictDraft, ListDraft, SetDraft
from zproc.schema.ops import MISSING, Add, Delete, Discard, Op, Set, Splice
from zproc.schema.shape import Kind
from zproc.schema.values import SCALARS, View, detached, plain, value_of
from zproc.typing import Key

__all__ = ["DictHandle", "ListHandle", "SetHandle"]

K = TypeVar("K", bound=Key)
R = TypeVar("R", default=object)
W = TypeVar("W", default=R)
D = TypeVar("D")


def _taken(values: object) -> list[object]:
    """Return some values as plain ones that are put elsewhere."""
    given = values.__zproc_taken__() if isinstance(values, View) else values
    return cast("list[object]", plain(list(cast("Iterable[object]", given))))


class ListHandle(ContainerHandle, MutableSequence[R], Generic[R, W], stands_for=list):
    """The live handle of a list.

    It is generic in what its elements are read as, live handles of their own where they are models or containers, and
    in what they are declared as.
    """

    __slots__ = ()
    _zproc_form: ClassVar[Kind] = Kind.LIST

    def _items(self) -> list[W]:
        return cast("list[W]", self.__zproc_value__())

    def _turn(self, function: Callable[[ListDraft], object], name: str) -> object:
        return transact(self, function, name)

    def __iter__(self) -> Iterator[R]:
        return iter([cast("R", self._zproc_part(index, value)) for index, value in enumerate(self._items())])

    def __reversed__(self) -> Iterator[R]:
        return reversed(list(self))

    def __contains__(self, value: object) -> bool:
        return value_of(value) in self._items()

    @overload
    def __getitem__(self, index: SupportsIndex) -> R: ...
    @overload
    def __getitem__(self, index: slice) -> list[R]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> object:
        found = self._zproc_found()
        if found is LARGE:
            part = self._part(index)
            if part is not None:
                return part[0] if not isinstance(index, slice) else part
        items = self._items() if found is LARGE else cast("list[object]", found)
        if isinstance(index, slice):
            return [self._zproc_part(place, items[place]) for place in range(*index.indices(len(items)))]
        value = items[index]
        asked = index.__index__()
        return self._zproc_child(asked if asked >= 0 else asked + len(items), value, asked)

    def _part(self, index: SupportsIndex | slice) -> list[object] | None:
        """Return a run of elements, without the others; ``None`` if it is no run, or the others tell what they are.

        Raises:
            IndexError: there is no element at the one index.
        """
        item = self._zproc_item()
        if item is None or (isinstance(index, slice) and index.step not in (None, 1)):
            return None
        if isinstance(index, slice):
            start, stop = [None if end is None else operator.index(end) for end in (index.start, index.stop)]
        else:
            start = _index(index)
            stop = None if start == -1 else start + 1
        first, found = cast(
            "tuple[int, list[object]]", self._zproc_client.look((*self._zproc_path, start, stop), "slice")
        )
        values = [self._zproc_typed(item, value) for value in found]
        if isinstance(index, slice):
            return [self._zproc_part(first + place, value) for place, value in enumerate(values)]
        if not values:
            raise IndexError("list index out of range")
        return [self._zproc_child(first, values[0], start)]

    @overload
    def __setitem__(self, index: SupportsIndex, value: R | W) -> None: ...
    @overload
    def __setitem__(self, index: slice, value: Iterable[R | W]) -> None: ...
    def __setitem__(self, index: SupportsIndex | slice, value: object) -> None:
        if isinstance(index, slice):
            new = _taken(value)
            self._turn(lambda draft: draft.__setitem__(index, new), "__setitem__")
            return
        place = _index(index)
        echo = self._zproc_echo(place, value)
        if echo is None:
            one = plain(value)
            if not self._zproc_at_once(Set((*self._zproc_path, place), one)):
                self._turn(lambda draft: draft.__setitem__(place, one), "__setitem__")
        elif echo:
            self._zproc_commit(*echo)
            sent(value)

    def __delitem__(self, index: SupportsIndex | slice) -> None:
        if isinstance(index, slice):
            self._turn(lambda draft: draft.__delitem__(index), "__delitem__")
        else:
            self._zproc_call("list.delete", _index(index))

    def insert(self, index: SupportsIndex, value: R | W) -> None:
        self._zproc_commit(Splice(self._zproc_path, operator.index(index), 0, (plain(value),)))

    def append(self, value: R | W) -> None:
        self._zproc_commit(Splice(self._zproc_path, None, 0, (plain(value),)))

    def extend(self, values: Iterable[R | W]) -> None:
        new = _taken(values)
        if new:
            self._zproc_commit(Splice(self._zproc_path, None, 0, tuple(new)))

    def pop(self, index: SupportsIndex = -1) -> W:  # type: ignore[override]  # what was taken out is live no more
        place = operator.index(index)
        item = self._zproc_item()
        if item is None:
            return cast("W", self._turn(lambda draft: draft.pop(place), "pop"))
        return cast("W", self._zproc_typed(item, self._zproc_call("list.pop", place)))

    def remove(self, value: R | W) -> None:
        wanted = value_of(value)
        one = plain(wanted)
        if type(one) in SCALARS:  # anything else is compared as what it is here
            self._zproc_call("list.remove", one)
        else:
            self._turn(lambda draft: draft.remove(wanted), "remove")

    def index(self, value: object, start: int = 0, stop: int | None = None) -> int:
        items = self._items()
        return items.index(cast("W", value_of(value)), start, len(items) if stop is None else stop)

    def count(self, value: object) -> int:
        return self._items().count(cast("W", value_of(value)))

    def clear(self) -> None:
        self._zproc_call("list.clear")

    def copy(self) -> list[W]:
        """Return a plain, detached list."""
        return cast("list[W]", detached(self._items()))

    def reverse(self) -> None:
        self._turn(lambda draft: draft.reverse(), "reverse")

    def sort(self, *, key: Callable[[W], object] | None = None, reverse: bool = False) -> None:
        by = cast("Callable[[object], object] | None", key)
        self._turn(lambda draft: draft.sort(key=by, reverse=reverse), "sort")

    def __iadd__(self, values: Iterable[R | W]) -> ListHandle[R, W]:
        self.extend(values)
        return self

    def __imul__(self, times: SupportsIndex) -> ListHandle[R, W]:
        number = operator.index(times)
        self._turn(lambda draft: draft.__imul__(number) is None, "__imul__")
        return self

    def __add__(self, other: list[W]) -> list[W]:
        return self.copy() + cast("list[W]", value_of(other))

    def __radd__(self, other: list[W]) -> list[W]:
        return other + self.copy()

    def __mul__(self, times: SupportsIndex) -> list[W]:
        return self.copy() * times

    __rmul__ = __mul__

    def __lt__(self, other: list[W]) -> bool:
        return self._items() < cast("list[W]", value_of(other))

    def __le__(self, other: list[W]) -> bool:
        return self._items() <= cast("list[W]", value_of(other))

    def __gt__(self, other: list[W]) -> bool:
        return self._items() > cast("list[W]", value_of(other))

    def __ge__(self, other: list[W]) -> bool:
        return self._items() >= cast("list[W]", value_of(other))


def _index(index: SupportsIndex) -> int:
    try:
        return operator.index(index)
    except TypeError:
        raise TypeError(f"list indices must be integers or slices, not {type(index).__name__}") from None


class _Keys(KeysView[K]):
    """The keys of a live dict: those of the moment, whenever they are gone through."""

    _mapping: DictHandle[K, object, object]

    def __reversed__(self) -> Iterator[K]:
        return reversed(self._mapping)

    def __repr__(self) -> str:
        return repr(cast("dict[K, object]", value_of(self._mapping)).keys())


class _Items(ItemsView[K, R]):
    """The items of a live dict: those of the moment, whenever they are gone through."""

    _mapping: DictHandle[K, R, object]

    def __iter__(self) -> Iterator[tuple[K, R]]:
        return iter(list(self._mapping.zproc_parts().items()))

    def __reversed__(self) -> Iterator[tuple[K, R]]:
        return reversed(list(self))

    def __repr__(self) -> str:
        return repr(cast("dict[K, object]", value_of(self._mapping)).items())


class _Values(ValuesView[R], Generic[K, R]):
    """The values of a live dict: those of the moment, whenever they are gone through."""

    _mapping: DictHandle[K, R, object]

    def __iter__(self) -> Iterator[R]:
        return iter(list(self._mapping.zproc_parts().values()))

    def __reversed__(self) -> Iterator[R]:
        return reversed(list(self))

    def __contains__(self, value: object) -> bool:
        return value_of(value) in cast("dict[K, object]", value_of(self._mapping)).values()

    def __repr__(self) -> str:
        return repr(cast("dict[K, object]", value_of(self._mapping)).values())


class DictHandle(ContainerHandle, MutableMapping[K, R], Generic[K, R, W], stands_for=dict):
    """The live handle of a dict.

    It is generic in its keys, in what its values are read as, live handles of their own where they are models or
    containers, and in what they are declared as.
    """

    __slots__ = ()
    _zproc_form: ClassVar[Kind] = Kind.DICT

    def _items(self) -> dict[K, W]:
        return cast("dict[K, W]", self.__zproc_value__())

    def zproc_parts(self) -> dict[K, R]:
        """Return keys and values of one moment."""
        return {key: cast("R", self._zproc_part(key, value)) for key, value in self._items().items()}

    def _turn(self, function: Callable[[DictDraft], object], name: str) -> object:
        return transact(self, function, name)

    def __iter__(self) -> Iterator[K]:
        return iter(self._items())

    def __reversed__(self) -> Iterator[K]:
        return reversed(self._items())

    def __contains__(self, key: object) -> bool:
        hash(key)
        found = self._zproc_found()
        return self._zproc_has(key) if found is LARGE else key in cast("dict[Key, object]", found)

    def __getitem__(self, key: K) -> R:
        hash(key)
        found = self._zproc_found()
        if found is LARGE:
            return cast("R", self._zproc_element(key, KeyError(key)))
        return cast("R", self._zproc_child(key, cast("dict[K, object]", found)[key]))

    def __setitem__(self, key: K, value: R | W) -> None:
        hash(key)
        self._zproc_put(key, value)

    def __delitem__(self, key: K) -> None:
        hash(key)
        if not self._zproc_at_once(Delete((*self._zproc_path, plain(key)))):
            self._turn(lambda draft: draft.__delitem__(key), "__delitem__")

    def keys(self) -> KeysView[K]:
        return _Keys(self)

    def items(self) -> ItemsView[K, R]:
        return _Items(self)

    def values(self) -> ValuesView[R]:
        view: _Values[K, R] = _Values(self)
        return view

    @overload  # type: ignore[override]  # what was taken out is live no more
    def pop(self, key: K, /) -> W: ...
    @overload
    def pop(self, key: K, /, default: D) -> W | D: ...
    def pop(self, key: K, /, default: object = MISSING) -> object:
        found = self._pop(key)
        if found:
            return found[0]
        if default is MISSING:
            raise KeyError(key)
        return default

    def _pop(self, key: K) -> list[object]:
        """Take a key out, and return what stood there, or nothing."""
        item = self._zproc_item()
        if item is not None:
            with suppress(SchemaError):  # a key that cannot be sent
                found = cast("list[object]", self._zproc_call("dict.pop", key))
                return [self._zproc_typed(item, value) for value in found]
        nothing = object()
        found = [self._turn(lambda draft: draft.pop(key, nothing), "pop")]
        return [] if found[0] is nothing else found

    def popitem(self) -> tuple[K, W]:  # type: ignore[override]  # what was taken out is live no more
        item = self._zproc_item()
        if item is None:
            return cast("tuple[K, W]", self._turn(lambda draft: draft.popitem(), "popitem"))
        key, value = cast("tuple[K, object]", self._zproc_call("dict.popitem"))
        return key, cast("W", self._zproc_typed(item, value))

    @overload
    def setdefault(self: DictHandle[K, R | None, W], key: K, default: None = None) -> R | None: ...
    @overload
    def setdefault(self, key: K, default: R | W) -> R: ...
    def setdefault(self, key: K, default: object = None) -> object:
        new = plain(default)
        return self._zproc_child(key, self._turn(lambda draft: draft.setdefault(key, new), "setdefault"))

    def update(  # type: ignore[override]  # keywords are keys, whatever the keys are declared as
        self, other: Mapping[K, R | W] | Iterable[tuple[K, R | W]] = (), /, **more: R | W
    ) -> None:
        new: dict[Key, object] = {}
        new.update(cast("Mapping[Key, object]", other.__zproc_taken__() if isinstance(other, View) else other))
        new.update(more)
        ops: list[Op] = [Set((*self._zproc_path, key), plain(value)) for key, value in new.items()]
        if ops:
            self._zproc_commit(*ops)

    def clear(self) -> None:
        self._zproc_call("dict.clear")

    def copy(self) -> dict[K, W]:
        """Return a plain, detached dict."""
        return cast("dict[K, W]", detached(self._items()))

    def __or__(self, other: Mapping[K, W]) -> dict[K, W]:
        return self.copy() | cast("dict[K, W]", value_of(other))

    def __ror__(self, other: Mapping[K, W]) -> dict[K, W]:
        return cast("dict[K, W]", value_of(other)) | self.copy()

    def __ior__(self, other: Mapping[K, R | W] | Iterable[tuple[K, R | W]]) -> DictHandle[K, R, W]:
        self.update(other)
        return self


class SetHandle(ContainerHandle, MutableSet[K], Generic[K], stands_for=set):
    """The live handle of a set."""

    __slots__ = ()
    _zproc_form: ClassVar[Kind] = Kind.SET

    def _items(self) -> set[K]:
        return cast("set[K]", self.__zproc_value__())

    def _turn(self, function: Callable[[SetDraft], object], name: str) -> object:
        return transact(self, function, name)

    def __iter__(self) -> Iterator[K]:
        return iter(self._items())

    def __contains__(self, value: object) -> bool:
        hash(value)
        found = self._zproc_found()
        return self._zproc_has(value) if found is LARGE else value in cast("set[K]", found)

    def add(self, value: K) -> None:
        self._zproc_commit(Add(self._zproc_path, _elements([value])))

    def discard(self, value: K) -> None:
        self._zproc_commit(Discard(self._zproc_path, _elements([value])))

    def remove(self, value: K) -> None:
        hash(value)
        try:
            self._zproc_call("set.remove", value)
        except SchemaError:  # one that cannot be sent, or what stands here is no set any more
            self._turn(lambda draft: draft.remove(value), "remove")

    def pop(self) -> K:
        item = self._zproc_item()
        if item is None:
            return cast("K", self._turn(lambda draft: draft.pop(), "pop"))
        return cast("K", self._zproc_typed(item, self._zproc_call("set.pop")))

    def clear(self) -> None:
        self._zproc_call("set.clear")

    def update(self, *others: Iterable[K]) -> None:
        new = _elements(value for other in others for value in other)
        if new:
            self._zproc_commit(Add(self._zproc_path, new))

    def difference_update(self, *others: Iterable[object]) -> None:
        gone = _elements(value for other in others for value in other)
        if gone:
            self._zproc_commit(Discard(self._zproc_path, gone))

    def intersection_update(self, *others: Iterable[object]) -> None:
        kept = [set(other) for other in others]
        self._turn(lambda draft: draft.intersection_update(*kept), "intersection_update")

    def symmetric_difference_update(self, other: Iterable[K]) -> None:
        changed = set(other)
        self._turn(lambda draft: draft.symmetric_difference_update(changed), "symmetric_difference_update")

    def copy(self) -> set[K]:
        """Return a plain, detached set."""
        return set(self._items())

    def union(self, *others: Iterable[D]) -> set[K | D]:
        return self._items().union(*others)

    def intersection(self, *others: Iterable[object]) -> set[K]:
        return self._items().intersection(*others)

    def difference(self, *others: Iterable[object]) -> set[K]:
        return self._items().difference(*others)

    def symmetric_difference(self, other: Iterable[D]) -> set[K | D]:
        return self._items().symmetric_difference(other)

    def issubset(self, other: Iterable[object]) -> bool:
        return self._items().issubset(other)

    def issuperset(self, other: Iterable[object]) -> bool:
        return self._items().issuperset(other)

    def isdisjoint(self, other: Iterable[object]) -> bool:
        return self._items().isdisjoint(other)

    # A new set is a plain one. The mixins of MutableSet would ask for one element after the other.

    def __or__(self, other: AbstractSet[D]) -> set[K | D]:
        return self._items() | cast("set[D]", value_of(other))

    def __and__(self, other: AbstractSet[object]) -> set[K]:
        return self._items() & cast("set[K]", value_of(other))

    def __sub__(self, other: AbstractSet[object]) -> set[K]:
        return self._items() - cast("set[K]", value_of(other))

    def __xor__(self, other: AbstractSet[D]) -> set[K | D]:
        return self._items() ^ cast("set[D]", value_of(other))

    def __ror__(self, other: AbstractSet[K]) -> set[K]:
        return cast("set[K]", other) | self._items()

    def __rand__(self, other: AbstractSet[K]) -> set[K]:
        return cast("set[K]", other) & self._items()

    def __rsub__(self, other: AbstractSet[K]) -> set[K]:
        return cast("set[K]", other) - self._items()

    def __rxor__(self, other: AbstractSet[K]) -> set[K]:
        return cast("set[K]", other) ^ self._items()

    def __le__(self, other: AbstractSet[object]) -> bool:
        return self._items() <= cast("set[K]", value_of(other))

    def __lt__(self, other: AbstractSet[object]) -> bool:
        return self._items() < cast("set[K]", value_of(other))

    def __ge__(self, other: AbstractSet[object]) -> bool:
        return self._items() >= cast("set[K]", value_of(other))

    def __gt__(self, other: AbstractSet[object]) -> bool:
        return self._items() > cast("set[K]", value_of(other))

    def __ior__(self, other: AbstractSet[K]) -> SetHandle[K]:  # type: ignore[override,misc]  # no others get in
        if not isinstance(other, AbstractSet):
            return NotImplemented
        self.update(other)
        return self

    def __isub__(self, other: AbstractSet[object]) -> SetHandle[K]:
        if not isinstance(other, AbstractSet):
            return NotImplemented
        self.difference_update(set(other))
        return self

    def __iand__(self, other: AbstractSet[object]) -> SetHandle[K]:
        if not isinstance(other, AbstractSet):
            return NotImplemented
        self.intersection_update(other)
        return self

    def __ixor__(self, other: AbstractSet[K]) -> SetHandle[K]:  # type: ignore[override,misc]  # no others get in
        if not isinstance(other, AbstractSet):
            return NotImplemented
        self.symmetric_difference_update(other)
        return self


def _elements(values: Iterable[Key]) -> tuple[Key, ...]:
    """Return values as elements of a set: each once, and hashable."""
    return tuple(map(plain, dict.fromkeys(values)))
