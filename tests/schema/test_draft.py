"""A draft looks and acts like the model that it stands for, records what is done to it, and dies."""

from __future__ import annotations

import asyncio
import copy
import functools
import pickle
from collections.abc import Awaitable, Callable, Iterator
from typing import ClassVar, Self, cast

import pytest
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, computed_field

from zproc.exceptions import UnknownPath, UsageError, ValidationRefused
from zproc.schema.action import run
from zproc.schema.change import Change
from zproc.schema.draft import Draft, Session, validator_draft
from zproc.schema.model import StateModel
from zproc.schema.ops import Set
from zproc.schema.transaction import Transaction
from zproc.schema.values import same


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)
    tags: list[str] = []


class Oven(BaseModel):
    temp: int = Field(default=20, le=300)
    racks: list[str] = []

    def heat(self, by: int) -> int:
        self.temp += by
        return self.temp

    def __contains__(self, rack: object) -> bool:
        return rack in self.racks

    def __call__(self) -> str:
        return f"{self.temp} degrees"


class Base(StateModel):
    cookies: int = 0

    def bake(self, count: int) -> int:
        self.cookies += count
        return self.cookies

    @property
    def dozens(self) -> int:
        return self.cookies // 12

    @dozens.setter
    def dozens(self, value: int) -> None:
        self.cookies = value * 12

    @property
    def fixed(self) -> int:
        return 1


class State(Base):
    LIMIT: ClassVar[int] = 100
    oven: Oven = Oven()
    spare: Oven | None = None
    tags: list[str] = []
    stock: dict[str, int] = {}
    frozen: Frozen = Frozen()
    pair: tuple[list[int], int] = ([], 0)
    _secret: int = PrivateAttr(7)

    @computed_field  # type: ignore[prop-decorator]  # as its documentation has it
    @property
    def total(self) -> int:
        return self.cookies + sum(self.stock.values())

    @functools.cached_property
    def loud(self) -> list[str]:
        return [tag.upper() for tag in self.tags]

    def bake(self, count: int) -> int:
        self.tags.append("baked")
        return super().bake(count) + 100

    @classmethod
    def make(cls, cookies: int) -> State:
        return cls(cookies=cookies)

    @staticmethod
    def twice(number: int) -> int:
        return 2 * number

    def model_dump_json(self, **options: object) -> str:
        return "mine: " + super().model_dump_json()

    def __len__(self) -> int:
        return self.cookies

    def __add__(self, other: int) -> int:
        return self.cookies + other

    def __radd__(self, other: int) -> int:
        return other + self.cookies

    def __iadd__(self, other: int) -> Self:
        self.cookies += other
        return self

    def __getitem__(self, key: str) -> int:
        return self.stock[key]

    def __setitem__(self, key: str, value: int) -> None:  # type: ignore[override]  # a state may have items of its own
        self.stock[key] = value

    def __lt__(self, other: State) -> bool:
        return self.cookies < other.cookies

    def __bool__(self) -> bool:
        return self.cookies > 0

    def __int__(self) -> int:
        return self.cookies

    def __format__(self, spec: str) -> str:
        return f"<{self.cookies}{spec}>"

    def __enter__(self) -> Self:
        self.cookies += 1
        return self

    def __exit__(self, *error: object) -> None:
        self.cookies += 1


def on_draft(work: Callable[[State], object], state: State | None = None) -> tuple[State, object, list[Change]]:
    state = state or State()
    result, changes = run(state, work, list)
    return state, result, changes


def test_it_is_an_instance_of_its_model() -> None:
    def work(state: State) -> None:
        assert isinstance(state, State)
        assert isinstance(state, StateModel)
        assert isinstance(state, Draft)
        assert isinstance(state.oven, Oven)
        assert not isinstance(state.oven, State)
        assert state.__class__ is State

    on_draft(work)


def test_methods_of_the_model_change_the_state() -> None:
    state, result, changes = on_draft(lambda draft: (draft.bake(2), draft.oven.heat(30)))
    assert result == (102, 50)
    assert (state.cookies, state.tags, state.oven.temp) == (2, ["baked"], 50)
    assert len(changes) == 3


def test_properties_are_computed_from_the_state_as_it_is_now() -> None:
    def work(state: State) -> None:
        assert (state.dozens, state.total, state.loud) == (0, 0, [])
        state.dozens = 2
        state.stock["a"] = 1
        state.tags.append("x")
        assert (state.dozens, state.total, state.loud) == (2, 25, ["X"])

    assert on_draft(work)[0].cookies == 24


def test_class_attributes_are_reached_through_it() -> None:
    def work(state: State) -> None:
        assert state.LIMIT == 100
        assert state.make(3).cookies == 3
        assert state.twice(4) == 8
        assert state.model_config["extra"] == "forbid"

    on_draft(work)


def test_what_pydantic_defines_is_given_a_copy() -> None:
    def work(state: State) -> None:
        state.cookies = 5
        assert state.model_dump()["cookies"] == 5
        assert state.model_dump()["total"] == 5
        assert state.model_dump_json().startswith("mine: {")
        copied = state.model_copy(update={"tags": ["a"]})
        copied.cookies = 99
        assert state.cookies == 5
        assert type(copied) is State
        assert repr(state) == repr(copied.model_copy(update={"cookies": 5, "tags": []}))
        assert str(state.oven) == "temp=20 racks=[]"

    on_draft(work)


def test_operators_that_the_model_defines_work() -> None:
    def work(state: State) -> None:
        assert not state
        state += 3
        assert (len(state), state + 1, 1 + state, int(state), bool(state)) == (3, 4, 4, 3, True)
        state["a"] = 5
        assert state["a"] == 5
        assert state < State(cookies=9)
        assert f"{state:!}" == "<3!>"
        with state as inside:
            assert inside.cookies == 4
        state.oven.racks.append("top")
        assert "top" in state.oven
        assert state.oven() == "20 degrees"

    assert on_draft(work)[0].cookies == 5


def test_equality_is_that_of_the_models() -> None:
    def work(state: State) -> None:
        assert state == State()
        assert State() == state
        assert state.oven == Oven()
        assert state.oven != Oven(temp=21)
        state.cookies = 1
        assert state == State(cookies=1)
        with pytest.raises(TypeError, match="unhashable"):
            hash(state)

    on_draft(work)


def test_iterating_yields_the_fields() -> None:
    def work(state: State) -> None:
        assert [name for name, _ in state] == list(State.model_fields)
        dict(state)["tags"].append("a")

    assert on_draft(work)[0].tags == ["a"]


def test_a_nested_model_can_be_replaced_and_changed() -> None:
    def work(state: State) -> None:
        before = state.oven
        state.oven = Oven(temp=50)
        state.oven.temp += 1
        state.spare = Oven(temp=7)
        state.spare.temp += 1
        state.spare.racks.append("a")
        assert before.temp == 20
        with pytest.raises(UsageError, match="no longer in the state"):
            before.temp = 5
        state.spare = state.oven
        state.spare.temp = 99

    state, _, _ = on_draft(work)
    assert (state.oven.temp, state.spare) == (51, Oven(temp=99))
    assert state.oven is not state.spare


def test_a_value_that_was_assigned_stays_the_callers_own() -> None:
    mine, tags = Oven(), ["a"]

    def work(state: State) -> None:
        state.oven = mine
        state.tags = tags
        mine.temp = 250
        tags.append("b")
        state.oven.temp += 1

    state, _, changes = on_draft(work)
    assert (state.oven.temp, state.tags, mine.temp) == (21, ["a"], 250)
    assert [change.op for change in changes] == [
        Set(("oven",), {"temp": 20, "racks": []}),
        Set(("tags",), ["a"]),
        Set(("oven", "temp"), 21),
    ]


def test_what_is_asked_for_does_not_change_with_the_callers_values() -> None:
    state = State()
    transaction = Transaction(state, validator_draft, private=True)
    draft = Session(transaction).root(State)
    mine = [["a"]]
    draft.tags.extend(mine[0])
    draft.oven = oven = Oven(racks=mine[0])
    mine[0].append("b")
    oven.temp = 1
    draft.tags.append("c")
    in_place = Transaction(state, validator_draft)
    for op in transaction.requested:
        in_place.apply(op)
    in_place.finish()
    assert (state.tags, state.oven) == (["a", "c"], Oven(racks=["a"]))
    assert same(transaction.root, state)


def test_frozen_and_immutable_parts_are_handed_out_as_copies() -> None:
    """They could not be recorded; what would be lost must not look like a change."""

    def work(state: State) -> None:
        state.frozen.tags.append("lost")
        state.pair[0].append(1)
        assert state.frozen.tags == []
        assert state.pair == ([], 0)

    assert on_draft(work)[2] == []


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    def work(state: State) -> None:
        with pytest.raises(UnknownPath, match="did you mean 'cookies'"):
            _ = state.cookeis  # type: ignore[attr-defined]  # that is the point
        with pytest.raises(AttributeError):
            state.cookeis = 1  # type: ignore[attr-defined]  # as above
        with pytest.raises(UnknownPath, match="did you mean 'temp'"):
            state.oven.tmep = 1  # type: ignore[attr-defined]  # as above
        assert not hasattr(state, "nothing")
        assert getattr(state, "nothing", 5) == 5
        with pytest.raises(UnknownPath):
            state.fixed = 2  # type: ignore[misc]  # a property without a setter
        with pytest.raises(UnknownPath, match="computed"):
            state.total = 2  # type: ignore[misc]  # as above

    on_draft(work)


def test_a_private_attribute_is_not_shared() -> None:
    def work(state: State) -> None:
        with pytest.raises(UsageError, match="private"):
            _ = state._secret
        with pytest.raises(UsageError, match="private"):
            state._secret = 1

    on_draft(work)


def test_a_field_cannot_be_deleted() -> None:
    def work(state: State) -> None:
        with pytest.raises(UsageError, match="always has a value"):
            del state.cookies

    on_draft(work)


def test_a_draft_dies_with_its_function() -> None:
    """Whatever is done with it then raises, and says why."""
    escaped: list[object] = []

    def work(state: State) -> None:
        escaped.extend([state, state.oven, state.tags, state.stock, state.bake])

    state, _, _ = on_draft(work)
    root, oven, tags, stock, bake = escaped
    uses: list[Callable[[], object]] = [
        lambda: root.cookies,  # type: ignore[attr-defined]  # a draft
        lambda: setattr(root, "cookies", 1),
        lambda: root.nothing,  # type: ignore[attr-defined]  # as above
        lambda: root.LIMIT,  # type: ignore[attr-defined]  # as above
        lambda: setattr(oven, "temp", 1),
        lambda: tags.append("x"),  # type: ignore[attr-defined]  # as above
        lambda: list(tags),  # type: ignore[call-overload]  # as above
        lambda: stock["a"],  # type: ignore[index]  # as above
        lambda: stock.update(a=1),  # type: ignore[attr-defined]  # as above
        lambda: bake(1),  # type: ignore[operator]  # as above
        lambda: repr(root),
        lambda: root == state,
    ]
    for use in uses:
        with pytest.raises(UsageError, match="died when its function returned"):
            use()
    assert state == State()


def test_a_draft_cannot_be_pickled() -> None:
    def work(state: State) -> None:
        for part in (state, state.oven, state.tags, state.stock):
            with pytest.raises(UsageError, match="cannot be pickled"):
                pickle.dumps(part)

    on_draft(work)


def test_a_copy_of_a_draft_is_a_value() -> None:
    def work(state: State) -> tuple[object, ...]:
        state.tags.append("a")
        found = copy.copy(state), copy.deepcopy(state.tags), copy.copy(state.oven), state.snapshot()
        state.tags.append("b")
        assert not any(isinstance(part, Draft) for part in found)
        return found

    _, found, _ = on_draft(work)
    assert isinstance(found, tuple)
    assert found[:3] == (State(tags=["a"]), ["a"], Oven())
    assert found[3] == State(tags=["a"])


def test_one_place_has_one_draft() -> None:
    def work(state: State) -> None:
        assert state.oven is state.oven
        assert state.tags is state.tags
        kept = state.oven
        state.oven.temp = 7
        assert kept.temp == 7

    on_draft(work)


def test_a_draft_follows_what_stands_in_its_place_only_if_it_is_of_its_kind() -> None:
    transaction = Transaction(State(spare=Oven()), validator_draft)
    draft = Session(transaction).root(State)
    kept = draft.spare
    transaction.apply(Set(("spare",), None))
    with pytest.raises(UsageError, match="no longer in the state"):
        _ = kept.temp  # type: ignore[union-attr]  # it was there


def test_a_refused_change_leaves_the_draft_usable() -> None:
    """A child must not be taken for gone because something else could not take its place."""

    class Strict(StateModel):
        fixed: int = Field(default=1, frozen=True)
        oven: Oven = Field(default=Oven(), frozen=True)

    def work(state: Strict) -> None:
        oven = state.oven
        with pytest.raises(ValidationRefused, match="frozen"):
            state.oven = Oven()  # type: ignore[misc]  # that is the point
        with pytest.raises(ValidationRefused, match="frozen"):
            state.fixed = 2  # type: ignore[misc]  # as above
        oven.temp = 99

    state = Strict()
    run(state, work, len)
    assert state.oven.temp == 99


def test_validators_are_shown_the_draft_of_their_model() -> None:
    transaction = Transaction(State(), validator_draft)
    oven = validator_draft(transaction, ("oven",))
    assert isinstance(oven, Oven)
    assert isinstance(oven, Draft)
    oven.heat(5)
    assert [change.op for change in transaction.finish()] == [Set(("oven", "temp"), 25)]


def test_asynchronous_operators_are_forwarded() -> None:
    class Waiting(StateModel):
        n: int = 0

        def __await__(self) -> Iterator[None]:
            self.n += 1
            return iter(())

    async def wait(state: Awaitable[object]) -> None:
        await state

    state = Waiting()
    run(state, lambda draft: asyncio.run(wait(cast("Awaitable[object]", draft))), len)
    assert state.n == 1
