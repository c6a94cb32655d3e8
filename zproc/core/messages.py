"""Every command, reply and event, as frozen values in closed unions, and their form on the wire.

The law: a message is data. It is checked when it is built from the wire, field by field, so that nothing behind this
module has to ask whether a message makes sense. Values of the state are carried as bytes of the namespace's codec and
looked into only by the namespace.

On the wire a message is one msgpack array: its tag, then its fields in order. Integers are not negative and have 63
bits.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from operator import attrgetter
from typing import Final, Generic, TypeAlias, TypeVar, cast, get_args

from zproc.exceptions import LimitExceeded, ProtocolError
from zproc.schema.codec import decode_bare, encode_bare
from zproc.schema.record import record
from zproc.typing import Epoch, LeaseId, RequestId, Revision, SessionId

__all__ = [
    "MAX_LIST",
    "PROTOCOL",
    "Acquire",
    "Act",
    "Answered",
    "Cancel",
    "Changes",
    "Command",
    "Commit",
    "Committed",
    "Granted",
    "Hello",
    "Look",
    "Outcome",
    "Ping",
    "Pong",
    "Read",
    "Refused",
    "Release",
    "Reply",
    "Values",
    "Watch",
    "Welcome",
    "decode_command",
    "decode_reply",
    "encode",
]

PROTOCOL: Final = 1
"""The version of the protocol; both sides must speak the same one."""

MAX_LIST: Final = 10_000
"""The most elements of a list, or entries of a table, in a message; lists within the bytes of a codec do not count."""


@record
class Hello:
    """Who I am and what I take the state to be; the first message of every connection.

    ``fingerprint`` is empty if I take it for whatever it is. ``table`` may be empty; then the server's refusal holds
    its own, and the client can say in words what differs. A client that sends requests again by a new connection gives
    its Hello a greater number than theirs: of a process that the server has forgotten, older requests are not taken for
    new ones.
    """

    request: RequestId
    version: int
    namespace: str
    fingerprint: str
    table: Mapping[str, str]
    session: SessionId
    pid: int
    process: str


@record
class Read:
    """Give me the values of top-level fields, of all if none are named.

    With ``since``, only of those that changed after that revision; with ``at``, as they were at that revision; with
    ``largest``, only of those that have at most so many bytes.
    """

    request: RequestId
    fields: tuple[str, ...]
    since: Revision | None
    at: Revision | None
    largest: int | None


@record
class Look:
    """Tell me of what stands at an address, which is a list of keys.

    ``ask`` is ``"value"``, answered by a list of the value, or of nothing if nothing stands there; ``"length"``,
    answered by the length of the container there; ``"member"``, answered by whether the last key is in the dict or set
    that the others lead to; or ``"slice"``, where the last two keys are the start and stop of a slice of the list that
    the others lead to, answered by the index of the first element in it and a list of the elements. The answer also
    says whether the address's field is larger than ``largest``.
    """

    request: RequestId
    path: bytes
    ask: str
    largest: int


@record
class Commit:
    """Apply these ops, whole or not at all; with the turn ``lease`` if I hold one."""

    request: RequestId
    lease: LeaseId | None
    ops: bytes
    function: str


@record
class Act:
    """Call an action of the model at an address with these arguments; ``call`` is (path, positional, by name)."""

    request: RequestId
    action: str
    call: bytes


@record
class Acquire:
    """Give me the next turn, and the values of these fields that changed after a revision, as `Read` would."""

    request: RequestId
    fields: tuple[str, ...]
    since: Revision
    largest: int


@record
class Release:
    """I give up my turn without a commit."""

    request: RequestId
    lease: LeaseId


@record
class Watch:
    """Tell me the commits after a revision that touch any of these patterns, as soon as there is one.

    With ``state``, one commit a reply and the state at it. Without ``wait``, also if there is none. ``patterns`` are
    lists of steps: of one key, or of none for any key.
    """

    request: RequestId
    since: Revision
    patterns: bytes
    own: bool
    duplicates: bool
    state: bool
    wait: bool


@record
class Cancel:
    """Forget my request that still waits, and refuse it if it comes again.

    This is answered, by Answered; that is not.
    """

    request: RequestId
    waiting: RequestId


@record
class Outcome:
    """What became of a request of my session?

    It is answered as that was, or by Answered if that had no effect and, from now on, never will.
    """

    request: RequestId
    of: RequestId


@record
class Ping:
    """Are you there?"""

    request: RequestId


Command: TypeAlias = Hello | Read | Commit | Act | Acquire | Release | Watch | Cancel | Outcome | Ping | Look


@record
class Welcome:
    """You are known; this is the state's present name, and the largest message that is taken, in bytes.

    ``index`` tells which of the server's states it is, for who can see its revisions without asking.
    """

    request: RequestId
    epoch: Epoch
    index: int
    revision: Revision
    max_message: int


@record
class Values:
    """The values of fields, by name, at a revision; the names of those that were too large."""

    request: RequestId
    revision: Revision
    values: bytes
    large: tuple[str, ...]


@record
class Committed:
    """It is applied, as this revision; ``result`` is what an action returned.

    To a commit of one operation on a number, it may be the field that it changed, by name: for whoever holds fields of
    the revision before this one, that is all that is new in it. A commit that changed nothing has no revision of its
    own: then this is the newest one.
    """

    request: RequestId
    revision: Revision
    result: bytes


@record
class Granted:
    """It is your turn; these fields changed, and some are too large."""

    request: RequestId
    lease: LeaseId
    revision: Revision
    values: bytes
    large: tuple[str, ...]


@record
class Changes:
    """What was watched for happened, up to this revision, or nothing did.

    ``commits`` are encoded history entries, ``state`` is the state at that revision if it was asked for.
    """

    request: RequestId
    revision: Revision
    commits: tuple[bytes, ...]
    state: bytes


@record
class Refused:
    """No, and nothing changed; ``error`` is an error of ours as data."""

    request: RequestId
    error: bytes


@record
class Pong:
    """I am here, as this process."""

    request: RequestId
    pid: int


@record
class Answered:
    """Done, and there is nothing to say."""

    request: RequestId


Reply: TypeAlias = Welcome | Values | Committed | Granted | Changes | Refused | Pong | Answered

_Message: TypeAlias = Command | Reply

M = TypeVar("M", bound=_Message)

_COMMANDS: Final[tuple[type[Command], ...]] = get_args(Command)
_REPLIES: Final[tuple[type[Reply], ...]] = get_args(Reply)
_TAGS: Final[Mapping[type[_Message], int]] = {
    **{kind: tag for tag, kind in enumerate(_COMMANDS)},
    **{kind: tag for tag, kind in enumerate(_REPLIES, start=64)},
}
_TOO_GREAT: Final = 1 << 63


@dataclass(frozen=True, slots=True)
class _Field:
    """What a field of a message may be on the wire."""

    where: str
    name: str
    types: tuple[type, ...]
    wanted: str
    element: type | None
    elements: frozenset[type | None]


# By the text of the annotation; every annotation used above has an entry.
_WIRE: Final[Mapping[str, tuple[tuple[type, ...], type | None]]] = {
    "RequestId": ((int,), None),
    "Revision": ((int,), None),
    "LeaseId": ((int,), None),
    "Revision | None": ((int, type(None)), None),
    "LeaseId | None": ((int, type(None)), None),
    "int": ((int,), None),
    "int | None": ((int, type(None)), None),
    "bool": ((bool,), None),
    "str": ((str,), None),
    "SessionId": ((str,), None),
    "Epoch": ((str,), None),
    "bytes": ((bytes,), None),
    "Mapping[str, str]": ((dict,), str),
    "tuple[str, ...]": ((list,), str),
    "tuple[bytes, ...]": ((list,), bytes),
}


@dataclass(frozen=True, slots=True)
class _Layout(Generic[M]):
    """How one kind of message lies on the wire.

    Attributes:
        kind: its class.
        make: makes one of the values of its fields.
        tag: its number.
        fields: what each field may be.
        values: takes the values of all fields out of a message.
        forms: the types that the parts of one may have, the tag's included: one look tells right from wrong. For each,
            the places of numbers, which have a range, beside the tag and the number of the request.
        containers: the places of lists and tables, which have elements; and what stands for one that has none.
    """

    kind: type[M]
    make: Callable[[*tuple[object, ...]], M]
    tag: int
    fields: tuple[_Field, ...]
    values: Callable[[M], tuple[object, ...]]
    forms: Mapping[tuple[type, ...], tuple[int, ...]]
    containers: tuple[tuple[int, _Field, object], ...]


def _field(kind: type[object], field: dataclasses.Field[object]) -> _Field:
    # A text, since annotations are not evaluated in this module.
    annotation = cast("str", field.type)
    types, element = _WIRE[annotation]
    return _Field(f"{kind.__name__}.{field.name}", field.name, types, annotation, element, frozenset({element}))


def _further_numbers(form: tuple[type, ...]) -> tuple[int, ...]:
    # All but the tag and the number of the request, which every message begins with.
    return tuple(place for place, kind in enumerate(form) if kind is int and place > 1)


def _layout(tag: int, kind: type[M]) -> _Layout[M]:
    fields = tuple(_field(kind, field) for field in dataclasses.fields(kind))
    names = [field.name for field in fields]
    take = attrgetter(*names)
    return _Layout(
        kind,
        cast("Callable[[*tuple[object, ...]], M]", kind),
        tag,
        fields,
        take if len(names) > 1 else lambda message: (take(message),),
        {form: _further_numbers(form) for form in product([int], *(field.types for field in fields))},
        tuple(
            (place, field, {} if dict in field.types else ())
            for place, field in enumerate(fields, start=1)
            if field.element is not None
        ),
    )


_COMMAND_LAYOUTS: Final = {_TAGS[kind]: _layout(_TAGS[kind], kind) for kind in _COMMANDS}
_REPLY_LAYOUTS: Final = {_TAGS[kind]: _layout(_TAGS[kind], kind) for kind in _REPLIES}
# What takes the values out of a message takes them out of its own kind, which the types cannot say.
_LAYOUTS: Final = cast(
    "Mapping[type[_Message], _Layout[_Message]]",
    {layout.kind: layout for layouts in (_COMMAND_LAYOUTS, _REPLY_LAYOUTS) for layout in layouts.values()},
)


def encode(message: Command | Reply) -> bytes:
    """Return a message as bytes."""
    layout = _LAYOUTS[type(message)]
    return encode_bare((layout.tag, *layout.values(message)))


def decode_command(data: bytes) -> Command:
    """Return the command of bytes that came from anywhere.

    Raises:
        ProtocolError: they are none; it names the offending field.
        LimitExceeded: they are nested too deep, or a list is too long.
    """
    return _decode(data, _COMMAND_LAYOUTS)


def decode_reply(data: bytes) -> Reply:
    """Return the reply of bytes that came from a server.

    Raises:
        ProtocolError: they are none; it names the offending field.
        LimitExceeded: they are nested too deep, or a list is too long.
    """
    return _decode(data, _REPLY_LAYOUTS)


def _decode(data: bytes, layouts: Mapping[int, _Layout[M]]) -> M:
    parts = decode_bare(data)
    if type(parts) is not list:
        raise ProtocolError("not a message: no tag")
    try:
        layout = layouts[parts[0]]
        further = layout.forms[tuple(map(type, parts))]
    except (LookupError, TypeError):
        raise _malformed(layouts, parts) from None
    # Of many numbers the or is negative if any is, and has the bits of all: one look instead of two.
    numbers = parts[1]
    for place in further:
        numbers |= parts[place]
    if not 0 <= numbers < _TOO_GREAT:
        raise _out_of_range(layout, parts)
    for place, field, empty in layout.containers:
        parts[place] = _checked(field, parts[place]) if parts[place] else empty
    del parts[0]
    return layout.make(*parts)


def _out_of_range(layout: _Layout[M], parts: list[object]) -> ProtocolError:
    """Return the error for a number that is out of range."""
    where, number = next(
        (field.where, part)
        for field, part in zip(layout.fields, parts[1:], strict=True)
        if type(part) is int and not 0 <= part < _TOO_GREAT
    )
    return ProtocolError(f"{where}: {'a negative' if number < 0 else 'too great a'} number")


def _malformed(layouts: Mapping[int, _Layout[M]], parts: list[object]) -> ProtocolError:
    """Return the error for parts whose types are not those of a message."""
    if not parts or type(parts[0]) is not int:
        return ProtocolError("not a message: no tag")
    layout = layouts.get(parts[0])
    if layout is None:
        return ProtocolError(f"not a message: unknown tag {parts[0]}")
    fields, given = layout.fields, len(parts) - 1
    if given < len(fields):
        return ProtocolError(f"{fields[given].where}: missing; {given} fields instead of {len(fields)}")
    if given > len(fields):
        name = layout.kind.__name__
        return ProtocolError(f"{name}: more behind {fields[-1].name}; {given} fields instead of {len(fields)}")
    field, value = next(
        (field, value) for field, value in zip(fields, parts[1:], strict=True) if not _fits(field, value)
    )
    return ProtocolError(f"{field.where}: a {type(value).__name__} is not a {field.wanted}")


def _fits(field: _Field, value: object) -> bool:
    return type(value) in field.types


def _checked(field: _Field, value: object) -> object:
    """Return a list as a tuple, or a table as it is, if the elements are what they must be."""
    parts = cast("list[object] | dict[object, object]", value)
    if len(parts) > MAX_LIST:
        raise LimitExceeded(field.where, len(parts), MAX_LIST)
    if isinstance(parts, list):
        if field.elements.issuperset(map(type, parts)):
            return tuple(parts)
    elif field.elements.issuperset(map(type, (*parts, *parts.values()))):
        return parts
    assert field.element is not None, "a container has elements"
    raise ProtocolError(f"{field.where}: not every element is a {field.element.__name__}")
