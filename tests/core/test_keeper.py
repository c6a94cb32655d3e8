"""A state that has a keeper: told by him alone, in his own name, and of his end."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, cast

import pytest

from zproc.core.history import Author
from zproc.core.keeper import Keeper, KeptNamespace, namespace_of
from zproc.core.limits import Limits
from zproc.core.namespace import Namespace
from zproc.exceptions import UsageError
from zproc.schema.action import action
from zproc.schema.model import Schema, StateModel
from zproc.schema.ops import Set, op_to_plain
from zproc.typing import SessionId


class Diary(StateModel):
    lines: dict[str, str] = {}

    @action
    def tell(self, session: str, line: str) -> int:
        self.lines[session] = line
        return len(self.lines)

    @action
    def forget(self, session: str) -> None:
        self.lines.pop(session, None)


SCHEMA: Schema[Any] = Schema.of(Diary)
ME = Author(SessionId("me"), 1, "main", "tell")


@pytest.fixture
def diary() -> KeptNamespace:
    kept = namespace_of(SCHEMA, Limits(), lambda _: nullcontext(), Keeper("tell", "forget"))
    assert isinstance(kept, KeptNamespace)
    return kept


def lines(diary: KeptNamespace) -> dict[str, str]:
    return cast("Diary", diary.state).lines


def tell(diary: KeptNamespace, action: str, *args: object, path: tuple[str, ...] = (), named: object = None) -> object:
    call = SCHEMA.codec.encode([list(path), list(args), named or {}])
    return SCHEMA.codec.decode(diary.act(action, call, ME, wall=0.0)[1])


def test_who_tells_in_his_own_name_is_heard(diary: KeptNamespace) -> None:
    assert tell(diary, "tell", "me", "hello") == 1
    assert lines(diary) == {"me": "hello"}
    assert diary.revision == 1


@pytest.mark.parametrize(
    ("action", "args", "kwargs"),
    [
        ("tell", ("you", "hello"), {}),
        ("tell", (), {}),
        ("tell", (), {"session": "me", "line": "hello"}),
        ("forget", ("me",), {}),
        ("nothing", ("me",), {}),
    ],
)
def test_no_other_call_is_taken(
    diary: KeptNamespace, action: str, args: tuple[object, ...], kwargs: dict[str, object]
) -> None:
    with pytest.raises(UsageError, match="the Diary is written by zproc alone; it can be read and watched"):
        tell(diary, action, *args, named=kwargs)
    assert diary.revision == 0


def test_nor_a_call_of_a_part(diary: KeptNamespace) -> None:
    with pytest.raises(UsageError, match="written by zproc alone"):
        tell(diary, "tell", "me", "hello", path=("lines",))


def test_nor_any_commit(diary: KeptNamespace) -> None:
    with pytest.raises(UsageError, match="written by zproc alone"):
        diary.commit(SCHEMA.codec.encode([op_to_plain(Set(("lines",), {}))]), ME, wall=0.0)
    assert diary.revision == 0


def test_it_hears_of_who_has_left(diary: KeptNamespace) -> None:
    tell(diary, "tell", "me", "hello")
    assert diary.see_off(ME, wall=1.0) is not None
    assert lines(diary) == {}
    assert diary.see_off(ME, wall=1.0) is None


def test_a_state_without_one_is_any_namespace() -> None:
    assert type(namespace_of(SCHEMA, Limits(), lambda _: nullcontext())) is Namespace
