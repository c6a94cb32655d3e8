"""Places picked out by a function of the state, without a server."""

from __future__ import annotations

import pytest

from zproc.exceptions import UnknownPath, UsageError
from zproc.schema import StateModel
from zproc.schema.selection import Watch


class Shop(StateModel):
    cookies: int = 3
    stock: dict[str, int] = {"flour": 1}
    tags: list[str] = []


def test_it_knows_its_path() -> None:
    watch = Watch[int](Shop(), "stock['flour']")
    assert watch.path == "stock.flour"
    assert repr(watch) == "<Watch of Shop.stock.flour>"


@pytest.mark.parametrize("path", ["cookie", "stock.*", "", "cookies.deeper"])
def test_what_is_no_place_is_refused_when_it_is_named(path: str) -> None:
    with pytest.raises(UnknownPath):
        Watch[int](Shop(), path)


def test_of_a_state_that_is_not_live_it_can_be_read_and_no_more() -> None:
    watch = Watch[int](Shop(), "cookies")
    assert watch.get() == 3
    for use in (lambda: watch.equals(3), lambda: watch.when(bool), watch.changes):
        with pytest.raises(UsageError, match="use it on a live state"):
            use()


def test_what_is_read_is_a_copy() -> None:
    shop = Shop()
    Watch[list[str]](shop, "tags").get().append("x")
    assert shop.tags == []


def test_where_nothing_stands_there_is_nothing_to_read() -> None:
    with pytest.raises(UnknownPath, match=r"there is no 'stock.sugar' now"):
        Watch[int](Shop(), "stock.sugar").get()
