"""Live lists, dicts and sets have the interface of the real ones."""

from __future__ import annotations

import copy
from collections.abc import Callable, MutableMapping, MutableSequence, MutableSet, Sized
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from pydantic import BaseModel, Field

from tests.containers import (
    KEY,
    NUMBERS,
    ON_DICTS,
    ON_GROUPS,
    ON_LISTS,
    ON_NESTED,
    ON_SETS,
    STOCK,
    TAGS,
    Call,
    all_of,
    assert_same,
    some,
)
from zproc.client import atomic
from zproc.client.containers import DictHandle, ListHandle, SetHandle
from zproc.core.limits import Limits
from zproc.core.messages import Acquire, Act, Commit, Look, Read, Watch
from zproc.exceptions import UnknownPath, UsageError, ValidationRefused
from zproc.schema import StateModel
from zproc.schema.containers import DictDraft, ListDraft, SetDraft
from zproc.schema.ops import Add, Delete, Discard, Op, Set, Splice, Update
from zproc.schema.values import plain, same
from zproc.transport import fresh_address

if TYPE_CHECKING:
    from tests.client.conftest import Serve, Served


class User(BaseModel):
    name: str = "nobody"
    age: int = 0
    tags: list[str] = []


class Shared(StateModel):
    numbers: list[int] = []
    rows: list[list[int]] = []
    groups: dict[str, list[int]] = {}
    table: dict[str, int] = {}
    elements: set[int] = set()
    users: list[User] = []
    more: list[User] = []
    by_name: dict[str, User] = {}
    nested: dict[str, list[dict[str, int]]] = {}
    few: list[int] = Field(default=[], max_length=2)
    maybe: list[int] | None = None
    either: list[int] | dict[int, str] = []


# One server for all examples: each begins by assigning what it begins with.
one_server = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])


def does_the_same(
    served: Served[Shared], field: str, start: object, calls: list[Call], *, refill: bool = False
) -> None:
    setattr(served.state, field, start)
    live, real = getattr(served.state, field), copy.deepcopy(start)
    for name, call, arguments in calls:
        if refill and len(cast("Sized", real)) < 2:  # where there is nothing, many calls come to the same
            setattr(served.state, field, start)
            live, real = getattr(served.state, field), copy.deepcopy(start)
        assert_same(call, live, real, arguments, name)
        assert type(plain(live)) is type(real)
    assert same(getattr(served.value, field), real)
    assert isinstance(real, set) or list(getattr(served.value, field)) == list(cast("list[object]", real))


@pytest.fixture
def served(serving: Serve) -> Served[Shared]:
    return serving(Shared)


class TestLikeTheRealThing:
    """All that a table lists which drafts are held to as well."""

    @one_server
    @given(NUMBERS, some(ON_LISTS))
    def test_a_list(self, served: Served[Shared], start: list[int], calls: list[Call]) -> None:
        does_the_same(served, "numbers", start, calls)

    @one_server
    @given(st.lists(NUMBERS, max_size=4), some(ON_NESTED))
    def test_lists_within_a_list(self, served: Served[Shared], start: list[list[int]], calls: list[Call]) -> None:
        does_the_same(served, "rows", start, calls)

    @one_server
    @given(STOCK, some(ON_DICTS))
    def test_a_dict(self, served: Served[Shared], start: dict[str, int], calls: list[Call]) -> None:
        """The order of its keys included."""
        does_the_same(served, "table", start, calls)

    @one_server
    @given(st.dictionaries(KEY, NUMBERS, max_size=3), some(ON_GROUPS))
    def test_lists_within_a_dict(self, served: Served[Shared], start: dict[str, list[int]], calls: list[Call]) -> None:
        does_the_same(served, "groups", start, calls)

    @one_server
    @given(TAGS, some(ON_SETS))
    def test_a_set(self, served: Served[Shared], start: set[int], calls: list[Call]) -> None:
        does_the_same(served, "elements", start, calls)

    @pytest.mark.parametrize(
        ("field", "start", "table"),
        [("numbers", [3, 1, 2], ON_LISTS), ("table", {"c": 3, "a": 1}, ON_DICTS), ("elements", {1, 2, 3}, ON_SETS)],
    )
    @settings(one_server, max_examples=20)
    @given(data=st.data())
    def test_each_thing_that_can_be_done(
        self,
        served: Served[Shared],
        field: str,
        start: object,
        table: list[st.SearchStrategy[Call]],
        data: st.DataObject,
    ) -> None:
        """Where there is something, in any order; at random, some come too seldom to be wrong."""
        does_the_same(served, field, start, data.draw(all_of(table)), refill=True)

    @pytest.mark.parametrize(
        ("kind", "view"),
        [
            (list, ListHandle),
            (dict, DictHandle),
            (set, SetHandle),
            (list, ListDraft),
            (dict, DictDraft),
            (set, SetDraft),
        ],
    )
    def test_nothing_of_its_interface_is_missing(self, kind: type, view: type) -> None:
        """What is excepted makes new ones, is inherited as it is, or says of a dict that it has no order."""
        excepted = {"__new__", "__getattribute__", "__sizeof__", "__class_getitem__", "__ne__", "fromkeys"}
        if kind is dict:
            excepted |= {"__lt__", "__le__", "__gt__", "__ge__"}
        there = {name for cls in view.__mro__ if cls is not object for name in vars(cls)}
        assert set(vars(kind)) - excepted - there == set()

    def test_what_is_popped_from_a_set_was_in_it(self, served: Served[Shared]) -> None:
        served.state.elements = {1, 2}
        popped = {served.state.elements.pop(), served.state.elements.pop()}
        assert popped == {1, 2}
        with pytest.raises(KeyError):
            served.state.elements.pop()

    @pytest.mark.parametrize(
        "use",
        [
            lambda it: it.numbers["a"],
            lambda it: it.numbers.__setitem__("a", 1),
            lambda it: it.numbers.__delitem__("a"),
            lambda it: it.numbers.insert("a", 1),
            lambda it: it.numbers.extend(3),
            lambda it: it.numbers + 3,
            lambda it: it.numbers * "a",
            lambda it: it.numbers < 3,
            lambda it: it.table.__setitem__([], 1),
            lambda it: it.table[[]],
            lambda it: it.table | 3,
            lambda it: it.table.update(1),
            lambda it: it.table.update({}, {}),
            lambda it: it.elements.add([]),
            lambda it: it.elements.update([[]]),
            lambda it: it.elements | [1],
            lambda it: it.elements.__ior__([1]) is NotImplemented and it.elements | [1],
            lambda it: it.elements < [1],
            lambda it: [] in it.elements,
            lambda it: hash(it.numbers),
            lambda it: hash(it.table),
            lambda it: hash(it.elements),
            lambda it: it.numbers.sort(key=lambda number: {} if number else []),
        ],
    )
    def test_misuse_is_a_type_error(self, served: Served[Shared], use: Callable[[Shared], object]) -> None:
        served.state.numbers = [0, 1]
        with pytest.raises(TypeError):
            use(Shared(numbers=[0, 1]))
        with pytest.raises(TypeError):
            use(served.state)

    def test_in_place_operators_of_sets_take_sets_only(self, served: Served[Shared]) -> None:
        elements: MutableSet[int] = served.state.elements
        for operator in ("__ior__", "__iand__", "__isub__", "__ixor__"):
            assert getattr(elements, operator)([1]) is NotImplemented
        elements |= {1: "a"}.keys()
        assert served.value.elements == {1}

    def test_they_are_what_protocols_ask_for(self, served: Served[Shared]) -> None:
        assert isinstance(served.state.numbers, MutableSequence)
        assert isinstance(served.state.table, MutableMapping)
        assert isinstance(served.state.elements, MutableSet)

    def test_iteration_is_of_one_moment(self, served: Served[Shared]) -> None:
        """Others may change the container meanwhile; whoever goes through it sees it as it was when he began."""
        served.state.numbers, served.state.table = [1, 2, 3], {"a": 1, "b": 2}
        seen = []
        for number in served.state.numbers:
            served.state.numbers.append(number)
            seen.append(number)
        assert seen == [1, 2, 3]
        for key, value in served.state.table.items():
            served.state.table[key + key] = value
        assert served.value.table == {"a": 1, "b": 2, "aa": 1, "bb": 2}
        assert list(reversed(served.state.numbers)) == [3, 2, 1, 3, 2, 1]
        assert list(reversed(served.state.table)) == ["bb", "aa", "b", "a"]

    def test_views_of_a_dict_are_live(self, served: Served[Shared]) -> None:
        served.state.table = {"a": 1}
        items, keys, values = (getattr(served.state.table, name)() for name in ("items", "keys", "values"))
        served.state.table["b"] = 2
        assert (list(items), list(keys), list(values)) == ([("a", 1), ("b", 2)], ["a", "b"], [1, 2])
        assert ("b", 2) in items
        assert 2 in values
        assert 3 not in values
        assert repr(items) == repr({"a": 1, "b": 2}.items())
        assert repr(keys) == repr({"a": 1, "b": 2}.keys())
        assert repr(values) == repr({"a": 1, "b": 2}.values())

    @pytest.mark.parametrize(
        ("look", "reads"),
        [
            (lambda it: sum(it.table.values()), 1),
            (lambda it: dict(it.table.items()), 1),
            (lambda it: 5 in it.table.values(), 1),
            (lambda it: {number for number in it.numbers}, 1),  # noqa: C416 - `set` also asks for the length
            (lambda it: it.numbers == [1], 1),
            (lambda it: it.elements | {5}, 1),
            (lambda it: it.elements <= {5}, 1),
            (lambda it: repr(it.users), 1),
            (lambda it: [user.name for user in copy.copy(it.users)], 1),
        ],
    )
    def test_it_is_one_round_trip_however_much_is_there(
        self, served: Served[Shared], look: Callable[[Shared], object], reads: int
    ) -> None:
        served.state.table = {str(number): number for number in range(100)}
        served.state.numbers, served.state.elements = list(range(100)), set(range(100))
        served.state.users = [User()] * 10
        look(served.state)
        assert len(served.asked(Read)) == reads


def element(served: Served[Shared]) -> list[Op]:
    """The ops of the newest commit."""
    return served.ops()[-1]


class TestCommits:
    @pytest.mark.parametrize(
        ("change", "ops"),
        [
            (lambda it: it.numbers.append(4), [Splice(("numbers",), None, 0, (4,))]),
            (lambda it: it.numbers.extend([4, 5]), [Splice(("numbers",), None, 0, (4, 5))]),
            (lambda it: it.numbers.extend(number for number in (4, 5)), [Splice(("numbers",), None, 0, (4, 5))]),
            (lambda it: it.numbers.insert(0, 4), [Splice(("numbers",), 0, 0, (4,))]),
            (lambda it: it.numbers.insert(-1, 4), [Splice(("numbers",), -1, 0, (4,))]),
            (lambda it: it.numbers.__setitem__(0, 9), [Set(("numbers", 0), 9)]),
            (lambda it: it.numbers.__setitem__(-1, 9), [Set(("numbers", -1), 9)]),
            (lambda it: it.table.__setitem__("x", 1), [Set(("table", "x"), 1)]),
            (lambda it: it.table.__delitem__("a"), [Delete(("table", "a"))]),
            (lambda it: it.table.update(x=1, y=2), [Set(("table", "x"), 1), Set(("table", "y"), 2)]),
            (lambda it: it.elements.add(1), [Add(("elements",), (1,))]),
            (lambda it: it.elements.update([1, 2], [2, 3]), [Add(("elements",), (1, 2, 3))]),
            (lambda it: it.elements.discard(1), [Discard(("elements",), (1,))]),
            (lambda it: it.elements.difference_update([1, 1]), [Discard(("elements",), (1,))]),
            (lambda it: it.nested["a"].append({"x": 1}), [Splice(("nested", "a"), None, 0, ({"x": 1},))]),
        ],
    )
    def test_what_needs_no_look_is_one_op_in_one_round_trip(
        self, served: Served[Shared], change: Callable[[Shared], object], ops: list[Op]
    ) -> None:
        served.state.numbers, served.state.nested, served.state.elements = [1, 2, 3], {"a": []}, {1}
        served.state.table["a"] = 1
        before = len(served.asked(Commit))
        change(served.state)
        assert element(served) == ops
        assert len(served.asked(Commit)) == before + 1
        assert not served.asked(Acquire)

    @pytest.mark.parametrize(
        ("change", "ops"),
        [
            (lambda it: it.numbers.pop(), [Splice(("numbers",), 2, 1, ())]),
            (lambda it: it.numbers.pop(0), [Splice(("numbers",), 0, 1, ())]),
            (lambda it: it.numbers.remove(2), [Splice(("numbers",), 1, 1, ())]),
            (lambda it: it.numbers.__delitem__(0), [Splice(("numbers",), 0, 1, ())]),
            (lambda it: it.numbers.clear(), [Splice(("numbers",), 0, 3, ())]),
            (lambda it: it.users.pop(), [Splice(("users",), 0, 1, ())]),
            (lambda it: it.table.pop("a"), [Delete(("table", "a"))]),
            (lambda it: it.table.popitem(), [Delete(("table", "b"))]),
            (lambda it: it.table.clear(), [Set(("table",), {})]),
            (lambda it: it.elements.remove(1), [Discard(("elements",), (1,))]),
            (lambda it: it.elements.pop(), None),
            (lambda it: it.elements.clear(), None),
        ],
    )
    @pytest.mark.parametrize("size", [3, 10_000])  # so large that it is not held
    def test_what_takes_something_out_is_one_request_however_much_there_is(
        self, served: Served[Shared], change: Callable[[Shared], object], ops: list[Op] | None, size: int
    ) -> None:
        served.state.numbers, served.state.table, served.state.elements = [1, 2, 3], {"a": 1, "b": 2}, {1, 2}
        served.state.users = [User()]
        served.state.few, served.state.more = [], [User()] * size  # beside it
        asked = len(served.core.commands)
        change(served.state)
        assert ops is None or [each.op for each in served.changes()[-1]] == ops
        assert [type(command) for command in served.core.commands[asked:]] == [Act]

    def test_a_part_of_a_large_list_is_one_request(self, served: Served[Shared]) -> None:
        real = Shared(numbers=list(range(30_000)), users=[User(age=age) for age in range(5_000)])
        served.state.update(numbers=real.numbers, users=real.users)
        len(served.state.numbers[0:1] + served.state.users[0:1])  # both are known to be large

        def part(of: list[int] | list[User], index: int | slice) -> object:
            try:
                return plain(of[index])
            except IndexError as error:
                return str(error)

        runs = [slice(3), slice(-3, None), slice(10, 20), slice(20, 10), slice(29_990, 40_000), slice(-5, -2)]
        places: list[int | slice] = [0, -1, 5, 29_999, -30_000, 30_000, -30_001, *runs]
        for index in places:
            asked = len(served.core.commands)
            assert part(served.state.numbers, index) == part(real.numbers, index)
            assert [type(command) for command in served.core.commands[asked:]] == [Look]
            assert part(served.state.users, index) == part(real.users, index)
        for stepped in (slice(0, 40, 20), slice(3, None, -1)):
            assert part(served.state.numbers, stepped) == part(real.numbers, stepped)

    def test_an_element_of_a_large_list_is_live(self, served: Served[Shared]) -> None:
        served.state.update(numbers=list(range(30_000)), users=[User(age=age) for age in range(5_000)])
        served.state.numbers[-2] += 1
        assert served.changes()[-1][0].op == Set(("numbers", 29_998), 29_999)
        served.state.users[-2:][0].age = 5
        assert served.value.users[4_998].age == 5

    @pytest.mark.parametrize(
        ("change", "error", "text"),
        [
            (lambda it: it.numbers.pop(), IndexError, "pop from empty list"),
            (lambda it: it.numbers.remove(1), ValueError, "list.remove(x): x not in list"),
            (lambda it: it.table.pop("a"), KeyError, "'a'"),
            (lambda it: it.elements.remove(1), KeyError, "1"),
        ],
    )
    def test_what_is_not_there_is_said_as_by_the_real_thing(
        self, served: Served[Shared], change: Callable[[Shared], object], error: type[Exception], text: str
    ) -> None:
        with pytest.raises(error) as real:
            change(Shared())
        with pytest.raises(error) as caught:
            change(served.state)
        assert str(caught.value) == str(real.value) == text
        assert not getattr(caught.value, "__notes__", [])

    def test_what_was_taken_out_is_plain(self, served: Served[Shared]) -> None:
        served.state.update(users=[User(name="a"), User(name="b")], by_name={"a": User(name="c"), "b": User(name="d")})
        taken = [served.state.users.pop(0), served.state.by_name.pop("a"), served.state.by_name.popitem()[1]]
        assert [(type(user), user.name) for user in taken] == [(User, "a"), (User, "c"), (User, "d")]
        assert served.state.by_name.pop("a", None) is None
        assert type(served.state.by_name.pop("a", served.state.users[0])) is not User  # the default as it is

    def test_what_cannot_be_sent_is_not_there(self, served: Served[Shared]) -> None:
        served.state.table, served.state.elements = {"a": 1}, {1}
        strange = object()
        assert served.state.table.pop(strange, 7) == 7  # type: ignore[call-overload]  # no key that it is declared with
        with pytest.raises(KeyError):
            served.state.elements.remove(strange)  # type: ignore[arg-type]  # as above
        with pytest.raises(ValueError, match="not in list"):
            served.state.numbers.remove(strange)  # type: ignore[arg-type]  # as above

    @pytest.mark.parametrize(
        ("change", "ops"),
        [
            (lambda it: it.numbers.reverse(), [Splice(("numbers",), 0, 3, (3, 2, 1))]),
            (lambda it: it.table.setdefault("c", 3), [Set(("table", "c"), 3)]),
            (lambda it: it.numbers.__delitem__(slice(1)), [Splice(("numbers",), 0, 1, ())]),
            (lambda it: it.users.remove(User()), [Splice(("users",), 0, 1, ())]),
            (lambda it: it.elements.symmetric_difference_update([1, 5]), None),
            (lambda it: it.either.pop(), [Set(("either",), [])]),
        ],
    )
    def test_what_needs_a_look_is_one_commit_in_a_turn(
        self, served: Served[Shared], change: Callable[[Shared], object], ops: list[Op] | None
    ) -> None:
        served.state.numbers, served.state.table, served.state.elements = [1, 2, 3], {"a": 1, "b": 2}, {1, 2}
        served.state.users, served.state.either = [User()], [1]
        before = len(served.asked(Commit))
        change(served.state)
        assert ops is None or [each.op for each in served.changes()[-1]] == ops
        assert len(served.asked(Commit)) == before + 1
        assert len(served.asked(Acquire)) == 1

    @pytest.mark.parametrize(
        ("change", "error"),
        [
            (lambda it: it.numbers.__setitem__(3, 9), IndexError),
            (lambda it: it.numbers.__setitem__(-4, 9), IndexError),
            (lambda it: it.table.__delitem__("nothing"), KeyError),
            (lambda it: it.table.__delitem__([]), TypeError),
            (lambda it: it.numbers.__setitem__(0, "x"), ValidationRefused),
        ],
    )
    def test_what_cannot_be_done_without_a_look_says_so_as_a_list_or_a_dict_does(
        self, served: Served[Shared], change: Callable[[Shared], object], error: type[Exception]
    ) -> None:
        served.state.numbers, served.state.table = [1, 2, 3], {"a": 1}
        before = served.revision
        with pytest.raises(error):
            change(served.state)
        assert served.revision == before

    def test_what_stands_there_now_is_not_changed_as_what_stood_there(self, served: Served[Shared]) -> None:
        served.state.either = [1, 2]
        numbers = served.state.either
        served.state.either = {0: "x"}
        with pytest.raises(UnknownPath, match="no list"):
            numbers[0] = 5
        assert served.value.either == {0: "x"}

    @pytest.mark.parametrize(
        "change",
        [
            lambda it: it.numbers.extend([]),
            lambda it: it.numbers.sort(),
            lambda it: it.table.update(),
            lambda it: it.table.setdefault("a", 5),
            lambda it: it.table.pop("nothing", None),
            lambda it: it.elements.update(),
            lambda it: it.elements.add(1),
            lambda it: it.elements.discard(7),
            lambda it: it.numbers.__imul__(1),
        ],
    )
    def test_what_changes_nothing_is_no_commit(
        self, served: Served[Shared], change: Callable[[Shared], object]
    ) -> None:
        served.state.numbers, served.state.table, served.state.elements = [1, 2], {"a": 1}, {1}
        before = served.revision
        change(served.state)
        assert served.revision == before

    def test_the_server_records_the_least(self, served: Served[Shared]) -> None:
        served.state.numbers = list(range(1000))
        served.state.numbers.append(7)
        served.state.numbers[-1:] = [8, 9]
        assert [change.op for commit in served.changes(1) for change in commit] == [
            Splice(("numbers",), 1000, 0, (7,)),
            Splice(("numbers",), 1000, 1, (8, 9)),
        ]

    def test_operators_in_place_on_fields(self, served: Served[Shared]) -> None:
        state = served.state
        state.numbers += [1, 2]
        state.numbers *= 2
        state.elements |= {1, 2, 3}
        state.elements -= {3}
        state.elements &= {2, 1}
        state.elements ^= {2, 5}
        state.table |= {"a": 1}
        state.table["a"] += 1
        state.nested |= {"x": []}
        state.nested["x"] += [{"y": 1}]
        state.nested["x"][0]["y"] += 4
        state.nested["x"][-1] |= {"z": 1}
        value = served.value
        assert value.numbers == [1, 2, 1, 2]
        assert value.elements == {1, 5}
        assert value.table == {"a": 2}
        assert value.nested == {"x": [{"y": 5, "z": 1}]}
        assert served.revision == 12
        assert Set(("numbers",), [1, 2]) not in [op for ops in served.ops() for op in ops]

    def test_models_in_containers(self, served: Served[Shared]) -> None:
        state = served.state
        state.users.append(User(name="ann"))
        state.users += [User(name="bob")]
        state.users[0].age += 1
        state.users[-1].tags.append("x")
        state.by_name["bob"] = User(name="bob")
        state.by_name["bob"].age += 1
        for user in state.users:
            user.age += 10
        for user in state.by_name.values():
            user.tags += ["y"]
        assert [user.name for user in state.users] == ["ann", "bob"]
        assert served.value.users == [User(name="ann", age=11), User(name="bob", age=10, tags=["x"])]
        assert served.value.by_name == {"bob": User(name="bob", age=1, tags=["y"])}
        assert Update(("by_name", "bob", "age"), "+", 1) in [op for ops in served.ops() for op in ops]

    def test_live_values_may_be_arguments(self, served: Served[Shared]) -> None:
        """Of the same state, too: they are looked at before a turn is taken."""
        state = served.state
        state.users = [User(name="ann"), User(name="bob")]
        assert state.users[1] in state.users
        assert state.users.index(state.users[1]) == 1
        assert state.users.count(state.users[1]) == 1
        state.users.remove(state.users[0])
        state.users.insert(5, state.users[0])
        state.users[1] = state.users[0]
        state.users[0:1] = state.users
        state.by_name.setdefault("bob", state.users[0])
        state.by_name.update(bill=state.users[0])
        state.by_name |= state.by_name
        state.numbers.extend(state.numbers)
        state.table.update(state.table)
        state.elements.intersection_update(state.elements, state.numbers)
        state.elements.symmetric_difference_update(state.elements)
        assert served.value.users == [User(name="bob")] * 3
        assert served.value.by_name == {"bob": User(name="bob"), "bill": User(name="bob")}

    def test_what_is_taken_out_is_detached(self, served: Served[Shared]) -> None:
        state = served.state
        state.users, state.by_name = [User(name="ann")], {"bob": User(name="bob")}
        ann, bob = state.users.pop(), state.by_name.pop("bob")
        ann.age, bob.age = 3, 4
        assert (type(ann), type(bob)) == (User, User)
        copied = state.users.copy()
        copied.append(ann)
        assert served.value.users == []

    def test_setdefault_returns_what_stands_there_now(self, served: Served[Shared]) -> None:
        bob = served.state.by_name.setdefault("bob", User(name="bob"))
        bob.age += 1
        assert served.value.by_name["bob"].age == 1
        assert served.state.table.setdefault("a", 3) == 3
        assert served.state.table.setdefault("a", 4) == 3

    def test_an_order_by_a_key_of_models(self, served: Served[Shared]) -> None:
        served.state.users = [User(name="b", age=1), User(name="a", age=2)]
        served.state.users.sort(key=lambda user: user.name)
        assert [user.name for user in served.value.users] == ["a", "b"]
        served.state.users.sort(key=lambda user: user.age, reverse=True)
        assert [user.age for user in served.value.users] == [2, 1]

    def test_the_schema_holds_for_elements_and_lengths(self, served: Served[Shared]) -> None:
        with pytest.raises(ValidationRefused):
            served.state.numbers.append("x")  # type: ignore[arg-type]  # that is the point
        served.state.few.extend([1, 2])
        with pytest.raises(ValidationRefused, match="at most 2 items"):
            served.state.few.append(3)
        assert served.value.few == [1, 2]

    def test_a_container_that_is_no_longer_there_says_so(self, served: Served[Shared]) -> None:
        state = served.state
        state.maybe, state.nested = [1], {"a": [{"x": 1}]}
        maybe, inner = state.maybe, state.nested["a"][0]
        state.maybe = None
        state.nested.clear()
        for use in (
            lambda: maybe[0],
            lambda: len(maybe),
            lambda: maybe.append(1),
            lambda: maybe.pop(),
            lambda: inner["x"],
            lambda: inner.pop("x"),
            lambda: inner.update(x=1),
        ):
            with pytest.raises((UnknownPath, Exception), match=r"no|expected a list"):
                use()
        assert served.value.maybe is None
        assert served.value.nested == {}

    def test_handles_inside_an_atomic_function_of_a_part(self, served: Served[Shared]) -> None:
        """A container, or an element, may be what an atomic function is called on."""
        served.state.users = [User(name="ann")]

        @atomic
        def grow(user: User, years: int) -> int:
            user.age += years
            user.tags.append("grown")
            return user.age

        assert grow(served.state.users[0], 3) == 3
        assert served.value.users == [User(name="ann", age=3, tags=["grown"])]

    def test_pops_of_many_threads_are_each_of_another_element(
        self, served: Served[Shared], together: Callable[..., None]
    ) -> None:
        served.state.numbers = list(range(60))
        popped: list[int] = []
        together(*[lambda: [popped.append(served.state.numbers.pop()) for _ in range(10)] for _ in range(6)])
        assert sorted(popped) == list(range(60))
        assert served.value.numbers == []


def swap(state: Shared) -> None:
    state.users[0], state.users[1] = state.users[1], state.users[0]


def swap_fields(state: Shared) -> None:
    state.users, state.more = state.more, state.users


def insert_and_put(state: Shared) -> None:
    user = state.users[0]
    state.users.insert(0, User(name="new"))
    state.more.append(user)


@pytest.mark.parametrize("move", [swap, swap_fields, insert_and_put])
def test_what_is_put_elsewhere_is_what_it_was_when_it_was_read(serving: Serve, move: Callable[[Shared], None]) -> None:
    """More of them, with a server that tells by its word how new the state is, are in the integration tests."""
    served = serving(Shared)
    real = Shared(users=[User(name="a"), User(name="b")], more=[User(name="m")])
    served.state.update(users=real.users, more=real.more)
    move(served.state)
    move(real)
    assert served.value == real


def test_what_was_read_before_anything_changed_costs_no_question(serving: Serve) -> None:
    served = serving(Shared, address=fresh_address())
    served.state.users = [User(name="a")]
    served.state.more = [served.state.users[0]]
    assert served.asked(Watch) == []


def test_what_cannot_be_told_any_more_is_not_guessed(serving: Serve) -> None:
    served = serving(Shared, address=fresh_address(), limits=Limits(history_commits=3))
    served.state.users = [User(name="a")]
    user = served.state.users[0]
    for age in range(5):
        served.state.users[0].age = age
    with pytest.raises(UsageError, match=r"users\[0\] was read so long ago .* read it again"):
        served.state.more = [user]
    for number in range(5):
        served.state.numbers.append(number)
    served.state.more = [served.state.users[0]]
    assert served.value.more == [User(name="a", age=4)]


def test_other_commits_may_be_forgotten(serving: Serve) -> None:
    served = serving(Shared, address=fresh_address(), limits=Limits(history_commits=3))
    served.state.users = [User(name="a")]
    user = served.state.users[0]
    for number in range(5):
        served.state.numbers.append(number)
    served.state.more = [user]
    assert served.value.more == [User(name="a")]
