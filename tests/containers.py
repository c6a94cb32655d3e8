"""What can be done to a list, a dict or a set: one table, for drafts and for live handles, beside the real thing.

A call is what is done, with what arguments; `result_of` says what comes of it, be it an exception. What is compared is
what `result_of` says of the real container and of what stands for one.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable
from typing import cast

from hypothesis import strategies as st

from zproc.schema.action import without_drafts

Call = tuple[str, Callable[..., object], tuple[object, ...]]

INDEX = st.integers(-6, 6)
NUMBER = st.integers(0, 5)
NUMBERS = st.lists(NUMBER, max_size=5)
SLICE = st.builds(slice, st.none() | INDEX, st.none() | INDEX, st.none() | st.sampled_from([1, 2, 3, -1, -2]))


def method(name: str, *arguments: st.SearchStrategy[object], **options: object) -> st.SearchStrategy[Call]:
    def call(target: object, *given: object) -> object:
        return getattr(target, name)(*given, **options)

    return st.tuples(st.just(name), st.just(call), st.tuples(*arguments))


def function(name: str, call: Callable[..., object], *arguments: st.SearchStrategy[object]) -> st.SearchStrategy[Call]:
    return st.tuples(st.just(name), st.just(call), st.tuples(*arguments))


def in_place(
    symbol: str, call: Callable[..., object], *arguments: st.SearchStrategy[object]
) -> st.SearchStrategy[Call]:
    """An in-place operator has to return the very object."""

    def apply(target: object, *given: object) -> object:
        assert call(target, *given) is target
        return None

    return function(symbol, apply, *arguments)


def reflected(call: Callable[[object, object], object]) -> Callable[[object, object], object]:
    return lambda target, other: call(other, target)


COMPARISONS = [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne]

ON_LISTS: list[st.SearchStrategy[Call]] = [
    method("append", NUMBER),
    method("extend", NUMBERS | st.builds(tuple, NUMBERS) | st.just(7)),
    method("insert", INDEX | st.just("a"), NUMBER),
    method("pop"),
    method("pop", INDEX | st.just("a") | st.just(None)),
    method("remove", NUMBER),
    method("index", NUMBER),
    method("index", NUMBER, INDEX, INDEX),
    method("count", NUMBER | st.just("a")),
    method("reverse"),
    method("sort"),
    method("sort", key=lambda number: -cast("int", number) % 3),
    method("sort", reverse=True),
    method("sort", key=lambda number: cast("int", number) // 2, reverse=True),
    method("sort", key=lambda number: 1 // (cast("int", number) - 3)),
    method("copy"),
    method("clear"),
    function("get", operator.getitem, INDEX | SLICE | st.just("a") | st.just(1.0)),
    function("set", operator.setitem, INDEX | st.just("a"), NUMBER),
    function("set slice", operator.setitem, SLICE, NUMBERS | st.builds(tuple, NUMBERS) | st.just(7)),
    function("del", operator.delitem, INDEX | SLICE | st.just("a")),
    function("len", len),
    function("list", list),
    function("reversed", lambda target: list(reversed(target))),
    function("in", operator.contains, NUMBER),
    function("+", operator.add, NUMBERS | st.builds(tuple, NUMBERS)),
    function("r+", reflected(operator.add), NUMBERS | st.builds(tuple, NUMBERS)),
    function("*", operator.mul, st.integers(-1, 2) | st.just(1.5)),
    function("r*", reflected(operator.mul), st.integers(-1, 2)),
    in_place("+=", operator.iadd, NUMBERS | st.builds(tuple, NUMBERS) | st.just(7)),
    in_place("*=", operator.imul, st.integers(-1, 2) | st.just(1.5)),
    function("extend itself", lambda target: target.extend(target)),
    function("slice of itself", lambda target: operator.setitem(target, slice(None, None, -1), target)),
    function("bool", bool),
    function("repr", repr),
    function("hash", hash),
    function("sorted", sorted),
    *(function(call.__name__, call, NUMBERS | st.builds(tuple, NUMBERS)) for call in COMPARISONS),
]


ON_NESTED: list[st.SearchStrategy[Call]] = [
    method("append", NUMBERS),
    method("insert", INDEX, NUMBERS),
    method("pop", INDEX),
    method("reverse"),
    method("sort"),
    method("sort", key=len),
    method("remove", NUMBERS),
    function("get", operator.getitem, INDEX | SLICE),
    function("set", operator.setitem, INDEX, NUMBERS),
    function("set slice", operator.setitem, SLICE, st.lists(NUMBERS, max_size=3)),
    function("del", operator.delitem, INDEX | SLICE),
    function("append within", lambda target, index, number: target[index].append(number), INDEX, NUMBER),
    function("+= within", lambda target, index, more: operator.iadd(target[index], more), INDEX, NUMBERS),
    function("clear within", lambda target, index: target[index].clear(), INDEX),
]

KEY = st.sampled_from(["a", "b", "c", "d"])
STOCK = st.dictionaries(KEY, NUMBER, max_size=4)
PAIRS = st.lists(st.tuples(KEY, NUMBER), max_size=3)
UNHASHABLE = st.builds(list)  # type: ignore[var-annotated]  # it works at run time

ON_DICTS: list[st.SearchStrategy[Call]] = [
    function("get", operator.getitem, KEY | UNHASHABLE),
    function("set", operator.setitem, KEY, NUMBER),
    function("set unhashable", operator.setitem, UNHASHABLE, NUMBER),
    function("del", operator.delitem, KEY | UNHASHABLE),
    method("get", KEY),
    method("get", KEY, NUMBER),
    method("setdefault", KEY, NUMBER),
    method("pop", KEY | UNHASHABLE),
    method("pop", KEY, NUMBER),
    method("popitem"),
    method("clear"),
    method("copy"),
    method("update"),
    method("update", STOCK | PAIRS | st.just(7) | st.just([(1, 2, 3)])),
    method("update", STOCK | PAIRS, a=4, e=5),
    function("keys", lambda target: list(target.keys())),
    function("values", lambda target: list(target.values())),
    function("items", lambda target: list(target.items())),
    function("reversed", lambda target: list(reversed(target))),
    function("reversed keys", lambda target: list(reversed(target.keys()))),
    function("reversed values", lambda target: list(reversed(target.values()))),
    function("reversed items", lambda target: list(reversed(target.items()))),
    function("keys and", lambda target, keys: target.keys() & set(keys), st.lists(KEY)),
    function("item in", lambda target, key, number: (key, number) in target.items(), KEY, NUMBER),
    function("in", operator.contains, KEY),
    function("len", len),
    function("iter", list),
    function("dict", dict),
    function("unpack", lambda target: {**target}),
    function("|", operator.or_, STOCK | PAIRS),
    function("r|", reflected(operator.or_), STOCK),
    in_place("|=", operator.ior, STOCK | PAIRS),
    function("== ", operator.eq, STOCK),
    function("!=", operator.ne, STOCK),
    function("<", operator.lt, STOCK),
    function("bool", bool),
    function("repr", repr),
    function("hash", hash),
]

ON_GROUPS: list[st.SearchStrategy[Call]] = [
    function("append to default", lambda target, key, number: target.setdefault(key, []).append(number), KEY, NUMBER),
    function("append", lambda target, key, number: target[key].append(number), KEY, NUMBER),
    function("append to got", lambda target, key, number: target.get(key).append(number), KEY, NUMBER),
    function("append to values", lambda target, number: [value.append(number) for value in target.values()], NUMBER),
    method("pop", KEY),
    method("popitem"),
    method("update", st.dictionaries(KEY, NUMBERS, max_size=2)),
    method("clear"),
    function("del", operator.delitem, KEY),
    function("set", operator.setitem, KEY, NUMBERS),
]

TAGS = st.sets(NUMBER, max_size=5)
OTHER = TAGS | st.frozensets(NUMBER, max_size=4)
LOOSE = OTHER | NUMBERS

ON_SETS: list[st.SearchStrategy[Call]] = [
    method("add", NUMBER | UNHASHABLE),
    method("discard", NUMBER),
    method("remove", NUMBER | UNHASHABLE),
    method("clear"),
    method("copy"),
    *(
        method(name)
        for name in ("update", "difference_update", "intersection_update", "union", "intersection", "difference")
    ),
    *(method(name, LOOSE | st.just(7)) for name in ("update", "difference_update", "intersection_update")),
    *(method(name, LOOSE, LOOSE) for name in ("update", "difference_update", "intersection_update", "union")),
    *(method(name, LOOSE) for name in ("symmetric_difference_update", "symmetric_difference", "union", "intersection")),
    *(method(name, LOOSE) for name in ("difference", "isdisjoint", "issubset", "issuperset")),
    *(function(call.__name__, call, LOOSE) for call in (operator.or_, operator.and_, operator.sub, operator.xor)),
    *(
        function(call.__name__, reflected(call), LOOSE)
        for call in (operator.or_, operator.and_, operator.sub, operator.xor)
    ),
    *(in_place(call.__name__, call, LOOSE) for call in (operator.ior, operator.iand, operator.isub, operator.ixor)),
    *(function(call.__name__, call, LOOSE) for call in COMPARISONS),
    function("itself", lambda target: operator.isub(target, target) and None),
    function("len", len),
    function("sorted", sorted),
    function("in", operator.contains, NUMBER | UNHASHABLE),
    function("bool", bool),
    function("hash", hash),
]


def result_of(call: Callable[..., object], target: object, arguments: tuple[object, ...]) -> tuple[str, object]:
    try:
        return "returned", without_drafts(call(target, *copy.deepcopy(arguments)))
    except Exception as error:  # noqa: BLE001 - whichever it is, it has to be the same
        return "raised", type(error)


def assert_same(
    call: Callable[..., object], target: object, real: object, arguments: tuple[object, ...], name: str
) -> None:
    """Do something to what stands for a container and to a real one: result, exception and contents are the same."""
    expected, found = result_of(call, real, arguments), result_of(call, target, arguments)
    assert found == expected, name
    assert isinstance(found[1], type(expected[1])), name
    assert target == real, name


def some(table: list[st.SearchStrategy[Call]]) -> st.SearchStrategy[list[Call]]:
    """A few things of a table, one after the other."""
    return st.lists(st.one_of(table), max_size=12)


def all_of(table: list[st.SearchStrategy[Call]]) -> st.SearchStrategy[list[Call]]:
    """Each thing of a table once, in any order."""
    return st.permutations(table).flatmap(lambda order: st.tuples(*order).map(list))
