"""Functions and actions: all or nothing, their arguments checked, whatever is raised undone and passed on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated

import pytest
from pydantic import BaseModel, Field

from zproc.exceptions import UnknownPath, UsageError, ValidationRefused
from zproc.schema.action import action, call_action, refuse_unfinished, run, without_drafts
from zproc.schema.codec import Codec
from zproc.schema.draft import Draft
from zproc.schema.interface import interface_of
from zproc.schema.model import StateModel


class Item(BaseModel):
    name: str
    price: int = Field(default=1, ge=0)

    @action
    def raise_price(self, by: int) -> int:
        self.price += by
        return self.price


class Shop(StateModel):
    cookies: int = Field(default=5, ge=0)
    items: list[Item] = []
    log: dict[str, int] = {"b": 1, "a": 2}

    @action
    def restock(self, n: int, note: str = "none") -> int:
        """Put more cookies on the shelf."""
        self.cookies += n
        self.log[note] = n
        return self.cookies

    @action
    def sell_all(self) -> int:
        sold = self.cookies
        self.restock(-sold)
        return sold

    @action
    def put(self: Shop, item: Item, *more: Item, at: Annotated[int, Field(ge=0)] = 0) -> list[Item]:
        self.items[at:at] = [item, *more]
        return self.items

    @action
    def fail(self, kind: str) -> None:
        self.cookies = 0
        self.log["new"] = 1
        del self.log["b"]
        raise {"value": ValueError, "exit": SystemExit, "interrupt": KeyboardInterrupt}[kind]("no")

    @action
    def lie(self) -> int:
        self.cookies += 1
        return "not a number"  # type: ignore[return-value]  # that is the point

    def plain_method(self) -> None:
        self.cookies += 1


CODEC = Codec()


def called(shop: Shop, name: str, *positional: object, **by_name: object) -> object:
    """Call as a server does."""
    return run(shop, lambda draft: call_action(draft, name, positional, by_name), len)[0]


def test_on_a_plain_instance_an_action_runs_on_the_instance() -> None:
    shop = Shop()
    assert shop.restock(3) == 8
    assert shop.restock(n=1, note="x") == 9
    assert (shop.cookies, shop.log["x"]) == (9, 1)
    assert shop.sell_all() == 9
    assert shop.restock.__doc__ == "Put more cookies on the shelf."


def test_and_does_all_of_it_or_nothing() -> None:
    shop = Shop()
    before = CODEC.encode(shop)
    with pytest.raises(ValidationRefused, match="cookies: Input should be greater than or equal to 0"):
        shop.restock(-9)
    for kind, error in (("value", ValueError), ("exit", SystemExit), ("interrupt", KeyboardInterrupt)):
        with pytest.raises(error):
            shop.fail(kind)
    assert CODEC.encode(shop) == before


def test_what_it_returns_is_detached() -> None:
    shop = Shop()
    returned = shop.put(Item(name="a"))
    assert returned == [Item(name="a")]
    returned[0].name = "changed"
    assert shop.items[0].name == "a"


def test_within_another_it_is_part_of_the_same_change() -> None:
    shop = Shop()

    def work(draft: Shop) -> None:
        draft.restock(1)
        draft.sell_all()
        raise ValueError("in the end")

    with pytest.raises(ValueError, match="in the end"):
        run(shop, work, len)
    assert shop == Shop()


def test_an_action_of_a_nested_model_runs_inline_on_its_draft() -> None:
    shop = Shop(items=[Item(name="a")])
    run(shop, lambda draft: draft.items[0].raise_price(4), len)
    assert shop.items[0].price == 5
    assert shop.items[0].raise_price(1) == 6


def test_called_with_data_the_arguments_are_what_the_annotations_say() -> None:
    shop = Shop()
    assert called(shop, "restock", 2) == 7
    assert called(shop, "restock", n=2, note="a") == 9
    assert called(shop, "put", {"name": "x"}, {"name": "y", "price": 3}, at=0) == [
        {"name": "x", "price": 1},
        {"name": "y", "price": 3},
    ]
    assert shop.items == [Item(name="x"), Item(name="y", price=3)]


@pytest.mark.parametrize(
    ("name", "positional", "by_name", "path"),
    [
        ("restock", ("2",), {}, "n"),
        ("restock", (True,), {}, "n"),
        ("restock", (1.0,), {}, "n"),
        ("restock", (None,), {}, "n"),
        ("restock", (1, 2), {}, "note"),
        ("restock", (), {"n": "2"}, "n"),
        ("restock", (), {}, "missing a required argument: 'n'"),
        ("restock", (1, "a", 3), {}, "too many positional arguments"),
        ("restock", (1,), {"n": 1}, "multiple values for argument 'n'"),
        ("restock", (1,), {"nope": 1}, "unexpected keyword argument 'nope'"),
        ("restock", (1,), {"self": 1}, "unexpected keyword argument 'self'"),
        ("put", ({"name": 1},), {}, "item.name"),
        ("put", ({"name": "a"}, {"name": "b", "price": -1}), {}, "more.price"),
        ("put", ({"name": "a"},), {"at": -1}, "at"),
        ("put", ({"name": "a"}, 5), {}, "more"),
        ("put", ({"name": "a", "nope": 1},), {}, "item.nope"),
        ("sell_all", (1,), {}, "too many positional arguments"),
    ],
)
def test_and_are_refused_if_they_are_not(
    name: str, positional: tuple[object, ...], by_name: dict[str, object], path: str
) -> None:
    shop = Shop()
    with pytest.raises(ValidationRefused) as caught:
        called(shop, name, *positional, **by_name)
    assert path in str(caught.value)
    assert f"Shop.{name}()" in str(caught.value)
    assert shop == Shop()


def test_a_result_that_is_not_what_was_promised_undoes_the_action() -> None:
    shop = Shop()
    with pytest.raises(ValidationRefused, match=r"lie\(\).*return"):
        called(shop, "lie")
    assert shop == Shop()


def test_a_name_that_is_no_actions_is_refused() -> None:
    with pytest.raises(UnknownPath, match="plain_method is not an action"):
        called(Shop(), "plain_method")
    with pytest.raises(UnknownPath, match="__init__ is not an action"):
        called(Shop(), "__init__")
    with pytest.raises(UnknownPath, match="no field 'restok'"):
        called(Shop(), "restok")


def test_a_result_comes_back_as_what_it_is_annotated_with() -> None:
    assert interface_of(Shop, "put").result([{"name": "a", "price": 2}]) == [Item(name="a", price=2)]
    assert interface_of(Shop, "fail").result(None) is None
    with pytest.raises(ValidationRefused):
        interface_of(Shop, "restock").result("5")


def test_what_returns_before_its_body_has_run_cannot_be_atomic() -> None:
    async def coroutine() -> None: ...

    def generator() -> Iterator[int]:
        yield 1

    async def both() -> AsyncIterator[int]:
        yield 1

    for function in (coroutine, generator, both):
        with pytest.raises(UsageError, match="cannot be atomic"):
            refuse_unfinished(function, "atomic")
        with pytest.raises(UsageError, match="cannot be atomic"):
            action(function)


# Running a function --------------------------------------------------------------------------------------------------


def test_run_returns_what_the_function_and_the_conclusion_return() -> None:
    shop = Shop()
    result, concluded = run(
        shop, lambda draft: draft.restock(1), lambda changes: [change.op.path for change in changes]
    )
    assert result == 6
    assert concluded == [("cookies",), ("log", "none")]


def change_much(draft: Shop) -> None:
    draft.log["z"] = 9
    del draft.log["b"]
    draft.log["b"] = 7
    draft.items = [Item(name="a")]
    draft.items[0].price = 4
    draft.items.insert(0, Item(name="b"))
    draft.items.sort(key=lambda item: item.name)
    draft.cookies -= 1
    draft.log.clear()


@pytest.mark.parametrize(
    "error", [ValueError, KeyError, SystemExit, KeyboardInterrupt, GeneratorExit, RecursionError, MemoryError]
)
def test_whatever_is_raised_is_undone_and_raised_again(error: type[BaseException]) -> None:
    """The order of the dict included."""
    shop = Shop(items=[Item(name="q")])
    before = CODEC.encode(shop)
    raised = error("mine")

    def work(draft: Shop) -> None:
        change_much(draft)
        raise raised

    with pytest.raises(error) as caught:
        run(shop, work, len)
    assert caught.value is raised
    assert CODEC.encode(shop) == before

    def conclude(changes: object) -> None:
        raise raised

    with pytest.raises(error):
        run(shop, change_much, conclude)
    assert CODEC.encode(shop) == before


def test_drafts_in_a_result_are_replaced_by_copies() -> None:
    def work(draft: Shop) -> object:
        draft.items.append(Item(name="a"))
        return {"all": [draft.items, (draft.items[0], draft.log)], "one": draft}

    result, _ = run(Shop(), work, len)
    assert isinstance(result, dict)
    assert result["all"] == [[Item(name="a")], (Item(name="a"), {"b": 1, "a": 2})]
    assert type(result["one"]) is Shop
    assert not any(isinstance(part, Draft) for part in (result["one"], result["all"][0], *result["all"][1]))


def test_what_is_no_draft_is_returned_as_it_is() -> None:
    own: list[Callable[[], None]] = []
    assert without_drafts(iter_ := iter(())) is iter_
    assert without_drafts({"a": own}) == {"a": own}
