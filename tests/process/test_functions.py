"""A function travels as it is when it is sent, and is packed once where that makes no difference."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator
from typing import Any

import cloudpickle
import pytest

from zproc.process import FunctionPacker, FunctionShelf
from zproc.process.functions import _names

LIMIT = 5
SHARED: list[int] = []


def plain(x: int, y: int = 2) -> int:
    return x + y + len("abc")


def with_module(x: float) -> float:
    return math.sqrt(x)


def with_constant() -> int:
    return LIMIT


def with_mutable() -> int:
    return len(SHARED)


@pytest.fixture(autouse=True)
def by_value(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if hasattr(request.module, "WAS_SET"):
        del request.module.WAS_SET


def call(packed: tuple[bytes, bool], *args: Any) -> Any:
    return FunctionShelf().function(packed)(*args)


@pytest.mark.parametrize("function", [plain, with_module, with_constant, statistics.mean, math.sqrt])
def test_what_is_nothing_but_its_code_or_its_name_is_packed_once(function: Callable[..., Any]) -> None:
    packer = FunctionPacker()
    first, second = packer.pack(function), packer.pack(function)
    assert first[1]
    assert first[0] is second[0]


def test_a_closure_is_packed_each_time_as_it_is_then() -> None:
    packer, counted = FunctionPacker(), [1]

    def closure() -> int:
        return counted[0]

    before = packer.pack(closure)
    counted[0] = 2
    after = packer.pack(closure)
    assert (before[1], after[1]) == (False, False)
    assert (call(before), call(after)) == (1, 2)


def test_two_closures_of_one_code_are_two_functions() -> None:
    """The library that this one replaces knew closures by their code, and ran the first for both."""
    packer = FunctionPacker()

    def times(n: int) -> Callable[[int], int]:
        return lambda x: n * x

    assert [call(packer.pack(times(n)), 1) for n in (1, 10)] == [1, 10]


def test_what_a_function_refers_to_is_looked_at_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    packer = FunctionPacker()
    before = packer.pack(with_constant)
    monkeypatch.setitem(globals(), "LIMIT", 6)
    after = packer.pack(with_constant)
    assert (call(before), call(after)) == (5, 6)


def test_what_may_change_without_being_another_thing_is_packed_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    packer = FunctionPacker()
    before = packer.pack(with_mutable)
    monkeypatch.setitem(globals(), "SHARED", SHARED)
    SHARED.append(1)
    after = packer.pack(with_mutable)
    SHARED.clear()
    assert (before[1], after[1]) == (False, False)
    assert (call(before), call(after)) == (0, 1)


def test_a_function_that_is_no_function_travels() -> None:
    packed = FunctionPacker().pack("a-b".split)
    assert not packed[1]
    assert call(packed, "-") == ["a", "b"]


def test_a_shelf_gives_the_same_function_for_the_same_bytes_only_if_that_is_no_difference() -> None:
    shelf, packer = FunctionShelf(), FunctionPacker()
    assert shelf.function(packer.pack(plain)) is shelf.function(packer.pack(plain))

    def closure() -> list[int]:
        return SHARED

    packed = packer.pack(closure)
    assert shelf.function(packed) is not shelf.function(packed)


def test_a_shelf_does_not_grow_for_ever() -> None:
    shelf = FunctionShelf()
    for number in range(600):
        shelf.function((cloudpickle.dumps(eval(f"lambda: {number}")), True))
    assert len(shelf._known) <= 256


def test_names_within_inner_functions_count() -> None:
    def outer() -> Any:
        return [SHARED for _ in "x"]

    assert "SHARED" in set(_names(outer.__code__))
