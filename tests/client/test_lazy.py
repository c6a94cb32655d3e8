"""Parts of a state that stay at the server are what they stand for, and cost what is looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, cast

import pytest
from hypothesis import given, settings, strategies as st
from pydantic import AfterValidator, BaseModel, ConfigDict

from zproc.client import atomic, transaction
from zproc.client.lazy import OnDemand, lazy_part
from zproc.core.messages import Look, Read
from zproc.exceptions import Error
from zproc.schema import StateModel
from zproc.schema.action import without_drafts
from zproc.schema.draft import Session, validator_draft
from zproc.schema.ops import MISSING, Op, get
from zproc.schema.shape import Shape, shape_at, shape_of
from zproc.schema.snapshot import assemble
from zproc.schema.transaction import Transaction
from zproc.schema.values import plain
from zproc.typing import Path

if TYPE_CHECKING:
    from tests.client.conftest import Serve, Served


class Oven(BaseModel):
    temp: int = 20
    racks: list[int] = []


class Fixed(BaseModel):
    model_config = ConfigDict(frozen=True)

    n: int = 1


class Shop(BaseModel):
    name: str = "shop"
    stock: dict[str, int] = {}
    queue: list[int] = []
    tags: set[int] = set()
    oven: Oven = Oven()
    ovens: dict[str, Oven] = {}
    maybe: Oven | None = None
    either: list[int] | dict[str, int] = []
    fixed: Fixed = Fixed()
    checked: Annotated[list[int], AfterValidator(sorted)] = []

    def total(self) -> int:
        return sum(self.stock.values())


class Mall(StateModel):
    shop: Shop = Shop()
    other: int = 0


class Here:
    """A turn whose state is here, with a count of the questions."""

    def __init__(self, state: Mall) -> None:
        self._state = state
        self.shape: Shape = shape_of(Mall)
        self.looks: list[Path] = []

    def look(self, path: Path, question: str) -> object:
        self.looks.append(path)
        found: object = self._state
        for key in path:
            found = get(found, key)
        if question == "length":
            return len(cast("list[object]", found))
        return [] if found is MISSING else [plain(found)]

    def whole(self, path: Path) -> object:
        shape = shape_at(self.shape, path)
        assert shape is not None
        (found,) = cast("list[object]", self.look(path, "value"))
        return shape.validate(found)


def far_away(state: Mall) -> tuple[Mall, Here]:
    here = Here(state)
    shop = lazy_part(here, ("shop",), here.shape.fields["shop"])
    assert isinstance(shop, Shop)
    return assemble(Mall, {"shop": shop, "other": state.other}), here


Step = Callable[[Any], object]
KEY = st.sampled_from("abc")
N = st.integers(-3, 3)


def steps(*made: tuple[Callable[..., object], tuple[st.SearchStrategy[Any], ...]]) -> st.SearchStrategy[Step]:
    return st.one_of(
        *(
            st.tuples(*arguments).map(lambda given, call=call: lambda shop: call(shop, *given))  # type: ignore[misc]
            for call, arguments in made
        )
    )


STEPS = steps(
    (lambda shop: shop.name, ()),
    (lambda shop, n: setattr(shop, "name", "x" * n), (N,)),
    (lambda shop, k: shop.stock.get(k), (KEY,)),
    (lambda shop, k, n: shop.stock.__setitem__(k, n), (KEY, N)),
    (lambda shop, k: shop.stock.pop(k, None), (KEY,)),
    (lambda shop: list(shop.stock.items()), ()),
    (lambda shop: shop.total(), ()),
    (lambda shop: shop.queue.pop(0), ()),
    (lambda shop, n: shop.queue.append(n), (N,)),
    (lambda shop, n: shop.queue.insert(n, n), (N,)),
    (lambda shop: sum(shop.queue), ()),
    (lambda shop, n: shop.tags.add(n), (N,)),
    (lambda shop: sorted(shop.tags), ()),
    (lambda shop, n: setattr(shop.oven, "temp", n), (N,)),
    (lambda shop, n: shop.oven.racks.append(n), (N,)),
    (lambda shop, n: setattr(shop, "oven", Oven(temp=n)), (N,)),
    (lambda shop, k, n: setattr(shop.ovens[k], "temp", n), (KEY, N)),
    (lambda shop, k: shop.ovens.__setitem__(k, shop.oven), (KEY,)),
    (lambda shop, n: setattr(shop.maybe, "temp", n), (N,)),
    (lambda shop: setattr(shop, "maybe", None), ()),
    (lambda shop: len(shop.either), ()),
    (lambda shop, k, n: setattr(shop, "either", {k: n}), (KEY, N)),
    (lambda shop, n: shop.checked.append(n), (N,)),
    (lambda shop: shop.checked, ()),
    (lambda shop: shop.fixed.n, ()),
    (lambda shop: repr(shop), ()),
    (lambda shop: shop == Shop(), ()),
    (lambda shop: shop.model_dump(), ()),
    (lambda shop: dict(shop), ()),
)
SHOPS = st.builds(
    Shop,
    stock=st.dictionaries(KEY, N, max_size=3),
    queue=st.lists(N, max_size=3),
    tags=st.sets(N, max_size=3),
    ovens=st.dictionaries(KEY, st.builds(Oven, temp=N), max_size=2),
    maybe=st.none() | st.builds(Oven, temp=N),
    either=st.lists(N, max_size=2) | st.dictionaries(KEY, N, max_size=2),
)


def drafted(mall: Mall, made: list[Step]) -> tuple[list[object], list[Op], str]:
    transaction = Transaction(mall, validator_draft, private=True)
    draft = Session(transaction).root(Mall)
    outcomes: list[object] = []
    for step in made:
        try:
            outcomes.append(plain(without_drafts(step(draft.shop))))
        except (LookupError, TypeError, ValueError, AttributeError, Error) as error:
            outcomes.append((type(error), str(error)))
    return outcomes, transaction.requested, repr(draft.shop)


@settings(max_examples=100, deadline=None)
@given(SHOPS, st.lists(STEPS, max_size=10))
def test_a_draft_of_it_is_a_draft_of_what_it_stands_for(shop: Shop, made: list[Step]) -> None:
    """Results, exceptions and ops; and what it stands for stays as it is."""
    here, whole = Mall(shop=shop.model_copy(deep=True)), Mall(shop=shop.model_copy(deep=True))
    assert drafted(far_away(here)[0], made) == drafted(whole, made)
    assert here == whole == Mall(shop=shop)


def test_what_can_be_looked_into_is_not_fetched_until_it_is() -> None:
    mall, here = far_away(Mall(shop=Shop(stock={"a": 1}, queue=[1, 2], ovens={"b": Oven()})))
    shop = Session(Transaction(mall, validator_draft, private=True)).root(Mall).shop
    assert (shop.stock["a"], shop.queue[-1], shop.oven.temp, shop.ovens["b"], shop.name) == (1, 2, 20, Oven(), "shop")
    assert here.looks == [
        ("shop", "stock", "a"),
        ("shop", "queue"),
        ("shop", "queue", 1),
        ("shop", "oven", "temp"),
        ("shop", "ovens", "b"),
        ("shop", "name"),
    ]
    assert repr(shop) == repr(Mall(shop=Shop(stock={"a": 1}, queue=[1, 2], ovens={"b": Oven()})).shop)


@pytest.mark.parametrize("name", ["tags", "either", "fixed", "checked"])
def test_what_is_not_looked_into_is_fetched(name: str) -> None:
    shop = shape_of(Mall).fields["shop"]
    assert lazy_part(Here(Mall()), ("shop", name), shop.fields[name]) is None


def test_a_name_that_is_no_field_is_none() -> None:
    fields = OnDemand({}, lambda names: dict.fromkeys(names, 1), ("a", "b"))
    with pytest.raises(KeyError):
        fields["c"]
    assert (fields.get("c"), fields.get("a"), fields["b"], dict(fields.items())) == (None, 1, 1, {"a": 1, "b": 1})


class TestServed:
    @pytest.fixture
    def mall(self, serving: Serve) -> Served[Mall]:
        served = serving(Mall)
        served.state.shop = Shop(stock={f"{key:05}": key for key in range(10_000)}, queue=list(range(10_000)))
        return served

    def test_what_is_large_within_a_model_stays_where_it_is(self, mall: Served[Mall]) -> None:
        @atomic
        def sell(state: Mall) -> object:
            shop = state.shop
            shop.stock["00007"] -= 1
            shop.queue.append(shop.queue.pop(0))
            shop.oven.racks.append(shop.oven.temp)
            return len(shop.stock), shop.name, "x" in shop.stock

        assert sell(mall.state) == (10_000, "shop", False)
        assert not any(cast("Read", each).largest is None for each in mall.asked(Read))
        value = mall.value.shop
        assert (value.stock["00007"], value.queue[0], value.queue[-1], value.oven.racks) == (6, 1, 0, [20])

    def test_a_part_of_it_may_be_what_the_block_is_about(self, mall: Served[Mall]) -> None:
        with transaction(cast("Any", mall.state.shop.stock)) as stock:
            stock["new"] = stock.pop("00003")
        with transaction(mall.state.shop) as shop:
            shop.oven.temp = 5
            total = shop.total()
        assert total == sum(range(10_000))
        assert (mall.value.shop.stock["new"], mall.value.shop.oven.temp) == (3, 5)
        assert "00003" not in mall.value.shop.stock
        assert mall.asked(Look)
