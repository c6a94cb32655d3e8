"""Atomic functions: alone, exactly once, all or nothing."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, cast

import pytest
from pydantic import AfterValidator, BaseModel, computed_field

from zproc.client import Client, atomic, transaction
from zproc.core.limits import Limits
from zproc.core.messages import Acquire, Act, Commit, Look, Read, Release
from zproc.exceptions import LeaseLost, LimitExceeded, SchemaError, UnknownPath, UsageError, ValidationRefused
from zproc.schema import StateModel, action
from zproc.schema.ops import Set, Update

if TYPE_CHECKING:
    from tests.client.conftest import Serve, Served


class Oven(BaseModel):
    temp: float = 20.0
    racks: list[int] = []


class Shop(StateModel):
    cookies: int = 0
    sold: int = 0
    tags: list[str] = []
    stock: dict[str, int] = {}
    oven: Oven = Oven()
    spare: Oven | None = None
    ovens: dict[str, Oven] = {}
    big: list[int] = []

    @computed_field  # type: ignore[prop-decorator]  # as pydantic documents it
    @property
    def total(self) -> int:
        return self.cookies + self.sold

    @action
    def sell(self, n: int) -> int:
        if n > self.cookies:
            raise ValueError("not that many")
        self.cookies -= n
        self.sold += n
        return self.sold


class Stall(StateModel):
    cookies: int = 0
    tags: list[str] = []
    oven: Oven = Oven()


@atomic
def bake(shop: Shop, n: int = 1, *, tag: str | None = None) -> int:
    """Bake some."""
    shop.cookies += n
    if tag is not None:
        shop.tags.append(tag)
    return shop.cookies


@atomic
def bake_and_sell(shop: Shop, n: int) -> int:
    bake(shop, n, tag="fresh")
    return shop.sell(n)


@pytest.fixture
def served(serving: Serve) -> Served[Shop]:
    return serving(Shop)


def elsewhere(function: Callable[[], object]) -> None:
    """Do something in another thread, and wait for it."""
    done: list[object] = []
    thread = threading.Thread(target=lambda: done.append(function()))
    thread.start()
    thread.join(20)
    assert done, "it has failed, or hangs"


class TestWhereItRuns:
    def test_on_the_live_state_it_is_one_commit(self, serving: Serve, either_address: str) -> None:
        served = serving(Shop, address=either_address)
        assert bake(served.state, 3, tag="x") == 3
        assert served.value == Shop(cookies=3, tags=["x"])
        assert served.revision == 1

    def test_the_ops_say_the_least(self, served: Served[Shop]) -> None:
        served.state.big = list(range(1000))

        @atomic
        def change(shop: Shop) -> None:
            shop.big.append(1000)
            shop.cookies = 1
            shop.cookies = 2
            shop.stock["a"] = 3

        change(served.state)
        assert Set(("cookies",), 2) in served.ops()[-1]
        assert Set(("cookies",), 1) not in served.ops()[-1]
        assert len(served.asked(Commit)[-1].ops) < 100  # type: ignore[union-attr]  # it is a Commit

    def test_called_in_another_it_is_part_of_that_ones_commit(self, served: Served[Shop]) -> None:
        assert bake_and_sell(served.state, 4) == 4
        assert served.value == Shop(cookies=0, sold=4, tags=["fresh"])
        assert served.revision == 1
        assert not served.asked(Act)
        assert len(served.asked(Acquire)) == 1

    def test_what_an_inner_one_did_before_it_raised_remains_if_the_outer_one_goes_on(
        self, served: Served[Shop]
    ) -> None:
        @atomic
        def inner(shop: Shop) -> None:
            shop.cookies = 5
            raise Burnt

        @atomic
        def outer(shop: Shop) -> None:
            with suppress(Burnt):
                inner(shop)

        outer(served.state)
        assert served.value.cookies == 5

    def test_called_in_an_action_it_is_part_of_its_commit(self, serving: Serve) -> None:
        served = serving(Bakery)
        assert served.state.both(3) == 6
        assert served.value == Bakery(cookies=6)
        assert served.revision == 1

    def test_on_a_plain_instance_it_runs_there(self) -> None:
        """Business rules can be tested without a server, and are all or nothing there, too."""
        shop = Shop()
        assert bake_and_sell(shop, 4) == 4
        assert (shop.cookies, shop.sold, shop.tags) == (0, 4, ["fresh"])

        @atomic
        def fail(shop: Shop) -> None:
            shop.cookies = 100
            shop.tags.append("lost")
            raise Burnt

        with pytest.raises(Burnt):
            fail(shop)
        assert (shop.cookies, shop.tags) == (0, ["fresh"])

    def test_on_anything_else_it_is_refused(self) -> None:
        with pytest.raises(UsageError, match="bake is atomic on a state, and was called on 3"):
            bake(3)  # type: ignore[arg-type]  # that is the point

    def test_on_a_part_of_the_state_it_runs_on_that_part(self, served: Served[Shop]) -> None:
        @atomic
        def heat(oven: Oven, by: float) -> float:
            oven.temp += by
            oven.racks.append(1)
            return oven.temp

        served.state.ovens["a"] = Oven()
        assert heat(served.state.oven, 1.0) == 21.0
        assert heat(served.state.ovens["a"], 2.0) == 22.0
        assert served.value.ovens == {"a": Oven(temp=22.0, racks=[1])}

    def test_on_a_part_that_is_no_longer_there_it_does_not_run(self, served: Served[Shop]) -> None:
        ran = []

        @atomic
        def use(oven: Oven) -> None:
            ran.append(oven)

        served.state.spare, served.state.ovens = Oven(), {"a": Oven()}
        spare, inner = served.state.spare, served.state.ovens["a"]
        served.state.spare, served.state.ovens = None, {}
        for part in (spare, inner):
            with pytest.raises(UnknownPath, match="any longer"):
                use(part)
        assert not ran
        assert bake(served.state) == 1, "the turn was given up"

    def test_it_keeps_its_name_and_documentation(self) -> None:
        assert bake.__name__ == "bake"
        assert bake.__doc__ == "Bake some."

    def test_what_returns_before_it_has_run_is_refused(self) -> None:
        async def coroutine(shop: Shop) -> None:
            await asyncio.sleep(0)

        def generator(shop: Shop) -> Iterator[int]:
            yield 1

        async def both(shop: Shop) -> AsyncIterator[int]:
            yield 1

        for function in (coroutine, generator, both):
            with pytest.raises(UsageError, match="cannot be atomic"):
                atomic(function)

    def test_a_method_may_be_atomic(self, serving: Serve) -> None:
        served = serving(Bakery)
        assert served.state.bake_twice() == 2
        assert served.revision == 1


class Bakery(StateModel):
    cookies: int = 0

    @action
    def both(self, n: int) -> int:
        add(self, n)
        return add(self, n)

    @atomic
    def bake_twice(self) -> int:
        add(self, 1)
        return add(self, 1)


@atomic
def add(bakery: Bakery, n: int) -> int:
    bakery.cookies += n
    return bakery.cookies


class Burnt(BaseException):
    """What no ``except Exception`` catches."""


class TestAllOrNothing:
    @pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), SystemExit(3), Burnt()], ids=repr)
    def test_whatever_it_raises_comes_out_and_nothing_is_applied(
        self, served: Served[Shop], error: BaseException
    ) -> None:
        """The turn is free at once: whoever waits for it does not wait for the limit."""

        @atomic
        def fail(shop: Shop) -> None:
            shop.cookies = 5
            shop.tags.append("x")
            raise error

        with pytest.raises(type(error)) as raised:
            fail(served.state)
        assert raised.value is error
        assert served.revision == 0
        elsewhere(lambda: bake(served.state_of(served.new_client())))
        assert served.value == Shop(cookies=1)

    def test_it_runs_once_whatever_becomes_of_it(self, served: Served[Shop]) -> None:
        runs = []

        @atomic
        def refused(shop: Shop) -> None:
            runs.append(1)
            shop.tags = ["x"]
            shop.cookies = "many"  # type: ignore[assignment]  # that is the point

        with pytest.raises(ValidationRefused):
            refused(served.state)
        assert runs == [1]
        assert served.value == Shop()
        assert bake(served.state) == 1

    def test_a_value_that_cannot_travel_frees_the_turn(self, served: Served[Shop]) -> None:
        @atomic
        def odd(shop: Shop) -> None:
            shop.tags = [object()]  # type: ignore[list-item]  # that is the point

        with pytest.raises((SchemaError, ValidationRefused)):
            odd(served.state)
        elsewhere(lambda: bake(served.state_of(served.new_client())))

    def test_a_commit_that_is_too_large_frees_the_turn(self, serving: Serve) -> None:
        served = serving(Shop, limits=Limits(message_bytes=1 << 18))

        @atomic
        def grow(shop: Shop) -> None:
            shop.tags.append("x" * (1 << 18))

        with pytest.raises(LimitExceeded, match="message_bytes"):
            grow(served.state)
        elsewhere(lambda: bake(served.state_of(served.new_client())))
        assert served.value == Shop(cookies=1)

    def test_what_changes_nothing_gives_its_turn_up(self, served: Served[Shop]) -> None:
        @atomic
        def look(shop: Shop) -> int:
            return shop.cookies

        assert look(served.state) == 0
        assert served.revision == 0
        assert len(served.asked(Release)) == 1
        assert not served.asked(Commit)

    def test_increments_of_many_threads_add_up(
        self, serving: Serve, together: Callable[..., None], either_address: str
    ) -> None:
        served = serving(Shop, address=either_address)
        states = [served.state_of(client) for client in (served.client, served.new_client())]
        together(*[lambda state=state: [bake(state) for _ in range(40)] for state in states * 3])
        assert served.value.cookies == 240
        assert served.revision == 240

    def test_mixed_writers_take_turns(self, served: Served[Shop], together: Callable[..., None]) -> None:
        """Atomic functions, actions and single writes, none of which ever sees half of another."""

        @atomic
        def move(shop: Shop) -> None:
            shop.cookies -= 1
            assert shop.total == 99
            shop.sold += 1
            assert shop.total == 100

        served.state.cookies = 100

        def write(number: int) -> None:
            state = served.state
            for turn in range(15):
                match number % 4:
                    case 0:
                        move(state)
                    case 1:
                        state.sell(1)
                    case 2:
                        state.stock[str(number)] = turn
                    case _:
                        assert state.snapshot().total == 100

        together(*[lambda number=number: write(number) for number in range(8)])
        assert (served.value.cookies, served.value.sold) == (40, 60)


class TestItsDraft:
    def test_only_what_is_looked_at_is_fetched(self, served: Served[Shop]) -> None:
        served.state.big = list(range(10_000))
        served.core.commands.clear()
        bake(served.state)
        bake(served.state)
        reads = served.asked(Read)
        assert [read.fields for read in reads if isinstance(read, Read)] == [("cookies",)]
        assert [each.fields for each in served.asked(Acquire) if isinstance(each, Acquire)] == [(), ("cookies",)]

    def test_what_was_read_before_comes_with_the_turn(self, served: Served[Shop]) -> None:
        assert served.state.cookies == 0
        served.state_of(served.new_client()).cookies = 7
        served.core.commands.clear()
        assert bake(served.state) == 8
        assert not served.asked(Read)

    def test_what_is_large_comes_only_if_it_is_looked_at(self, served: Served[Shop]) -> None:
        served.state.tags = ["x" * 100_000]
        assert len(served.state.tags) == 1
        served.core.commands.clear()
        bake(served.state)
        assert not any("tags" in each.fields for each in served.core.commands if isinstance(each, (Acquire, Read)))
        bake(served.state, tag="y")
        assert served.value.tags[1:] == ["y"]

    def test_all_it_reads_is_of_one_revision(self, served: Served[Shop]) -> None:
        """What is fetched late was not changed meanwhile, because others wait for their turn."""
        other = served.state_of(served.new_client())
        waiting = threading.Thread(target=lambda: setattr(other, "sold", 5))

        @atomic
        def look(shop: Shop) -> tuple[int, int]:
            cookies = shop.cookies
            waiting.start()
            served.wait_for(Commit)
            return cookies, shop.sold

        assert look(served.state) == (0, 0)
        waiting.join(10)
        assert served.value.sold == 5

    @pytest.mark.parametrize(
        "look",
        [
            lambda shop: shop.model_dump(),
            lambda shop: shop.model_dump_json(),
            lambda shop: shop == Shop(cookies=3, tags=["x"], ovens={"a": Oven(temp=1.0)}),
            lambda shop: Shop(cookies=3, tags=["x"], ovens={"a": Oven(temp=1.0)}) == shop,
            lambda shop: shop.model_copy(),
            lambda shop: shop.snapshot(),
            lambda shop: {name: str(value) for name, value in shop},
            lambda shop: "x" in shop.tags,
            lambda shop: shop.total,
        ],
    )
    def test_a_whole_is_a_whole(self, served: Served[Shop], look: Callable[[Shop], object]) -> None:
        """Before anything of it was fetched, after some of it was, and after something of it was changed."""
        plain = Shop(cookies=3, tags=["x"], ovens={"a": Oven(temp=1.0)})
        served.state.cookies, served.state.tags, served.state.ovens = plain.cookies, plain.tags, plain.ovens
        results = []

        @atomic
        def at_once(shop: Shop) -> None:
            results.append(look(shop))

        @atomic
        def after_some(shop: Shop) -> None:
            assert shop.cookies == 3
            results.append(look(shop))

        @atomic
        def after_a_change(shop: Shop) -> None:
            shop.cookies = 4
            shop.cookies = 3
            shop.ovens["a"].temp += 0.0
            results.append(look(shop))

        for client in (served.client, served.new_client()):
            for function in (at_once, after_some, after_a_change):
                function(served.state_of(client))
        expected = look(plain)
        assert results == [expected] * 6

    def test_the_rest_comes_in_one_round_trip(self, serving: Serve) -> None:
        served = serving(Stall)

        @atomic
        def look(stall: Stall) -> str:
            assert stall.cookies == 0
            return repr(stall)

        assert look(served.state) == repr(Stall())
        assert len(served.asked(Read)) == 2

    def test_it_dies_with_the_function(self, served: Served[Shop]) -> None:
        kept: list[Any] = []

        @atomic
        def keep(shop: Shop) -> None:
            kept.extend([shop, shop.tags, shop.oven])

        keep(served.state)
        shop, tags, oven = kept
        for use in (
            lambda: shop.cookies,
            lambda: setattr(shop, "cookies", 1),
            lambda: tags.append("x"),
            lambda: len(tags),
            lambda: setattr(oven, "temp", 1.0),
            lambda: bake(shop),
        ):
            with pytest.raises(UsageError, match="this draft died"):
                use()
        assert served.value == Shop()

    def test_what_it_returns_is_detached(self, served: Served[Shop]) -> None:
        @atomic
        def parts(shop: Shop) -> tuple[Shop, list[str], dict[str, Oven]]:
            shop.tags.append("x")
            return shop, shop.tags, {"oven": shop.oven}

        shop, tags, ovens = parts(served.state)
        assert isinstance(shop, Shop)
        assert (type(tags), type(ovens["oven"])) == (list, Oven)
        shop.cookies = 5
        tags.append("y")
        ovens["oven"].temp = 0.0
        assert served.value == Shop(tags=["x"])
        assert shop.tags == ["x"]

    def test_what_it_changes_it_sees_and_nobody_else(self, served: Served[Shop]) -> None:
        """Not this process either, through what it has read before, if the function fails."""
        served.state.tags = ["x"]
        assert served.state.tags == ["x"]

        @atomic
        def change(shop: Shop) -> None:
            shop.tags.append("y")
            assert shop.tags == ["x", "y"]
            elsewhere(lambda: served.state.tags == ["x"])
            raise Burnt

        with pytest.raises(Burnt):
            change(served.state)
        assert served.state.tags == ["x"]

    def test_numbers_in_it_are_plain(self, served: Served[Shop]) -> None:
        @atomic
        def look(shop: Shop) -> type:
            return type(shop.cookies)

        assert look(served.state) is int
        assert Update not in [type(op) for ops in served.ops() for op in ops]


class TestTheLiveStateInside:
    @pytest.mark.parametrize(
        "use",
        [
            lambda state: state.cookies,
            lambda state: setattr(state, "cookies", 1),
            lambda state: state.sell(0),
            lambda state: bake(state),
            lambda state: state.tags.append("x"),
            lambda state: state.tags.pop(),
            lambda state: state.snapshot(),
            lambda state: state.get_when_change("cookies"),
            lambda state: state == Shop(),
        ],
    )
    def test_it_is_refused_at_once(self, served: Served[Shop], use: Callable[[Shop], object]) -> None:
        """It would wait for itself; by another client of the same process just as well."""
        for live in (served.state, served.state_of(served.new_client())):

            @atomic
            def nested(shop: Shop, live: Shop = live) -> None:
                shop.sold += 1
                use(live)

            with pytest.raises(UsageError, match="use the draft"):
                nested(served.state)
        assert served.revision == 0
        assert bake(served.state) == 1

    def test_other_threads_go_on(self, served: Served[Shop]) -> None:
        @atomic
        def slow(shop: Shop) -> None:
            elsewhere(lambda: served.state.cookies)
            elsewhere(lambda: served.state.snapshot())
            shop.cookies += 1

        slow(served.state)
        assert served.value.cookies == 1

    def test_another_state_may_be_used(self, serving: Serve) -> None:
        one, two = serving(Shop), serving(Shop)

        @atomic
        def both(shop: Shop) -> None:
            shop.cookies += 1
            bake(two.state, 5)
            with pytest.raises(UsageError):
                bake(one.state)

        both(one.state)
        assert (one.value.cookies, two.value.cookies) == (1, 5)

    def test_it_may_be_used_again_afterwards(self, served: Served[Shop]) -> None:
        @atomic
        def fail(shop: Shop) -> None:
            raise Burnt

        with pytest.raises(Burnt):
            fail(served.state)
        assert served.state.cookies == 0

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
    @pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
    def test_a_fork_inside_is_not_part_of_it(self, serving: Serve, tmp_path: object) -> None:
        """The child is another client; the parent's turn goes on."""
        from zproc.transport import fresh_address

        served = serving(Shop, address=fresh_address())
        assert served.state.cookies == 0

        @atomic
        def fork(shop: Shop) -> int:
            shop.cookies = 3
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    code = 42 if served.state.cookies == 0 else 2
                finally:
                    os._exit(code)
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

        assert fork(served.state) == 42
        assert served.value.cookies == 3


class TestALostTurn:
    """The limit is short, and the function goes on when another's commit has come through, not after a while."""

    @pytest.fixture
    def hasty(self, serving: Serve) -> Served[Shop]:
        return serving(Shop, limits=Limits(lease_time=0.02))

    def test_its_commit_is_refused_and_it_is_not_run_again(self, hasty: Served[Shop]) -> None:
        runs = []

        @atomic
        def slow(shop: Shop) -> None:
            runs.append(1)
            shop.cookies = 5
            elsewhere(lambda: setattr(hasty.state_of(hasty.new_client()), "tags", ["other"]) is None)

        with pytest.raises(LeaseLost, match="lease_time"):
            slow(hasty.state)
        assert runs == [1]
        assert hasty.value == Shop(tags=["other"])
        assert hasty.state.cookies == 0
        assert bake(hasty.state) == 1

    def test_it_learns_so_when_it_fetches_something(self, hasty: Served[Shop]) -> None:
        """It must not see the present of one field beside the past of another."""

        @atomic
        def slow(shop: Shop) -> None:
            assert shop.cookies == 0
            elsewhere(lambda: setattr(hasty.state_of(hasty.new_client()), "tags", ["other"]) is None)
            pytest.fail(f"it saw {shop.tags}")

        with pytest.raises(LeaseLost, match="others have committed since"):
            slow(hasty.state)

    def test_it_cannot_be_talked_out_of_it(self, hasty: Served[Shop]) -> None:
        @atomic
        def stubborn(shop: Shop) -> None:
            shop.cookies = 5
            elsewhere(lambda: setattr(hasty.state_of(hasty.new_client()), "tags", ["other"]) is None)
            try:
                _ = shop.sold
            except LeaseLost:
                shop.cookies = 6

        with pytest.raises(LeaseLost):
            stubborn(hasty.state)
        assert hasty.value == Shop(tags=["other"])

    def test_a_lost_connection_is_a_lost_turn(self, served: Served[Shop]) -> None:
        @atomic
        def cut_off(shop: Shop) -> None:
            shop.cookies = 5
            (connection,) = served.client._open
            connection.close()
            _ = shop.tags

        with pytest.raises(LeaseLost, match="the connection, and the turn with it, was lost"):
            cut_off(served.state)
        assert served.value == Shop()
        assert bake(served.state) == 1

    def test_a_connection_lost_before_the_commit_is_a_lost_turn(self, served: Served[Shop]) -> None:
        @atomic
        def cut_off(shop: Shop) -> None:
            shop.cookies = 5
            (connection,) = served.client._open
            connection.close()

        with pytest.raises(LeaseLost, match="before the commit came"):
            cut_off(served.state)
        assert served.value == Shop()

    def test_turns_are_granted_first_come_first_served(self, served: Served[Shop]) -> None:
        clients = [served.new_client() for _ in range(4)]
        order: list[int] = []

        def take(number: int, client: Client) -> None:
            @atomic
            def note(shop: Shop) -> None:
                order.append(number)
                shop.cookies += 1

            note(served.state_of(client))

        threads = [threading.Thread(target=take, args=each) for each in enumerate(clients)]

        @atomic
        def hold(shop: Shop) -> None:
            for number, thread in enumerate(threads, start=2):
                thread.start()
                served.wait_for(Acquire, number)

        hold(served.state)
        for thread in threads:
            thread.join(10)
        assert order == [0, 1, 2, 3]


class Store(StateModel):
    stock: dict[str, int] = {}
    ovens: dict[str, Oven] = {}
    checked: dict[str, Annotated[int, AfterValidator(abs)]] = {}
    queue: list[int] = []
    shelf: list[Oven] = []


MANY = {f"{key:05}": key for key in range(10_000)}


class TestLargeDicts:
    """Only what is looked at comes over the wire."""

    @pytest.fixture
    def store(self, serving: Serve) -> Served[Store]:
        served = serving(Store)
        served.state.update(stock=MANY, ovens={key: Oven(temp=float(n)) for key, n in MANY.items()}, checked=MANY)
        return served

    def test_a_key_is_looked_up_alone(self, store: Served[Store]) -> None:
        @atomic
        def sell(state: Store) -> object:
            state.stock["00007"] -= 1
            state.stock["new"] = 5
            del state.stock["00008"]
            state.ovens["00003"].temp += 1
            state.ovens["00003"].racks.append(4)
            state.checked["00002"] = -3
            popped = state.stock.pop("00009")
            return popped, len(state.stock), state.stock.get("00008"), "new" in state.stock, state.ovens.pop("00004")

        sent = len(store.ops())
        found = sell(store.state)
        assert found == (9, 9_999, None, True, Oven(temp=4.0))
        assert not any(cast("Read", each).largest is None for each in store.asked(Read))
        assert len(store.ops()[sent]) == 8
        value = store.value
        assert (value.stock["00007"], value.stock["new"], value.ovens["00003"]) == (6, 5, Oven(temp=4.0, racks=[4]))
        assert list(value.stock)[-1] == "new"
        assert not {"00008", "00009"} & value.stock.keys()
        assert "00004" not in value.ovens

    def test_whoever_goes_through_all_of_them_has_them_all(self, store: Served[Store]) -> None:
        @atomic
        def count(state: Store) -> int:
            state.stock["00000"] = 100
            state.stock["new"] = 1
            return sum(state.stock.values())

        assert count(store.state) == sum(range(10_000)) + 101
        assert sum(cast("Read", each).largest is None for each in store.asked(Read)) == 1

    def test_a_part_may_be_what_the_function_is_called_with(self, store: Served[Store]) -> None:
        with transaction(store.state.ovens["00005"]) as oven:
            oven.temp = 1.0
        assert store.value.ovens["00005"].temp == 1.0
        assert store.state.stock.pop("00005") == 5
        assert not any(cast("Read", each).largest is None for each in store.asked(Read))

    def test_one_that_has_become_small_is_held_again(self, store: Served[Store]) -> None:
        @atomic
        def look(state: Store) -> int:
            return state.stock["00001"]

        assert look(store.state) == 1
        store.state.stock = {"00001": 2}
        assert [look(store.state) for _ in range(3)] == [2, 2, 2]
        assert len(store.asked(Look)) == 2

    def test_a_turn_that_was_lost_shows_nothing_that_came_later(self, serving: Serve) -> None:
        served = serving(Store, limits=Limits(lease_time=0.05))
        served.state.stock = MANY

        @atomic
        def wait(state: Store) -> int:
            first = state.stock["00001"]
            elsewhere(lambda: setattr(served.state_of(served.new_client()), "stock", MANY))
            return first + state.stock["00002"]

        with pytest.raises(LeaseLost):
            wait(served.state)


class TestLargeLists:
    """Only what is looked at comes over the wire."""

    @pytest.fixture
    def store(self, serving: Serve) -> Served[Store]:
        served = serving(Store)
        served.state.update(queue=list(range(30_000)), shelf=[Oven(temp=float(n)) for n in range(10_000)])
        return served

    def test_a_queue_is_moved_at_its_ends(self, store: Served[Store]) -> None:
        @atomic
        def work(state: Store) -> object:
            first = state.queue.pop(0)
            state.queue.append(first)
            state.queue[5] = 55
            state.queue.insert(0, -1)
            state.queue += [7, 8]
            return first, len(state.queue), state.queue[-1], state.queue[:3], state.queue.pop()

        sent = len(store.ops())
        assert work(store.state) == (0, 30_003, 8, [-1, 1, 2], 8)
        assert not any(cast("Read", each).largest is None for each in store.asked(Read))
        assert len(store.ops()[sent]) == 6
        assert store.value.queue == [-1, 1, 2, 3, 4, 5, 55, *range(7, 30_000), 0, 7]

    def test_an_element_is_looked_up_alone(self, store: Served[Store]) -> None:
        @atomic
        def warm(state: Store) -> object:
            state.shelf[3].temp += 1
            state.shelf[-1].racks.append(4)
            state.shelf.append(Oven(temp=-1.0))
            return state.shelf[10_000].temp, state.shelf[0]

        assert warm(store.state) == (-1.0, Oven(temp=0.0))
        assert not any(cast("Read", each).largest is None for each in store.asked(Read))
        value = store.value
        assert (value.shelf[3], value.shelf[9_999]) == (Oven(temp=4.0), Oven(temp=9_999.0, racks=[4]))
        assert value.shelf[10_000:] == [Oven(temp=-1.0)]

    def test_whoever_goes_through_all_of_them_has_them_all(self, store: Served[Store]) -> None:
        @atomic
        def count(state: Store) -> float:
            state.queue.append(1)
            state.shelf[0].temp = 0.5
            return sum(state.queue) + sum(oven.temp for oven in state.shelf)

        assert count(store.state) == sum(range(30_000)) + 1 + sum(range(10_000)) + 0.5
        assert sum(cast("Read", each).largest is None for each in store.asked(Read)) == 2

    def test_a_change_in_the_middle_is_made(self, store: Served[Store]) -> None:
        @atomic
        def cut(state: Store) -> None:
            state.queue.append(5)
            del state.queue[10:29_990]
            state.queue.reverse()

        cut(store.state)
        assert store.value.queue == [*reversed([*range(10), *range(29_990, 30_000), 5])]


def test_a_transaction_without_with_refuses_what_would_be_lost(served: Served[Shop]) -> None:
    state = served.state
    lost: Any = transaction(state)
    with pytest.raises(UsageError, match=r"cookies = 3 would be lost: .*with zproc\.transaction\(state\) as draft"):
        lost.cookies = 3
    with pytest.raises(AttributeError, match=r"sell: a transaction has no fields.*with zproc\.transaction"):
        lost.sell(1)
    with lost as draft:
        draft.cookies = 3
    assert state.cookies == 3
    assert served.revision == 1
