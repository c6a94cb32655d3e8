"""What a client holds of the state: true at its revision, and replaced, never changed."""

from __future__ import annotations

from typing import Annotated, Any, cast

import pytest
from pydantic import AfterValidator, BaseModel, create_model

from zproc.client.replica import NEVER, Held, Moment, Replica
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


class Rank(BaseModel):
    rank: Annotated[int, AfterValidator(_fickle)] = 0


class Kitchen(StateModel):
    cookies: int = 0
    oven: Oven = Oven()
    tags: tuple[str, ...] = ()
    fickle: Annotated[int, AfterValidator(_fickle)] = 0
    picky: Rank | Oven = Oven()


SCHEMA = cast("Schema[StateModel]", Schema.of(Kitchen))
NOTHING = SCHEMA.codec.encode({})


def encoded(**values: object) -> bytes:
    return SCHEMA.codec.encode(values)


def told(replica: Replica, name: str, revision: Revision, answer: bytes, known: Moment = NEVER) -> object:
    """Have a replica take an answer about one field."""
    return replica.take(known, revision, answer)[name]


@pytest.fixture
def replica() -> Replica:
    return Replica(SCHEMA, Epoch("first"))


def test_a_value_is_held_as_of_a_revision(replica: Replica) -> None:
    assert replica.held("cookies") is None
    assert told(replica, "cookies", Revision(3), encoded(cookies=5)) == 5
    assert replica.held("cookies") == Held(5, Revision(3))


def test_values_are_of_their_types(replica: Replica) -> None:
    assert told(replica, "oven", Revision(1), encoded(oven={"temp": 3.0})) == Oven(temp=3.0)
    assert replica.decode(encoded(tags=("a", "b"))) == {"tags": ("a", "b")}


def test_what_has_not_changed_is_as_of_the_newer_revision(replica: Replica) -> None:
    oven = told(replica, "oven", Revision(1), encoded(oven={"temp": 3.0}))
    known = replica.known("oven")
    assert told(replica, "oven", Revision(9), NOTHING, known) is oven
    assert replica.held("oven") == Held(oven, Revision(9))


def test_an_answer_is_about_what_was_held_when_it_was_asked_for(replica: Replica) -> None:
    """Another thread may have taken an older answer, or a newer one, in between."""
    told(replica, "cookies", Revision(5), encoded(cookies=5))
    known = replica.known("cookies")
    told(replica, "cookies", Revision(8), encoded(cookies=8))
    assert told(replica, "cookies", Revision(6), NOTHING, known) == 5
    assert replica.held("cookies") == Held(8, Revision(8))


def test_an_old_answer_does_not_replace_a_newer_one(replica: Replica) -> None:
    told(replica, "cookies", Revision(8), encoded(cookies=8))
    assert told(replica, "cookies", Revision(7), encoded(cookies=7)) == 7
    assert replica.held("cookies") == Held(8, Revision(8))


def test_with_a_turn_comes_what_is_small(replica: Replica) -> None:
    told(replica, "cookies", Revision(1), encoded(cookies=1))
    told(replica, "tags", Revision(1), encoded(tags=("a" * 70_000,)))
    assert replica.small().values.keys() == {"cookies"}


def test_a_turn_brings_everything_up_to_date(replica: Replica) -> None:
    told(replica, "cookies", Revision(1), encoded(cookies=1))
    told(replica, "oven", Revision(2), encoded(oven={"temp": 3.0}))
    values = replica.take(replica.small(), Revision(7), encoded(cookies=9))
    assert values == {"cookies": 9, "oven": Oven(temp=3.0)}
    assert replica.small().revision == 7
    assert replica.small().values == values
    assert replica.take(replica.small(), Revision(8), b"") == values


def test_a_snapshot_is_frozen(replica: Replica) -> None:
    state = replica.snapshot(encoded(cookies=1, oven={"temp": 3.0}, tags=("a",), fickle=0, picky={"temp": 20.0}))
    assert state == Kitchen(cookies=1, oven=Oven(temp=3.0), tags=("a",))
    with pytest.raises(RuntimeError, match="a snapshot is a copy"):
        state.oven.temp = 4.0


def test_a_validator_that_does_not_take_any_more_what_it_took_once_is_not_asked(replica: Replica) -> None:
    """A date has to be in the future, say, when it becomes part of the state. When it is read, it need not be."""
    told(replica, "fickle", Revision(1), encoded(fickle=5))
    assert replica.moment.values["fickle"] == 5


def test_one_that_alone_can_say_what_its_value_is_is_named(replica: Replica) -> None:
    with pytest.raises(SchemaError, match="picky: a validator does not take a value that it has made itself"):
        told(replica, "picky", Revision(1), encoded(picky={"rank": 5}))


@pytest.fixture
def word() -> memoryview:
    return memoryview(bytearray(8)).cast("Q")


def test_what_is_known_of_the_newest_revision_is_read_without_asking(word: memoryview) -> None:
    replica = Replica(SCHEMA, Epoch("first"), word)
    told(replica, "cookies", Revision(3), encoded(cookies=5))
    told(replica, "tags", Revision(3), encoded(tags=("a",)))
    told(replica, "oven", Revision(3), encoded(oven={"temp": 3.0}))
    moment = replica.moment
    assert moment.values == {"cookies": 5, "tags": ("a",), "oven": Oven(temp=3.0)}
    assert not moment.is_newest()
    word[0] = 3
    assert moment.is_newest()
    word[0] = 4
    assert not moment.is_newest()


def test_a_moment_holds_nothing_of_an_older_revision(word: memoryview) -> None:
    replica = Replica(SCHEMA, Epoch("first"), word)
    told(replica, "cookies", Revision(3), encoded(cookies=5))
    told(replica, "tags", Revision(4), encoded(tags=("a",)))
    assert replica.moment.values == {"tags": ("a",)}
    replica.take(replica.small(), Revision(6), encoded(cookies=6))
    assert replica.moment.values == {"cookies": 6, "tags": ("a",)}
    told(replica, "cookies", Revision(5), encoded(cookies=0))
    assert (replica.moment.revision, replica.moment.values["cookies"]) == (6, 6), "an old answer is nobody's present"


def test_without_a_word_every_reader_asks() -> None:
    replica = Replica(SCHEMA, Epoch("first"))
    told(replica, "cookies", Revision(0), encoded(cookies=5))
    assert not replica.moment.is_newest()


def test_a_field_that_is_too_large_is_not_held_any_longer(replica: Replica) -> None:
    told(replica, "tags", Revision(1), encoded(tags=("a",)))
    assert replica.take(replica.small(), Revision(2), NOTHING, ["tags"]) == {}
    assert replica.is_large("tags")
    assert replica.held("tags") is None
    told(replica, "tags", Revision(3), encoded(tags=("b",)))
    assert not replica.is_large("tags")


def test_what_is_brought_up_to_date_together_is_bounded() -> None:
    names = [f"field{number}" for number in range(40)]
    fields = cast("dict[str, Any]", dict.fromkeys(names, (str, "")))
    wide = cast("Schema[StateModel]", Schema.of(create_model("Wide", __base__=StateModel, **fields)))
    replica = Replica(wide, Epoch("first"))
    for name in names:
        replica.take(NEVER, Revision(1), wide.codec.encode({name: "x" * 60_000}))
    small = replica.small("field39")
    assert next(iter(small.values)) == "field39"
    assert len(small.values) == (1 << 20) // 60_006


def test_what_was_read_by_itself_is_held_until_all_are_brought_up_to_date(replica: Replica) -> None:
    told(replica, "cookies", Revision(3), encoded(cookies=5))
    told(replica, "oven", Revision(4), encoded(oven={"temp": 3.0}))
    assert replica.held("cookies") == Held(5, Revision(3))
    assert replica.small() is not replica.moment
    assert (replica.small().revision, set(replica.small().values)) == (3, {"cookies", "oven"})
    replica.take(replica.small(), Revision(5), NOTHING)
    assert replica.small() is replica.moment
    assert replica.held("cookies") == Held(5, Revision(5))


def test_a_large_field_is_asked_for_alone(replica: Replica) -> None:
    told(replica, "cookies", Revision(3), encoded(cookies=5))
    told(replica, "tags", Revision(3), encoded(tags=("a" * 70_000,)))
    assert set(replica.known("tags").values) == {"tags"}
    assert set(replica.known("cookies").values) == {"cookies"}
    assert replica.known("oven").values == {}
    told(replica, "cookies", Revision(4), encoded(cookies=6), replica.known("cookies"))
    assert replica.held("tags") == Held(("a" * 70_000,), Revision(3))


def test_an_old_answer_about_what_is_not_held_is_better_than_none(replica: Replica) -> None:
    told(replica, "cookies", Revision(8), encoded(cookies=8))
    told(replica, "oven", Revision(7), encoded(oven={"temp": 3.0}))
    told(replica, "oven", Revision(6), encoded(oven={"temp": 2.0}))
    assert replica.held("oven") == Held(Oven(temp=3.0), Revision(7))
    assert replica.moment.values == {"cookies": 8}


def test_a_moment_shares_what_has_not_changed_with_the_one_before(replica: Replica) -> None:
    told(replica, "cookies", Revision(1), encoded(cookies=1))
    before = replica.moment
    before.direct["cookies"] = 1
    replica.take(replica.small(), Revision(2), NOTHING)
    assert replica.moment.values is before.values
    assert replica.moment.direct == {"cookies": 1}
    replica.take(replica.small(), Revision(3), encoded(cookies=2))
    assert replica.moment.direct == {}


def test_a_moment_moves_on_by_what_alone_is_new_in_the_next_revision(replica: Replica) -> None:
    told(replica, "cookies", Revision(3), encoded(cookies=5))
    told(replica, "tags", Revision(3), encoded(tags=("a",)))
    assert replica.move_on(Revision(4), encoded(cookies=6))
    assert (replica.moment.revision, replica.moment.values) == (4, {"cookies": 6, "tags": ("a",)})


@pytest.mark.parametrize("revision", [Revision(2), Revision(3), Revision(5)])
def test_a_moment_does_not_move_on_past_what_others_may_have_changed(replica: Replica, revision: Revision) -> None:
    told(replica, "cookies", Revision(3), encoded(cookies=5))
    assert not replica.move_on(revision, encoded(cookies=6))
    assert (replica.moment.revision, replica.moment.values) == (3, {"cookies": 5})


def test_a_moment_does_not_move_on_by_what_is_not_held(replica: Replica) -> None:
    told(replica, "tags", Revision(3), encoded(tags=("a",)))
    assert not replica.move_on(Revision(4), encoded(cookies=6))
    assert replica.moment.values == {"tags": ("a",)}
