"""An order of keys is what a list of them would be."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from zproc.schema.ops import MISSING
from zproc.schema.order import KeyOrder

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
