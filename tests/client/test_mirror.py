"""A state that follows is, at each revision, what the server's state was."""

from __future__ import annotations

from contextlib import nullcontext
from typing import cast

import pytest
from hypothesis import given, settings, strategies as st
from pydantic import BaseModel

from zproc.client.mirror import Mirror
from zproc.core.history import Author, change_from_plain
from zproc.core.limits import Limits
from zproc.core.namespace import Namespace
from zproc.exceptions import Error
from zproc.schema.model import Schema, StateModel
from zproc.schema.ops import Add, Delete, Discard, Op, Set, Splice, Update, op_to_plain
from zproc.typing import Revision, SessionId


class Oven(BaseModel):
    temp: float = 20.0
    racks: list[int] = []


class Shop(StateModel):
    cookies: int = 0
    stock: dict[str, int] = {}
    oven: Oven = Oven()
    ovens: dict[str, Oven] = {}
    shelf: list[Oven] = []
    tags: set[int] = set()


SCHEMA = cast("Schema[StateModel]", Schema.of(Shop))
AUTHOR = Author(SessionId("s"), 1, "main", "")
KEYS = st.sampled_from("abcd")
NUMBERS = st.integers(0, 3)
OVENS = st.builds(lambda temp, racks: {"temp": temp, "racks": racks}, st.just(3.0), st.lists(NUMBERS, max_size=2))
OPS: st.SearchStrategy[Op] = st.one_of(
    st.builds(lambda n: Set(("cookies",), n), NUMBERS),
    st.builds(lambda n: Update(("cookies",), "+", n), NUMBERS),
    st.builds(lambda k, n: Set(("stock", k), n), KEYS, NUMBERS),
    st.builds(lambda k, n, b: Set(("stock", k), n, b), KEYS, NUMBERS, KEYS),
    st.builds(lambda k: Delete(("stock", k)), KEYS),
    st.builds(lambda k: Delete(("ovens", k)), KEYS),
    st.builds(lambda k: Set(("stock", k), "not a number"), KEYS),
    st.builds(lambda n: Splice(("oven", "racks"), None, 0, (n,)), NUMBERS),
    st.builds(lambda k, o: Set(("ovens", k), o), KEYS, OVENS),
    st.builds(lambda k, n: Splice(("ovens", k, "racks"), 0, 1, (n, n)), KEYS, NUMBERS),
    st.builds(lambda o, at: Splice(("shelf",), at, 1, (o,)), OVENS, NUMBERS),
    st.builds(lambda n: Add(("tags",), (n,)), NUMBERS),
    st.builds(lambda n: Discard(("tags",), (n,)), NUMBERS),
)


def namespace() -> Namespace:
    return Namespace(SCHEMA, Limits(), lambda _: nullcontext())


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(OPS, min_size=1, max_size=3), max_size=12))
def test_it_is_what_the_server_was_at_each_revision(commits: list[list[Op]]) -> None:
    server = namespace()
    mirror = Mirror(SCHEMA, Revision(0), server.read(()))
    for ops in commits:
        try:
            entry, _ = server.commit(SCHEMA.codec.encode(list(map(op_to_plain, ops))), AUTHOR, wall=0.0)
        except Error:
            continue
        if entry is None:
            continue
        earlier = mirror.snapshot()
        kept = repr(earlier)
        parts = cast("list[list[object]]", SCHEMA.codec.decode(entry.encoded))
        mirror.advance(entry.revision, map(change_from_plain, parts[-1]))
        snapshot = mirror.snapshot()
        assert snapshot == server.state
        assert SCHEMA.codec.encode(snapshot) == server.read(()), "the order of keys, too"
        assert repr(earlier) == kept, "an older snapshot stays as it was"


def test_snapshots_share_nothing_that_can_be_changed() -> None:
    mirror = Mirror(SCHEMA, Revision(0), namespace().read(()))
    first, second = cast("Shop", mirror.snapshot()), cast("Shop", mirror.snapshot())
    first.stock["a"] = 1
    assert second.stock == {}
    assert cast("Shop", mirror.snapshot()).stock == {}


def test_no_commit_may_be_left_out() -> None:
    mirror = Mirror(SCHEMA, Revision(0), namespace().read(()))
    with pytest.raises(AssertionError, match="missing"):
        mirror.advance(Revision(2), [])
