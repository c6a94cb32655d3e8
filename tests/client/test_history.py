"""The past: what happened, what was, and taking it back."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast
from uuid import UUID

import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st
from pydantic import BaseModel, Field, create_model

from zproc.client import commits_since, revert, transaction
from zproc.core.limits import Limits
from zproc.core.messages import Watch
from zproc.exceptions import CommitRefused, HistoryGone, UnknownPath
from zproc.schema import StateModel, action
from zproc.schema.event import Change
from zproc.schema.values import plain
from zproc.typing import Revision

if TYPE_CHECKING:
    from tests.client.conftest import Serve, Served


class Oven(BaseModel):
    temp: float = 20.0


class Shop(StateModel):
    cookies: int = Field(default=0, ge=0)
    stock: dict[str, int] = {}
    tags: list[str] = []
    marks: set[int] = set()
    ovens: dict[str, Oven] = {}

    @action
    def bake(self, n: int) -> None:
        self.cookies += n
        self.tags.append("baked")


@pytest.fixture
def served(serving: Serve) -> Served[Shop]:
    return serving(Shop)


class TestCommits:
    def test_all_of_them_in_order(self, served: Served[Shop]) -> None:
        for _ in range(600):
            served.state.cookies += 1
        served.state.bake(3)
        commits = list(commits_since(served.client, None))
        assert [commit.revision for commit in commits] == list(range(1, 602))
        assert commits[-1].author.function == "bake"
        assert commits[-1].changes == (Change("cookies", "set", 600, 603), Change("tags", "splice", [], ["baked"], 0))
        assert len({commit.epoch for commit in commits}) == 1

    def test_those_after_a_revision(self, served: Served[Shop]) -> None:
        for number in range(1, 6):
            served.state.cookies = number
        assert [commit.revision for commit in commits_since(served.client, 3)] == [4, 5]
        assert list(commits_since(served.client, 5)) == []

    def test_one_that_set_what_was_there_is_one_too(self, served: Served[Shop]) -> None:
        served.state.cookies = 0
        assert [commit.changes for commit in commits_since(served.client, None)] == [(Change("cookies", "set", 0, 0),)]

    def test_it_ends_at_what_was_new_when_it_was_asked_for(self, served: Served[Shop]) -> None:
        served.state.cookies = 1
        found = []
        for commit in commits_since(served.client, 0):
            found.append(commit.revision)
            served.state.cookies += 1
        assert found == [1]

    def test_what_was_dropped_is_an_error_only_if_it_was_asked_for(self, serving: Serve) -> None:
        served = serving(Shop, limits=Limits(history_commits=3))
        for number in range(1, 10):
            served.state.cookies = number
        assert [commit.revision for commit in commits_since(served.client, None)] == [7, 8, 9]
        with pytest.raises(HistoryGone) as gone:
            list(commits_since(served.client, 2))
        assert (gone.value.asked, gone.value.oldest) == (2, 6)

    def test_nobody_waits_for_it(self, served: Served[Shop]) -> None:
        assert list(commits_since(served.client, None)) == []
        assert not any(cast("Watch", command).wait for command in served.asked(Watch))


class TestRevert:
    def test_what_a_commit_did_is_taken_back_by_another(self, served: Served[Shop]) -> None:
        served.state.update(cookies=2, stock={"a": 1}, tags=["x"], marks={1}, ovens={"a": Oven()})
        before = served.value.model_copy(deep=True)
        served.state.bake(3)
        assert revert(served.client, 2) == 3
        assert served.value == before
        (commit,) = commits_since(served.client, 2)
        assert commit.author.function == "revert 2"
        revert(served.client, 3)  # and back again
        assert (served.value.cookies, served.value.tags) == (5, ["x", "baked"])

    def test_later_commits_elsewhere_stay(self, served: Served[Shop]) -> None:
        served.state.stock["a"] = 1
        served.state.stock["b"] = 2
        revert(served.client, 1)
        assert served.value.stock == {"b": 2}

    def test_it_is_validated_like_any_other(self, served: Served[Shop]) -> None:
        served.state.ovens["a"] = Oven()
        served.state.ovens["a"].temp = 3.0
        del served.state.ovens["a"]
        with pytest.raises((CommitRefused, UnknownPath)):
            revert(served.client, 2)
        assert served.revision == 3

    @pytest.mark.parametrize("revision", [-1, 0, 2, 100])
    def test_what_is_not_there_cannot_be_taken_back(self, served: Served[Shop], revision: int) -> None:
        served.state.cookies = 1
        with pytest.raises(HistoryGone) as gone:
            revert(served.client, revision)
        assert (gone.value.asked, gone.value.oldest) == (revision, 1)
        assert served.revision == 1

    def test_the_oldest_commit_that_can_be_taken_back_is_told(self, serving: Serve) -> None:
        served = serving(Shop, limits=Limits(history_commits=3))
        for number in range(1, 10):
            served.state.cookies = number
        with pytest.raises(HistoryGone) as gone:
            revert(served.client, 6)
        assert (gone.value.asked, gone.value.oldest) == (6, 7)
        assert revert(served.client, 7) == 10


class Colour(Enum):
    RED = "red"


class Kinds(StateModel):
    """A field of every kind that can be shared."""

    number: int = 0
    real: float = 0.0
    flag: bool = False
    text: str = ""
    data: bytes = b""
    exact: Decimal = Decimal(0)
    moment: datetime = datetime(2000, 1, 1)
    day: date = date(2000, 1, 1)
    clock: time = time(0)
    span: timedelta = timedelta(0)
    key: UUID = UUID(int=0)
    colour: Colour | None = None
    choice: Literal["a", 1] = "a"
    place: Path = Path()
    either: int | str | None = None
    pair: tuple[int, str] = (0, "")
    numbers: frozenset[int] = frozenset()
    listed: list[float] = []
    keyed: dict[int, bytes] = {}
    model: Oven = Oven()


KINDS: list[tuple[str, Any]] = [
    ("number", 2**200),
    ("number", -(2**63)),
    ("real", math.nan),
    ("real", -0.0),
    ("real", math.inf),
    ("real", 1.0),
    ("flag", True),
    ("text", "\x00é\U0001f36a"),
    ("data", b"\xff\x00\xfe"),
    ("exact", Decimal("1.10")),
    ("exact", Decimal("-0")),
    ("moment", datetime(2020, 10, 25, 2, 30, fold=1)),
    ("moment", datetime(2020, 10, 25, 2, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))),
    ("day", date(1, 1, 1)),
    ("clock", time(23, 59, 59, 999999)),
    ("span", timedelta(days=-1, microseconds=1)),
    ("key", UUID(int=7)),
    ("colour", Colour.RED),
    ("choice", 1),
    ("place", Path("/a b/c")),
    ("either", "1"),
    ("either", 1),
    ("pair", (1, "x")),
    ("numbers", frozenset({1, 2})),
    ("listed", [math.nan, -0.0, 1.0]),
    ("keyed", {3: b"\xff"}),
    ("model", Oven(temp=-0.0)),
]


@pytest.mark.parametrize(("name", "value"), KINDS, ids=[f"{name}-{number}" for number, (name, _) in enumerate(KINDS)])
def test_every_kind_of_field_makes_the_round_trip(serving: Serve, name: str, value: Any) -> None:
    """Commit, read, history, the state at a revision, and back: exactly, not only equal."""
    served = serving(Kinds)
    before = exactly(getattr(Kinds(), name))
    setattr(served.state, name, value)
    assert exactly(getattr(served.state.snapshot(), name)) == exactly(value)
    (commit,) = commits_since(served.client, None)
    assert exactly(commit.changes[0].new) == exactly(value)
    assert exactly(commit.changes[0].old) == before
    revert(served.client, 1)
    assert exactly(getattr(served.state.snapshot(), name)) == before
    assert exactly(getattr(served.client.snapshot(Revision(1)), name)) == exactly(value)
    assert exactly(getattr(served.client.snapshot(Revision(0)), name)) == before


def deep(name: str) -> type[StateModel]:
    """A model that has a kind of value at depth, and, if it can be hashed, as a key and in a set."""
    kind: Any = Kinds.model_fields[name].annotation
    inner = create_model("Inner", row=(list[kind], []), optional=(kind | None, None))
    fields: dict[str, Any] = {
        "table": (dict[str, list[kind]], {}),
        "inner": (dict[str, inner], {}),
        "tuples": (tuple[tuple[kind, ...], ...], ()),
    }
    if name not in ("listed", "keyed", "model"):
        fields.update(keyed=(dict[kind, int], {}), marks=(set[kind], set()), pairs=(dict[tuple[kind, int], int], {}))
    return create_model("Deep", __base__=StateModel, **fields)


def put_at_depth(state: Any, value: Any) -> list[tuple[str, Callable[[], object]]]:
    """Ways to put a value somewhere below a field, each one commit."""
    ways: list[tuple[str, Callable[[], object]]] = [
        ("table", lambda: state.table["a"].append(value)),
        ("table", lambda: state.table["a"].__setitem__(0, value)),
        ("table", lambda: state.table.update(b=[value, value])),
        ("inner", lambda: state.inner["a"].row.insert(0, value)),
        ("inner", lambda: setattr(state.inner["a"], "optional", value)),
        ("tuples", lambda: setattr(state, "tuples", ((value, value), (value,)))),
    ]
    if "keyed" in dict(state):
        ways += [
            ("keyed", lambda: state.keyed.__setitem__(value, 1)),
            ("keyed", lambda: state.keyed.__setitem__(value, 2)),
            ("keyed", lambda: state.keyed.pop(value)),
            ("marks", lambda: state.marks.add(value)),
            ("marks", lambda: state.marks.discard(value)),
            ("pairs", lambda: state.pairs.__setitem__((value, 1), 1)),
        ]
    return ways


@pytest.mark.parametrize(("name", "value"), KINDS, ids=[f"{name}-{number}" for number, (name, _) in enumerate(KINDS)])
def test_every_kind_makes_the_round_trip_at_depth_in_a_set_and_as_a_key(serving: Serve, name: str, value: Any) -> None:
    """Commit, read, the state at each revision, and each commit taken back: exactly, not only equal."""
    served = serving(deep(name))
    state: Any = served.state
    state.table["a"] = []
    state.inner["a"] = {"row": [], "optional": None}
    was = [served.client.snapshot(Revision(revision)) for revision in range(served.revision + 1)]
    for field, put in put_at_depth(state, value):
        if field in ("keyed", "marks", "pairs") and value != value:  # noqa: PLR0124
            continue  # NaN is no key that could be found again
        put()
        now = state.snapshot()
        assert exactly(plain(getattr(now, field))) == exactly(plain(getattr(served.value, field)))
        assert repr(value) in repr(getattr(now, field)) or not getattr(now, field), "as it was given"
        was.append(now)
    assert served.revision == len(was) - 1
    for revision, then in enumerate(was):
        assert exactly(plain(served.client.snapshot(Revision(revision)))) == exactly(plain(then))
    for revision in range(served.revision, 0, -1):
        revert(served.client, revision)
        assert exactly(plain(state.snapshot())) == exactly(plain(was[revision - 1]))


def exactly(value: object) -> object:
    """A value by which two are told apart that are equal and not the same, such as 1 and True."""
    if isinstance(value, BaseModel):
        return Oven.__name__, {name: exactly(item) for name, item in value.__dict__.items()}
    if isinstance(value, (list, tuple)):
        return type(value), [exactly(item) for item in value]
    if isinstance(value, dict):
        return dict, [(exactly(key), exactly(item)) for key, item in value.items()]
    if isinstance(value, (set, frozenset)):
        return type(value), sorted(map(repr, value))
    return type(value), repr(value)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(["set", "delete", "append", "mark", "bake", "several"])),
        max_size=8,
    )
)
@example([("a", "set"), ("b", "set"), ("a", "delete")])
def test_every_commit_reverted_backwards_leads_to_the_beginning(serving: Serve, steps: list[tuple[str, str]]) -> None:
    served = serving(Shop)
    state = served.state
    was = [exactly(state.snapshot())]
    for key, step in steps:
        match step:
            case "set":
                state.stock[key] = len(key)
            case "delete":
                state.stock.pop(key, None)
            case "append":
                state.tags.insert(0, key)
            case "mark":
                state.marks.symmetric_difference_update({ord(key)})
            case "bake":
                state.bake(1)
            case "several":  # each of what the one before has left
                with transaction(state) as draft:
                    draft.tags.insert(0, key)
                    draft.tags[-1] = "z"
                    draft.stock[key] = 1
                    del draft.stock[key]
                    draft.tags.append(key)
        if served.revision == len(was):
            was.append(exactly(state.snapshot()))
    for revision in range(served.revision, 0, -1):
        revert(served.client, revision)
        assert exactly(state.snapshot()) == was[revision - 1], "the order of keys, too"
    assert served.value == Shop()
