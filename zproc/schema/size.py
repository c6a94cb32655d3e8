"""The size of a state, maintained from its changes.

The law: the size of a value is about the number of bytes that it is encoded in, never less than half of it, and depends
on the value only. So the size of a state plus the growth by each change is exactly the size of the state after it,
however many changes there were. Computing the growth by a change costs what the change costs.

A number in a field of the state itself counts as 64 bits, however long it is: the model declares only so many of these
fields, and replacing one number by another is the most common change.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Final, cast

from pydantic import BaseModel

from zproc.schema.change import Change
from zproc.schema.ops import MISSING, Add, Delete, Discard, Set, Splice

__all__ = ["NUMBERS", "growth", "size_of", "size_of_state"]

NUMBERS: Final = frozenset({bool, int, float, type(None)})
"""The types that are one size in a field of the state."""

_NUMBER: Final = 9
_HEAD: Final = 5
_OTHER: Final = 40
"""Of what has one size for all values, such as a datetime."""

_SMALL: Final = 1 << 63


def size_of_state(state: BaseModel) -> int:
    """Return the size of a whole state."""
    values = state.__dict__
    return sum(_in_field(values[name]) for name in type(state).model_fields)


def growth(change: Change) -> int:
    """Return by how much a change makes a state larger, or, below zero, smaller."""
    op, old = change.op, change.old
    if type(op) is Set:
        if len(op.path) == 1:  # a field, which always has a value
            is_number = type(op.value) in NUMBERS and type(old) in NUMBERS
            return 0 if is_number else _in_field(op.value) - _in_field(old)
        return size_of(op.value) + (size_of(op.path[-1]) if old is MISSING else -size_of(old))
    match op:
        case Delete(path):
            return -size_of(path[-1]) - size_of(old)
        case Splice(_, _, _, values):
            return _together(values) - _together(cast("list[object]", old))
        case Add(_, values):
            return _together(values)
        case Discard(_, values):
            return -_together(values)
        case _:
            raise AssertionError("an Update is recorded as the Set that it comes to")


def _in_field(value: object) -> int:
    return _NUMBER if type(value) in NUMBERS else size_of(value)


def size_of(value: object) -> int:
    """Return the size of a value; a model is a dict of its fields."""
    kind = type(value)
    if kind is int:
        number = cast("int", value)
        return _NUMBER if -_SMALL <= number < _SMALL else _NUMBER + number.bit_length() // 4
    if kind in NUMBERS:
        return _NUMBER
    if isinstance(value, Enum):
        return _NUMBER + size_of(value.value)
    if isinstance(value, str):
        return _HEAD + (len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass")))
    if isinstance(value, bytes):
        return _HEAD + len(value)
    if isinstance(value, dict):
        return _HEAD + _together(value) + _together(value.values())
    if isinstance(value, (list, tuple, set, frozenset)):
        return _HEAD + _together(value)
    if isinstance(value, BaseModel):
        fields = value.__dict__
        return _HEAD + sum(size_of(name) + size_of(fields[name]) for name in type(value).model_fields)
    if isinstance(value, (Decimal, PurePath)):
        return _HEAD + len(str(value))
    return _OTHER


def _together(values: Iterable[object]) -> int:
    """Return the total size of some values.

    Of a million they are mostly of one type, and then it is C that looks at each.
    """
    values = list(values)
    kinds = set(map(type, values))
    if kinds == {str}:
        text = "".join(cast("list[str]", values))
        return _HEAD * len(values) + size_of(text) - _HEAD
    if kinds <= {float, bool, type(None)} or (kinds == {int} and _are_small(cast("list[int]", values))):
        return _NUMBER * len(values)
    return sum(map(size_of, values))


def _are_small(numbers: list[int]) -> bool:
    return min(numbers) >= -_SMALL and max(numbers) < _SMALL
