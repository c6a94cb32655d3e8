"""Which field types can be shared.

The law: a type is allowed if every value of it comes out of the codec as it went in. Anything else is refused when the
model is registered, with field, type and what to write instead, and never at the first commit.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, Union, get_args, get_origin
from uuid import UUID

import typing_extensions
from pydantic import AwareDatetime, BaseModel, JsonValue, NaiveDatetime, RootModel

from zproc.exceptions import SchemaError
from zproc.schema.codec import Codec

__all__ = ["Part", "check", "enums_of", "parts_of", "reachable", "unwrapped"]

_SCALARS: Final = frozenset(
    {bool, int, float, complex, str, bytes, type(None), datetime, date, time, timedelta, Decimal, UUID, Path}
    | {AwareDatetime, NaiveDatetime}
)
_CONTAINERS: Final = frozenset({list, dict, set, frozenset, tuple})
_UNIONS: Final = (Union, types.UnionType)
_INSTEAD: Final = {
    "Any": "say what it holds, or use pydantic.JsonValue",
    "object": "say what it holds, or use pydantic.JsonValue",
    "Callable": "code does not travel; share the name of what to call",
    "SecretStr": "a shared secret is none; keep it out of the state",
    "SecretBytes": "a shared secret is none; keep it out of the state",
    "deque": "use list",
    "range": "use list, or its bounds",
    "Iterator": "use list",
    "Generator": "use list",
    "OrderedDict": "use dict, which keeps the order",
    "defaultdict": "use dict, and setdefault",
    "Counter": "use dict",
    "bytearray": "use bytes",
    "memoryview": "use bytes",
    "Pattern": "share its text",
    "HttpUrl": "use str",
    "AnyUrl": "use str",
    "IPv4Address": "use str",
    "IPv6Address": "use str",
    "Exception": "share its text",
    "DataFrame": "use lists or dicts, or bytes",
    "Lock": "who changes the state takes turns anyway: see zproc.atomic",
    "Queue": "use list, and wait by get_when_change",
    "Sequence": "use list or tuple",
    "MutableSequence": "use list",
    "Mapping": "use dict",
    "MutableMapping": "use dict",
    "Iterable": "use list or tuple",
    "ndarray": "use list, or bytes",
    "TypeVar": "give the generic model its parameters",
    "PastDatetime": "whether it is valid changes with time; use datetime and check it where it is set",
    "FutureDatetime": "whether it is valid changes with time; use datetime and check it where it is set",
    "PastDate": "whether it is valid changes with time; use date and check it where it is set",
    "FutureDate": "whether it is valid changes with time; use date and check it where it is set",
}


class Part(NamedTuple):
    """One of the annotations that another is made of.

    Attributes:
        step: what to add to the address of the whole.
        annotation: the part.
        keyed: it is the key of a dict or an element of a set, which have to be hashable.
    """

    step: str
    annotation: object
    keyed: bool = False


def parts_of(annotation: object) -> list[Part]:
    """Return the annotations that one is made of."""
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return _parts_of_class(annotation)
    if annotation is JsonValue:
        return []
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return [Part("", arguments[0])]
    if origin is Literal:
        return [Part("", type(value)) for value in arguments]
    alias = origin if origin is not None and not isinstance(origin, type) else annotation
    if type(alias).__name__ == "TypeAliasType":  # there is one in ``typing`` and one in ``typing_extensions``
        return [Part("", getattr(alias, "__value__", None))]
    if hasattr(annotation, "__supertype__"):
        return [Part("", annotation.__supertype__)]
    if origin in _UNIONS:
        return [Part("", part) for part in arguments]
    if origin is dict:
        return [Part("[key]", arguments[0], keyed=True), Part("[...]", arguments[1])]
    return [Part("[...]", part, origin in (set, frozenset)) for part in arguments if part is not ...]


def _parts_of_class(cls: type) -> list[Part]:
    if issubclass(cls, BaseModel):
        return [Part(f".{name}", info.annotation) for name, info in cls.model_fields.items()]
    if typing_extensions.is_typeddict(cls):
        return [Part(f"[{key!r}]", part) for key, part in typing_extensions.get_type_hints(cls).items()]
    return []


def unwrapped(annotation: object) -> object:
    """Return the type of a key of a typed dict, without what says whether the key may be missing."""
    return get_args(annotation)[0] if get_origin(annotation) in _WRAPPERS else annotation


_WRAPPERS: Final = (typing_extensions.Required, typing_extensions.NotRequired, typing_extensions.ReadOnly)


def reachable(where: str, annotation: object) -> Iterator[Part]:
    """Yield an annotation and every annotation below it, each with its address and each once as a key and once not."""
    # The annotations themselves are kept, so that no other gets the identity of one that was looked at.
    seen: dict[tuple[int, bool], object] = {}
    waiting = [Part(where, annotation)]
    for whole in waiting:  # which grows
        yield whole
        if (id(whole.annotation), whole.keyed) not in seen:
            seen[id(whole.annotation), whole.keyed] = whole.annotation
            waiting.extend(
                Part(whole.step + step, part, whole.keyed or keyed) for step, part, keyed in parts_of(whole.annotation)
            )


def enums_of(where: str, annotation: object) -> Iterator[type[Enum]]:
    """Yield the enumerations below an annotation, in the order of their fields, which is the same for equal schemas."""
    for _, part, _ in reachable(where, annotation):
        if isinstance(part, type) and issubclass(part, Enum):
            yield part


def check(where: str, annotation: object) -> None:
    """Make sure that every value of a type can be shared.

    Args:
        where: what to call it.
        annotation: the type.

    Raises:
        SchemaError: a part of it cannot, and why.
    """
    for step, part, keyed in reachable(where, annotation):
        reason = _refusal(part) or (_refusal_as_key(part) if keyed else None)
        if reason is not None:
            raise SchemaError(step, reason)


def _refusal(annotation: object) -> str | None:
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return _class_refusal(annotation)
    origin = get_origin(annotation)
    if annotation is JsonValue or origin in (Annotated, Literal, *_UNIONS) or origin in _CONTAINERS:
        return None
    if annotation is None or (parts_of(annotation) and not isinstance(origin, type)):
        return None
    return _unknown(annotation)


def _class_refusal(cls: type) -> str | None:
    name = cls.__name__
    if cls in _SCALARS:
        return None
    if typing_extensions.is_typeddict(cls):
        return _extra_refusal(name, getattr(cls, "__pydantic_config__", {}))
    if issubclass(cls, BaseModel):
        return _model_refusal(cls)
    if issubclass(cls, Enum):
        return _enum_refusal(cls)
    if cls in _CONTAINERS:
        example = "str, int" if cls is dict else "int"
        return f"a bare {name} holds anything; say what, as in {name}[{example}]"
    if dataclasses.is_dataclass(cls):
        return f"the dataclass {name} cannot be shared; make it a pydantic model"
    if issubclass(cls, tuple):
        return f"the named tuple {name} cannot be shared; make it a pydantic model with frozen=True"
    return _unknown(cls)


def _model_refusal(model: type[BaseModel]) -> str | None:
    name = model.__name__
    if model is BaseModel:
        return "a bare BaseModel has no fields; name a model of yours"
    if issubclass(model, RootModel):
        return f"the root model {name} cannot be shared; use the type that it wraps"
    if model.model_config.get("use_enum_values"):
        return f"{name} keeps the values of enums, which are then no members; drop use_enum_values"
    return _extra_refusal(name, model.model_config)


def _extra_refusal(name: str, config: Mapping[str, object]) -> str | None:
    if config.get("extra") == "allow":
        return f"{name} allows extra fields, which no schema describes; use a dict field for them"
    return None


def _enum_refusal(enum: type[Enum]) -> str | None:
    codec = Codec((enum,))
    for member in enum:
        try:
            back = codec.decode(codec.encode(member))
        except Exception as error:  # noqa: BLE001 - a value of any type may be in it
            return f"{member} cannot be shared: {error}"
        if back is not member:
            return f"{member} cannot be told by its value {member.value!r}, which is how it travels"
    return None


def _refusal_as_key(annotation: object) -> str | None:
    origin = get_origin(annotation) or annotation
    unhashable = origin in (list, dict, set) or annotation is JsonValue or typing_extensions.is_typeddict(origin)
    if unhashable or (isinstance(origin, type) and issubclass(origin, BaseModel)):
        name = getattr(origin, "__name__", "JsonValue")
        return f"a {name} cannot be an element of a set or a key of a dict; use a tuple, a scalar, or a dict of them"
    return None


def _unknown(annotation: object) -> str:
    own = get_origin(annotation) or annotation
    name = "Any" if annotation is Any else getattr(own, "__name__", None) or str(annotation)
    hint = _INSTEAD.get(name) or _INSTEAD.get(
        type(own).__name__, "use a type that can be (docs: The state, What can be shared), or a model of such"
    )
    return f"a value of type {name} cannot be shared; {hint}"
