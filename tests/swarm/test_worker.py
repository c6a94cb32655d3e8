"""A worker calls what it is to call, and loses no item to an exception."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest

from zproc.process import FunctionPacker, FunctionShelf
from zproc.swarm.worker import _strides, bound, call_item


def show(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
    return args, kwargs


def test_an_item_is_the_first_argument() -> None:
    assert bound(show, (), (), {}, spread=False)(1) == ((1,), {})
    assert bound(show, ("state",), (), {}, spread=False)(1) == (("state", 1), {})
    assert bound(show, ("state",), (2,), {"k": 3}, spread=False)(1) == (("state", 1, 2), {"k": 3})


def test_an_item_may_be_positional_and_named_arguments() -> None:
    item = ((1, 2), {"k": 3})
    assert bound(show, ("state",), (4,), {"l": 5}, spread=True)(item) == (("state", 1, 2, 4), {"k": 3, "l": 5})


def test_a_function_alone_is_called_without_a_detour() -> None:
    assert bound(show, (), (), {}, spread=False) is show


def test_a_call_brings_its_function_along() -> None:
    assert call_item(FunctionShelf(), (FunctionPacker().pack(show), (1,), {"k": 2})) == ((1,), {"k": 2})


def done(function: Callable[[Any], Any], items: list[Any]) -> tuple[list[Any], dict[int, str]]:
    values: list[Any] = []
    errors: dict[int, bytes] = {}
    for _ in _strides(function, items, values, errors):
        pass
    return values, {place: pickle.loads(data).error for place, data in errors.items()}


def test_every_item_is_done_once_and_in_order() -> None:
    assert done(lambda x: x + 1, list(range(1000))) == (list(range(1, 1001)), {})


@pytest.mark.parametrize("error", [ValueError, StopIteration, SystemExit, KeyboardInterrupt, GeneratorExit])
def test_whatever_an_item_raises_the_others_are_done(error: type[BaseException]) -> None:
    """StopIteration above all, which whoever iterates takes for an end."""

    def picky(x: int) -> int:
        if x % 3 == 0:
            raise error
        return x

    values, errors = done(picky, list(range(10)))
    assert values == [None, 1, 2, None, 4, 5, None, 7, 8, None]
    assert list(errors) == [0, 3, 6, 9]
    assert all(error.__name__ in text for text in errors.values())


def test_between_strides_there_is_time_for_a_look_at_the_clock() -> None:
    values: list[Any] = []
    strides = _strides(lambda x: x, list(range(5000)), values, {})
    next(strides)
    assert len(values) == 1
    lengths = [len(values) for _ in strides]
    assert max(b - a for a, b in zip([1, *lengths], lengths, strict=False)) == 256
