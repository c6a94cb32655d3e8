"""Numbers that were read from the live state: plain numbers, but for an assignment back to their place."""

from __future__ import annotations

import copy
import json
import math
import operator
import pickle
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgpack
import pytest
from hypothesis import given, strategies as st
from pydantic import BaseModel, TypeAdapter

from zproc.client import atomic
from zproc.client.number import LiveFloat, LiveInt, Origin, live_number, pending_ops, plain_number, sent
from zproc.exceptions import CommitRefused, ValidationRefused
from zproc.schema import StateModel, action
from zproc.schema.ops import Set, Update

if TYPE_CHECKING:
    from tests.client.conftest import Serve


class Oven(BaseModel):
    temp: float = 20.0
    level: int = 1


class Shop(StateModel):
    cookies: int = 0
    sold: int = 0
    money: float = 0.0
    oven: Oven = Oven()
    stock: dict[str, int] = {}
    prices: dict[int, float] = {}
    queue: list[int] = []
    ovens: list[Oven] = []
    by_name: dict[str, Oven] = {}
    either: int | str = 0

    @action
    def sell(self, n: int, price: float) -> int:
        self.cookies -= n
        self.money += n * price
        return self.cookies


HERE = Origin(object(), ("cookies",), ("cookies",))
NUMBERS = st.one_of(st.integers(-(10**20), 10**20), st.floats(allow_nan=False))
OPERATORS: list[Callable[[object, object], object]] = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.floordiv,
    operator.mod,
    operator.and_,
    operator.or_,
    operator.xor,
    operator.lshift,
]
IN_PLACE: list[Callable[[object, object], object]] = [
    operator.iadd,
    operator.isub,
    operator.imul,
    operator.itruediv,
    operator.ifloordiv,
    operator.imod,
    operator.iand,
    operator.ior,
    operator.ixor,
    operator.ipow,
    operator.ilshift,
    operator.irshift,
]


def outcome(function: Callable[[object, object], object], a: object, b: object) -> tuple[type, object]:
    try:
        result = function(a, b)
    except (TypeError, ArithmeticError) as error:
        return type(error), ""
    return type(result), repr(result)


class TestElsewhere:
    @given(NUMBERS, NUMBERS, st.sampled_from(OPERATORS))
    def test_arithmetic_makes_plain_numbers(
        self, a: float, b: float, function: Callable[[object, object], object]
    ) -> None:
        """The same results, of the same types, and the same exceptions, on either side."""
        if function is operator.lshift:
            b = 3
        live_a, live_b = live_number(a, HERE), live_number(b, HERE)
        assert outcome(function, live_a, b) == outcome(function, a, b)
        assert outcome(function, a, live_b) == outcome(function, a, b)
        assert outcome(function, live_a, live_b) == outcome(function, a, b)

    @given(NUMBERS, NUMBERS, st.sampled_from(IN_PLACE))
    def test_operators_in_place_make_equal_numbers(
        self, a: float, b: float, function: Callable[[object, object], object]
    ) -> None:
        if function in (operator.ipow, operator.ilshift, operator.irshift):
            b = 3
        live = outcome(function, live_number(a, HERE), b)
        kind, result = outcome(function, a, b)
        assert live == ({int: LiveInt, float: LiveFloat}.get(kind, kind), result) or issubclass(kind, Exception)
        assert issubclass(live[0], kind) or live[0] is kind

    @given(NUMBERS)
    def test_it_is_the_number(self, value: float) -> None:
        live = live_number(value, HERE)
        assert live == value
        assert hash(live) == hash(value)
        assert {value: 1}[live] == 1
        assert repr(live) == repr(value)
        assert str(live) == str(value)
        assert f"{live:>30}" == f"{value:>30}"
        assert json.dumps(live) == json.dumps(value)
        assert isinstance(live, type(value))
        assert bool(live) == bool(value)

    @given(NUMBERS)
    def test_it_travels_as_the_number(self, value: float) -> None:
        live = live_number(value, HERE)
        for copied in (pickle.loads(pickle.dumps(live)), copy.copy(live), copy.deepcopy(live), plain_number(live)):
            assert type(copied) is type(value)
            assert copied == value

    def test_pydantic_and_msgpack_take_it_for_one(self) -> None:
        assert type(TypeAdapter(int).validate_python(live_number(3, HERE), strict=True)) is int
        assert type(TypeAdapter(float).validate_python(live_number(3.5, HERE), strict=True)) is float
        assert Oven(temp=live_number(2.5, HERE)).model_dump_json() == '{"temp":2.5,"level":1}'
        assert msgpack.packb(live_number(3, HERE)) == msgpack.packb(3)

    def test_mathematics_works(self) -> None:
        assert math.sqrt(live_number(4, HERE)) == 2
        assert round(live_number(2.567, HERE), 1) == 2.6
        assert [10, 20][live_number(1, HERE)] == 20  # type: ignore[index]  # it works at run time
        assert list(range(live_number(2, HERE))) == [0, 1]  # type: ignore[arg-type]  # it works at run time
        assert divmod(live_number(7, HERE), 2) == (3, 1)
        assert sum([live_number(1, HERE), live_number(2, HERE)]) == 3
        match live_number(3, HERE):
            case 3:
                pass
            case _:
                pytest.fail("it does not match")

    def test_another_place_is_given_the_value(self, serving: Serve) -> None:
        served = serving(Shop)
        served.state.cookies = 3
        number = served.state.cookies
        number += 4
        served.state.sold = number
        served.state.stock = {"a": number}
        served.state.queue.append(number)
        served.state.stock[f"number {number}"] = number
        served.state.either = number
        assert [type(op) for ops in served.ops() for op in ops].count(Update) == 0
        value = served.value
        assert (value.cookies, value.sold, value.queue, value.either) == (3, 7, [7], 7)
        assert value.stock == {"a": 7, "number 7": 7}
        assert [type(each) for each in (value.sold, value.stock["a"], value.queue[0], value.either)] == [int] * 4

    def test_another_client_is_given_the_value(self, serving: Serve) -> None:
        """The number was read by one client; to another, even of the same state, it is a value."""
        served = serving(Shop)
        number = served.state.cookies
        number += 1
        served.state.cookies = 10
        served.state_of(served.new_client()).cookies = number
        assert served.value.cookies == 1

    def test_actions_and_drafts_take_it(self, serving: Serve) -> None:
        served = serving(Shop)
        served.state.money = 1.5
        served.state.cookies = 8
        cookies, money = served.state.cookies, served.state.money
        cookies += 0
        assert served.state.sell(cookies, price=money) == 0

        @atomic
        def put(shop: Shop) -> None:
            shop.sold = cookies
            shop.stock["x"] = cookies
            shop.queue.append(cookies)
            shop.queue[0] += cookies
            shop.prices[cookies] = money
            shop.cookies += cookies

        put(served.state)
        value = served.value
        assert (value.sold, value.stock, value.queue, value.prices) == (8, {"x": 8}, [16], {8: 1.5})
        assert {type(each) for each in (value.sold, value.queue[0], *value.prices, value.cookies)} == {int}

    def test_a_live_number_may_be_a_key(self, serving: Serve) -> None:
        served = serving(Shop)
        served.state.sold = 4
        served.state.prices[served.state.sold] = 2.5
        assert served.state.prices[served.state.sold] == 2.5
        served.state.prices[served.state.sold] += 1.0
        assert served.value.prices == {4: 3.5}
        assert type(next(iter(served.value.prices))) is int

    def test_whoever_goes_through_a_container_gets_plain_numbers(self, serving: Serve) -> None:
        state = serving(Shop).state
        state.queue, state.stock = [1, 2], {"a": 1}
        found = [*state.queue, *state.queue[:1], *state.stock.values(), *dict(state.stock.items()).values()]
        assert {type(number) for number in found} == {int}
        assert type(dict(state)["cookies"]) is int


class TestInPlace:
    @pytest.mark.parametrize(("name", "start"), [("cookies", 7), ("money", 7.5)])
    @pytest.mark.parametrize("symbol", ["+", "-", "*", "/", "//", "%", "**", "<<", ">>"])
    def test_it_is_one_op_at_the_server(self, serving: Serve, name: str, start: float, symbol: str) -> None:
        served = serving(Shop)
        setattr(served.state, name, start)
        in_place = {
            "+": operator.iadd,
            "-": operator.isub,
            "*": operator.imul,
            "/": operator.itruediv,
            "//": operator.ifloordiv,
            "%": operator.imod,
            "**": operator.ipow,
            "<<": operator.ilshift,
            ">>": operator.irshift,
        }[symbol]
        if (name, symbol) in (("money", "<<"), ("money", ">>")):
            with pytest.raises(TypeError):
                in_place(served.state.money, 2)
            return
        if (name, symbol) == ("cookies", "/"):
            with pytest.raises(ValidationRefused, match="valid integer"):
                setattr(served.state, name, in_place(getattr(served.state, name), 2))
            return
        setattr(served.state, name, in_place(getattr(served.state, name), 2))
        assert served.ops()[-1] == [Update((name,), symbol, 2)]
        assert getattr(served.value, name) == in_place(start, 2)

    def test_it_is_one_op_wherever_a_number_stands(self, serving: Serve) -> None:
        served = serving(Shop)
        state = served.state
        state.stock, state.prices, state.queue = {"a.b": 1}, {3: 0.5}, [1, 2, 3]
        state.ovens, state.by_name = [Oven()], {"x": Oven()}
        before = served.revision
        state.oven.temp += 1.5
        state.oven.level -= 1
        state.stock["a.b"] += 1
        state.prices[3] *= 2
        state.queue[1] += 10
        state.queue[-1] += 20
        state.ovens[0].temp += 1.0
        state.ovens[-1].level += 5
        state.by_name["x"].level |= 6
        assert [op for ops in served.ops()[before:] for op in ops] == [
            Update(("oven", "temp"), "+", 1.5),
            Update(("oven", "level"), "-", 1),
            Update(("stock", "a.b"), "+", 1),
            Update(("prices", 3), "*", 2),
            Update(("queue", 1), "+", 10),
            Update(("queue", 2), "+", 20),
            Update(("ovens", 0, "temp"), "+", 1.0),
            Update(("ovens", 0, "level"), "+", 5),
            Update(("by_name", "x", "level"), "|", 6),
        ]
        assert served.revision == before + 9
        assert served.value.queue == [1, 12, 23]

    def test_what_others_did_meanwhile_is_not_lost(self, serving: Serve) -> None:
        """The statement is torn at its worst place, between its read and its write."""
        served = serving(Shop)
        number = served.state.cookies
        served.state_of(served.new_client()).cookies = 100
        number += 1
        served.state.cookies = number
        assert served.value.cookies == 101

    def test_several_operators_are_several_ops_of_one_commit(self, serving: Serve) -> None:
        served = serving(Shop)
        number = served.state.cookies
        number += 3
        number *= 2
        number -= 1
        served.state.cookies = number
        assert served.ops() == [[Update(("cookies",), op, n) for op, n in (("+", 3), ("*", 2), ("-", 1))]]
        assert served.value.cookies == 5

    def test_what_was_sent_is_not_sent_again(self, serving: Serve) -> None:
        """A running total that is assigned after each step."""
        served = serving(Shop)
        total = served.state.cookies
        for step in (1, 2, 3):
            total += step
            served.state.cookies = total
            assert served.value.cookies == total
        served.state.cookies = total
        assert served.value.cookies == 6
        assert served.ops()[-1] == [Set(("cookies",), 6)]

    def test_what_was_refused_is_still_to_be_done(self, serving: Serve) -> None:
        served = serving(Shop)
        number = served.state.either
        number += 2  # type: ignore[operator]  # it is a number now
        served.state.either = "text"
        with pytest.raises(CommitRefused, match="works on numbers"):
            served.state.either = number
        served.state.either = 1
        served.state.either = number
        assert served.value.either == 3

    def test_a_fresh_number_that_nothing_was_done_to_is_a_value(self, serving: Serve) -> None:
        served = serving(Shop)
        number = served.state.cookies
        served.state.cookies = 9
        served.state.cookies = number
        assert served.value.cookies == 0

    def test_an_operand_may_be_live(self, serving: Serve) -> None:
        served = serving(Shop)
        served.state.sold = 4
        served.state.cookies += served.state.sold
        assert served.ops()[-1] == [Update(("cookies",), "+", 4)]

    def test_division_by_zero_is_what_it_is(self, serving: Serve) -> None:
        state = serving(Shop).state
        with pytest.raises(ZeroDivisionError):
            state.cookies //= 0
        with pytest.raises(TypeError):
            state.cookies += "x"  # type: ignore[operator]  # that is the point

    @pytest.mark.parametrize("place", ["cookies", "money", "stock", "queue", "oven"])
    def test_no_increment_is_ever_lost(
        self, serving: Serve, together: Callable[..., None], place: str, either_address: str
    ) -> None:
        """N threads, of two clients, M times: exactly N times M."""
        served = serving(Shop, address=either_address)
        served.state.stock, served.state.queue = {"x": 0}, [0]

        def count_with(state: Shop) -> None:
            for _ in range(50):
                match place:
                    case "cookies":
                        state.cookies += 1
                    case "money":
                        state.money += 0.5
                    case "stock":
                        state.stock["x"] += 1
                    case "queue":
                        state.queue[-1] += 1
                    case _:
                        state.oven.level += 1

        states = [served.state_of(client) for client in (served.client, served.new_client())]
        together(*[lambda state=state: count_with(state) for state in states * 3])
        value = served.value
        expected = {
            "cookies": (value.cookies, 300),
            "money": (value.money, 150.0),
            "stock": (value.stock, {"x": 300}),
            "queue": (value.queue, [300]),
            "oven": (value.oven.level, 301),
        }
        assert expected[place][0] == expected[place][1]


def test_pending_ops_belong_to_one_place() -> None:
    client = object()
    number = live_number(1, Origin(client, ("queue", 4), ("queue", -1)))
    number += 2  # type: ignore[assignment]  # it stays one of them
    ops = (Update(("queue", 4), "+", 2),)
    assert pending_ops(number, client, ("queue", 4)) == ops
    assert pending_ops(number, client, ("queue", -1)) == ops
    assert pending_ops(number, client, ("queue", 3)) == ()
    assert pending_ops(number, object(), ("queue", 4)) == ()
    assert pending_ops(3, client, ("queue", 4)) == ()
    sent(number)
    sent(3)
    assert pending_ops(number, client, ("queue", 4)) == ()
