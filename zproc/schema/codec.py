"""Values as bytes: msgpack with a closed table of extension types.

The law: values come back with the types that they had; nothing on the wire names a class or is code; a type that is not
in the table is refused by name. Malformed, bottomless or bomb-like bytes are a ProtocolError or a LimitExceeded before
they cost more than the values that so many bytes can honestly hold.

Why python-mode values with extension types and not JSON mode: the latter loses or changes 3 of 25 kinds of field, this
one none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path, PurePath
from typing import Final, TypeAlias, TypeVar, cast
from uuid import UUID

import msgpack
from pydantic import BaseModel

from zproc.exceptions import LimitExceeded, ProtocolError, SchemaError
from zproc.schema.values import SCALARS, plain, shown

__all__ = ["MAX_DEPTH", "Codec", "decode_bare", "encode_bare"]

MAX_DEPTH: Final = 128
"""Containers within containers; pydantic itself stops at about 255 models within models."""

MAX_EXTENSION_COPIES: Final = 8
"""How many times its own size a message may be copied, because extension types within extension types each are."""

_FREE_EXTENSION_BYTES: Final = 1 << 20

_SHORT: Final = 256
"""Up to how many bytes any claims of any depth are harmless: all of them together cost less than 200 KB."""

_Convert: TypeAlias = "Callable[[object], object]"
_T = TypeVar("_T")

_TUPLE, _SET, _FROZENSET, _DATETIME, _DATE, _TIME, _TIMEDELTA, _DECIMAL, _UUID, _INT, _COMPLEX, _ENUM, _PATH = range(
    1, 14
)

# A container may claim 2**32 elements in five bytes, and msgpack makes room for a claim before it looks: 5 KB cost 36
# MB. Walking the message first, in C and without building anything, proves every claim, so that room is only made for
# what is there.
_CLAIMS_MANY: Final = re.compile(rb"[\xdc-\xdf]")
# The one extension type that msgpack does not ask us about, because it has a class for it.
_MAY_BE_TIMESTAMP: Final = re.compile(rb"[\xd6\xd7]\xff|\xc7\x0c\xff")
_MALFORMED: Final = (
    msgpack.exceptions.UnpackException,
    AssertionError,
    ValueError,
    TypeError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    MemoryError,
)
_NESTING_HEADS: Final = bytes([*range(0x80, 0xA0), *range(0xDC, 0xE0), *range(0xC7, 0xCA), *range(0xD4, 0xD9)])


def _encoder(kind: type[_T], code: int, convert: Callable[[_T], object]) -> tuple[type, tuple[int, _Convert]]:
    return kind, (code, cast("_Convert", convert))


_ENCODERS: Final[Mapping[type, tuple[int, _Convert]]] = dict(
    (
        _encoder(tuple, _TUPLE, list),
        _encoder(datetime, _DATETIME, lambda value: [value.isoformat(), value.fold]),
        _encoder(date, _DATE, date.isoformat),
        _encoder(time, _TIME, lambda value: [value.isoformat(), value.fold]),
        _encoder(timedelta, _TIMEDELTA, lambda value: [value.days, value.seconds, value.microseconds]),
        _encoder(Decimal, _DECIMAL, str),
        _encoder(UUID, _UUID, lambda value: value.bytes),
        _encoder(int, _INT, str),
        _encoder(complex, _COMPLEX, lambda value: [value.real, value.imag]),
    )
)


def _decoder(code: int, kind: type[_T], convert: Callable[[_T], object]) -> tuple[int, tuple[type, _Convert]]:
    return code, (kind, cast("_Convert", convert))


def _datetime(text: str, fold: int) -> datetime:
    return datetime.fromisoformat(text).replace(fold=fold)


def _time(text: str, fold: int) -> time:
    return time.fromisoformat(text).replace(fold=fold)


def _complex(real: float, imag: float) -> complex:
    if type(real) is not float or type(imag) is not float:
        raise TypeError("a complex number is two floats")
    return complex(real, imag)


def _set(elements: list[object]) -> set[object]:
    result = set(elements)
    if len(result) != len(elements):
        raise ValueError("an element stands twice in a set")
    return result


_DECODERS: Final[Mapping[int, tuple[type, _Convert]]] = dict(
    (
        _decoder(_TUPLE, list, tuple),
        _decoder(_SET, list, _set),
        _decoder(_FROZENSET, list, lambda value: frozenset(_set(value))),
        _decoder(_DATETIME, list, lambda value: _datetime(*value)),
        _decoder(_DATE, str, date.fromisoformat),
        _decoder(_TIME, list, lambda value: _time(*value)),
        _decoder(_TIMEDELTA, list, lambda value: timedelta(*value)),
        _decoder(_DECIMAL, str, Decimal),
        _decoder(_UUID, bytes, lambda value: UUID(bytes=value)),
        # Above 4,300 digits CPython refuses to read a number, because that takes time quadratic in their count.
        _decoder(_INT, str, int),
        _decoder(_COMPLEX, list, lambda value: _complex(*value)),
        _decoder(_PATH, str, Path),
    )
)


class Codec:
    """Encodes and decodes the values of one schema; threads may share it.

    Args:
        enums: the enumerations of the schema, in an order that both sides derive from it; members travel as
            (position of their class here, value). ``None`` if the schema is not known; then members are read as their
            values.
        nesting: how deep containers may stand within containers in what is decoded.
    """

    def __init__(self, enums: tuple[type[Enum], ...] | None = (), nesting: int = MAX_DEPTH) -> None:
        self._enums = enums
        self._nesting = nesting
        self._short = min(nesting, _SHORT)
        self._positions = {enum: position for position, enum in enumerate(enums or ())}

    def encode(self, value: object) -> bytes:
        """Return a value as bytes.

        Raises:
            SchemaError: something in it is of a type that cannot be shared.
            LimitExceeded: it is nested deeper than MAX_DEPTH.
        """
        try:
            # What `_pack` does, written out: every message is encoded here.
            data = msgpack.Packer(default=self._encode_other, strict_types=True, use_bin_type=True).pack(value)
        except (SchemaError, LimitExceeded):
            raise
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise SchemaError(type(value).__name__, f"cannot be shared: {error}") from error
        if len(data) > MAX_DEPTH and _may_be_deep(data, 0, MAX_DEPTH):
            _check_depth(value, 0, MAX_DEPTH)
        return data

    def limited(self, nesting: int) -> Codec:
        """Return the same codec, but with another limit to the depth of what is decoded."""
        return Codec(self._enums, nesting)

    def decode(self, data: bytes) -> object:
        """Return the value of bytes that came from anywhere.

        Raises:
            ProtocolError: they are not what ``encode`` makes.
            LimitExceeded: they are nested too deep, or contain too much within extension types.
        """
        if len(data) <= self._short and not _MAY_BE_TIMESTAMP.search(data):
            # Too short for what it claims to cost anything, or to be too deep.
            try:
                return msgpack.unpackb(
                    data, raw=False, strict_map_key=False, object_pairs_hook=_unique, ext_hook=self._decode_other
                )
            except (ProtocolError, LimitExceeded):
                raise
            except _MALFORMED as error:
                raise _not_a_value(error) from error
        allowed = MAX_EXTENSION_COPIES * len(data) + _FREE_EXTENSION_BYTES
        return _Decoding(self._enums, allowed, self._nesting).decode(data, 0, 0)

    def _decode_other(self, code: int, payload: bytes) -> object:
        return _Decoding(self._enums, _FREE_EXTENSION_BYTES, self._nesting).extension(code, payload, 0)

    def _pack(self, value: object) -> bytes:
        # One packer a call: it is not reentrant, we may be inside of its callback, and threads share the codec.
        return msgpack.Packer(default=self._encode_other, strict_types=True, use_bin_type=True).pack(value)

    def _encode_other(self, value: object) -> object:
        kind = type(value)
        if kind in _ENCODERS:
            code, convert = _ENCODERS[kind]
            return msgpack.ExtType(code, self._pack(convert(value)))
        if isinstance(value, BaseModel):
            fields = value.__dict__
            return {name: fields[name] for name in type(value).__pydantic_fields__}
        if kind in (set, frozenset):
            # In the order of their bytes, so that equal states are equal bytes.
            parts = sorted(map(self._pack, cast("set[object]", value)))
            head = msgpack.Packer().pack_array_header(len(parts))
            return msgpack.ExtType(_SET if kind is set else _FROZENSET, head + b"".join(parts))
        if isinstance(value, Enum):
            if kind not in self._positions:
                raise _cannot_be_shared(value)
            return msgpack.ExtType(_ENUM, self._pack([self._positions[kind], value.value]))
        if isinstance(value, PurePath):
            return msgpack.ExtType(_PATH, self._pack(str(value)))
        builtin = plain(value)
        if type(builtin) is kind:
            raise _cannot_be_shared(value)
        return builtin


def encode_bare(value: object) -> bytes:
    """Return data made of builtin types only as bytes; tuples are lists there.

    Raises:
        SchemaError: something in it has no bytes: a text that is no Unicode, or a number of more than 64 bits.
    """
    try:
        return msgpack.Packer().pack(value)  # one a call, as above
    except (TypeError, ValueError, OverflowError) as error:
        raise SchemaError(type(value).__name__, f"cannot be shared: {error}") from error


def decode_bare(data: bytes) -> object:
    """Return the data of bytes that came from anywhere, for who looks at the type of all of it.

    Args:
        data: what ``encode_bare`` makes. If they hold an extension type, it is in the result, of a type of its own, or
            as whatever it stands for.

    Raises:
        ProtocolError: they are not what that makes.
        LimitExceeded: they are nested too deep.
    """
    if len(data) > _SHORT:
        return _BARE.decode(data)
    try:
        return msgpack.unpackb(data, strict_map_key=False, object_pairs_hook=_unique)
    except ProtocolError:
        raise
    except _MALFORMED as error:
        raise _not_a_value(error) from error


_BARE: Final = Codec()


class _Decoding:
    """The decoding of one message.

    Args:
        enums: the enumerations of the schema.
        allowed: how many bytes of extension types may be open, one within the other.
        nesting: how deep containers may stand within containers.
    """

    __slots__ = ("_allowed", "_enums", "_nesting", "_open")

    def __init__(self, enums: tuple[type[Enum], ...] | None, allowed: int, nesting: int) -> None:
        self._nesting = nesting
        self._enums = enums
        self._allowed = allowed
        self._open = 0

    def decode(self, data: bytes, depth: int, below: int) -> object:
        """Return the value of bytes; it stands at one depth, and extension types in it at another, at least."""
        try:
            if _CLAIMS_MANY.search(data):
                _walk(data)
            value = msgpack.unpackb(
                data,
                raw=False,
                strict_map_key=False,
                object_pairs_hook=_unique,
                ext_hook=lambda code, payload: self.extension(code, payload, below),
            )
        except (ProtocolError, LimitExceeded):
            raise
        except _MALFORMED as error:
            raise _not_a_value(error) from error
        if _may_be_deep(data, depth, self._nesting) or _MAY_BE_TIMESTAMP.search(data):
            _check_depth(value, depth, self._nesting)
        return value

    def extension(self, code: int, payload: bytes, depth: int) -> object:
        """Return the value of an extension type that stands at a depth."""
        if depth > self._nesting:
            raise LimitExceeded("nesting", depth, self._nesting)
        self._open += len(payload)
        if self._open > self._allowed:
            raise LimitExceeded("extension_bytes", self._open, self._allowed)
        value = self.decode(payload, depth, depth + 1)
        self._open -= len(payload)
        if code == _ENUM:
            return self._member(value)
        kind, convert = _DECODERS.get(code, (None, None))
        if convert is None:
            raise ProtocolError(f"not a value: unknown extension type {code}")
        if type(value) is not kind:
            raise ProtocolError(f"not a value: extension type {code} holds a {type(value).__name__}")
        return convert(value)

    def _member(self, parts: object) -> object:
        match parts:
            case [int(), value] if self._enums is None:
                return value
            case [int(position), value] if self._enums is not None and 0 <= position < len(self._enums):
                try:
                    return self._enums[position](value)
                except Exception as error:  # the class may define ``_missing_``
                    raise ProtocolError(
                        f"not a value: {shown(value)} is no {self._enums[position].__name__}"
                    ) from error
        raise ProtocolError("not a value: a member of no enumeration")


def _not_a_value(error: BaseException) -> ProtocolError:
    return ProtocolError(f"not a value: {str(error) or type(error).__name__}")


def _cannot_be_shared(value: object) -> SchemaError:
    kind = type(value)
    return SchemaError(kind.__name__, f"a value of type {kind.__qualname__} cannot be shared between processes")


def _unique(pairs: list[tuple[object, object]]) -> dict[object, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ProtocolError("not a value: a key stands twice in a map")
    return result


def _walk(data: bytes) -> None:
    unpacker = msgpack.Unpacker(max_buffer_size=max(len(data), 1))
    unpacker.feed(data)
    unpacker.skip()


def _may_be_deep(data: bytes, depth: int, most: int) -> bool:
    """Whether there are bytes enough that could open a container; a quick look that spares small values a walk."""
    if len(data) + depth <= most:
        return False
    return len(data) - len(data.translate(None, _NESTING_HEADS)) + depth > most


def _check_depth(value: object, depth: int, most: int) -> None:
    level: list[object] = [value]
    while level:
        if depth > most:
            raise LimitExceeded("nesting", depth, most)
        depth += 1
        below: list[object] = []
        for item in level:
            if isinstance(item, BaseModel):
                item = item.__dict__  # noqa: PLW2901 - as a dict of its fields
            if isinstance(item, msgpack.Timestamp):
                raise ProtocolError("not a value: unknown extension type -1")
            if not isinstance(item, (list, tuple, set, frozenset, dict)) or not item:
                continue
            if depth > most:
                raise LimitExceeded("nesting", depth, most)
            # Scalars, which are most of what there is, have nothing below them.
            if isinstance(item, dict):
                below.extend(value for value in item.values() if type(value) not in SCALARS)
            below.extend(value for value in item if type(value) not in SCALARS)
        level = below
