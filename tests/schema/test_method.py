"""Methods of containers that are called by name do what they do in a turn."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from zproc.exceptions import ProtocolError, UnknownPath
from zproc.schema.change import Change
from zproc.schema.draft import Session, validator_draft
from zproc.schema.method import METHODS, call_method
from zproc.schema.model import StateModel
from zproc.schema.ops import Delete, Discard, Set, Splice
from zproc.schema.transaction import Transaction


class User(BaseModel):
    name: str = "nobody"


class State(StateModel):
    row: list[int] = [1, 2, 3]
    users: list[User] = [User(name="a")]
    table: dict[str, int] = {"a": 1, "b": 2}
    tags: set[int] = {7}


def called(field: str, name: str, *arguments: object) -> tuple[object, list[Change]]:
    transaction = Transaction(State(), validator_draft)
    draft = getattr(Session(transaction).root(State), field)
    return call_method(draft, (field,), name, arguments, {}), transaction.finish()


@pytest.mark.parametrize(
    ("field", "name", "arguments", "result", "change"),
    [
        ("row", "list.pop", (-1,), 3, Change(Splice(("row",), 2, 1, ()), [3])),
        ("row", "list.remove", (2,), None, Change(Splice(("row",), 1, 1, ()), [2])),
        ("row", "list.delete", (0,), None, Change(Splice(("row",), 0, 1, ()), [1])),
        ("row", "list.clear", (), None, Change(Splice(("row",), 0, 3, ()), [1, 2, 3])),
        ("users", "list.pop", (0,), {"name": "a"}, Change(Splice(("users",), 0, 1, ()), [User(name="a")])),
        ("table", "dict.pop", ("a",), [1], Change(Delete(("table", "a")), 1, "b")),
        ("table", "dict.popitem", (), ("b", 2), Change(Delete(("table", "b")), 2)),
        ("table", "dict.clear", (), None, Change(Set(("table",), {}), {"a": 1, "b": 2})),
        ("tags", "set.pop", (), 7, Change(Discard(("tags",), (7,)), None)),
        ("tags", "set.remove", (7,), None, Change(Discard(("tags",), (7,)), None)),
        ("tags", "set.clear", (), None, Change(Discard(("tags",), (7,)), None)),
    ],
)
def test_a_method_says_its_result_and_the_smallest_op(
    field: str, name: str, arguments: tuple[object, ...], result: object, change: Change
) -> None:
    assert called(field, name, *arguments) == (result, [change])


def test_a_key_that_is_not_there_is_popped_as_nothing() -> None:
    assert called("table", "dict.pop", "nothing") == ([], [])


@pytest.mark.parametrize(
    ("field", "name", "arguments", "error"),
    [
        ("row", "list.pop", (3,), IndexError),
        ("row", "list.delete", (-4,), IndexError),
        ("row", "list.remove", (4,), ValueError),
        ("tags", "set.remove", (8,), KeyError),
        ("table", "dict.pop", ([],), TypeError),
        ("row", "list.pop", ("a",), TypeError),
        ("row", "list.pop", (), ProtocolError),
        ("row", "list.clear", (1,), ProtocolError),
    ],
)
def test_what_does_not_go_is_refused_as_by_the_real_thing(
    field: str, name: str, arguments: tuple[object, ...], error: type[Exception]
) -> None:
    with pytest.raises(error):
        called(field, name, *arguments)


def test_nothing_is_named() -> None:
    with pytest.raises(ProtocolError):
        call_method(Session(Transaction(State(), validator_draft)).root(State).row, (), "list.pop", (), {"index": 1})


@pytest.mark.parametrize("field", ["row", "table", "tags", "users"])
@pytest.mark.parametrize("name", METHODS)
def test_a_method_of_another_kind_is_none(field: str, name: str) -> None:
    kind = {"row": "list", "users": "list", "table": "dict", "tags": "set"}[field]
    if name.startswith(kind):
        return
    with pytest.raises(UnknownPath, match=rf"{field}: no \w+ stands there"):
        called(field, name, *(() if METHODS[name][1] == 0 else (0,)))


def test_what_is_no_container_has_none() -> None:
    with pytest.raises(UnknownPath, match="no list stands there"):
        call_method(None, ("row",), "list.clear", (), {})
