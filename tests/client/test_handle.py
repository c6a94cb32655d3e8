"""Live handles look like the state that they are the address of."""

from __future__ import annotations

import copy
import enum
import functools
import json
import pickle
import tracemalloc
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal, Self

import pytest
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    computed_field,
    field_validator,
    model_validator,
)

from zproc.client import Handle
from zproc.core.messages import Commit, Read
from zproc.exceptions import CommitRefused, SchemaError, UnknownPath, UsageError, ValidationRefused, ValidatorCrashed
from zproc.schema import StateModel, action
from zproc.transport import fresh_address

if TYPE_CHECKING:
    from tests.client.conftest import Serve


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Oven(BaseModel):
    temp: float = 20.0
    on: bool = False
    racks: list[int] = []

    def heat(self, by: float) -> float:
        """Get hotter."""
        self.temp += by
        return self.temp

    @action
    def switch(self, on: bool) -> bool:
        """Switch it."""
        self.on, before = on, self.on
        return before


class Badge(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: str = "none"
    marks: tuple[int, ...] = ()


class Circle(BaseModel):
    kind: Literal["circle"] = "circle"
    radius: float = 1.0


class Square(BaseModel):
    kind: Literal["square"] = "square"
    side: float = 1.0


class Kitchen(StateModel):
    cookies: int = Field(default=0, ge=0)
    name: str = "kitchen"
    open: bool = True
    weight: float = 1.5
    oven: Oven = Oven()
    spare: Oven | None = None
    shape: Circle | Square = Circle()
    anything: int | str | None = None
    badge: Badge = Badge()
    colour: Colour = Colour.RED
    tags: list[str] = []
    stock: dict[str, int] = {}
    ovens: dict[str, Oven] = {}
    least: int = 0
    most: int = 10
    cursed: int = 0

    _notes: int = PrivateAttr(default=7)

    @field_validator("cursed")
    @classmethod
    def _curse(cls, value: int) -> int:
        match value:
            case 1:
                raise KeyError("one")
            case 2:
                raise SystemExit(2)
        return value

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.least > self.most:
            raise ValueError("least is more than most")
        return self

    @computed_field  # type: ignore[prop-decorator]  # as pydantic documents it
    @property
    def dozens(self) -> int:
        return self.cookies // 12

    @property
    def heat(self) -> float:
        """How hot it is."""
        return self.oven.temp

    @heat.setter
    def heat(self, value: float) -> None:
        self.oven.temp = value

    @functools.cached_property
    def doubled(self) -> int:
        return self.cookies * 2

    @staticmethod
    def motto() -> str:
        return "bake"

    @classmethod
    def title(cls) -> str:
        return cls.__name__

    def bake(self, n: int = 1) -> int:
        """Bake some."""
        self.cookies += n
        return self.cookies

    def __len__(self) -> int:
        return len(self.tags)

    def __contains__(self, tag: str) -> bool:
        return tag in self.tags

    def __add__(self, n: int) -> int:
        return self.cookies + n

    @action
    def restock(self, n: int, *, name: str | None = None) -> int:
        """Put more cookies there."""
        self.cookies += n
        if name is not None:
            self.name = name
        return self.cookies

    @action
    def best(self, badge: Badge, pair: tuple[int, Colour] = (1, Colour.RED)) -> tuple[Badge, Colour]:
        self.badge = badge
        self.colour = pair[1]
        return self.badge, self.colour

    @action
    def hot(self) -> Oven:
        return self.oven

    @action
    def fail(self, how: str) -> None:
        self.cookies += 100
        if how == "key":
            raise KeyError(how)
        if how == "exit":
            raise SystemExit(3)
        raise Burnt(how, 7)


class Burnt(Exception):
    pass


class Slotted(StateModel):
    """Fields named as what handles, lists and models have methods for."""

    path: int = 1
    client: int = 2
    value: int = 3
    kind: int = 4
    items: int = 5


class Odd(StateModel):
    oven: Annotated[Oven, AfterValidator(lambda oven: oven)] = Oven()
    numbers: Annotated[list[int], AfterValidator(lambda numbers: numbers)] = []


class TestReading:
    def test_a_scalar_comes_back_as_it_is(self, serving: Serve) -> None:
        state = serving(Kitchen).state
        assert (state.cookies, state.name, state.open, state.weight) == (0, "kitchen", True, 1.5)
        assert state.open is True
        assert state.anything is None
        assert state.colour is Colour.RED

    def test_what_was_written_is_read_by_everybody(self, serving: Serve, either_address: str) -> None:
        """By the writer and by another client, over either transport."""
        served = serving(Kitchen, address=either_address)
        served.state.cookies = 5
        served.state.oven.temp = 180.0
        for state in (served.state, served.state_of(served.new_client())):
            assert (state.cookies, state.oven.temp) == (5, 180.0)

    def test_a_nested_model_is_a_handle_that_keeps_its_place(self, serving: Serve) -> None:
        state = serving(Kitchen).state
        oven = state.oven
        state.oven = Oven(temp=99.0)
        assert oven.temp == 99.0
        oven.on = True
        assert state.oven == Oven(temp=99.0, on=True)

    def test_an_optional_model_comes_and_goes(self, serving: Serve) -> None:
        """A handle of what is no longer there says so, instead of reading something else."""
        state = serving(Kitchen).state
        assert state.spare is None
        state.spare = Oven(temp=1.0)
        spare = state.spare
        assert spare is not None
        assert spare.temp == 1.0
        state.spare = None
        with pytest.raises(UnknownPath, match="spare: no Oven stands there any longer"):
            _ = spare.temp
        with pytest.raises(UnknownPath):
            spare.temp = 2.0
        assert repr(spare).startswith("<Oven at spare: ")
        state.spare = Oven(temp=3.0)
        assert spare.temp == 3.0

    def test_a_handle_of_one_member_of_a_union_is_not_one_of_another(self, serving: Serve) -> None:
        state = serving(Kitchen).state
        circle = state.shape
        assert isinstance(circle, Circle)
        state.shape = Square(side=2.0)
        assert isinstance(state.shape, Square)
        assert state.shape.side == 2.0
        with pytest.raises(UnknownPath, match="no Circle stands there any longer"):
            _ = circle.radius

    def test_a_union_of_scalars_keeps_the_type(self, serving: Serve) -> None:
        state = serving(Kitchen).state
        for value in (3, "three", None):
            state.anything = value
            assert state.anything == value
            assert isinstance(state.anything, type(value))

    def test_a_frozen_model_is_a_plain_value(self, serving: Serve) -> None:
        """Nothing in it can be changed, so there is nothing to be a handle for."""
        state = serving(Kitchen).state
        state.badge = Badge(name="first", marks=(1, 2))
        badge = state.badge
        assert type(badge) is Badge
        state.badge = Badge()
        assert badge == Badge(name="first", marks=(1, 2))
        assert badge.marks == (1, 2)

    def test_a_validator_may_have_a_say_in_what_stands_there(self, serving: Serve) -> None:
        """What the annotation says is then not to be relied on: whoever reads looks."""
        served = serving(Odd)
        assert served.state.oven == Oven()
        assert served.state.numbers == []
        served.state.numbers.append(3)
        assert served.state.numbers == [3]
        assert len(served.asked(Read)) == 7, "one to see what is there, one to use it"

    def test_fields_may_have_the_names_of_our_own_things(self, serving: Serve) -> None:
        state = serving(Slotted).state
        assert [state.path, state.client, state.value, state.kind] == [1, 2, 3, 4]
        state.path = 5
        assert dict(state) == {"path": 5, "client": 2, "value": 3, "kind": 4, "items": 5}

    def test_a_second_read_of_what_has_not_changed_carries_no_value(self, serving: Serve) -> None:
        served = serving(Kitchen)
        served.state.tags = ["a" * 1000]
        assert [served.state.tags[0] for _ in range(2)] == ["a" * 1000] * 2
        first, second = served.asked(Read)
        assert isinstance(first, Read)
        assert isinstance(second, Read)
        assert (first.since, second.since) == (None, 1)


class TestLikeTheModel:
    def test_it_is_an_instance(self, serving: Serve) -> None:
        state = serving(Kitchen).state
        assert isinstance(state, Kitchen)
        assert isinstance(state, StateModel)
        assert isinstance(state.oven, Oven)
        assert not isinstance(state.oven, Kitchen)
        assert isinstance(state, Handle)

    def test_it_equals_what_it_stands_for(self, serving: Serve) -> None:
        served = serving(Kitchen)
        state = served.state
        state.cookies = 3
        assert state == Kitchen(cookies=3)
        assert Kitchen(cookies=3) == state
        assert state != Kitchen()
        assert state == served.state_of(served.new_client())
        assert state.oven == Oven()
        assert Oven() == state.oven
        assert state != 3

    def test_it_cannot_be_hashed(self, serving: Serve) -> None:
        with pytest.raises(TypeError, match="unhashable"):
            hash(serving(Kitchen).state)

    def test_it_looks_like_it(self, serving: Serve) -> None:
        state = serving(Kitchen).state
        state.cookies = 3
        assert repr(state) == repr(Kitchen(cookies=3))
        assert str(state) == str(Kitchen(cookies=3))
        assert f"{state.oven}" == str(Oven())
        assert repr(state.tags) == "[]"

    def test_it_looks_like_something_when_the_server_is_gone(self, serving: Serve) -> None:
        served = serving(Kitchen)
        served.stop()
        assert repr(served.state).startswith("<Kitchen at the root: ")

    def test_its_fields_are_gone_through_at_one_moment(self, serving: Serve) -> None:
        served = serving(Kitchen)
        served.state.cookies = 3
        fields = dict(served.state)
        assert len(served.asked(Read)) == 1
        assert fields == dict(Kitchen(cookies=3))

    def test_what_pydantic_defines_works(self, serving: Serve) -> None:
        state = serving(Kitchen).state
        plain = Kitchen(cookies=3, spare=Oven(), ovens={"a": Oven()})
        state.cookies, state.spare, state.ovens = 3, Oven(), {"a": Oven()}
        assert state.model_dump() == plain.model_dump()
        assert json.loads(state.model_dump_json()) == json.loads(plain.model_dump_json())
        assert state.model_json_schema() == Kitchen.model_json_schema()
        assert state.oven.model_dump(exclude={"racks"}) == {"temp": 20.0, "on": False}

    def test_model_copy_is_a_plain_instance(self, serving: Serve) -> None:
        """It can be changed, and changes nobody's state."""
        state = serving(Kitchen).state
        copied = state.model_copy(update={"cookies": 9})
        assert type(copied) is Kitchen
        copied.oven.temp = 1.0
        copied.tags.append("x")
        assert (copied.cookies, state.cookies) == (9, 0)
        assert state == Kitchen()
        assert type(state.oven.model_copy()) is Oven

    def test_copies_are_plain_values(self, serving: Serve) -> None:
        state = serving(Kitchen).state
        state.tags = ["a"]
        for copied in (copy.copy(state), copy.deepcopy(state)):
            assert type(copied) is Kitchen
            copied.cookies = 4
            copied.oven.temp = 0.0
        assert type(copy.copy(state.oven)) is Oven
        assert type(copy.deepcopy(state.tags)) is list
        assert state == Kitchen(tags=["a"])

    def test_methods_work_on_the_live_state(self, serving: Serve) -> None:
        served = serving(Kitchen)
        assert served.state.bake(3) == 3
        assert served.value.cookies == 3
        assert served.state.oven.heat(5.0) == 25.0
        assert served.value.oven.temp == 25.0
        assert served.state.motto() == "bake"
        assert served.state.title() == "Kitchen"
        assert served.state.bake.__doc__ == "Bake some."

    def test_properties_work_both_ways(self, serving: Serve) -> None:
        state = serving(Kitchen).state
        state.heat = 200.0
        assert (state.heat, state.oven.temp) == (200.0, 200.0)
        state.cookies = 25
        assert state.dozens == 2
        assert state.doubled == 50
        state.cookies = 5
        assert state.doubled == 10, "what a live state computes is not kept"

    def test_operators_of_the_model_work(self, serving: Serve) -> None:
        state = serving(Kitchen).state
        state.tags = ["x", "y"]
        assert len(state) == 2
        assert "x" in state
        assert "z" not in state
        assert state + 3 == 3

    def test_it_can_be_completed_in_a_shell(self, serving: Serve) -> None:
        assert {"cookies", "oven", "bake", "model_dump", "dozens"} <= set(dir(serving(Kitchen).state))

    def test_a_private_attribute_is_not_shared(self, serving: Serve) -> None:
        state = serving(Kitchen).state
        with pytest.raises(UsageError, match="private attribute"):
            _ = state._notes
        with pytest.raises(UsageError, match="private attribute"):
            state._notes = 3


class TestWriting:
    def test_an_assignment_is_one_commit_of_one_op(self, serving: Serve) -> None:
        served = serving(Kitchen)
        served.state.cookies = 5
        served.state.oven.temp = 180.0
        served.state.tags.append("x")
        served.state.stock["x"] = 1
        served.state.spare = Oven(temp=3.0)
        assert [len(ops) for ops in served.ops()] == [1] * 5
        assert served.revision == 5
        assert not served.asked(Read), "to write one need not read"

    def test_an_unknown_name_is_told_with_the_nearest(self, serving: Serve) -> None:
        state = serving(Kitchen).state
        for use in (lambda: state.cookie, lambda: setattr(state, "cookie", 3)):  # type: ignore[attr-defined]  # that is the point
            with pytest.raises(UnknownPath, match="did you mean 'cookies'"):
                use()
        with pytest.raises(AttributeError):
            _ = state.oven.tmp  # type: ignore[attr-defined]  # that is the point
        assert not hasattr(state, "cookie")
        assert not hasattr(state.oven, "tmp")
        assert hasattr(state, "cookies")
        assert getattr(state, "nothing", 5) == 5

    def test_a_method_or_computed_field_cannot_be_assigned(self, serving: Serve) -> None:
        state = serving(Kitchen).state
        for name in ("bake", "dozens", "motto", "model_dump"):
            with pytest.raises(UnknownPath):
                setattr(state, name, 3)

    def test_a_field_cannot_be_deleted(self, serving: Serve) -> None:
        state = serving(Kitchen).state
        with pytest.raises(UsageError, match="always has a value"):
            del state.cookies

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("cookies", "five"),
            ("cookies", -1),
            ("cookies", 1.0),
            ("cookies", True),
            ("cookies", None),
            ("oven", {"temp": "hot"}),
            ("most", -1),
            ("tags", "abc"),
            ("tags", [1]),
            ("stock", {1: 1}),
            ("colour", "green"),
            ("shape", {"kind": "triangle"}),
        ],
    )
    def test_what_breaks_the_schema_is_refused(self, serving: Serve, name: str, value: object) -> None:
        """Wrong types, constraints, and validators across fields alike; nothing changes."""
        served = serving(Kitchen)
        with pytest.raises(ValidationRefused) as refused:
            setattr(served.state, name, value)
        assert refused.value.faults
        assert isinstance(refused.value, ValueError)
        assert served.value == Kitchen()
        assert served.revision == 0

    def test_two_fields_that_depend_on_each_other_say_which_rule_was_broken(self, serving: Serve) -> None:
        state = serving(Kitchen).state
        with pytest.raises(ValidationRefused, match="least is more than most"):
            state.least = 11

    @pytest.mark.parametrize("curse", [1, 2])
    def test_a_validator_that_crashes_is_no_crash_of_the_server(self, serving: Serve, curse: int) -> None:
        """It may raise KeyError or SystemExit: the commit is refused, and everybody goes on."""
        served = serving(Kitchen)
        with pytest.raises(ValidatorCrashed) as crashed:
            served.state.cursed = curse
        assert "KeyError('one')" in crashed.value.error or "SystemExit(2)" in crashed.value.error
        assert served.revision == 0
        served.state.cursed = 3
        assert served.state.cursed == 3

    def test_a_value_that_cannot_travel_is_refused_here(self, serving: Serve) -> None:
        served = serving(Kitchen)
        with pytest.raises(TypeError):
            served.state.tags = object()  # type: ignore[assignment]  # that is the point
        assert not served.asked(Commit)

    def test_where_it_was_to_go_is_named(self, serving: Serve) -> None:
        served = serving(Kitchen)
        for value, why in ((object(), "type object"), ("\ud800", "surrogates"), (10**5000, "digits")):
            with pytest.raises(SchemaError, match=rf"^oven\.temp: .*{why}"):
                served.state.oven.temp = value  # type: ignore[assignment]  # that is the point
            with pytest.raises(SchemaError, match=rf"^oven: .*{why}"):
                served.state.update(tags=("a",), oven={"temp": value})

    def test_a_handle_can_be_assigned_like_its_value(self, serving: Serve) -> None:
        served = serving(Kitchen)
        served.state.oven.temp = 50.0
        served.state.spare = served.state.oven
        served.state.ovens = {"a": served.state.oven}
        served.state.oven.temp = 60.0
        assert served.value.spare == Oven(temp=50.0)
        assert served.value.ovens == {"a": Oven(temp=50.0)}

    def test_assigning_a_handle_to_its_own_place_does_nothing(self, serving: Serve) -> None:
        served = serving(Kitchen)
        served.state.oven = served.state.oven
        assert served.revision == 0

    def test_many_threads_may_share_one_handle(
        self, serving: Serve, either_address: str, together: Callable[..., None]
    ) -> None:
        """Each sees its own writes, and no answer ever goes to the wrong one."""
        served = serving(Kitchen, address=either_address)
        state = served.state

        def hammer(number: int) -> None:
            for turn in range(40):
                state.stock[f"key {number}"] = turn
                assert state.stock[f"key {number}"] == turn
                state.oven.temp = float(number)
                assert state.oven.temp in set(map(float, range(8)))

        together(*(functools.partial(hammer, number) for number in range(8)))
        assert served.value.stock == {f"key {number}": 39 for number in range(8)}
        assert served.revision == 8 * 40 * 2


class TestActions:
    def test_an_action_is_one_round_trip(self, serving: Serve) -> None:
        served = serving(Kitchen)
        assert served.state.restock(5) == 5
        assert len(served.core.commands) == 2  # the greeting and the call
        assert served.revision == 1

    def test_arguments_may_be_named_or_left_out(self, serving: Serve) -> None:
        served = serving(Kitchen)
        assert served.state.restock(n=5, name="new") == 5
        assert served.value.name == "new"
        assert served.state.best(Badge(name="x")) == (Badge(name="x"), Colour.RED)

    def test_results_come_back_as_annotated(self, serving: Serve) -> None:
        state = serving(Kitchen).state
        badge, colour = state.best(Badge(name="x", marks=(3,)), pair=(2, Colour.BLUE))
        assert type(badge) is Badge
        assert badge.marks == (3,)
        assert colour is Colour.BLUE
        assert type(state.hot()) is Oven

    def test_live_values_may_be_arguments(self, serving: Serve) -> None:
        state = serving(Kitchen).state
        state.most = 4
        assert state.restock(state.most) == 4
        assert state.best(state.badge)[0] == Badge()

    @pytest.mark.parametrize(
        ("arguments", "by_name"), [(("5",), {}), ((), {}), ((1, 2), {}), ((1,), {"nam": "x"}), ((1.5,), {})]
    )
    def test_wrong_arguments_are_refused(
        self, serving: Serve, arguments: tuple[object, ...], by_name: dict[str, object]
    ) -> None:
        served = serving(Kitchen)
        restock: Callable[..., object] = served.state.restock
        with pytest.raises(ValidationRefused, match=r"restock\(\)"):
            restock(*arguments, **by_name)
        assert served.revision == 0

    def test_an_exception_of_the_action_arrives_as_it_is(self, serving: Serve) -> None:
        """With its type, arguments and remote traceback, and nothing was applied."""
        served = serving(Kitchen)
        with pytest.raises(Burnt) as burnt:
            served.state.fail("black")
        assert burnt.value.args == ("black", 7)
        assert "in fail" in "".join(burnt.value.__notes__)
        with pytest.raises(KeyError, match="key"):
            served.state.fail("key")
        assert served.value.cookies == 0
        assert served.state.restock(1) == 1

    def test_an_action_that_exits_does_not_end_the_server(self, serving: Serve) -> None:
        served = serving(Kitchen)
        with pytest.raises(Exception, match="SystemExit"):
            served.state.fail("exit")
        assert served.state.restock(1) == 1

    def test_a_refusal_by_the_schema_is_one(self, serving: Serve) -> None:
        state = serving(Kitchen).state
        with pytest.raises(ValidationRefused, match="greater than or equal to 0"):
            state.restock(-1)

    def test_a_nested_model_may_have_actions(self, serving: Serve) -> None:
        served = serving(Kitchen)
        assert served.state.oven.switch(True) is False
        assert served.state.oven.switch(on=False) is True
        served.state.ovens["a"] = Oven()
        assert served.state.ovens["a"].switch(True) is False
        assert served.value.ovens["a"].on

    def test_it_says_what_it_is(self, serving: Serve) -> None:
        restock = serving(Kitchen).state.restock
        assert repr(restock) == "<action Kitchen.restock of the live state>"
        assert restock.__doc__ == "Put more cookies there."

    def test_a_model_that_is_no_longer_there_has_none(self, serving: Serve) -> None:
        state = serving(Kitchen).state
        state.spare = Oven()
        switch = state.spare.switch
        state.spare = None
        with pytest.raises((UnknownPath, CommitRefused)):
            switch(True)


def test_handles_cost_no_memory_of_what_they_stand_for(serving: Serve) -> None:
    """What is held of the state is held once, by the client that they share."""
    served = serving(Kitchen, address=fresh_address())
    served.state.tags = [f"tag {number}" for number in range(1_000)]
    served.state.ovens = {str(number): Oven() for number in range(300)}
    assert len(served.state.tags) == 1_000
    assert len(served.state.ovens) == 300
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        handles = [served.state for _ in range(200)]
        assert all(each.ovens["7"].temp == 20.0 and len(each.tags) == 1_000 for each in handles)
        ovens = [each.ovens for each in handles]
        assert (tracemalloc.get_traced_memory()[0] - before) / len(ovens) < 5_000
    finally:
        tracemalloc.stop()


class TestTravelling:
    def test_a_handle_travels_as_its_address(self, serving: Serve) -> None:
        served = serving(Kitchen)
        served.state.ovens["a"] = Oven(temp=3.0)
        for handle, use in (
            (served.state, lambda it: it.ovens["a"].temp),
            (served.state.ovens, lambda it: it["a"].temp),
            (served.state.ovens["a"], lambda it: it.temp),
        ):
            there = pickle.loads(pickle.dumps(handle))
            assert type(there) is type(handle)
            assert there == handle
            assert use(there) == 3.0
            there_client = there._zproc_client  # type: ignore[union-attr]  # a handle
            assert there_client is not served.client
            there_client.close()

    def test_handles_that_came_from_elsewhere_share_one_client(self, serving: Serve) -> None:
        served = serving(Kitchen)
        one, two = (pickle.loads(pickle.dumps(served.state)) for _ in range(2))
        assert one._zproc_client is two._zproc_client
        one.cookies = 3
        assert two.cookies == 3

    def test_what_nobody_has_any_longer_closes_its_connections(self, serving: Serve) -> None:
        """A child of zproc's is given handles and closes nothing; the fixture of all tests counts the sockets."""
        served = serving(Kitchen)
        assert pickle.loads(pickle.dumps(served.state)).cookies == 0

    def test_a_closed_client_says_so_at_once(self, serving: Serve) -> None:
        served = serving(Kitchen)
        state, tags = served.state, served.state.tags
        served.client.close()
        for use in (
            lambda: state.cookies,
            lambda: setattr(state, "cookies", 3),
            lambda: state.restock(1),
            lambda: tags.append("x"),
            lambda: len(tags),
            lambda: state.snapshot(),
            lambda: state.get_when_change("cookies"),
        ):
            with pytest.raises(UsageError, match="this context is closed"):
                use()
