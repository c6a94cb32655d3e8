"""Values as plain data, and when two of them are the same.

The law: whatever is stored, sent or shown to a validator is a detached copy in plain data, and nothing that is handed
to a caller can change the state behind its back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, time, timezone
from decimal import Decimal
from enum import Enum
from typing import Final, cast

from pydantic import BaseModel

from zproc.arguments import shown
from zproc.exceptions import SchemaError

__all__ = ["SCALARS", "View", "copied", "detached", "is_atom", "plain", "same", "shown", "value_of"]

SCALARS: Final = frozenset({bool, int, float, complex, str, bytes, type(None)})
"""The types of the commonest atoms, which are plain data as they are."""

_EQUAL_IF_SAME: Final = frozenset({bool, int, str, bytes, type(None)})
_TO_BUILTIN: Final[Mapping[type, Callable[[object], object]]] = {
    str: cast("Callable[[object], object]", str.__str__),
    int: cast("Callable[[object], object]", int.__int__),
    float: cast("Callable[[object], object]", float.__float__),
    bytes: cast("Callable[[object], object]", bytes.__bytes__),
}
_CONTAINERS: Final = (BaseModel, list, dict, set)


class View:
    """Stands for a value that lives elsewhere: a draft or a live handle.

    Not an abstract class, whose ``isinstance`` runs in Python: it is asked all the time.
    """

    __slots__ = ()

    def __zproc_value__(self) -> object:
        """Return the value itself, which is not to be changed."""
        raise NotImplementedError

    def __zproc_taken__(self) -> object:
        """Return the value as it is put elsewhere, which is not to be changed."""
        return self.__zproc_value__()


def value_of(value: object) -> object:
    """Return what a view stands for, anything else as it is."""
    return value.__zproc_value__() if isinstance(value, View) else value


def plain(value: object) -> object:
    """Return a detached copy made of plain data: models become dicts by field name; scalars are themselves.

    What validators are shown is always this, because pydantic trusts instances of a model without looking inside. A
    number or text of a subclass becomes the builtin that it is, because it may remember more than its value.

    Raises:
        SchemaError: the value contains itself.
    """
    kind = type(value)
    if kind in SCALARS:
        return value
    try:
        # Of a million elements most are scalars, and a call for each would be most of what a commit of them costs.
        if kind is list:
            return [item if type(item) in SCALARS else plain(item) for item in cast("list[object]", value)]
        if kind is dict:
            return {
                key if type(key) is str else _plain_key(key): item if type(item) in SCALARS else plain(item)
                for key, item in cast("dict[object, object]", value).items()
            }
        if isinstance(value, View):
            return plain(value.__zproc_taken__())
        if isinstance(value, BaseModel):
            return {name: plain(item) for name, item in _fields(value)}
        return _plain_other(value)
    except RecursionError as error:
        raise SchemaError(kind.__name__, f"cannot be shared: {error}") from None


def _plain_other(value: object) -> object:
    if isinstance(value, Enum):
        return value
    if isinstance(value, datetime):
        return _with_offset(value)
    if isinstance(value, dict):
        return {_plain_key(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, tuple):
        return tuple([plain(item) for item in value])
    if isinstance(value, frozenset):
        return frozenset(map(_plain_key, value))
    if isinstance(value, set):
        return set(map(_plain_key, value))
    for base, convert in _TO_BUILTIN.items():
        if isinstance(value, base):
            return convert(value)
    return value


def _with_offset(value: datetime) -> datetime:
    """Return a datetime without the rules or the name of its time zone: the offset from UTC is what travels."""
    offset = value.utcoffset()
    if offset is None or value.tzinfo is UTC:
        return value
    return value.replace(tzinfo=timezone(offset))


def _plain_key(key: object) -> object:
    """Return a dict's key or a set's element as plain data; a model is left for validation to refuse."""
    return key if type(key) is str or isinstance(key, BaseModel) else plain(key)


def _fields(model: BaseModel) -> Iterator[tuple[str, object]]:
    """Yield the fields of a model by name. Nothing else of its ``__dict__``: a cached property may be stale."""
    values = model.__dict__
    # A client's root fetches a field when it is first looked at (``__missing__``), which ``in`` would not see.
    on_demand = type(values) is not dict
    for name in type(model).model_fields:
        if on_demand or name in values:
            yield name, values[name]


def same(a: object, b: object) -> bool:
    """Whether two values are indistinguishable, but for the order of a dict's keys.

    They are equal, and of equal types all the way down; NaN is itself, ``-0.0`` is not ``0.0``.
    """
    if a is b:
        return True
    kind = type(a)
    if kind is not type(b):
        return False
    if kind in _EQUAL_IF_SAME:
        return a == b
    if isinstance(a, BaseModel):
        return _same_items(dict(_fields(a)), dict(_fields(cast("BaseModel", b))))
    if isinstance(a, dict):
        return _same_items(a, cast("dict[object, object]", b))
    if isinstance(a, (list, tuple)):
        items = cast("list[object]", b)
        return len(a) == len(items) and all(map(same, a, items))
    if isinstance(a, (set, frozenset)):
        return len(a) == len(cast("set[object]", b)) and _identities(a) == _identities(cast("set[object]", b))
    return _identity(a) == _identity(b)


def _same_items(a: dict[object, object], b: dict[object, object]) -> bool:
    if len(a) != len(b):
        return False
    if not all(type(key) is str for key in a):
        # 1, True and 1.0 are one key to a dict, and three to whoever reads it.
        a = {_identity(key): value for key, value in a.items()}
        b = {_identity(key): value for key, value in b.items()}
    return all(key in b and same(value, b[key]) for key, value in a.items())


def _identities(values: set[object] | frozenset[object]) -> set[object]:
    return set(map(_identity, values))


def _identity(value: object) -> object:
    """Return something that is equal for indistinguishable scalars and hashable values only."""
    if isinstance(value, (float, complex, Decimal, datetime, time)):
        return type(value), repr(value)
    if isinstance(value, tuple):
        return tuple, tuple(map(_identity, value))
    if isinstance(value, frozenset):
        return frozenset, frozenset(map(_identity, value))
    return type(value), value


def is_atom(value: object) -> bool:
    """Whether nothing inside of a value can be changed, so that it may be handed out as it is."""
    if type(value) in SCALARS:
        return True
    if isinstance(value, tuple):
        return all(map(is_atom, value))
    return not isinstance(value, (*_CONTAINERS, View))


def detached(value: object) -> object:
    """Return a copy that shares nothing changeable with the state; a view becomes what it stands for."""
    if is_atom(value):
        return value
    if isinstance(value, View):
        return detached(value.__zproc_value__())
    if isinstance(value, BaseModel):
        return copied(value, detached)
    if isinstance(value, list):
        return [detached(item) for item in value]
    if isinstance(value, dict):
        return {key: detached(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple([detached(item) for item in value])
    return set(cast("set[object]", value))


def copied(model: BaseModel, convert: Callable[[object], object]) -> BaseModel:
    """Return a copy of a model with its fields converted; private attributes, which are not shared, as they are."""
    copy = BaseModel.__copy__(model)
    object.__setattr__(copy, "__dict__", {name: convert(item) for name, item in _fields(model)})
    return copy
