"""What a state can do besides what its fields can: the same on a live state, on a draft and on a plain instance."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

import pytest
from pydantic import BaseModel, Field

from zproc.client import atomic, transaction
from zproc.core.messages import Acquire
from zproc.exceptions import CommitRefused, UnknownPath, UsageError
from zproc.schema import StateModel, action
from zproc.schema.ops import Set, Update

if TYPE_CHECKING:
    from tests.client.conftest import Serve, Served


class Oven(BaseModel):
    temp: float = 20.0
    racks: list[int] = [0, 0]


class Shop(StateModel):
    cookies: int = Field(default=0, ge=0)
    name: str = "shop"
    oven: Oven = Oven()
    stock: dict[str, int] = {"flour": 1}
    numbered: dict[int, Oven] = {7: Oven()}
    pair: tuple[int, str] = (1, "one")

    KINDS: ClassVar[int] = 3

    @action
    def bake(self, count: int) -> None:
        with transaction(self) as draft:
            draft.cookies += count


@pytest.fixture
def served(serving: Serve) -> Served[Shop]:
    return serving(Shop)


@pytest.fixture(params=["live", "draft", "plain"])
def shop(request: pytest.FixtureRequest, served: Served[Shop]) -> Iterator[Shop]:
    """A state in each of the forms that it is used in."""
    if request.param == "live":
        yield served.state
    elif request.param == "plain":
        yield Shop()
    else:
        with transaction(Shop()) as draft:
            yield draft


class TestByPath:
    @pytest.mark.parametrize(
        ("path", "value"),
        [
            ("cookies", 0),
            ("oven.temp", 20.0),
            ("oven.racks.1", 0),
            ("stock.flour", 1),
            ("numbered.7.temp", 20.0),
            ("pair", (1, "one")),
        ],
    )
    def test_any_place_is_read(self, shop: Shop, path: str, value: object) -> None:
        assert shop[path] == value

    def test_what_is_read_is_what_attributes_give(self, shop: Shop) -> None:
        shop["oven"].temp = 30.0
        assert shop.oven.temp == shop["oven.temp"] == 30.0

    @pytest.mark.parametrize(
        ("path", "value"),
        [("cookies", 3), ("oven.temp", 3.0), ("oven.racks.0", 5), ("stock.sugar", 4), ("numbered.7.temp", 4.0)],
    )
    def test_any_place_is_assigned_to(self, shop: Shop, path: str, value: object) -> None:
        shop[path] = value
        assert shop[path] == value

    def test_plus_equals_by_path_is_one_operation_at_the_server(self, served: Served[Shop]) -> None:
        served.state["cookies"] += 2
        served.state["oven.temp"] += 1.0
        assert served.ops() == [[Update(("cookies",), "+", 2)], [Update(("oven", "temp"), "+", 1.0)]]

    def test_a_path_that_leads_nowhere_names_the_nearest(self, shop: Shop) -> None:
        with pytest.raises(UnknownPath, match="temp"):
            shop["oven.tmp"]
        with pytest.raises(UnknownPath, match="cookies"):
            shop["cookie"] = 3

    @pytest.mark.parametrize("path", ["stock.sugar", "oven.racks.9", "numbered.8.temp"])
    def test_where_nothing_stands_now_is_unknown(self, shop: Shop, path: str) -> None:
        with pytest.raises(UnknownPath, match="now"):
            shop[path]

    def test_a_pattern_has_no_one_value(self, shop: Shop) -> None:
        with pytest.raises(UnknownPath, match="pattern"):
            shop["stock.*"]

    def test_a_value_that_breaks_the_schema_is_refused(self, served: Served[Shop]) -> None:
        with pytest.raises(CommitRefused, match="cookies"):
            served.state["cookies"] = -1
        assert served.revision == 0


class TestUpdate:
    def test_several_fields_are_one_commit(self, served: Served[Shop]) -> None:
        served.state.update(cookies=1, name="x", oven=Oven(temp=3.0))
        assert served.revision == 1
        assert served.value == Shop(cookies=1, name="x", oven=Oven(temp=3.0))

    def test_it_means_the_same_everywhere(self, shop: Shop) -> None:
        shop.update(cookies=1, name="x")
        assert (shop.cookies, shop.name) == (1, "x")

    def test_all_or_none(self, served: Served[Shop]) -> None:
        for shop in (served.state, Shop()):
            with pytest.raises(CommitRefused):
                shop.update(name="x", cookies=-1)
            assert (shop.cookies, shop.name) == (0, "shop")
        assert served.revision == 0

    def test_an_unknown_field_is_named_and_nothing_is_done(self, shop: Shop) -> None:
        with pytest.raises(UnknownPath, match="cookies"):
            shop.update(name="x", cookis=3)
        assert shop.name == "shop"

    def test_what_was_read_and_added_to_is_one_operation(self, served: Served[Shop]) -> None:
        shop = served.state
        number = shop.cookies
        number += 5
        shop.update(cookies=number, name="x")
        assert served.ops() == [[Update(("cookies",), "+", 5), Set(("name",), "x")]]

    def test_nothing_is_no_commit(self, served: Served[Shop]) -> None:
        served.state.update()
        assert served.revision == 0
        assert not served.ops()


class TestReset:
    def test_all_fields_have_their_defaults_again(self, shop: Shop) -> None:
        shop.update(cookies=1, name="x")
        shop.oven.racks.append(3)
        shop.stock.clear()
        shop.reset()
        assert shop == Shop()

    def test_it_is_one_commit(self, served: Served[Shop]) -> None:
        served.state.cookies = 3
        served.state.reset()
        assert served.revision == 2
        assert served.value == Shop()

    def test_a_field_that_is_frozen_is_left_alone(self, serving: Serve) -> None:
        class Fixed(StateModel):
            version: int = Field(default=3, frozen=True)
            cookies: int = 0

        served = serving(Fixed)
        served.state.cookies = 1
        served.state.reset()
        assert served.value == Fixed()

    def test_the_defaults_are_not_shared(self) -> None:
        shop = Shop()
        shop.reset()
        shop.oven.racks.append(3)
        shop.reset()
        assert shop.oven.racks == [0, 0]


class TestTransaction:
    def test_a_block_is_one_commit(self, served: Served[Shop]) -> None:
        with transaction(served.state) as shop:
            shop.cookies += 2
            shop.stock["sugar"] = shop.cookies
            assert served.revision == 0
        assert served.revision == 1
        assert (served.value.cookies, served.value.stock) == (2, {"flour": 1, "sugar": 2})

    def test_of_a_part_of_the_state(self, served: Served[Shop]) -> None:
        with transaction(served.state.oven) as oven:
            oven.temp += 1
            oven.racks.append(2)
        assert served.revision == 1
        assert served.value.oven == Oven(temp=21.0, racks=[0, 0, 2])

    def test_an_exception_undoes_all_of_it(self, served: Served[Shop]) -> None:
        def fail(shop: Shop) -> None:
            with transaction(shop) as draft:
                draft.cookies = 3
                draft.oven.racks.append(3)
                raise KeyError("mine")

        for shop in (served.state, Shop()):
            with pytest.raises(KeyError, match="mine"):
                fail(shop)
            assert (shop.cookies, shop.oven.racks) == (0, [0, 0])

    def test_on_a_draft_it_is_part_of_the_outer_one(self, served: Served[Shop]) -> None:
        @atomic
        def bake(state: Shop) -> None:
            with transaction(state) as inner:
                inner.cookies += 1
            state.cookies += 1

        bake(served.state)
        served.state.bake(3)
        assert served.value.cookies == 5
        assert served.revision == 2

    def test_a_refusal_comes_at_the_end_of_the_block(self, served: Served[Shop]) -> None:
        def spend(shop: Shop) -> None:
            with transaction(shop) as draft:
                draft.cookies -= 1

        for shop in (served.state, Shop()):
            with pytest.raises(CommitRefused, match="cookies"):
                spend(shop)
            assert shop.cookies == 0

    def test_what_is_left_of_the_draft_is_dead(self, served: Served[Shop]) -> None:
        for shop in (served.state, Shop()):
            with transaction(shop) as draft:
                pass
            with pytest.raises(UsageError):
                draft.cookies = 3

    def test_a_block_that_does_nothing_is_no_commit_and_gives_the_turn_back(self, served: Served[Shop]) -> None:
        with transaction(served.state):
            pass
        served.state.cookies = 1
        assert served.revision == 1
        assert len(served.asked(Acquire)) == 1

    def test_stop_iteration_is_raised_as_it_is(self, served: Served[Shop]) -> None:
        """As `contextlib.contextmanager` needs some care to do."""
        for shop in (served.state, Shop()):
            with pytest.raises(StopIteration), transaction(shop):
                next(iter(()))

    def test_it_is_one_block(self, served: Served[Shop]) -> None:
        block = transaction(served.state)
        with block as draft:
            draft.cookies = 1
        with pytest.raises(UsageError, match="make another"), block:
            pass

    def test_what_is_no_state_is_refused(self) -> None:
        with pytest.raises(UsageError, match="3"), transaction(3):  # type: ignore[call-overload]  # that is the point
            pass


@pytest.mark.parametrize("live", [True, False])
def test_a_snapshot_is_never_changed(served: Served[Shop], live: bool) -> None:
    snapshot = (served.state if live else Shop()).snapshot()

    @atomic
    def bake(shop: Shop) -> None:
        shop.cookies = 1

    with _refused():
        bake(snapshot)
    with _refused():
        snapshot.update(cookies=1)
    with _refused():
        snapshot.reset()
    with _refused():
        snapshot["cookies"] = 1
    with _refused():
        snapshot.bake(1)
    with _refused(), transaction(snapshot) as draft:
        draft.cookies = 1
    assert snapshot.cookies == snapshot["cookies"] == 0


@contextmanager
def _refused() -> Iterator[None]:
    with pytest.raises(UsageError, match="snapshot"):
        yield
