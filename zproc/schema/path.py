"""Addresses of fields: parse, print, resolve against a model, match patterns.

The law: an address is a tuple of keys everywhere but in front of people, who write and read dotted text. A text is
parsed against a model, so that an address that leads nowhere is refused when it is written down, with the nearest
names, and a key has the type that its dict declares.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from pydantic import BaseModel, ValidationError

from zproc.exceptions import ProtocolError, UnknownPath
from zproc.schema.shape import Kind, Shape, shape_of
from zproc.typing import Key, Path

__all__ = ["ANY", "Pattern", "format_path", "matches", "no_field", "parse_pattern"]

_STEP: Final = re.compile(r"""(?:^|\.)([^.\[\]'"]+) | \[(?:'([^']*)'|"([^"]*)"|([^\]'"]+))\]""", re.VERBOSE)
_NAME: Final = re.compile(r"[^.\[\]'\"*]+\Z")


@dataclass(frozen=True, slots=True)
class _Any:
    def __repr__(self) -> str:
        return "ANY"


ANY: Final = _Any()
"""The step of a pattern that stands for every key."""

Pattern: TypeAlias = tuple[Key, ...]
"""An address in which ANY may stand for a step; it covers everything at and below the addresses that it matches."""


def format_path(path: Path) -> str:
    """Return an address as people write it: ``stock.flour``, ``stock['a.b']``, ``users[3].age``."""
    text = ""
    for key in path:
        if key is ANY:
            text += ".*" if text else "*"
        elif isinstance(key, str) and _NAME.match(key):
            text += f".{key}" if text else key
        else:
            text += f"[{key!r}]"
    return text


def parse_pattern(text: str, model: type[BaseModel]) -> Pattern:
    """Return the pattern that a text means for a model.

    Args:
        text: field names and keys with dots between them; ``*`` for any key; ``['a.b']`` for a key with a dot in it.
        model: the model whose state is addressed.

    Raises:
        UnknownPath: the text is no address, or leads to no field of the model.
    """
    shape = shape_of(model)
    pattern: tuple[Key, ...] = ()
    for step in _steps(text):
        key, shape = _resolve(step, shape, (*pattern, step), text)
        pattern = (*pattern, key)
    if not pattern:
        raise UnknownPath(text, "an empty path addresses nothing", nearest=tuple(shape.fields)[:3])
    return pattern


def parse_path(text: str, model: type[BaseModel]) -> Path:
    """Return the address that a dotted text means.

    Raises:
        UnknownPath: the text is no address, leads to no field of the model, or is a pattern.
    """
    pattern = parse_pattern(text, model)
    if ANY in pattern:
        raise UnknownPath(text, "a pattern has no one value; name one field")
    return pattern


def matches(pattern: Pattern, path: Path) -> bool:
    """Whether a change at an address concerns a pattern: one of the two is at, above or below the other."""
    return all(step is ANY or step == key for step, key in zip(pattern, path, strict=False))


def hashable(keys: Path, where: str) -> Path:
    """Return the keys of an address that came from anywhere.

    Raises:
        ProtocolError: one of them can be no key.
    """
    try:
        hash(keys)
    except TypeError as error:
        raise ProtocolError(f"{where}: {error}") from error
    return keys


def no_field(model: type[BaseModel], name: object, where: str) -> UnknownPath:
    """Make the error for a name that is no field of a model, with the nearest names that are."""
    names = [*model.model_fields, *model.model_computed_fields]
    nearest = difflib.get_close_matches(str(name), names, n=3)
    return UnknownPath(where, f"{model.__name__} has no field {name!r}", nearest=tuple(nearest))


def _steps(text: str) -> Iterator[str]:
    position = 0
    while position < len(text):
        found = _STEP.match(text, position)
        if found is None:
            raise UnknownPath(text, f"not a path: cannot read {text[position:]!r}")
        yield next(group for group in found.groups() if group is not None)
        position = found.end()


def _resolve(step: str, shape: Shape, so_far: Path, text: str) -> tuple[Key, Shape]:
    if shape.kind is Kind.MODEL and shape.model is not None:
        return _resolve_field(step, shape, shape.model, text)
    if shape.kind is Kind.DICT and shape.key is not None and shape.item is not None:
        return (ANY if step == "*" else _dict_key(step, shape.key, text)), shape.item
    if shape.kind is Kind.LIST and shape.item is not None:
        return (ANY if step == "*" else _list_index(step, text)), shape.item
    if shape.kind is Kind.UNION:
        # Which of its forms the value has is known only when it is looked at.
        return (ANY if step == "*" else step), shape
    raise UnknownPath(text, f"nothing stands below {format_path(so_far[:-1])!r}, it is a plain value")


def _resolve_field(step: str, shape: Shape, model: type[BaseModel], text: str) -> tuple[Key, Shape]:
    if step in shape.fields:
        return step, shape.fields[step]
    if step == "*":
        return ANY, _UNKNOWN
    if step in model.model_computed_fields:
        return step, _UNKNOWN
    raise no_field(model, step, text)


_UNKNOWN: Final = Shape(Kind.UNION, {"type": "any"})


def _dict_key(step: str, keys: Shape, text: str) -> Key:
    for candidate in (step, _number(step)):
        try:
            return keys.validate(candidate)
        except ValidationError:
            continue
    raise UnknownPath(text, f"{step!r} is not a key that this dict can have")


def _list_index(step: str, text: str) -> Key:
    index = _number(step)
    if index is None or index < 0:
        raise UnknownPath(text, f"{step!r} is not an index of a list")
    return index


def _number(step: str) -> int | None:
    try:
        return int(step)
    except ValueError:
        return None
