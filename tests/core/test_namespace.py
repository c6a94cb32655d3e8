"""One state: a commit happens whole or not at all, and everything that was can be read while the history holds it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Annotated, Self, cast

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from pydantic import AfterValidator, Field, model_validator

from zproc.core.history import Author, Entry
from zproc.core.limits import Limits
from zproc.core.namespace import BudgetExceeded, Namespace
from zproc.exceptions import (
    CommitRefused,
    Error,
    HistoryGone,
    LimitExceeded,
    ProtocolError,
    UnknownPath,
    ValidationRefused,
    ValidatorCrashed,
)
from zproc.schema.model import Schema, StateModel
from zproc.schema.ops import Add, Delete, Discard, Op, Set, Splice, Update, op_to_plain
from zproc.schema.size import size_of_state
from zproc.typing import Path, Revision, SessionId

if TYPE_CHECKING:
    from tests.core.conftest import Wire

AUTHOR = Author(SessionId("s"), 11, "main", "test")


class Kitchen:
    """A namespace, and its commits in short."""

    def __init__(self, schema: Schema[StateModel], **limits: int) -> None:
        self.schema = schema
        self.namespace = Namespace(schema, Limits(**limits), nothing_special)

    def commit(self, *ops: Op) -> Entry | None:
        return self.namespace.commit(self.schema.codec.encode(list(map(op_to_plain, ops))), AUTHOR, wall=1.5)[0]

    def act(self, name: str, *args: object, path: Path = ()) -> object:
        call = self.schema.codec.encode([list(path), list(args), {}])
        return self.schema.codec.decode(self.namespace.act(name, call, AUTHOR, wall=1.5)[1])

    def read(self, *fields: str, at: int | None = None) -> dict[str, object]:
        read = self.namespace.read(fields) if at is None else self.namespace.read_at(fields, Revision(at))
        return cast("dict[str, object]", self.schema.codec.decode(read))

    def everything(self) -> tuple[object, ...]:
        history = self.namespace.history
        assert self.namespace._size == size_of_state(self.namespace.state)
        return (
            {name: type(value) for name, value in self.namespace.state},
            self.schema.codec.encode(self.namespace.state),
            self.namespace.revision,
            history.oldest,
            list(history.since(history.oldest)),
            dict(self.namespace._changed_at),
        )


class Again(AbstractContextManager[None]):
    """A context manager that may be entered again, made of what makes one."""

    def __init__(self, enter: Callable[[], AbstractContextManager[None]]) -> None:
        self._enter = enter
        self._stack = ExitStack()

    def __enter__(self) -> None:
        self._stack.enter_context(self._enter())

    def __exit__(self, *failure: object) -> bool | None:
        return self._stack.__exit__(*failure)  # type: ignore[arg-type]  # as they came


def nothing_special(_seconds: float) -> AbstractContextManager[None]:
    return nullcontext()


@pytest.fixture
def kitchen(schema: Schema[StateModel]) -> Kitchen:
    return Kitchen(schema)


@pytest.fixture
def busy(kitchen: Kitchen) -> Kitchen:
    """A namespace in which a few things have happened."""
    kitchen.act("bake", 5, "first")
    kitchen.commit(Set(("stock", "flour"), 3), Set(("stock", "sugar"), 4), Set(("stock", "salt"), 1))
    kitchen.commit(Add(("tags",), ("a", "b")), Set(("ovens", "big"), {"temp": 100}))
    return kitchen


# P1


REFUSED: list[tuple[str, list[Op], type[Error]]] = [
    ("a broken constraint", [Set(("cookies",), -1)], ValidationRefused),
    ("a wrong type", [Set(("cookies",), "1")], ValidationRefused),
    ("a bool for an int", [Set(("cookies",), True)], ValidationRefused),
    ("a float for an int", [Set(("cookies",), 1.0)], ValidationRefused),
    ("a model that is none", [Set(("oven",), {"temp": 1, "door": 2})], ValidationRefused),
    ("a broken rule of the model", [Set(("eaten",), 100)], ValidationRefused),
    ("a broken sum", [Update(("cookies",), "-", 100)], ValidationRefused),
    ("a sum of a text", [Update(("blob",), "+", 1)], CommitRefused),
    ("a division by nought", [Update(("cookies",), "//", 0)], CommitRefused),
    ("an unknown field", [Set(("cokies",), 1)], UnknownPath),
    ("an unknown field of a part", [Set(("oven", "door"), 1)], UnknownPath),
    ("a key that is not there", [Delete(("stock", "yeast"))], UnknownPath),
    ("a field that must stay", [Delete(("cookies",))], CommitRefused),
    ("a list that is none", [Splice(("stock",), 0, 0, (1,))], CommitRefused),
    ("a validator that raises KeyError", [Set(("trap",), "key")], ValidatorCrashed),
    ("a validator that raises SystemExit", [Set(("trap",), "exit")], ValidatorCrashed),
    ("a validator that returns nothing", [Set(("trap",), "none")], ValidatorCrashed),
]


@pytest.mark.parametrize(("ops", "error"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
@pytest.mark.parametrize("company", ["alone", "first", "last"])
def test_p1_a_refused_commit_leaves_everything_as_it_was(
    busy: Kitchen, ops: list[Op], error: type[Error], company: str
) -> None:
    """Whatever else is in it, dicts in their order included."""
    good: list[Op] = [
        Delete(("stock", "flour")),
        Set(("stock", "rye"), 1),
        Splice(("notes",), 0, 1, ("x", "y")),
        Discard(("tags",), ("a",)),
        Set(("ovens", "big", "temp"), 7),
        Update(("baked",), "+", 1),
    ]
    before = busy.everything()
    with pytest.raises(error):
        busy.commit(*{"alone": ops, "first": [*ops, *good], "last": [*good, *ops]}[company])
    assert busy.everything() == before


@pytest.mark.parametrize("how", ["value", "odd", "exit", "interrupt", "budget", "crash", "result"])
def test_p1_an_action_that_ends_badly_leaves_everything_as_it_was(busy: Kitchen, how: str) -> None:
    before = busy.everything()
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - each of them raises something else
        busy.act("spoil", how)
    assert not isinstance(caught.value, AssertionError)
    assert busy.everything() == before


def test_p1_the_end_of_the_time_in_a_validator_undoes_the_commit(busy: Kitchen) -> None:
    before = busy.everything()
    with pytest.raises(BudgetExceeded):
        busy.commit(Set(("cookies",), 1), Set(("trap",), "budget"))
    assert busy.everything() == before


def test_p1_time_that_ends_with_the_last_breath_undoes_the_commit(schema: Schema[StateModel]) -> None:
    """Even when the state is valid, encoded, and everything but published."""

    @contextmanager
    def over() -> Iterator[None]:
        yield
        raise BudgetExceeded

    kitchen = Kitchen(schema)
    kitchen.namespace._budget = Again(over)
    before = kitchen.everything()
    with pytest.raises(BudgetExceeded):
        kitchen.commit(Set(("cookies",), 1))
    assert kitchen.everything() == before
    with pytest.raises(BudgetExceeded):
        kitchen.act("bake", 1)
    assert kitchen.everything() == before


def test_p10_user_code_runs_within_the_budget_and_is_given_the_limit(schema: Schema[StateModel]) -> None:
    asked: list[float] = []

    def budget(seconds: float) -> Again:
        @contextmanager
        def entered() -> Iterator[None]:
            asked.append(seconds)
            yield

        return Again(entered)

    namespace = Namespace(schema, Limits(compute_time=0.25), budget)
    namespace.act("bake", schema.codec.encode([[], [1], {}]), AUTHOR, wall=0)
    namespace.commit(schema.codec.encode([op_to_plain(Set(("cookies",), 3))]), AUTHOR, wall=0)
    assert asked == [0.25, 0.25]


# It makes a new one each time.
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(st.data())
def test_p1_p3_any_mixture_of_ops_is_applied_whole_or_not_at_all(
    make_wire: Callable[[], Wire], data: st.DataObject
) -> None:
    """And what has been applied can be read back as it was at every revision."""
    wire = make_wire()
    line = wire.connect()
    was = {Revision(0): line.values()}
    paths = st.sampled_from([("cookies",), ("eaten",), ("baked",), ("stock", "a"), ("oven", "temp"), ("nope",)])
    ops = st.one_of(
        st.builds(Set, paths, st.integers(-1, 3)),
        st.builds(Update, paths, st.just("+"), st.integers(-2, 3)),
        st.builds(Delete, st.sampled_from([("stock", "a"), ("stock", "b"), ("ovens", "x")])),
        st.builds(Set, st.just(("ovens", "x")), st.fixed_dictionaries({"temp": st.integers(299, 301)})),
        st.builds(Splice, st.just(("notes",)), st.integers(-2, 2) | st.none(), st.integers(0, 2), st.just(("n", "m"))),
        st.builds(Add, st.just(("tags",)), st.just(("t", "u"))),
        st.builds(Discard, st.just(("tags",)), st.just(("t",))),
    )
    for _ in range(data.draw(st.integers(1, 8))):
        before = wire.fingerprint()
        revision = wire.namespace.revision
        line.send(line.commit(*data.draw(st.lists(ops, max_size=4))))
        line.take()
        if wire.namespace.revision == revision:
            assert wire.fingerprint() == before
        else:
            was[wire.namespace.revision] = line.values()
    for revision, values in was.items():
        assert line.values(at=revision) == values
        type(wire.namespace.state).model_validate(values, strict=True)


class Ordered(StateModel):
    table: dict[str, int] = {}
    tables: dict[str, dict[str, int]] = {}
    rows: list[dict[str, int]] = [{}, {}]
    few: Annotated[dict[str, int], Field(max_length=4)] = {}


KEYS = st.sampled_from("abcdef")
DICTS = st.one_of(
    st.just(("table",)),
    st.just(("few",)),
    st.builds(lambda key: ("tables", key), KEYS),
    st.builds(lambda at: ("rows", at), st.integers(0, 1)),
)
ORDERING = st.one_of(
    st.builds(lambda path, key, n: Set((*path, key), n), DICTS, KEYS, st.integers(0, 1)),
    st.builds(lambda path, key: Delete((*path, key)), DICTS, KEYS),
    st.builds(lambda path, key: Set((*path, key), "not a number"), DICTS, KEYS),  # held, and perhaps made good
    st.builds(lambda key, keys: Set(("tables", key), dict.fromkeys(keys, 1)), KEYS, st.permutations("abcd")),
    st.builds(lambda key: Delete(("tables", key)), KEYS),
    st.builds(lambda keys: Splice(("rows",), 0, 1, (dict.fromkeys(keys, 1),)), st.permutations("abc")),
    st.builds(lambda keys: Set(("table",), dict.fromkeys(keys, 1)), st.permutations("abcd")),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(ORDERING, min_size=1, max_size=8), max_size=10))
def test_p6_what_was_is_told_with_the_keys_in_the_order_that_they_had(commits: list[list[Op]]) -> None:
    """Byte by byte what was read then, from every revision to every other; and refused commits leave it, too."""
    kitchen = Kitchen(cast("Schema[StateModel]", Schema.of(Ordered)))
    kitchen.commit(
        Set(("table",), dict.fromkeys("fedcba", 1)), *[Set(("tables", key), dict.fromkeys("cab", 1)) for key in "bca"]
    )
    was = [kitchen.namespace.read_at((), Revision(0)), kitchen.namespace.read(())]
    for ops in commits:
        with suppress(Error):
            kitchen.commit(*ops)
        if kitchen.namespace.revision == len(was):
            was.append(kitchen.namespace.read(()))
        assert kitchen.namespace.read(()) == was[-1]
    for revision, encoded in enumerate(was):
        assert kitchen.namespace.read_at((), Revision(revision)) == encoded
    for entry in list(kitchen.namespace.history.backwards(Revision(0))):
        kitchen.commit(*[change.inverse() for change in reversed(kitchen.namespace.changes_of(entry))])
        assert kitchen.namespace.read(()) == was[entry.revision - 1]
    for revision, encoded in enumerate([*was, *reversed(was[:-1])]):
        assert kitchen.namespace.read_at((), Revision(revision)) == encoded


def test_many_deletions_are_taken_back_in_a_time_in_proportion() -> None:
    """In one commit and in one each: 10,000 steps in a dict of 20,000 keys, with a look at each key would be 2e8.

    By the history and by a commit.
    """
    kitchen = Kitchen(cast("Schema[StateModel]", Schema.of(Ordered)))
    keys = [str(key) for key in range(20_000)]
    kitchen.commit(Set(("table",), dict.fromkeys(keys, 1)))
    was = kitchen.namespace.read(())
    kitchen.commit(*[Delete(("table", key)) for key in keys[10_000:5_000:-1]])
    for key in keys[:5_000]:
        kitchen.commit(Delete(("table", key)))
    begun = time.process_time()
    assert kitchen.namespace.read_at((), Revision(1)) == was
    after = kitchen.namespace.read_at((), Revision(2))
    (entry,) = [entry for entry in kitchen.namespace.history.since(Revision(1)) if entry.revision == 2]
    kitchen.commit(Set(("table",), dict.fromkeys([*keys[:5_001], *keys[10_001:]], 1)))
    assert kitchen.namespace.read(()) == after
    kitchen.commit(*[change.inverse() for change in reversed(kitchen.namespace.changes_of(entry))])
    assert kitchen.namespace.read(()) == was
    assert time.process_time() - begun < 5


# P10: how large it may become


GROWING: list[list[Op]] = [
    [Set(("blob",), b"x" * 500)],
    [Set(("notes",), ["x" * 500])],
    [Set(("stock", "x" * 500), 1)],
    [Splice(("notes",), None, 0, ("x",) * 100)],
    [Add(("tags",), tuple(map(str, range(100))))],
    [Set(("ovens", str(number)), {"temp": 1}) for number in range(20)],
    [Set(("stock", "a"), 3), *[Update(("stock", "a"), "**", 7)] * 4],
    [Discard(("tags",), ("a",)), Set(("blob",), b"x" * 600), Set(("cookies",), 1)],
]


@pytest.mark.parametrize("ops", GROWING, ids=lambda ops: repr(ops)[:40])
def test_p1_p10_a_commit_that_would_make_the_state_too_large_changes_nothing(
    schema: Schema[StateModel], ops: list[Op]
) -> None:
    kitchen = Kitchen(schema, state_bytes=300)
    kitchen.commit(Add(("tags",), ("a", "b")))
    before = kitchen.everything()
    with pytest.raises(LimitExceeded, match=r"state_bytes: \d+ is over the limit of 300 bytes; .*\(state_bytes"):
        kitchen.commit(*ops)
    assert kitchen.everything() == before
    free = Kitchen(schema, state_bytes=3_000)
    assert free.commit(*ops) is not None
    assert free.everything()[2] == 1


def test_p1_p10_an_action_that_would_make_the_state_too_large_changes_nothing(schema: Schema[StateModel]) -> None:
    kitchen = Kitchen(schema, state_bytes=600)
    before = kitchen.everything()
    with pytest.raises(LimitExceeded) as caught:
        kitchen.act("bake", 1, "x" * 600)
    assert caught.value.limit == "state_bytes"
    assert caught.value.given > caught.value.allowed == 600
    assert kitchen.everything() == before


def test_p10_what_is_put_in_the_place_of_something_needs_only_room_for_what_it_is_more(
    schema: Schema[StateModel],
) -> None:
    kitchen = Kitchen(schema, state_bytes=700)
    for number in range(1, 300):
        kitchen.commit(Set(("blob",), bytes([number % 256]) * 400))
        kitchen.act("bake", number)
        kitchen.commit(Set(("stock", "a"), number))
        kitchen.commit(Splice(("notes",), 0, 2, (str(number), "b")))
    assert kitchen.everything()[2] == 1_196
    kitchen.commit(Delete(("stock", "a")), Set(("blob",), b""), Splice(("notes",), 0, 2, ()))
    kitchen.commit(Set(("blob",), b"x" * 400))
    assert kitchen.everything()[2] == 1_198


def test_p10_defaults_that_are_too_large_can_become_smaller_only() -> None:
    class Large(StateModel):
        text: str = "x" * 100

    kitchen = Kitchen(cast("Schema[StateModel]", Schema.of(Large)), state_bytes=50)
    with pytest.raises(LimitExceeded, match="state_bytes"):
        kitchen.commit(Set(("text",), "x" * 101))
    kitchen.commit(Set(("text",), "y" * 100))
    kitchen.commit(Set(("text",), "z" * 90))
    assert kitchen.read() == {"text": "z" * 90}


# P2, P6: the entry of a commit


class Scalars(StateModel):
    """Fields that are quiet, and their like that are not."""

    whole: int = Field(default=0, ge=-3, le=1000)
    real: float = 0.5
    flag: bool = False
    text: Annotated[str, Field(max_length=3)] = ""
    maybe: int | None = None
    pattern: Annotated[str, Field(pattern="^[a-c]*$")] = ""
    even: Annotated[int, AfterValidator(lambda value: value // 2 * 2)] = 0
    fixed: int = Field(default=0, frozen=True)
    either: int | str = 0
    many: list[int] = []


class Checked(StateModel):
    """A field that a validator of the model looks at."""

    whole: int = 0

    @model_validator(mode="after")
    def small(self) -> Self:
        assert self.whole < 10
        return self


_FIELDS = ["whole", "real", "flag", "text", "maybe", "pattern", "even", "fixed", "either", "many", "nothing"]
_VALUES: st.SearchStrategy[object] = st.one_of(
    st.integers(-5, 12), st.floats(), st.booleans(), st.text(max_size=4), st.none(), st.just(2**70), st.just([1])
)
_SCALAR_OPS: st.SearchStrategy[Op] = st.one_of(
    st.builds(Set, st.tuples(st.sampled_from(_FIELDS)), _VALUES),
    st.builds(Set, st.tuples(st.sampled_from(_FIELDS), st.integers(0, 1)), _VALUES),
    st.builds(Update, st.tuples(st.sampled_from(_FIELDS)), st.sampled_from(["+", "*", "/", "**", "<<"]), _VALUES),
    st.builds(Delete, st.tuples(st.sampled_from(_FIELDS))),
)


def _story(kitchen: Kitchen, ops: list[Op]) -> list[object]:
    """Return what comes of some commits of one op each: entries, refusals, and what is there afterwards."""
    told: list[object] = []
    for op in ops:
        try:
            entry = kitchen.commit(op)
            told.append(entry and (entry.touched, entry.repeated, entry.encoded))
        except Error as error:
            told.append((type(error), str(error)))
        told.append(kitchen.everything())
    return told


@pytest.mark.parametrize("model", [Scalars, Checked])
@given(ops=st.lists(_SCALAR_OPS, max_size=12))
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors])
def test_p1_p3_the_short_way_of_one_scalar_comes_to_what_the_long_one_does(
    model: type[StateModel], ops: list[Op]
) -> None:
    schema = cast("Schema[StateModel]", Schema.of(model))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zproc.core.namespace.scalar_change", lambda *_: None)
        long = _story(Kitchen(schema), ops)
    assert _story(Kitchen(schema), ops) == long


def test_the_short_way_is_taken_where_no_code_of_the_users_runs() -> None:
    assert set(Schema.of(Scalars).shape.quiet_fields) == {"whole", "real", "flag", "text", "maybe"}
    assert not Schema.of(Checked).shape.quiet_fields


def test_p10_the_addresses_that_a_commit_touched_count(schema: Schema[StateModel]) -> None:
    kitchen = Kitchen(schema)
    entry = kitchen.commit(*(Set(("stock", str(number)), 1) for number in range(100)))
    assert entry is not None
    assert entry.size >= len(entry.encoded) + 50 * 100


def test_p2_commits_are_numbered_from_one_without_gaps(kitchen: Kitchen) -> None:
    for expected in range(1, 5):
        entry = kitchen.commit(Update(("cookies",), "+", 1))
        assert entry is not None
        assert entry.revision == kitchen.namespace.revision == expected
        with pytest.raises(ValidationRefused):
            kitchen.commit(Set(("cookies",), -1))


def test_an_operation_on_a_number_tells_what_it_comes_to() -> None:
    scalars = Kitchen(cast("Schema[StateModel]", Schema.of(Scalars)))

    def told(*ops: Op) -> bytes:
        encoded = scalars.schema.codec.encode(list(map(op_to_plain, ops)))
        return scalars.namespace.commit(encoded, AUTHOR, wall=0.0)[1]

    assert told(Set(("whole",), 5)) == b"", "who sets it knows"
    assert scalars.schema.codec.decode(told(Update(("whole",), "+", 3))) == {"whole": 8}
    assert told(Update(("whole",), "+", 3), Update(("real",), "+", 1)) == b""


def test_p2_a_commit_that_changes_nothing_has_no_number(kitchen: Kitchen) -> None:
    assert kitchen.commit() is None
    assert kitchen.commit(Discard(("tags",), ("x",))) is None
    assert kitchen.act("look") == []
    assert kitchen.namespace.revision == 0


def test_p6_a_value_given_again_is_a_commit_that_touches_nothing(kitchen: Kitchen) -> None:
    """It has a number, so that whoever asks for duplicates can hear of it."""
    entry = kitchen.commit(Set(("cookies",), 0), Set(("baked",), 2))
    assert entry is not None
    assert (entry.touched, entry.repeated) == ((("baked",),), (("cookies",),))


def test_p6_an_entry_says_who_did_what_and_when(kitchen: Kitchen) -> None:
    kitchen.commit(Set(("cookies",), 1))
    entry = kitchen.commit(Set(("cookies",), 2), Set(("stock", "a"), 1))
    assert entry is not None
    assert kitchen.schema.codec.decode(entry.encoded) == [
        2,
        1.5,
        11,
        "main",
        "test",
        [[[0, ["cookies"], 2], True, 1], [[0, ["stock", "a"], 1], False, None]],
    ]


def test_p6_an_address_that_was_changed_twice_is_touched_once(kitchen: Kitchen) -> None:
    entry = kitchen.commit(Splice(("notes",), 0, 0, ("a",)), Splice(("notes",), 0, 0, ("b",)))
    assert entry is not None
    assert entry.touched == (("notes",),)
    assert len(kitchen.namespace.changes_of(entry)) == 2


# Reading


def test_p2_all_fields_are_read_or_those_that_are_named(busy: Kitchen) -> None:
    assert busy.read("cookies", "baked") == {"cookies": 5, "baked": 5}
    assert list(busy.read()) == list(type(busy.namespace.state).model_fields)


def test_p2_only_what_has_changed_since_is_read(busy: Kitchen) -> None:
    def since(revision: int, *fields: str) -> object:
        return busy.schema.codec.decode(busy.namespace.read(fields, Revision(revision)))

    assert since(2) == {"tags": {"a", "b"}, "ovens": {"big": {"temp": 100}}}
    assert since(1, "stock", "cookies") == {"stock": {"flour": 3, "sugar": 4, "salt": 1}}
    assert since(3) == since(1000) == {}
    assert set(cast("dict[str, object]", since(0))) == {"cookies", "baked", "notes", "stock", "tags", "ovens"}


@pytest.mark.parametrize("name", ["cokies", "model_fields", "__dict__", "_abc", ""])
def test_an_unknown_field_is_refused_by_name_however_it_is_read(busy: Kitchen, name: str) -> None:
    with pytest.raises(UnknownPath):
        busy.namespace.read((name,))
    with pytest.raises(UnknownPath):
        busy.namespace.read(("cookies", name), Revision(1))
    for revision in (1, 3):
        with pytest.raises(UnknownPath):
            busy.namespace.read_at((name,), Revision(revision))


def test_p6_the_state_can_be_read_as_of_every_revision(kitchen: Kitchen) -> None:
    """A walk of hundreds of commits of every kind, and back."""
    rng = random.Random(6)
    was = [kitchen.read()]
    for _ in range(300):
        ops: list[Op] = [
            Update(("cookies",), "+", 1),
            Set(("stock", rng.choice("abc")), rng.randint(0, 9)),
            Set(("oven",), {"temp": rng.randint(0, 300)}),
            Set(("oven", "temp"), rng.randint(0, 300)),
            Set(("ovens", rng.choice("xy")), {"temp": rng.randint(0, 300)}),
            Splice(("notes",), rng.randint(0, 2), rng.randint(0, 2), (str(rng.random()),)),
            Add(("tags",), (rng.choice("pqr"),)),
            Discard(("tags",), (rng.choice("pqr"),)),
        ]
        stock = kitchen.read("stock")["stock"]
        if stock:
            ops.append(Delete(("stock", rng.choice(sorted(cast("dict[str, int]", stock))))))
        if kitchen.commit(*rng.sample(ops[:-1], rng.randint(1, 3)), ops[-1]) is not None:
            was.append(kitchen.read())
    for revision in (*range(0, len(was), 7), len(was) - 2, len(was) - 1):
        assert kitchen.read(at=revision) == was[revision]
        assert kitchen.read("cookies", at=revision) == {"cookies": was[revision]["cookies"]}
    assert kitchen.read() == was[-1], "walking back has changed the present"


def test_p6_a_past_that_is_not_held_is_said_to_be_gone(schema: Schema[StateModel]) -> None:
    kitchen = Kitchen(schema, history_commits=2)
    for _ in range(5):
        kitchen.commit(Update(("cookies",), "+", 1))
    assert kitchen.read("cookies", at=3) == {"cookies": 3}
    for revision in (0, 2, 6):
        with pytest.raises(HistoryGone):
            kitchen.read(at=revision)


def test_p10_what_does_not_fit_into_a_message_is_not_read(schema: Schema[StateModel]) -> None:
    kitchen = Kitchen(schema, message_bytes=1 << 17)
    kitchen.commit(Set(("blob",), b"x" * (1 << 17)))
    kitchen.commit(Set(("cookies",), 1))
    for fields, at in (((), None), (("blob",), None), ((), 1)):
        with pytest.raises(LimitExceeded, match="message_bytes"):
            kitchen.read(*fields, at=at)
    assert kitchen.read("cookies") == {"cookies": 1}


# Actions


def test_an_action_is_called_by_its_name_and_its_result_comes_back(kitchen: Kitchen) -> None:
    assert kitchen.act("bake", 3, "hot") == 3
    assert kitchen.read("cookies", "baked", "notes") == {"cookies": 3, "baked": 3, "notes": ["hot"]}
    assert kitchen.namespace.revision == 1


def test_an_action_of_a_part_is_called_by_its_address(busy: Kitchen) -> None:
    assert busy.act("heat", 11, path=("oven",)) == 31
    assert busy.act("heat", 11, path=("ovens", "big")) == 111
    assert busy.read("oven", "ovens") == {"oven": {"temp": 31}, "ovens": {"big": {"temp": 111}}}


def test_a_result_is_a_copy_of_what_it_shows(busy: Kitchen) -> None:
    assert busy.act("look") == ["first"]


@pytest.mark.parametrize("name", ["no_action", "model_dump", "__init__", "cookies", "_abc_impl", "", "bake.x"])
def test_p9_only_actions_can_be_called(busy: Kitchen, name: str) -> None:
    before = busy.everything()
    with pytest.raises(UnknownPath):
        busy.act(name)
    assert busy.everything() == before


@pytest.mark.parametrize(
    "path",
    [
        ("cookies",),
        ("stock",),
        ("stock", "flour"),
        ("stock", "yeast"),
        ("notes", 0),
        ("notes", 7),
        ("notes", "x"),
        ("ovens", "small"),
        ("ovens", "big", "temp"),
        ("nope",),
        ("__class__",),
        ("model_fields", "cookies"),
        ("oven", "heat"),
        (5,),
        (None, None),
        ([],),
    ],
)
def test_p9_only_fields_lead_to_a_model_with_actions(busy: Kitchen, path: Path) -> None:
    """A key comes from anywhere; an attribute of a model may be anything."""
    with pytest.raises(UnknownPath):
        busy.act("heat", 1, path=path)


@pytest.mark.parametrize("args", [("1",), (True,), (1.5,), (), (1, 2, 3), (1, 5)])
def test_p3_arguments_are_what_the_action_is_annotated_with(busy: Kitchen, args: tuple[object, ...]) -> None:
    before = busy.everything()
    with pytest.raises(ValidationRefused, match="bake"):
        busy.act("bake", *args)
    assert busy.everything() == before


@pytest.mark.parametrize("call", [None, [], [[], []], [[], [], []], [[], [], {1: 2}], ["ab", [], {}], [[], 5, {}]])
def test_what_is_no_call_is_refused(kitchen: Kitchen, call: object) -> None:
    with pytest.raises(ProtocolError, match=r"Act\.call"):
        kitchen.namespace.act("bake", kitchen.schema.codec.encode(call), AUTHOR, wall=0)


def test_p10_a_result_that_does_not_fit_into_a_message_undoes_the_action(schema: Schema[StateModel]) -> None:
    kitchen = Kitchen(schema, message_bytes=1 << 17)
    assert kitchen.act("big_result", 1 << 16) == b"x" * (1 << 16)
    before = kitchen.everything()
    with pytest.raises(LimitExceeded, match="message_bytes"):
        kitchen.act("big_result", 1 << 17)
    assert kitchen.everything() == before


# What comes from anywhere


@pytest.mark.parametrize(
    "data", [None, 5, "x", {}, [5], [[]], [[9, ["a"], 1]], [[0, [], 1]], [[0, "a", 1]], [[0, ["a"]]]]
)
def test_what_is_no_list_of_ops_is_refused(kitchen: Kitchen, data: object) -> None:
    with pytest.raises(ProtocolError):
        kitchen.namespace.commit(kitchen.schema.codec.encode(data), AUTHOR, wall=0)


# The schema is the same for all.
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60))
def test_p10_random_bytes_change_nothing_and_raise_errors_of_ours(schema: Schema[StateModel], data: bytes) -> None:
    kitchen = Kitchen(schema)
    before = kitchen.everything()
    for use in (
        lambda: kitchen.namespace.commit(data, AUTHOR, wall=0),
        lambda: kitchen.namespace.act("bake", data, AUTHOR, wall=0),
        lambda: kitchen.namespace.patterns(data),
    ):
        with suppress(Error):
            use()
    assert kitchen.everything() == before


def test_p10_a_commit_of_too_many_ops_is_refused(schema: Schema[StateModel]) -> None:
    kitchen = Kitchen(schema, commit_ops=3)
    kitchen.commit(*[Update(("cookies",), "+", 1)] * 3)
    before = kitchen.everything()
    with pytest.raises(LimitExceeded, match="commit_ops: 4 is over the limit of 3"):
        kitchen.commit(*[Update(("cookies",), "+", 1)] * 4)
    assert kitchen.everything() == before


def test_patterns_are_lists_of_steps_of_one_key_or_none(kitchen: Kitchen) -> None:
    encode = kitchen.schema.codec.encode
    (first, second) = kitchen.namespace.patterns(encode([[["a"], [], [3]], []]))
    assert (first[0], repr(first[1]), first[2], second) == ("a", "ANY", 3, ())
    for wrong in (None, [], "ab", [5], ["ab"], [["a"]], [[["a", "b"]]], [[[["unhashable"]]]]):
        with pytest.raises(ProtocolError, match=r"Watch\.patterns"):
            kitchen.namespace.patterns(encode(wrong))


def test_p10_too_many_patterns_are_refused(schema: Schema[StateModel]) -> None:
    kitchen = Kitchen(schema, pattern_bytes=100)
    patterns = schema.codec.encode([[["cookies"]]] * 10)
    with pytest.raises(LimitExceeded, match="pattern_bytes"):
        kitchen.namespace.patterns(patterns)


def test_p3_a_result_is_what_the_action_is_annotated_with(kitchen: Kitchen) -> None:
    with pytest.raises(ValidationRefused, match="return"):
        kitchen.act("spoil", "result")


def look(kitchen: Kitchen, ask: str, *path: object, largest: int = 1 << 16) -> tuple[object, tuple[str, ...]]:
    data, large = kitchen.namespace.look(kitchen.schema.codec.encode(list(path)), ask, largest)
    return kitchen.schema.codec.decode(data), large


def test_what_stands_at_one_address_is_told_without_the_rest(kitchen: Kitchen) -> None:
    kitchen.commit(Set(("stock",), {"flour": 3, "salt": 1}), Set(("notes",), ["a", "b"]))
    assert look(kitchen, "value", "stock", "flour") == ([3], ())
    assert look(kitchen, "value", "stock", "sugar") == ([], ())
    assert look(kitchen, "value", "notes", -1) == (["b"], ())
    assert look(kitchen, "value", "notes", 2) == ([], ())
    assert look(kitchen, "length", "stock") == (2, ())
    assert look(kitchen, "member", "stock", "salt") == (True, ())
    assert look(kitchen, "member", "stock", "sugar") == (False, ())
    kitchen.commit(Add(("tags",), ("hot",)))
    assert look(kitchen, "member", "tags", "hot") == (True, ())
    assert look(kitchen, "slice", "notes", -1, None) == ([1, ["b"]], ())
    assert look(kitchen, "slice", "notes", 0, 1) == ([0, ["a"]], ())
    assert look(kitchen, "slice", "notes", 5, 9) == ([2, []], ())


def test_what_cannot_be_asked_of_an_address_is_refused(kitchen: Kitchen) -> None:
    with pytest.raises(UnknownPath, match="length"):
        look(kitchen, "length", "cookies")
    with pytest.raises(UnknownPath, match="member"):
        look(kitchen, "member", "notes", "a")
    with pytest.raises(UnknownPath, match="slices"):
        look(kitchen, "slice", "stock", 0, 1)
    with pytest.raises(ProtocolError, match="slice"):
        look(kitchen, "slice", "notes", "a", 1)
    with pytest.raises(UnknownPath, match="slices"):
        look(kitchen, "slice", "notes")
    with pytest.raises(UnknownPath, match="nope"):
        look(kitchen, "value", "nope")
    with pytest.raises(ProtocolError, match="no question"):
        look(kitchen, "price", "stock", "flour")
    for path in ([], [3, "x"], ["stock", []]):
        with pytest.raises(ProtocolError):
            look(kitchen, "value", *path)


def test_a_field_that_is_too_large_is_named_instead_of_sent(kitchen: Kitchen) -> None:
    kitchen.commit(Set(("notes",), ["x" * 100] * 10), Set(("cookies",), 3))
    data, large = kitchen.namespace.read_small(("notes", "cookies"), None, 500)
    assert (kitchen.schema.codec.decode(data), large) == ({"cookies": 3}, ("notes",))
    assert look(kitchen, "value", "notes", 0, largest=500) == (["x" * 100], ("notes",))
    kitchen.commit(Splice(("notes",), 0, 8, ()))
    assert look(kitchen, "value", "notes", 0, largest=500) == (["x" * 100], ()), (
        "it is known that it may be small again"
    )
    data, large = kitchen.namespace.read_small(("notes",), None, 500)
    assert (kitchen.schema.codec.decode(data), large) == ({"notes": ["x" * 100] * 2}, ())


def test_a_large_field_is_not_measured_again_while_it_cannot_have_become_small(
    kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch
) -> None:
    kitchen.commit(Set(("notes",), ["x" * 100] * 1000))
    kitchen.namespace.read_small(("notes",), None, 5000)
    measured: list[str] = []
    monkeypatch.setattr(kitchen.namespace, "_measured", measured.append)
    for number in range(20):
        kitchen.commit(Set(("notes", number), "y"))
        kitchen.namespace.read_small(("notes",), None, 5000)
    assert measured == []
