"""Errors as data.

The law: an error of zproc's own travels as its number in a fixed table and its fields; an exception of the user's,
raised by an action, as the location of its class, its arguments, its ``repr`` and its traceback. Nothing is ever
imported because a message says so: the class of a user's exception is looked up in modules that are already loaded. Any
exception can be encoded, however odd; what would be too long is shortened.
"""

from __future__ import annotations

import dataclasses
import sys
import traceback
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Final, TypeVar, cast

from zproc import exceptions
from zproc.core.limits import LARGEST_ERROR
from zproc.exceptions import Error, Fault, ProtocolError, RemoteError
from zproc.schema.codec import Codec
from zproc.schema.values import plain

__all__ = ["error_from_data", "error_to_data"]

T = TypeVar("T")

# The position is the number on the wire: new ones go to the end.
_ERRORS: Final[tuple[type[Error], ...]] = (
    exceptions.SchemaError,
    exceptions.UnknownPath,
    exceptions.SchemaMismatch,
    exceptions.UsageError,
    exceptions.CommitRefused,
    exceptions.ValidationRefused,
    exceptions.ValidatorCrashed,
    exceptions.LeaseLost,
    exceptions.HistoryGone,
    exceptions.LimitExceeded,
    exceptions.ProtocolError,
    exceptions.Unavailable,
    exceptions.CommitUnknown,
    exceptions.WaitTimeout,
    exceptions.ProcessError,
    exceptions.RemoteError,
    exceptions.Error,
    exceptions.AuthenticationError,
    exceptions.WorkerDied,
)
_NUMBERS: Final[Mapping[type, int]] = {cls: number for number, cls in enumerate(_ERRORS)}
_FOREIGN: Final = -1
_codec: Final = Codec()

_LONGEST: Final = 200
"""How many characters are left of each text of an error that is too long."""
_MOST: Final = 16
"""How many entries are left of each list of an error that is too long."""


# To data


def error_to_data(error: BaseException) -> bytes:
    """Return an exception as bytes, the whole of it as far as it is data."""
    # An action may have made one of ours of what is no data.
    data = _safely(lambda: _ours_to_data(error), None) if type(error) in _NUMBERS else None
    return _foreign_to_data(error) if data is None else data


def _ours_to_data(error: BaseException) -> bytes:
    cls = cast("type[Error]", type(error))
    fields = [getattr(error, field.name) for field in dataclasses.fields(cls)]
    data = _codec.encode([_NUMBERS[cls], *map(_field_to_plain, fields)])
    if len(data) > LARGEST_ERROR:
        data = _codec.encode([_NUMBERS[cls], *(_field_to_plain(_shortened(field)) for field in fields)])
    return data


def _field_to_plain(field: object) -> object:
    match field:
        case str():
            return _text(field)
        case Fault():
            return [_text(field.path), _text(field.rule), _text(field.message), _text(field.given)]
        case tuple():
            return [_field_to_plain(part) for part in field]
        case dict():
            return {_text(str(name)): _text(str(entry)) for name, entry in field.items()}
        case int() | float() | None:
            return field
        case _:
            raise TypeError("a field of an error is no data")


def _shortened(field: object) -> object:
    match field:
        case str():
            return _cut(field, _LONGEST)
        case Fault():
            return Fault(*(_cut(text, _LONGEST) for text in (field.path, field.rule, field.message, field.given)))
        case tuple():
            return tuple(_shortened(part) for part in field[:_MOST])
        case dict():
            return {}  # half a declaration would be another one
        case _:
            return field


def _foreign_to_data(error: BaseException) -> bytes:
    cls = type(error)
    text = _text(_cut(_safely(lambda: repr(error), cls.__name__), 10 * _LONGEST))
    trace = _safely(lambda: "".join(traceback.format_exception(error)), text)
    if len(trace) > 40 * _LONGEST:
        trace = f"{trace[: 20 * _LONGEST]}\n[...]\n{trace[-20 * _LONGEST :]}"
    module, name = _text(_cut(str(cls.__module__), _LONGEST)), _text(_cut(cls.__qualname__, _LONGEST))
    return _codec.encode([_FOREIGN, module, name, _arguments(error), text, _text(trace)])


def _arguments(error: BaseException) -> bytes | None:
    """Return what pickle would make an exception of, as bytes: arguments and attributes; ``None`` if it is no data."""

    def encoded() -> bytes | None:
        attributes = {name: plain(value) for name, value in vars(error).items() if name != "__notes__"}
        data = _codec.encode([[plain(part) for part in error.args], attributes])
        return data if len(data) <= LARGEST_ERROR // 4 else None

    return _safely(encoded, None)


def _safely(function: Callable[[], T], otherwise: T) -> T:
    """Return what a function makes of a user's exception, whose every method may raise anything."""
    try:
        return function()
    except BaseException:  # noqa: BLE001 - a SystemExit in a __repr__ must not end the server
        return otherwise


def _text(text: str) -> str:
    """Return a text as one that can be encoded: a string may hold halves of characters, UTF-8 may not."""
    return text.encode("utf-8", "backslashreplace").decode()


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."


# From data


def error_from_data(data: bytes) -> BaseException:
    """Return the exception that bytes mean, to be raised.

    A foreign one keeps its type where its class is loaded here and takes those arguments, with the remote traceback in
    a note; otherwise it is a RemoteError.

    Raises:
        ProtocolError: they mean none.
        LimitExceeded: they are nested too deep.
    """
    match _codec.decode(data):
        case [int(number), *fields] if 0 <= number < len(_ERRORS):
            return _ours(_ERRORS[number], fields)
        case [int(number), str(module), str(name), (bytes() | None) as arguments, str(text), str(trace)] if (
            number == _FOREIGN
        ):
            return _foreign(module, name, arguments, text, trace)
        case _:
            raise ProtocolError("not an error")


def _ours(cls: type[Error], fields: list[object]) -> Error:
    wanted = dataclasses.fields(cls)
    if len(fields) != len(wanted):
        raise ProtocolError(f"not a {cls.__name__}: {len(fields)} fields instead of {len(wanted)}")
    error = cls.__new__(cls)
    for field, value in zip(wanted, fields, strict=True):
        # A text, since annotations are not evaluated in the module of the errors.
        read = _READERS[cast("str", field.type)](value)
        if read is _UNREADABLE:
            raise ProtocolError(f"not a {cls.__name__}: {field.name} is no {field.type}")
        setattr(error, field.name, read)
    return error


_UNREADABLE: Final = object()


def _one_of(*types: type) -> Callable[[object], object]:
    return lambda value: value if type(value) in types else _UNREADABLE


def _texts(value: object) -> object:
    return tuple(value) if isinstance(value, list) and all(type(part) is str for part in value) else _UNREADABLE


def _faults(value: object) -> object:
    if not isinstance(value, list):
        return _UNREADABLE
    faults = tuple(_fault(part) for part in value)
    return faults if all(fault is not None for fault in faults) else _UNREADABLE


def _fault(value: object) -> Fault | None:
    match value:
        case [str(path), str(rule), str(message), str(given)]:
            return Fault(path, rule, message, given)
        case _:
            return None


def _table(value: object) -> object:
    if not isinstance(value, dict) or not all(type(part) is str for part in (*value, *value.values())):
        return _UNREADABLE
    return value


# By the text of the annotation; every annotation of a field of an error has an entry.
_READERS: Final[Mapping[str, Callable[[object], object]]] = {
    "str": _one_of(str),
    "int": _one_of(int),
    "float": _one_of(int, float),
    "bool": _one_of(bool),
    "int | None": _one_of(int, type(None)),
    "tuple[str, ...]": _texts,
    "tuple[Fault, ...]": _faults,
    "dict[str, str]": _table,
}


def _foreign(module: str, name: str, arguments: bytes | None, text: str, trace: str) -> BaseException:
    cls = _loaded(module, name)
    if cls is not None and arguments is not None:
        made_of = _codec.decode(arguments)
        try:
            parts, attributes = cast("tuple[list[object], dict[str, object]]", made_of)
            error = cls(*parts)
            vars(error).update(attributes)
            error.add_note(f"raised in the state server:\n{trace}")
        except Exception:  # noqa: BLE001 - the class is the user's and may do anything with its arguments
            return RemoteError("an action raised an exception", error=text, traceback=trace)
        return error
    return RemoteError("an action raised an exception", error=text, traceback=trace)


def _loaded(module: str, name: str) -> type[Exception] | None:
    """Return a class of exceptions if it is loaded here.

    Dictionaries are looked into, no attributes asked for: a module may import what it is asked for.
    """
    found: object = sys.modules.get(module)
    for part in name.split("."):
        found = vars(found).get(part) if isinstance(found, (ModuleType, type)) else None
    return found if isinstance(found, type) and issubclass(found, Exception) else None
