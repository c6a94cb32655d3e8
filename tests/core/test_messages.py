"""Messages on the wire: what goes in comes out, and whatever else comes in is refused by name."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any, cast

import msgpack
import pytest
from hypothesis import given, strategies as st

from zproc.core import messages
from zproc.core.messages import (
    MAX_LIST,
    Acquire,
    Answered,
    Changes,
    Command,
    Commit,
    Granted,
    Hello,
    Ping,
    Read,
    Reply,
    Watch,
    decode_command,
    decode_reply,
    encode,
)
from zproc.exceptions import LimitExceeded, ProtocolError
from zproc.typing import LeaseId, RequestId, Revision

COMMANDS = messages._COMMANDS
REPLIES = messages._REPLIES

numbers = st.integers(0, (1 << 63) - 1)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "RequestId": numbers,
    "Revision": numbers,
    "LeaseId": numbers,
    "Revision | None": st.none() | numbers,
    "LeaseId | None": st.none() | numbers,
    "int": numbers,
    "int | None": st.none() | numbers,
    "bool": st.booleans(),
    "str": st.text(),
    "SessionId": st.text(),
    "Epoch": st.text(),
    "bytes": st.binary(),
    "Mapping[str, str]": st.dictionaries(st.text(), st.text(), max_size=3),
    "tuple[str, ...]": st.lists(st.text(), max_size=3).map(tuple),
    "tuple[bytes, ...]": st.lists(st.binary(), max_size=3).map(tuple),
}


def any_of(kinds: tuple[type, ...]) -> st.SearchStrategy[Any]:
    return st.one_of(
        [st.builds(kind, *(VALUES[cast("str", field.type)] for field in dataclasses.fields(kind))) for kind in kinds]
    )


def parts(message: Command | Reply) -> list[Any]:
    return cast("list[Any]", msgpack.unpackb(encode(message)))


WATCH = Watch(RequestId(1), Revision(0), b"", own=True, duplicates=True, state=True, wait=True)
HELLO = Hello(RequestId(1), 1, "shop", "ab12", {"Shop.cookies": "int"}, cast("Any", "s"), 9, "main")


@given(any_of(COMMANDS))
def test_a_command_comes_out_as_it_went_in(command: Command) -> None:
    assert decode_command(encode(command)) == command


@given(any_of(REPLIES))
def test_a_reply_comes_out_as_it_went_in(reply: Reply) -> None:
    assert decode_reply(encode(reply)) == reply


@pytest.mark.parametrize("kind", [*COMMANDS, *REPLIES])
def test_a_message_is_a_frozen_value_with_a_sentence_that_says_what_it_means(kind: type) -> None:
    assert kind.__doc__
    assert not kind.__doc__.startswith(f"{kind.__name__}(")
    assert dataclasses.fields(kind)[0].name == "request"
    assert not hasattr(kind, "__dict__") or "__slots__" in vars(kind)


def test_p9_tags_are_numbers_that_never_change() -> None:
    """A peer of another release reads these numbers; what is new gets the next one."""
    assert {kind.__name__: tag for kind, tag in messages._TAGS.items()} == {
        "Hello": 0,
        "Read": 1,
        "Commit": 2,
        "Act": 3,
        "Acquire": 4,
        "Release": 5,
        "Watch": 6,
        "Cancel": 7,
        "Outcome": 8,
        "Ping": 9,
        "Look": 10,
        "Welcome": 64,
        "Values": 65,
        "Committed": 66,
        "Granted": 67,
        "Changes": 68,
        "Refused": 69,
        "Pong": 70,
        "Answered": 71,
    }


def test_the_form_on_the_wire_is_a_tag_and_the_fields_in_order() -> None:
    commit = Commit(RequestId(5), LeaseId(6), b"ops", "bake")
    assert encode(commit) == msgpack.packb([2, 5, 6, b"ops", "bake"])


# What is refused


@given(st.binary(max_size=200))
def test_p10_random_bytes_are_refused_and_nothing_else_happens(data: bytes) -> None:
    for decode in (decode_command, decode_reply):
        with pytest.raises((ProtocolError, LimitExceeded)):
            decode(data)


@given(any_of((*COMMANDS, *REPLIES)), st.data())
def test_p10_damaged_messages_are_refused_or_other_messages(message: Command | Reply, data: st.DataObject) -> None:
    """Truncated, with a byte changed, or with bytes behind: a message or one of two errors, never anything else."""
    encoded = bytearray(encode(message))
    place = data.draw(st.integers(0, len(encoded) - 1))
    damage = data.draw(st.sampled_from(["cut", "change", "behind"]))
    if damage == "cut":
        del encoded[place:]
    elif damage == "change":
        encoded[place] = data.draw(st.integers(0, 255))
    else:
        encoded += data.draw(st.binary(min_size=1, max_size=8))
    for decode in (decode_command, decode_reply):
        with contextlib.suppress(ProtocolError, LimitExceeded):
            decode(bytes(encoded))


@given(
    st.lists(
        st.recursive(
            st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.floats() | st.text() | st.binary(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
            max_leaves=5,
        ),
        max_size=9,
    ),
    st.sampled_from([*messages._TAGS.values(), 10, 63, 72, -1]),
)
def test_p10_messages_of_other_values_are_refused_by_the_field(values: list[Any], tag: int) -> None:
    data = msgpack.packb([tag, *values])
    for decode in (decode_command, decode_reply):
        complaint = ""
        try:
            assert encode(decode(data))
        except ProtocolError as error:
            complaint = str(error)
        assert complaint.startswith(("not a message: unknown tag", "", *(kind.__name__ for kind in messages._TAGS)))


@pytest.mark.parametrize(
    "data", [b"", b"\xc1", b"\xc0", b"\x90", b"\x91\xc3", b"\x91\xa1x", b"\x80", b"GET / HTTP/1.1\r\n\r\n"]
)
def test_what_has_no_tag_is_no_message(data: bytes) -> None:
    for decode in (decode_command, decode_reply):
        with pytest.raises(ProtocolError):
            decode(data)


def test_a_reply_is_no_command_and_a_command_no_reply() -> None:
    with pytest.raises(ProtocolError, match="unknown tag 71"):
        decode_command(encode(Answered(RequestId(1))))
    with pytest.raises(ProtocolError, match="unknown tag 9"):
        decode_reply(encode(Ping(RequestId(1))))


@pytest.mark.parametrize(
    ("message", "place", "value", "complaint"),
    [
        (HELLO, 1, "1", "Hello.request: a str is not a RequestId"),
        (HELLO, 1, None, "Hello.request: a NoneType is not a RequestId"),
        (HELLO, 1, True, "Hello.request: a bool is not a RequestId"),
        (HELLO, 1, 1.0, "Hello.request: a float is not a RequestId"),
        (HELLO, 1, -1, "Hello.request: a negative number"),
        (HELLO, 1, 1 << 63, "Hello.request: too great a number"),
        (HELLO, 2, -1, "Hello.version: a negative number"),
        (HELLO, 3, b"shop", "Hello.namespace: a bytes is not a str"),
        (HELLO, 5, [], r"Hello.table: a list is not a Mapping\[str, str\]"),
        (HELLO, 5, {"a": 1}, "Hello.table: not every element is a str"),
        (HELLO, 5, {1: "a"}, "Hello.table: not every element is a str"),
        (Read(RequestId(1), (), None, None, None), 2, "cookies", "Read.fields: a str is not a tuple"),
        (Read(RequestId(1), (), None, None, None), 2, ["a", b"b"], "Read.fields: not every element is a str"),
        (Read(RequestId(1), (), None, None, None), 3, -1, "Read.since: a negative number"),
        (Read(RequestId(1), (), None, None, None), 4, "now", "Read.at: a str is not a Revision | None"),
        (Commit(RequestId(1), None, b"", ""), 2, -1, "Commit.lease: a negative number"),
        (Commit(RequestId(1), None, b"", ""), 3, "ops", "Commit.ops: a str is not a bytes"),
        (WATCH, 2, -1, "Watch.since: a negative number"),
        (WATCH, 4, 1, "Watch.own: a int is not a bool"),
    ],
)
def test_a_field_of_the_wrong_type_is_refused_by_name(
    message: Command, place: int, value: object, complaint: str
) -> None:
    listed = parts(message)
    listed[place] = value
    with pytest.raises(ProtocolError, match=complaint):
        decode_command(msgpack.packb(listed))


def test_a_number_of_thousands_of_digits_is_refused() -> None:
    digits = msgpack.packb(str(10**4000))
    data = msgpack.packb([9, msgpack.ExtType(10, digits)])
    with pytest.raises(ProtocolError, match=r"Ping\.request: too great a number"):
        decode_command(data)


@pytest.mark.parametrize("kind", COMMANDS)
def test_a_missing_field_is_refused_by_name(kind: type[Command]) -> None:
    fields = dataclasses.fields(kind)
    for place, field in enumerate(fields):
        wire = msgpack.packb([messages._TAGS[kind], *[0] * place])
        with pytest.raises(ProtocolError, match=f"^{kind.__name__}.{field.name}: missing"):
            decode_command(wire)


@pytest.mark.parametrize("kind", COMMANDS)
def test_a_field_too_many_is_refused_by_the_one_before_it(kind: type[Command]) -> None:
    fields = dataclasses.fields(kind)
    wire = msgpack.packb([messages._TAGS[kind], *[0] * (len(fields) + 1)])
    with pytest.raises(ProtocolError, match=f"^{kind.__name__}: more behind {fields[-1].name}"):
        decode_command(wire)


def test_p10_a_list_that_is_too_long_is_refused_by_name() -> None:
    longest = tuple("x" for _ in range(MAX_LIST))
    fits = Acquire(RequestId(1), longest, Revision(0), 1 << 16)
    assert decode_command(encode(fits)) == fits
    with pytest.raises(LimitExceeded) as caught:
        decode_command(encode(Acquire(RequestId(1), (*longest, "x"), Revision(0), 1 << 16)))
    assert (caught.value.limit, caught.value.given, caught.value.allowed) == ("Acquire.fields", MAX_LIST + 1, MAX_LIST)


def test_p10_a_table_that_is_too_long_is_refused_by_name() -> None:
    hello = dataclasses.replace(HELLO, table={str(number): "" for number in range(MAX_LIST + 1)})
    with pytest.raises(LimitExceeded, match=r"Hello\.table"):
        decode_command(encode(hello))


def test_p10_a_claim_of_more_than_there_is_costs_nothing() -> None:
    list_of, map_of, bytes_of, lists_of = b"\xdd", b"\xdf", b"\xc6", b"\xdd\x00\xff\xff\xff" * 99 + b"\xdd"
    for claim in (kind + b"\xff\xff\xff\xff" for kind in (list_of, map_of, bytes_of, lists_of)):
        with pytest.raises(ProtocolError):
            decode_command(b"\x93\x01\x01" + claim)


def test_p10_a_bottomless_message_is_refused() -> None:
    with pytest.raises((ProtocolError, LimitExceeded)):
        decode_command(b"\x91" * 100_000)
    with pytest.raises(LimitExceeded, match="nesting"):
        decode_command(b"\x91" * 500 + b"\xc0")


def test_a_key_that_stands_twice_is_refused() -> None:
    twice = parts(HELLO)
    wire = msgpack.packb(twice).replace(msgpack.packb({"Shop.cookies": "int"}), b"\x82\xa1a\xa0\xa1a\xa0")
    with pytest.raises(ProtocolError, match="twice"):
        decode_command(wire)


def test_p9_an_extension_that_names_anything_is_refused() -> None:
    for code in range(-1, 128):
        wire = msgpack.packb([9, msgpack.ExtType(code, b"cos\nsystem\n")]) if code >= 0 else b"\x92\x09\xd6\xff\0\0\0\1"
        with pytest.raises(ProtocolError):
            decode_command(wire)


def test_messages_are_values() -> None:
    one, same = (Granted(RequestId(1), LeaseId(2), Revision(3), b"", ()) for _ in range(2))
    assert one == same
    assert hash(one) == hash(same)
    changes = Changes(RequestId(1), Revision(2), (b"a", b"b"), b"")
    changes.state = b"x"  # type: ignore[misc]  # that this is an error to mypy is the point; see `record`
