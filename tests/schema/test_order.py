"""An order of keys is what a list of them would be."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import given, strategies as st

from zproc.schema.ops import MISSING
from zproc.schema.order import KeyOrder, KeyOrders
from zproc.typing import Key

STEPS = st.lists(st.tuples(st.booleans(), st.integers(0, 7), st.integers(0, 7)), max_size=30)


@given(st.permutations(range(8)).flatmap(lambda keys: st.integers(0, 8).map(lambda size: keys[:size])), STEPS)
def test_it_does_what_a_list_does(keys: list[int], steps: list[tuple[bool, int, int]]) -> None:
    order, model = KeyOrder(keys), list(keys)
    for is_removal, key, after in steps:
        if is_removal:
            order.remove(key)
            model = [each for each in model if each != key]
        elif key not in model:
            order.insert(key, after)
            model.insert(model.index(after) if after in model else len(model), key)
        assert list(order) == model
        assert [key in order for key in range(8)] == [key in model for key in range(8)]
        followers = [*model[1:], MISSING]
        assert [order.follower(key) for key in model] == followers[: len(model)]


def test_a_key_stands_once() -> None:
    with pytest.raises(AssertionError, match="once"):
        KeyOrder("ab").insert("a")


def test_a_key_is_known_as_it_is_stored() -> None:
    assert type(KeyOrder([0, 1]).stored(True)) is int


DICT_STEPS = st.lists(st.tuples(st.booleans(), st.integers(0, 7), st.integers(0, 8)), max_size=30)


@given(st.permutations(range(8)).flatmap(lambda keys: st.integers(1, 8).map(lambda size: keys[:size])), DICT_STEPS)
def test_a_dict_has_its_keys_where_they_were_put(keys: list[int], steps: list[tuple[bool, int, int]]) -> None:
    """Some that are held apart, 6 and 7, are at its end, and none before them."""
    orders = KeyOrders(lambda path: path[-1] in (6, 7))
    target: dict[Key, object] = dict.fromkeys(sorted(keys, key=lambda key: key in (6, 7)), 0)
    model = [key for key in target if key not in (6, 7)]
    for is_removal, key, before in steps:
        path = ("table", key)
        if key in (6, 7):
            continue
        if is_removal and key in target:
            stored, follower = orders.followed(target, path)
            assert (stored, follower) == (key, [*model, MISSING][model.index(key) + 1])
            del target[key]
            orders.remove(target, key)
            model.remove(key)
        elif not is_removal:
            is_new = key not in target
            target[key] = 1
            stands_before = orders.put(target, path, MISSING if before == 8 else before) if is_new else MISSING
            if is_new:
                assert stands_before == (before if before in model else MISSING)
                model.insert(model.index(before) if before in model else len(model), key)
    orders.arrange()
    assert [key for key in target if key not in (6, 7)] == model


def test_what_is_in_a_dict_already_stays_where_it_is() -> None:
    orders, target = KeyOrders(), cast("dict[Key, object]", dict.fromkeys("abcd", 0))
    for key in "xy":
        target[key] = 1
        orders.put(target, (key,), "b")
    assert orders.put(target, ("a",), MISSING) is MISSING
    orders.arrange()
    assert "".join(map(str, target)) == "axybcd"


def test_dicts_do_not_mix() -> None:
    orders = KeyOrders()
    first, second = (cast("dict[Key, object]", dict.fromkeys("abc", 0)) for _ in range(2))
    for target in (first, second, first):
        orders.followed(target, ("a",))
        target.pop("a", None)
        orders.remove(target, "a")
        target["a"] = 1
        orders.put(target, ("a",), "b" if target is first else MISSING)
    orders.arrange()
    assert (list(first), list(second)) == (["a", "b", "c"], ["b", "c", "a"])
