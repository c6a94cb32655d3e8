"""A call that does not fit its function is refused before a process starts; one that may fit is not."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from zproc.client import atomic
from zproc.exceptions import UsageError
from zproc.process.fitting import refuse_misfit


def bake(state: object, n: int, /, kind: str = "plain", *, hot: bool = False) -> None: ...


def rest(*args: object, **kwargs: object) -> None: ...


def given_one_more(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: object) -> object:
        return function("one more", *args)

    return call


class Oven:
    def __init__(self, temp: float) -> None: ...

    def __call__(self, n: int) -> None: ...

    def heat(self, by: int) -> None: ...


FITTING: list[tuple[Callable[..., Any], tuple[object, ...], dict[str, object]]] = [
    (bake, ("state", 1), {}),
    (bake, ("state", 1, "dark"), {"hot": True}),
    (rest, (1, 2, 3), {"anything": 1}),
    (given_one_more(bake), (1,), {}),
    (functools.partial(bake, "state"), (1,), {}),
    (Oven, (3.0,), {}),
    (Oven(1), (3,), {}),
    (Oven(1).heat, (3,), {}),
    (print, (1, 2), {"sep": ""}),
    (dict.fromkeys, ("ab",), {}),
    (lambda: None, (), {}),
    (atomic(bake), ("state", 1), {}),
]


@pytest.mark.parametrize(("function", "args", "kwargs"), FITTING)
def test_what_fits_passes(function: Callable[..., Any], args: tuple[object, ...], kwargs: dict[str, object]) -> None:
    refuse_misfit(function, args, kwargs)


def test_what_has_no_signature_passes() -> None:
    refuse_misfit(dict, (1, 2, 3), {})


MISFITS: list[tuple[Callable[..., Any], tuple[object, ...], dict[str, object], str]] = [
    (
        bake,
        ("state",),
        {},
        r"bake\(state, n, /, kind='plain', \*, hot=False\) does not take .* required argument: 'n'",
    ),
    (bake, ("state", 1, "dark", 2), {}, "too many positional arguments"),
    (bake, ("state", 1), {"n": 2}, "'n'"),
    (bake, ("state", 1), {"cold": True}, "got an unexpected keyword argument 'cold'"),
    (functools.partial(bake, "state"), (), {}, "partial.* missing a required argument: 'n'"),
    (Oven, (), {}, r"Oven\(temp\).* missing a required argument: 'temp'"),
    (Oven(1).heat, (), {}, "heat.* missing a required argument: 'by'"),
    (atomic(bake), ("state",), {}, "bake.* missing a required argument: 'n'"),
    (lambda: None, (1,), {}, "too many positional arguments"),
]


@pytest.mark.parametrize(("function", "args", "kwargs", "words"), MISFITS)
def test_what_does_not_is_refused_with_the_signature_and_the_reason(
    function: Callable[..., Any], args: tuple[object, ...], kwargs: dict[str, object], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        refuse_misfit(function, args, kwargs)


def test_what_zproc_adds_is_told() -> None:
    with pytest.raises(UsageError, match="too many positional arguments; the state comes first"):
        refuse_misfit(lambda: None, ("state",), {}, "the state comes first")


def test_an_option_among_the_arguments_is_told_from_an_argument() -> None:
    with pytest.raises(
        UsageError, match=r"options have a call of their own: ctx\.spawn\(count=\.\.\.\)\(bake, \.\.\.\)"
    ):
        refuse_misfit(bake, ("state", 1), {"count": 2}, options=frozenset({"count", "hot"}))
    with pytest.raises(UsageError) as refused:
        refuse_misfit(bake, ("state",), {"hot": True}, options=frozenset({"count", "hot"}))
    assert "options" not in str(refused.value)
