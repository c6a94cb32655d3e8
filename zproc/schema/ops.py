"""Mutations as data: what a commit is made of.

The law: an op is a value of plain data and the smallest description of its change; applied to equal trees, it gives
equal trees. Whether it may be applied is decided in ``transaction``.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from enum import Enum
from typing import Final, TypeAlias, cast

from pydantic import BaseModel

from zproc.exceptions import CommitRefused, ProtocolError, UnknownPath
from zproc.schema.path import format_path, hashable, no_field
from zproc.schema.record import record
from zproc.schema.values import shown
from zproc.typing import Key, Path

__all__ = [
    "MISSING",
    "OPERATORS",
    "Add",
    "Delete",
    "Discard",
    "Missing",
    "Op",
    "Set",
    "Splice",
    "Update",
    "compute",
    "get",
    "op_from_plain",
    "op_to_plain",
    "put",
]


class Missing(Enum):
    """The type of MISSING."""

    MISSING = "missing"

    def __repr__(self) -> str:
        return self.name


MISSING: Final = Missing.MISSING
"""Nothing stands there; ``None`` is a value."""


@record
class Set:
    """Put a value at a field, a key of a dict, or an existing index of a list.

    A new key comes before the key ``before``, or at the end if that is MISSING or not in the dict; so does one whose
    value is valid only together with later ops.
    """

    path: Path
    value: object
    before: Key = MISSING


@record
class Delete:
    """Take a key out of a dict."""

    path: Path


@record
class Splice:
    """Take ``remove`` elements out of the list at ``path`` from index ``at`` on, and put others in their place.

    ``at`` is ``None`` for the end and may be negative, both of which are settled when it is applied.
    """

    path: Path
    at: int | None
    remove: int
    insert: tuple[object, ...]


@record
class Add:
    """Add elements to the set at ``path``."""

    path: Path
    values: tuple[object, ...]


@record
class Discard:
    """Take elements out of the set at ``path``, those that are in it."""

    path: Path
    values: tuple[object, ...]


@record
class Update:
    """Replace a number by the result of an operator on it, so that two such changes never lose one."""

    path: Path
    operator: str
    operand: object


Op: TypeAlias = Set | Delete | Splice | Add | Discard | Update

_CODES: Final[Mapping[type[Op], int]] = {Set: 0, Delete: 1, Splice: 2, Add: 3, Discard: 4, Update: 5}

OPERATORS: Final[Mapping[str, Callable[[object, object], object]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": operator.pow,
    "<<": operator.lshift,
    ">>": operator.rshift,
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
}
_MOST_BITS: Final = 14_284
"""The most bits of an integer: one of more would have more than 4,300 digits, and no CPython would read it."""
_NUMBERS: Final = (int, float, complex, Decimal, timedelta)


def compute(op: Update, current: object) -> object:
    """Return the result of an arithmetic op on the present value.

    Raises:
        CommitRefused: either is not a number, or the arithmetic fails, or its result would be too large to travel.
    """
    if not isinstance(current, _NUMBERS) or not isinstance(op.operand, _NUMBERS):
        raise CommitRefused(f"{format_path(op.path)}: {op.operator!r} works on numbers, not on {shown(current)}")
    if type(current) is int and type(op.operand) is int and _is_too_large(current, op.operator, op.operand):
        shown_op = f"{shown(current)} {op.operator} {shown(op.operand)}"
        raise CommitRefused(f"{format_path(op.path)}: {shown_op}: the result would have more than {_MOST_BITS} bits")
    try:
        return OPERATORS[op.operator](current, op.operand)
    except (ArithmeticError, TypeError, ValueError, MemoryError) as error:
        shown_op = f"{shown(current)} {op.operator} {shown(op.operand)}"
        raise CommitRefused(f"{format_path(op.path)}: {shown_op}: {error}") from error


def _is_too_large(left: int, symbol: str, right: int) -> bool:
    """Whether a result is known to be too large before it is computed, which happens in C, where nothing interrupts."""
    bits = left.bit_length()
    if symbol == "*":
        return bits + right.bit_length() - 1 > _MOST_BITS
    if symbol == "**":
        return (bits - 1) * right > _MOST_BITS
    return symbol == "<<" and left != 0 and bits + right > _MOST_BITS


def get(container: object, key: Key) -> object:
    """Return what stands at a key of a model, dict or list, or MISSING."""
    if isinstance(container, BaseModel):
        # Subscription, not .get: a field of a client's root may be fetched on first use by ``__missing__``.
        try:
            return container.__dict__[cast("str", key)]
        except KeyError:
            return MISSING
    if isinstance(container, dict):
        return container.get(key, MISSING)
    if isinstance(container, list) and type(key) is int and -len(container) <= key < len(container):
        return cast("object", container[key])
    return MISSING


def put(container: object, key: Key, value: object) -> None:
    """Put a value at a key of a model, dict or list, without any validation.

    Raises:
        UnknownPath: the container cannot have the key.
    """
    if isinstance(container, BaseModel):
        if key not in type(container).__pydantic_fields__:
            raise no_field(type(container), key, format_path((key,)))
        container.__dict__[key] = value
    elif get(container, key) is not MISSING or isinstance(container, dict):
        cast("dict[Key, object]", container)[key] = value
    else:
        raise UnknownPath(format_path((key,)), f"a {type(container).__name__} has no such place")


def op_to_plain(op: Op) -> list[object]:
    """Return an op as a list for the codec; values in it may still be models."""
    if isinstance(op, Set):  # which most ops are
        plain = [0, list(op.path), op.value]
        return plain if op.before is MISSING else [*plain, op.before]
    if isinstance(op, Update):
        return [5, list(op.path), op.operator, op.operand]
    code = _CODES[type(op)]
    match op:
        case Delete():
            return [code, list(op.path)]
        case Splice():
            return [code, list(op.path), op.at, op.remove, list(op.insert)]
        case Add() | Discard():
            return [code, list(op.path), list(op.values)]


def op_from_plain(data: object) -> Op:
    """Return the op that a list from anywhere means.

    Raises:
        ProtocolError: it means none.
    """
    match data:
        case [0, [_, *_] as path, value]:
            return Set(hashable(tuple(path), _NO_OP), value)
        case [5, [_, *_] as path, str(symbol), operand] if symbol in OPERATORS:
            return Update(hashable(tuple(path), _NO_OP), symbol, operand)
        case [0, [_, _, *_] as path, value, before]:
            return Set(_path(path), value, *_path([before]))
        case [1, [_, *_] as path]:
            return Delete(_path(path))
        case [2, [_, *_] as path, (int() | None) as at, int(remove), list(values)] if remove >= 0:
            return Splice(_path(path), at, remove, tuple(values))
        case [3, [_, *_] as path, list(values)]:
            return Add(_path(path), tuple(values))
        case [4, [_, *_] as path, list(values)]:
            return Discard(_path(path), tuple(values))
        case _:
            raise ProtocolError("not an op: unknown kind, or parts of the wrong type")


def _path(keys: Sequence[object]) -> Path:
    return hashable(tuple(keys), _NO_OP)


_NO_OP: Final = "not an op"
