"""The identity of a schema, and the differences between two schemas in words.

The law: two models have the same fingerprint when a value of one is a value of the other, and the same actions can be
called on both. Names of fields and actions, types and constraints count; the module path, documentation, and the code
of validators and actions do not.
"""

from __future__ import annotations

import hashlib
import types
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Annotated, Literal, TypeAlias, Union, get_args, get_origin

import typing_extensions
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from zproc.schema.interface import actions_of, interface_of
from zproc.schema.types import parts_of, reachable, unwrapped

__all__ = ["Table", "action_types", "differences", "fingerprint", "table_of"]

Table: TypeAlias = dict[str, str]
"""For each field of each reachable model, ``Model.field`` to its type and constraints, as text."""


def table_of(model: type[BaseModel]) -> Table:
    """Return the entries that identify a model."""
    names = _names(model)
    table: Table = {}
    for cls, label in names.items():
        if issubclass(cls, Enum):
            table[label] = _members(cls)
            continue
        if issubclass(cls, BaseModel):
            table |= {f"{label}.{name}": _describe(info, names) for name, info in cls.model_fields.items()}
            table |= {f"{label}.{name}()": _interface(cls, name, names) for name in actions_of(cls)}
    return table


def action_types(model: type[BaseModel]) -> list[tuple[str, object]]:
    """Return the annotations of the actions of a model and of the models in its fields, each with its address.

    Raises:
        SchemaError: one of them is not wholly annotated.
    """
    found: dict[type[BaseModel], None] = {}
    for _, part, _ in reachable("", model):
        if isinstance(part, type) and get_origin(part) is None and issubclass(part, BaseModel):
            found[part] = None
    return [
        (f"{cls.__name__}.{name}().{parameter}", annotation)
        for cls in found
        for name in actions_of(cls)
        for parameter, annotation in interface_of(cls, name).types.items()
    ]


def fingerprint(table: Table) -> str:
    """Return the identity of a schema as 64 hexadecimal digits."""
    text = "\n".join(f"{name}: {entry}" for name, entry in table.items())
    return hashlib.sha256(text.encode()).hexdigest()


def differences(one: Table, other: Table, names: tuple[str, str] = ("the server", "this process")) -> tuple[str, ...]:
    """Describe the differences between two schemas, one line an entry.

    Args:
        one: the schema that holds.
        other: the schema that differs from it.
        names: who declares the one, and who the other.
    """
    return tuple(_differences(one, other, *names))


def _differences(one: Table, other: Table, first: str, second: str) -> Iterator[str]:
    for name, entry in one.items():
        if name not in other:
            yield f"{name}: only {first} has it ({entry})"
        elif other[name] != entry:
            yield f"{name}: {first} says {entry}, {second} says {other[name]}"
    for name, entry in other.items():
        if name not in one:
            yield f"{name}: {first} does not have it ({entry})"
    if one == other and list(one) != list(other):
        name, instead = next((a, b) for a, b in zip(one, other, strict=True) if a != b)
        yield f"{name}: {first} has it where {second} has {instead}; the order of fields counts"


def _names(model: type[BaseModel]) -> dict[type, str]:
    """Name every reachable model and enumeration, in the order of discovery; equal names get a number."""
    found: dict[type, str] = {}
    counts: dict[str, int] = {}
    for whole in (model, *(annotation for _, annotation in action_types(model))):
        for _, part, _ in reachable("", whole):
            if isinstance(part, type) and get_origin(part) is None and issubclass(part, (BaseModel, Enum)):
                if part in found:
                    continue
                number = counts[part.__name__] = counts.get(part.__name__, 0) + 1
                found[part] = part.__name__ if number == 1 else f"{part.__name__}#{number}"
    return found


def _interface(cls: type[BaseModel], name: str, names: dict[type, str]) -> str:
    types_by_name = dict(interface_of(cls, name).types)
    returned = types_by_name.pop("return")
    listed = ", ".join(f"{name}: {_text(annotation, names)}" for name, annotation in types_by_name.items())
    return f"({listed}) -> {_text(returned, names)}"


def _describe(info: FieldInfo, names: dict[type, str]) -> str:
    required = "" if not info.is_required() else ", required"
    return ", ".join([_text(info.annotation, names), *_constraints(info.metadata)]) + required


def _constraints(metadata: Iterable[object]) -> list[str]:
    return sorted(repr(item) for item in metadata if not callable(item) and " at 0x" not in repr(item))


def _text(annotation: object, names: dict[type, str]) -> str:
    if isinstance(annotation, type) and annotation in names:
        return names[annotation]
    origin = get_origin(annotation)
    arguments = get_args(annotation)
    if origin is Literal:
        return f"Literal{list(arguments)!r}"
    if origin is Annotated:
        constraints = _constraints(arguments[1:])
        inner = _text(arguments[0], names)
        return f"Annotated[{', '.join([inner, *constraints])}]" if constraints else inner
    if isinstance(annotation, type) and typing_extensions.is_typeddict(annotation):
        return _text_of_keys(annotation, names)
    parts = [_text(part, names) for _, part, _ in parts_of(annotation)]
    own = origin if isinstance(origin, type) else annotation
    if origin in (Union, types.UnionType):
        return " | ".join(parts)
    if ... in arguments:
        parts.append("...")
    name = own.__name__ if isinstance(own, type) else str(annotation).partition("[")[0].rpartition(".")[2]
    return f"{name}[{', '.join(parts)}]" if parts else name


def _text_of_keys(cls: type, names: dict[type, str]) -> str:
    """Return a typed dict as text; of one that contains itself, that within it is its name."""
    if cls in names:
        return names[cls]
    types_by_key = typing_extensions.get_type_hints(cls, include_extras=True)
    optional: frozenset[str] = cls.__optional_keys__  # type: ignore[attr-defined]  # as all typed dicts have
    inside = {**names, cls: cls.__name__}
    keys = [
        f"{key}{'?' if key in optional else ''}: {_text(unwrapped(annotation), inside)}"
        for key, annotation in types_by_key.items()
    ]
    return f"{cls.__name__}({', '.join(keys)})"


def _members(enum: type[Enum]) -> str:
    return repr([(member.name, member.value) for member in enum])
