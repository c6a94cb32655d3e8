"""Addresses in a state: parse, print, resolve against a model, match patterns, record a selector.

The law: an address is a tuple of keys everywhere but in front of people, who read and write dotted text. A text is
parsed against a model, so an address that leads nowhere is refused where it is written, with the nearest names, and a
key has the type that its dict declares. What is printed parses to the same address.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, time
from enum import Enum
from typing import Final, TypeAlias, TypeVar, cast

from pydantic import BaseModel, ValidationError

from zproc.exceptions import ProtocolError, UnknownPath, UsageError
from zproc.schema.shape import Kind, Shape, shape_of
from zproc.typing import Key, Path

__all__ = [
    "ANY",
    "Pattern",
    "format_path",
    "hashable",
    "matches",
    "no_field",
    "parse_path",
    "parse_pattern",
    "pattern_from_plain",
    "pattern_to_plain",
    "selected",
    "steps",
]

M = TypeVar("M", bound=BaseModel)

_STEP: Final = re.compile(
    r"""
    (?:^|\.) (?P<name>[^.\[\]'"]+)
    | \[ (?: '(?P<one>(?:[^'\\]|\\.)*)' | "(?P<two>(?:[^"\\]|\\.)*)" | (?P<bare>[^\]'"]+) ) \]
    """,
    re.VERBOSE,
)
_NAME: Final = re.compile(r"[^.\[\]'\"*]+\Z")
_ESCAPE: Final = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8})|([\\'\"nrt]))")


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
    if len(path) == 1 and type(path[0]) is str and _NAME.match(path[0]):  # as nearly always
        return path[0]
    text = ""
    for key in path:
        if key is ANY:
            text += ".*" if text else "*"
        elif isinstance(key, str) and _NAME.match(key):
            text += f".{key}" if text else key
        else:
            text += f"[{key!r}]" if isinstance(key, (str, int)) and not isinstance(key, Enum) else f"[{_text(key)}]"
    return text


def _text(key: Key) -> str:
    """Return a key of a dict as text that `_dict_key` reads."""
    if isinstance(key, Enum):
        return _text(cast("Key", key.value))
    return key.isoformat() if isinstance(key, (date, time)) else str(key)


def parse_pattern(text: str, model: type[BaseModel]) -> Pattern:
    """Return the pattern that a text means for a model.

    Args:
        text: field names and keys with dots between them; ``*`` for any key; ``['a.b']`` for a key with a dot in it.
            Keys that are no texts are written as JSON would have them: ``[3]``, ``[2026-01-31]``, an enum by its value.
        model: the model whose state is addressed.

    Raises:
        UnknownPath: the text is no address, or leads to no field of the model.
    """
    given: object = text
    if not isinstance(given, str):
        raise UnknownPath(repr(given), "a field is named by a text, 'oven.temp', and several by several arguments")
    shape = shape_of(model)
    pattern: tuple[Key, ...] = ()
    for step in steps(text):
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
    for step, key in zip(pattern, path, strict=False):  # noqa: SIM110 - every watcher that may be woken comes by here
        if step is not ANY and step != key:
            return False
    return True


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


def pattern_to_plain(pattern: Pattern) -> list[list[Key]]:
    """Return a pattern as a list for the codec: of lists of one key, or of none for ANY."""
    return [[] if step is ANY else [step] for step in pattern]


def pattern_from_plain(data: object, where: str) -> Pattern:
    """Return the pattern that a list from anywhere means.

    Raises:
        ProtocolError: it means none.
    """
    if not isinstance(data, list) or not all(isinstance(step, list) and len(step) <= 1 for step in data):
        raise ProtocolError(f"{where}: not a pattern")
    return hashable(tuple(step[0] if step else ANY for step in cast("list[list[Key]]", data)), where)


def no_field(model: type[BaseModel], name: object, where: str, others: Iterable[str] = ()) -> UnknownPath:
    """Return the error for a name that is no field of a model, with the nearest of its fields and of others."""
    names = [*model.model_fields, *model.model_computed_fields, *others]
    nearest = difflib.get_close_matches(str(name), names, n=3)
    aside = getattr(model, "__zproc_aside__", "")
    return UnknownPath(where, f"{model.__name__} has no field {name!r}{aside}", nearest=tuple(nearest))


def steps(text: str) -> Iterator[str | _Any]:
    """Split a dotted text into steps, without a model to tell what they are.

    Raises:
        UnknownPath: it is none.
    """
    position = 0
    while position < len(text):
        found = _STEP.match(text, position)
        if found is None:
            raise UnknownPath(text, f"not a path: cannot read {text[position:]!r}")
        name = found["name"] or found["bare"]
        if name is None:
            yield _ESCAPE.sub(_unescaped, found["one"] if found["one"] is not None else found["two"])
        else:
            yield ANY if name == "*" else name
        position = found.end()


def _unescaped(escape: re.Match[str]) -> str:
    *codes, letter = escape.groups()
    code = next((code for code in codes if code is not None), None)
    return chr(int(code, 16)) if code is not None else {"n": "\n", "r": "\r", "t": "\t"}.get(letter, letter)


def _resolve(step: str | _Any, shape: Shape, so_far: Path, text: str) -> tuple[Key, Shape]:
    if shape.kind is Kind.MODEL and shape.model is not None:
        return _resolve_field(step, shape, shape.model, text)
    if shape.kind is Kind.DICT and shape.key is not None and shape.item is not None:
        return (step if isinstance(step, _Any) else _dict_key(step, shape.key, text)), shape.item
    if shape.kind is Kind.LIST and shape.item is not None:
        return (step if isinstance(step, _Any) else _list_index(step, text)), shape.item
    if shape.kind is Kind.UNION:
        # Which of its forms the value has is known only when it is looked at.
        return step, shape
    raise UnknownPath(text, f"nothing stands below {format_path(so_far[:-1])!r}, it is a plain value")


def _resolve_field(step: str | _Any, shape: Shape, model: type[BaseModel], text: str) -> tuple[Key, Shape]:
    if isinstance(step, _Any):
        return ANY, _UNKNOWN
    if step in shape.fields:
        return step, shape.fields[step]
    if step in model.model_computed_fields:
        return step, _UNKNOWN
    raise no_field(model, step, text)


_UNKNOWN: Final = Shape(Kind.UNION, {"type": "any"})


def _dict_key(step: str, keys: Shape, text: str) -> Key:
    number = _number(step)
    readings: list[tuple[Callable[[object], object], object]] = [(keys.validate, step), (keys.read, step)]
    for read, value in readings if number is None else [*readings, (keys.read, number)]:
        try:
            return read(value)
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


def selected(model: type[M], selector: Callable[[M], object]) -> Path:
    """Return the address that a selector picks, such as ``lambda state: state.oven.temp``.

    The function is called once, with something that has the fields of the model and no values.

    Args:
        model: the model whose state is addressed.
        selector: what picks a field, or what stands at a key, and does nothing else.

    Raises:
        UnknownPath: it leads to no field of the model.
        UsageError: it does something else.
    """
    try:
        found = selector(cast("M", _Recorder((), shape_of(model))))
    except UnknownPath:
        raise
    except TypeError as error:
        raise _no_selector(f"what it did: {error}") from error
    if not isinstance(found, _Recorder) or not _path_of(found):
        raise _no_selector(f"it returned {'the whole state' if isinstance(found, _Recorder) else repr(found)}")
    return _path_of(found)


def _no_selector(reason: str) -> UsageError:
    return UsageError(
        "a selector picks out one place of the state and does nothing with it, as in "
        f"ctx.select(lambda state: state.oven.temp).when(lambda temp: temp > 180); {reason}"
    )


class _Recorder:
    """Stands for what is at an address; only what is picked out of it can be done with it."""

    __slots__ = ("_zproc_path", "_zproc_shape")
    __hash__ = None  # type: ignore[assignment]  # it is not what it stands for

    def __init__(self, path: Path, shape: Shape) -> None:
        self._zproc_path = path
        self._zproc_shape = shape

    def __getattr__(self, name: str) -> _Recorder:
        path, shape = self._zproc_path, self._zproc_shape
        if shape.kind not in (Kind.MODEL, Kind.UNION):
            raise UnknownPath(format_path((*path, name)), f"{format_path(path)!r} has no fields")
        return self._zproc_below(name, name)

    def __getitem__(self, key: Key) -> _Recorder:
        path, shape = self._zproc_path, self._zproc_shape
        if shape.kind is Kind.MODEL:
            raise UnknownPath(format_path((*path, key)), f"{format_path(path) or 'the state'!r} has no keys")
        return self._zproc_below(key, _text(key))

    def _zproc_below(self, key: Key, step: str) -> _Recorder:
        path = (*self._zproc_path, key)
        found, shape = _resolve(step, self._zproc_shape, path, format_path(path))
        if found != key:
            raise UnknownPath(format_path(path), f"{key!r} is not a key that a path can name")
        return _Recorder(path, shape)

    def __iter__(self) -> Iterator[object]:
        raise TypeError("it was iterated over")

    def __bool__(self) -> bool:
        raise TypeError("its truth was asked for")

    def __eq__(self, other: object) -> bool:
        raise TypeError("it was compared")


def _path_of(recorder: _Recorder) -> Path:
    return recorder._zproc_path  # noqa: SLF001 - it has no public names, so that every name can be a field's
