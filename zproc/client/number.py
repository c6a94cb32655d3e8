"""Numbers that remember where they were read.

The law: anywhere but in an assignment back to its place such a number is a plain number. ``state.cookies += 1`` reads
one, adds to it, and assigns the sum to the place that it was read from: that is sent as "add one", so two such
statements in two processes never lose an update. Nothing is sent twice: of ``n += 1; state.n = n`` in a loop, each
assignment sends what was done to the number since the last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from zproc.schema.ops import OPERATORS, Update
from zproc.typing import Path

__all__ = ["LiveFloat", "LiveInt", "Origin", "live_number", "pending_ops", "plain_number", "sent"]

Number: TypeAlias = int | float

_NAMES: Final = {
    "+": "__iadd__",
    "-": "__isub__",
    "*": "__imul__",
    "/": "__itruediv__",
    "//": "__ifloordiv__",
    "%": "__imod__",
    "**": "__ipow__",
    "<<": "__ilshift__",
    ">>": "__irshift__",
    "&": "__iand__",
    "|": "__ior__",
    "^": "__ixor__",
}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a number was read.

    Attributes:
        client: what it was read by.
        path: where it stood.
        asked: where it was asked for, which differs by an index that was negative.
    """

    client: object
    path: Path
    asked: Path


class LiveInt(int):
    """An ``int`` that was read from the live state."""

    zproc_origin: Origin
    zproc_ops: tuple[Update, ...] = ()

    def __reduce__(self) -> tuple[object, ...]:
        """Travel as the plain number."""
        return int, (int(self),)


class LiveFloat(float):
    """A ``float`` that was read from the live state."""

    zproc_origin: Origin
    zproc_ops: tuple[Update, ...] = ()

    def __reduce__(self) -> tuple[object, ...]:
        """Travel as the plain number."""
        return float, (float(self),)


def live_number(value: Number, origin: Origin) -> LiveInt | LiveFloat:
    """Return a number that remembers which client it was read by, and where."""
    live = LiveInt(value) if type(value) is int else LiveFloat(value)
    live.zproc_origin = origin
    return live


def plain_number(value: object) -> object:
    """Return a number that remembers nothing; any other value as it is."""
    if isinstance(value, LiveInt):
        return int(value)
    return float(value) if isinstance(value, LiveFloat) else value


def pending_ops(value: object, client: object, path: Path) -> tuple[Update, ...]:
    """Return what assigning a value to a place does to the number there; nothing if the value is just a value."""
    if not isinstance(value, (LiveInt, LiveFloat)) or not value.zproc_ops:
        return ()
    origin = value.zproc_origin
    return value.zproc_ops if origin.client is client and path in (origin.path, origin.asked) else ()


def sent(value: object) -> None:
    """Forget what was done to a number, because the state knows it by now."""
    if isinstance(value, (LiveInt, LiveFloat)):
        value.zproc_ops = ()


def _in_place(symbol: str) -> Callable[[LiveInt | LiveFloat, object], object]:
    operate = OPERATORS[symbol]

    def apply(number: LiveInt | LiveFloat, operand: object) -> object:
        if isinstance(operand, (LiveInt, LiveFloat)):
            operand = plain_number(operand)
        try:
            result = operate(plain_number(number), operand)
        except TypeError:
            return NotImplemented
        if type(result) is not int and type(result) is not float:
            return result
        origin = number.zproc_origin
        live = live_number(result, origin)
        live.zproc_ops = (*number.zproc_ops, Update(origin.path, symbol, operand))
        return live

    return apply


for _symbol, _name in _NAMES.items():
    setattr(LiveInt, _name, _in_place(_symbol))
    if _symbol not in ("&", "|", "^", "<<", ">>"):
        setattr(LiveFloat, _name, _in_place(_symbol))
