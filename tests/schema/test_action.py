"""Functions on drafts, all or nothing, and the methods that are run so."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial

import pytest
from pydantic import BaseModel, Field

from zproc.exceptions import UnknownPath, UsageError, ValidationRefused
from zproc.schema.action import action, call_action, refuse_unfinished, result_of, run
from zproc.schema.model import StateModel


class Order(BaseModel):
    what: str = "cookie"
    count: int = 1


class Shop(StateModel):
    stock: int = Field(default=5, ge=0)
    orders: list[Order] = []

    @action
    def sell(self, n: int = 1, *, what: str = "cookie") -> Order:
        """Sell some."""
        self.stock -= n
        self.orders.append(Order(what=what, count=n))
        return self.orders[-1]

    @action
    def sell_twice(self) -> None:
        self.sell(1)
        self.sell(2)

    def plain(self) -> int:
        return self.stock


def test_on_an_instance_an_action_applies_whole_or_not_at_all() -> None:
    shop = Shop()
    assert shop.sell(2) == Order(count=2)
    shop.sell_twice()
    assert (shop.stock, len(shop.orders)) == (0, 3)
    with pytest.raises(ValidationRefused):
        shop.sell(1)
    assert (shop.stock, len(shop.orders)) == (0, 3)


def test_an_action_keeps_its_name_and_its_documentation() -> None:
    assert (Shop.sell.__name__, Shop.sell.__doc__) == ("sell", "Sell some.")


def test_arguments_are_data_of_the_annotated_types() -> None:
    shop = Shop()
    made, _ = run(shop, lambda draft: call_action(draft, "sell", [2], {"what": "pie"}), len)
    assert made == {"what": "pie", "count": 2}
    assert result_of(Shop, "sell", made) == Order(what="pie", count=2)
    wrong: list[tuple[list[object], dict[str, object]]]
    wrong = [(["2"], {}), ([True], {}), ([], {"what": 3}), ([], {"nope": 3}), ([1, 2], {})]
    for positional, by_name in wrong:
        with pytest.raises(ValidationRefused):
            run(shop, partial(call_action, name="sell", positional=positional, by_name=by_name), len)
    assert shop.stock == 3


@pytest.mark.parametrize("name", ["plain", "nope", "model_dump", "__init__"])
def test_what_is_no_action_cannot_be_called_as_one(name: str) -> None:
    with pytest.raises(UnknownPath):
        run(Shop(), lambda draft: call_action(draft, name, [], {}), len)


@pytest.mark.parametrize("end", [ValueError("x"), KeyboardInterrupt(), SystemExit(3)], ids=repr)
def test_p1_a_function_that_raises_changes_nothing(end: BaseException) -> None:
    shop = Shop()

    def body(draft: Shop) -> None:
        draft.stock = 0
        draft.orders.append(Order())
        raise end

    with pytest.raises(type(end)) as caught:
        run(shop, body, len)
    assert caught.value is end
    assert shop == Shop()


def test_p1_what_concludes_is_part_of_it() -> None:
    shop = Shop()

    def conclude(_changes: object) -> None:
        raise RuntimeError("no room")

    with pytest.raises(RuntimeError):
        run(shop, lambda draft: draft.orders.append(Order()), conclude)
    assert shop == Shop()


def test_functions_whose_body_runs_later_are_refused() -> None:
    async def coroutine() -> None: ...

    def generator() -> Iterator[int]:
        yield 1

    async def both() -> AsyncIterator[int]:
        yield 1

    for function in (coroutine, generator, both):
        with pytest.raises(UsageError, match="before its body"):
            refuse_unfinished(function)
