"""What a client holds of the state: true at its revision, and replaced, never changed."""

from __future__ import annotations

from typing import Annotated, cast

import pytest
from pydantic import AfterValidator, BaseModel

from zproc.client.replica import Held, Replica
from zproc.exceptions import SchemaError
from zproc.schema import StateModel
from zproc.schema.model import Schema
from zproc.typing import Epoch, Revision


class Oven(BaseModel):
    temp: float = 20.0


def _fickle(value: int) -> int:
    if value == 5:
        raise ValueError("not five")
    return 5 if value == 4 else value


class Kitchen(StateModel):
    cookies: int = 0
    oven: Oven = Oven()
    tags: tuple[str, ...] = ()
    fickle: Annotated[int, AfterValidator(_fickle)] = 0


SCHEMA = cast("Schema[StateModel]", Schema.of(Kitchen))
NOTHING = SCHEMA.codec.encode({})


def encoded(**values: object) -> bytes:
    return SCHEMA.codec.encode(values)


def told(replica: Replica, name: str, known: Held | None, revision: Revision, answer: bytes) -> object:
    """Have a replica take an answer about one field."""
    return replica.take({name: known}, revision, answer)[name]


@pytest.fixture
def replica() -> Replica:
    return Replica(SCHEMA, Epoch("first"))


def test_a_value_is_held_as_of_a_revision(replica: Replica) -> None:
    assert replica.held("cookies") is None
    assert told(replica, "cookies", None, Revision(3), encoded(cookies=5)) == 5
    assert replica.held("cookies") == Held(5, Revision(3), len(encoded(cookies=5)))


def test_values_are_of_their_types(replica: Replica) -> None:
    assert told(replica, "oven", None, Revision(1), encoded(oven={"temp": 3.0})) == Oven(temp=3.0)
    assert replica.decode(encoded(tags=("a", "b"))) == {"tags": ("a", "b")}


def test_what_has_not_changed_is_as_of_the_newer_revision(replica: Replica) -> None:
    oven = told(replica, "oven", None, Revision(1), encoded(oven={"temp": 3.0}))
    known = replica.held("oven")
    assert told(replica, "oven", known, Revision(9), NOTHING) is oven
    assert replica.held("oven") == Held(oven, Revision(9), len(encoded(oven={"temp": 3.0})))


def test_an_answer_is_about_what_was_held_when_it_was_asked_for(replica: Replica) -> None:
    """Another thread may have taken an older answer, or a newer one, in between."""
    told(replica, "cookies", None, Revision(5), encoded(cookies=5))
    known = replica.held("cookies")
    told(replica, "cookies", None, Revision(8), encoded(cookies=8))
    assert told(replica, "cookies", known, Revision(6), NOTHING) == 5
    assert replica.held("cookies") == Held(8, Revision(8), len(encoded(cookies=8)))


def test_an_old_answer_does_not_replace_a_newer_one(replica: Replica) -> None:
    told(replica, "cookies", None, Revision(8), encoded(cookies=8))
    assert told(replica, "cookies", None, Revision(7), encoded(cookies=7)) == 7
    assert replica.held("cookies") == Held(8, Revision(8), len(encoded(cookies=8)))


def test_with_a_turn_comes_what_is_small(replica: Replica) -> None:
    told(replica, "cookies", None, Revision(1), encoded(cookies=1))
    told(replica, "tags", None, Revision(1), encoded(tags=("a" * 70_000,)))
    assert replica.small().keys() == {"cookies"}


def test_a_turn_brings_everything_up_to_date(replica: Replica) -> None:
    told(replica, "cookies", None, Revision(1), encoded(cookies=1))
    told(replica, "oven", None, Revision(2), encoded(oven={"temp": 3.0}))
    values = replica.take(replica.small(), Revision(7), encoded(cookies=9))
    assert values == {"cookies": 9, "oven": Oven(temp=3.0)}
    assert [held.revision for held in replica.small().values()] == [7, 7]
    assert replica.take(replica.small(), Revision(8), b"") == values


def test_a_snapshot_is_frozen(replica: Replica) -> None:
    state = replica.snapshot(encoded(cookies=1, oven={"temp": 3.0}, tags=("a",), fickle=0))
    assert state == Kitchen(cookies=1, oven=Oven(temp=3.0), tags=("a",))
    with pytest.raises(RuntimeError, match="a snapshot is a copy"):
        state.oven.temp = 4.0


def test_a_validator_that_does_not_take_what_it_makes_is_named(replica: Replica) -> None:
    with pytest.raises(SchemaError, match="fickle: a validator does not take a value that it has made itself"):
        told(replica, "fickle", None, Revision(1), encoded(fickle=5))


@pytest.fixture
def word() -> memoryview:
    return memoryview(bytearray(8)).cast("Q")


def test_what_is_known_of_the_newest_revision_is_read_without_asking(word: memoryview) -> None:
    replica = Replica(SCHEMA, Epoch("first"), word)
    told(replica, "cookies", None, Revision(3), encoded(cookies=5))
    told(replica, "tags", None, Revision(3), encoded(tags=("a",)))
    told(replica, "oven", None, Revision(3), encoded(oven={"temp": 3.0}))
    moment = replica.moment
    assert moment.values == {"cookies": 5, "tags": ("a",), "oven": Oven(temp=3.0)}
    assert moment.direct == {"cookies": 5, "tags": ("a",)}, "a model is handed out as a handle only"
    assert not moment.is_newest()
    word[0] = 3
    assert moment.is_newest()
    word[0] = 4
    assert not moment.is_newest()


def test_a_moment_holds_nothing_of_an_older_revision(word: memoryview) -> None:
    replica = Replica(SCHEMA, Epoch("first"), word)
    told(replica, "cookies", None, Revision(3), encoded(cookies=5))
    told(replica, "tags", None, Revision(4), encoded(tags=("a",)))
    assert replica.moment.values == {"tags": ("a",)}
    replica.take(replica.small(), Revision(6), encoded(cookies=6))
    assert replica.moment.values == {"cookies": 6, "tags": ("a",)}
    told(replica, "cookies", None, Revision(5), encoded(cookies=0))
    assert (replica.moment.revision, replica.moment.values["cookies"]) == (6, 6), "an old answer is nobody's present"


def test_without_a_word_every_reader_asks() -> None:
    replica = Replica(SCHEMA, Epoch("first"))
    told(replica, "cookies", None, Revision(0), encoded(cookies=5))
    assert not replica.moment.is_newest()


def test_a_field_that_is_too_large_is_not_held_any_longer(replica: Replica) -> None:
    told(replica, "tags", None, Revision(1), encoded(tags=("a",)))
    assert replica.take(replica.small(), Revision(2), NOTHING, ["tags"]) == {}
    assert replica.is_large("tags")
    assert replica.held("tags") is None
    told(replica, "tags", None, Revision(3), encoded(tags=("b",)))
    assert not replica.is_large("tags")


def test_what_is_brought_up_to_date_together_is_bounded(replica: Replica) -> None:
    names = [f"field{number}" for number in range(40)]
    for name in names:
        replica._held[name] = Held("", Revision(1), 60_000)
    small = replica.small(["field39"])
    assert next(iter(small)) == "field39"
    assert sum(held.size for held in small.values()) <= 1 << 20
    assert len(small) == 17
