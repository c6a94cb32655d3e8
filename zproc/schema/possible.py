"""Which values can ever occur at a place.

The law: a value is possible if something that the schema allows there equals it, by ``==``. It is called impossible
only where that is certain: a wait for an impossible value never ends, but a possible one that was refused could not be
waited for at all.
"""

from __future__ import annotations

from typing import cast

from pydantic import BaseModel, ValidationError

from zproc.exceptions import UsageError
from zproc.schema.faults import faults
from zproc.schema.fingerprint import table_of
from zproc.schema.path import format_path
from zproc.schema.shape import Shape, shape_at, shape_of
from zproc.schema.values import plain, shown
from zproc.typing import Path

__all__ = ["refuse_impossible"]


def refuse_impossible(model: type[BaseModel], path: Path, value: object) -> None:
    """Make sure that what is to be compared with a place may equal what stands there.

    Args:
        model: the model of the state.
        path: the place.
        value: what is to be compared.

    Raises:
        UsageError: nothing that may stand there ever equals it.
    """
    shape = shape_at(shape_of(model), path)
    if shape is None or shape.dependent:  # only the value of something else can tell
        return
    try:
        reason = _reason(shape, value)
    except (Exception, SystemExit):  # noqa: BLE001 - a validator that crashes tells nothing of the value
        return
    if reason is not None:
        raise UsageError(f"{format_path(path)} never equals {shown(value)}: {reason}; {_declaration(model, path)}")


def _reason(shape: Shape, value: object) -> str | None:
    """Return why nothing ever equals a value; ``None`` if something may."""
    try:
        held = shape.validate(plain(value))
    except ValidationError as error:
        return _reason_of(error, shape, value)
    if held == value:
        return None
    return f"{shown(held)} would stand there in its place"


def _reason_of(error: ValidationError, shape: Shape, value: object) -> str | None:
    words = "; ".join(fault.message for fault in faults(error, ()))
    try:
        held = shape.read(plain(value))
    except ValidationError:
        return words
    # 5.0 is no int and equals one; the text of a member is no member, and equals one of a StrEnum.
    return None if held == value else f"{words} (is {shown(held)} meant?)"


def _declaration(model: type[BaseModel], path: Path) -> str:
    """Describe the declaration of the nearest field at or above a place."""
    shape, owner, field = shape_of(model), model, cast("str", path[0])
    for key in path:
        if shape.model is not None:
            owner, field = shape.model, cast("str", key)
        found = shape_at(shape, (key,))
        assert found is not None, "the schema says what stands at the place"
        shape = found
    return f"{owner.__name__}.{field} is declared as {table_of(owner)[f'{owner.__name__}.{field}']}"
