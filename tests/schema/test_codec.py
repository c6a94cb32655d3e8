"""Every kind of value comes back as it went; everything else is refused cheaply."""

from __future__ import annotations

import contextlib
import threading
import tracemalloc
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum, IntFlag, StrEnum
from pathlib import Path
from uuid import UUID

import msgpack
import pytest
from hypothesis import example, given, settings, strategies as st
from pydantic import BaseModel

from zproc.exceptions import LimitExceeded, ProtocolError, SchemaError
from zproc.schema.codec import MAX_DEPTH, Codec, decode_bare, encode_bare
from zproc.schema.values import same


class Colour(Enum):
    RED = "red"
    NOTHING = None
    PAIR = (1, "a")


class Size(IntEnum):
    SMALL = 1
    HUGE = 2**70


class Word(StrEnum):
    A = "a"


class Mode(Flag):
    READ = 1
    WRITE = 2


class Bits(IntFlag):
    ONE = 1
    FOUR = 4


class Item(BaseModel):
    name: str
    parts: list[Item] = []


CODEC = Codec((Colour, Size, Word, Mode, Bits))


def round_trip(value: object) -> object:
    return CODEC.decode(CODEC.encode(value))


def extension(code: int, payload: bytes) -> bytes:
    return msgpack.packb(msgpack.ExtType(code, payload))


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        0,
        1,
        -1,
        2**63,
        -(2**63),
        2**64,
        -(2**64),
        2**80,
        10**4000,
        0.0,
        -0.0,
        1.0,
        0.1,
        float("inf"),
        float("-inf"),
        float("nan"),
        5e-324,
        "",
        "a",
        "ÄÖ\x00",
        "\U0001f600",
        b"",
        b"\xff\x00\xfe",
        complex(-0.0, float("nan")),
        1j,
        datetime(2024, 2, 29, 23, 59, 59, 999999),
        datetime(2024, 10, 27, 2, 30, fold=1),
        datetime.min,
        datetime.max,
        datetime(2024, 1, 1, tzinfo=UTC),
        datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=-3, seconds=7))),
        date(1, 1, 1),
        time(1, 2, 3, 4),
        time(1, fold=1),
        time(1, tzinfo=UTC),
        timedelta(-1, 5, 7),
        timedelta.max,
        Decimal("1.00"),
        Decimal("-0"),
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("-Infinity"),
        Decimal("1E+400"),
        UUID(int=7),
        Path("a/b.txt"),
        Path("/"),
        Colour.RED,
        Colour.NOTHING,
        Colour.PAIR,
        Size.SMALL,
        Size.HUGE,
        Word.A,
        Mode.READ | Mode.WRITE,
        Mode(0),
        Bits.ONE | Bits.FOUR,
        (),
        (1, (2, "a")),
        [],
        [1, [2]],
        set(),
        {1, 2},
        {(1, "a")},
        frozenset(),
        frozenset({frozenset({1})}),
        {},
        {"a": 1},
        {1: 2},
        {True: 1},
        {None: 1},
        {(1, 2): [3]},
        {Colour.RED: 1},
        {frozenset({1}): 2},
        {2**70: 1},
        {1.5: {b"\xff": [(1, {2})]}},
        {datetime(2024, 1, 1): {UUID(int=1)}},
        list(range(100_000)),
        {str(number): number for number in range(70_000)},
        ["x" * 70_000, b"y" * 70_000],
    ],
    ids=lambda value: repr(value)[:30] if type(value) is not int or abs(value) < 10**9 else "big",
)
def test_a_value_comes_back_as_it_went(value: object) -> None:
    assert same(round_trip(value), value)


def test_a_model_travels_as_its_fields() -> None:
    assert round_trip({"item": Item(name="a", parts=[Item(name="b")])}) == {
        "item": {"name": "a", "parts": [{"name": "b", "parts": []}]}
    }


def test_equal_sets_are_equal_bytes() -> None:
    """Whatever order they were filled in."""
    numbers = [0, 8, 16, 24, 1, 2**40, -5]
    assert CODEC.encode(set(numbers)) == CODEC.encode({*numbers[::-1]})


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.complex_numbers()
    | st.datetimes(timezones=st.none() | st.just(UTC))
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.decimals().filter(lambda value: not value.is_snan())  # which cannot be hashed
    | st.uuids()
    | st.sampled_from([*Colour, *Size, *Word, *Mode, *Bits])
)
HASHABLE = st.recursive(SCALARS, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=5)
VALUES = st.recursive(
    HASHABLE,
    lambda inner: st.lists(inner) | st.dictionaries(HASHABLE, inner) | st.sets(HASHABLE) | st.tuples(inner, inner),
    max_leaves=20,
)


@given(VALUES)
@settings(max_examples=150)
def test_any_value_comes_back_as_it_went(value: object) -> None:
    assert same(round_trip(value), value)


class Alien: ...


class Plant(Enum):
    TREE = 1


@pytest.mark.parametrize(
    "value", [Alien(), Alien, len, Plant.TREE, iter([]), range(3), {1: [Alien()]}, {Alien()}, "\ud800", [10**5000]]
)
def test_what_is_not_in_the_table_is_refused_by_name(value: object) -> None:
    with pytest.raises(SchemaError, match="cannot be shared"):
        CODEC.encode(value)


def test_a_value_without_bottom_is_refused_before_it_is_sent() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises((SchemaError, LimitExceeded)):
        CODEC.encode(endless)


def nested(wrap: object, levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = wrap(value)  # type: ignore[operator]  # a function
    return value


@pytest.mark.parametrize(
    "wrap",
    [
        lambda value: [value],
        lambda value: {"a": value},
        lambda value: (value,),
        lambda value: frozenset({value}),
        lambda value: [(value,)],
    ],
)
def test_depth_is_limited_on_both_sides_alike(wrap: object) -> None:
    """What can be sent can be received."""
    levels = 0
    while True:
        try:
            data = CODEC.encode(nested(wrap, levels + 1))
        except (LimitExceeded, SchemaError):
            break
        levels += 1
        assert same(CODEC.decode(data), nested(wrap, levels))
    assert MAX_DEPTH // 2 <= levels <= MAX_DEPTH
    deep = nested(lambda value: [value], MAX_DEPTH + 1)
    with pytest.raises(LimitExceeded, match="nesting"):
        CODEC.decode(msgpack.packb(deep))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x92\x01",
        b"\x01\x01",
        b"\xa3ab",
        b"\xa2\xff\xfe",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff\x01",
        b"\xc6\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x01",
        b"\x82\x01\x02\x01\x03",
        b"\x81\x90\x01",
        b"\x91" * 100_000,
        b"\x81\x01" * 100_000,
        b"GET / HTTP/1.1\r\n",
        b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94.",
        extension(0, b""),
        extension(99, b"\x01"),
        extension(127, b""),
        b"\xd6\xff\x00\x00\x00\x00",
        extension(1, b""),
        extension(1, b"\xa3abc"),
        extension(2, b"\x81\x01\x02"),
        extension(2, b"\x92\x01\x01"),
        extension(2, b"\x91\x90"),
        extension(3, b"\x92\x01\xc3"),
        extension(4, b"\x90"),
        extension(4, b"\x92\x01\x00"),
        extension(4, b"\x92\xa1x\x05"),
        extension(5, b"\xa4soon"),
        extension(6, b"\x92\xa512:34\x05"),
        extension(7, b"\x93\xcb\x7f\xef\xff\xff\xff\xff\xff\xff\x00\x00"),
        extension(8, b"\x01"),
        extension(8, b"\xa3one"),
        extension(9, b"\xb0" + b"a" * 16),
        extension(9, b"\xc4\x01a"),
        extension(10, b"\x01"),
        extension(10, b"\xa2 x"),
        extension(11, b"\x91\xa21j"),
        extension(11, b"\x92\xa11\xa12"),
        extension(12, b"\x92\x09\x01"),
        extension(12, b"\x92\xff\x01"),
        extension(12, b"\x92\x00\xa5green"),
        extension(12, b"\x01"),
        extension(12, b"\x92\x00\x90"),
        extension(13, b"\xc4\x01a"),
        extension(13, b"\x01"),
        extension(10, msgpack.packb("9" * 100_000)),
    ],
    ids=lambda data: data[:12].hex(),
)
def test_rubbish_is_refused(data: bytes) -> None:
    with pytest.raises((ProtocolError, LimitExceeded)):
        CODEC.decode(data)


def test_every_truncation_of_a_message_is_refused() -> None:
    data = CODEC.encode({"a": [1, (2, {3}), Decimal(1), datetime.min], "b": {"c": b"x" * 300}})
    for length in range(len(data)):
        with pytest.raises(ProtocolError):
            CODEC.decode(data[:length])
    with pytest.raises(ProtocolError):
        CODEC.decode(data + b"\xc0")


HEADS = st.sampled_from([bytes([head]) for head in [*range(0x80, 0x84), *range(0x90, 0x94), 0xA1, *range(0xC0, 0xE0)]])


@given(st.binary(max_size=200) | st.lists(HEADS | st.binary(max_size=3), max_size=40).map(b"".join))
@settings(max_examples=500)
@example(extension(9, b"\xb0" + b"a" * 16))
def test_random_bytes_are_a_value_or_refused(data: bytes) -> None:
    """And nothing else ever happens; what is a value can be sent again."""
    try:
        value = CODEC.decode(data)
    except (ProtocolError, LimitExceeded):
        return
    assert same(round_trip(value), value)


@given(st.integers(0, 20), VALUES.map(lambda value: CODEC.encode(value)))
@settings(max_examples=150)
def test_random_extensions_are_a_value_or_refused(code: int, payload: bytes) -> None:
    for data in (extension(code, payload), extension(code, msgpack.packb([msgpack.ExtType(code, payload)]))):
        try:
            CODEC.decode(data)
        except (ProtocolError, LimitExceeded):
            pass


@given(VALUES, st.integers(0, 10_000), st.integers(0, 255))
@settings(max_examples=150)
def test_a_flipped_byte_is_another_value_or_refused(value: object, position: int, byte: int) -> None:
    data = bytearray(CODEC.encode(value))
    data[position % len(data)] = byte
    try:
        CODEC.decode(bytes(data))
    except (ProtocolError, LimitExceeded):
        pass


def bomb_of_headers(size: int) -> bytes:
    """Arrays that claim 2**32 elements, one within the other."""
    return b"\xdd\x7f\xff\xff\xff" * (size // 5)


def bomb_of_modest_claims(size: int) -> bytes:
    return b"\xdc\xff\xff" * (size // 3)


def bomb_of_maps(size: int) -> bytes:
    return b"\xdf\x0f\xff\xff\xff\x01" * (size // 6)


def bomb_of_extensions(size: int) -> bytes:
    """Extension types within extension types, each holding all the rest of the message: each would be a copy of it."""
    payload = b"\xc4\x00"
    data = b"\x91\xc6" + (size - 1000).to_bytes(4, "big") + b"x" * (size - 1000)
    for _ in range(100):
        data = b"\xc9" + len(data).to_bytes(4, "big") + b"\x01" + data
        data = b"\x91" + data
    return data + payload[:0]


def bomb_of_levels(size: int) -> bytes:
    return b"\x91" * size


def peak(decode: Callable[[], object]) -> int:
    """Return how many bytes of memory a decoding takes at most, refused or not."""
    tracemalloc.start()
    try:
        with contextlib.suppress(ProtocolError, LimitExceeded):
            decode()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "bomb", [bomb_of_headers, bomb_of_modest_claims, bomb_of_maps, bomb_of_extensions, bomb_of_levels]
)
@pytest.mark.parametrize("size", [5_000, 100_000, 1_000_000])
def test_a_bomb_costs_little_more_than_its_own_size(bomb: object, size: int) -> None:
    data = bomb(size)  # type: ignore[operator]  # a function
    assert peak(lambda: CODEC.decode(data)) < 12 * len(data) + 3_000_000


@pytest.mark.parametrize("bomb", [bomb_of_headers, bomb_of_modest_claims, bomb_of_maps, bomb_of_levels])
def test_a_bomb_costs_little_however_deep_values_may_be(bomb: object) -> None:
    """What is too short to be too deep may still claim much."""
    data = bomb(100_000)  # type: ignore[operator]  # a function
    assert peak(lambda: CODEC.limited(1_000_000).decode(data)) < 12 * len(data) + 3_000_000


@pytest.mark.parametrize(
    "data", [b"\xd6\xff\0\0\0\1", b"\xd7\xff" + b"\1" * 8, b"\xc7\x0c\xff\0\0\0\1" + b"\1" * 8], ids=["4", "8", "12"]
)
@pytest.mark.parametrize(
    "around", [b"", b"\x91", b"\x92" + b"\xc4\xff" + b"x" * 255], ids=["alone", "in", "behind much"]
)
def test_the_extension_type_that_msgpack_knows_by_itself_is_refused(data: bytes, around: bytes) -> None:
    with pytest.raises(ProtocolError, match="unknown extension type -1"):
        CODEC.decode(around + data)


@pytest.mark.parametrize("bomb", [bomb_of_headers, bomb_of_modest_claims, bomb_of_maps, bomb_of_levels])
@pytest.mark.parametrize("size", [250, 5_000, 100_000])
def test_a_bomb_of_builtins_costs_little_more_than_its_own_size(bomb: object, size: int) -> None:
    data = bomb(size)  # type: ignore[operator]  # a function
    assert peak(lambda: decode_bare(data)) < (300_000 if size < 300 else 12 * len(data) + 3_000_000)


@pytest.mark.parametrize("size", [1, 100, 10_000])
def test_builtins_come_back_as_they_went_but_tuples(size: int) -> None:
    assert decode_bare(encode_bare((1, None, True, b"x" * size, ("a", {"b": ["c"]})))) == [
        1,
        None,
        True,
        b"x" * size,
        ["a", {"b": ["c"]}],
    ]


@pytest.mark.parametrize("value", ["\udc80", 1 << 64, object()], ids=["no text", "too great", "no data"])
def test_what_has_no_bytes_is_refused(value: object) -> None:
    with pytest.raises(SchemaError, match="cannot be shared"):
        encode_bare((1, value))


def test_ten_thousand_empty_containers_cost_what_they_are() -> None:
    """The price of Python's objects, about 70 times their bytes, is not to be had cheaper; but no more than that."""
    data = b"\xdd" + (100_000).to_bytes(4, "big") + b"\x90" * 100_000
    tracemalloc.start()
    try:
        CODEC.decode(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 80 * len(data)


def test_nothing_is_unpickled_or_imported() -> None:
    """Bytes that a pickle would make something of are bytes."""
    data = CODEC.encode(b"cos\nsystem\n(S'true'\ntR.")
    assert CODEC.decode(data) == b"cos\nsystem\n(S'true'\ntR."


def test_threads_share_a_codec() -> None:
    """A packer of msgpack is not reentrant: shared, it would mix up the messages of two threads without a word."""
    failures: list[object] = []

    class Slow(Enum):
        ONE = 1

    codec = Codec((Slow,))

    def work(number: int) -> None:
        for _ in range(300):
            value = {"n": [number, (number, Slow.ONE), Decimal(number)] * 5}
            if codec.decode(codec.encode(value)) != value:
                failures.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_value_whose_conversion_encodes_another_does_not_disturb_it() -> None:
    """Encoding is called from within encoding wherever extension types hold extension types."""
    assert round_trip([((1, (2, {(3, Decimal(4))})),), 5]) == [((1, (2, {(3, Decimal(4))})),), 5]


class Grumpy(Enum):
    ONE = 1

    @classmethod
    def _missing_(cls, value: object) -> object:
        raise RuntimeError("no such thing")


def test_an_enumeration_that_raises_is_a_refusal() -> None:
    codec = Codec((Grumpy,))
    with pytest.raises(ProtocolError, match="is no Grumpy"):
        codec.decode(extension(12, b"\x92\x00\x05"))
