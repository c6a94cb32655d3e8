"""A live container that is too large to be held stays where it is, whatever is asked about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from zproc.client.container import ContainerHandle
from zproc.core.messages import Acquire, Act, Look, Read
from zproc.exceptions import UnknownPath
from zproc.schema import StateModel

if TYPE_CHECKING:
    from tests.client.conftest import Serve, Served


class Large(StateModel):
    row: list[int] = list(range(40_000))
    table: dict[str, int] = {str(key): key for key in range(40_000)}
    marks: set[int] = set(range(40_000))
    either: list[int] | dict[str, int] = [1, 2]


@pytest.fixture
def served(serving: Serve) -> Served[Large]:
    return serving(Large)


NAMES = ["row", "table", "marks"]


@pytest.mark.parametrize("name", NAMES)
def test_its_length_is_asked_for_alone(served: Served[Large], name: str) -> None:
    container: Any = getattr(served.state, name)
    assert isinstance(container, ContainerHandle)
    assert len(container) == 40_000  # for which it was to be read once, to be found too large
    reads = len(served.asked(Read))
    assert len(container) == 40_000
    assert (len(served.asked(Read)), bool(served.asked(Look))) == (reads, True)


def test_its_keys_and_elements_are_looked_up_alone(served: Served[Large]) -> None:
    state = served.state
    assert "7" in state.table
    assert "x" not in state.table
    assert state.table["7"] == 7
    assert 7 in state.marks
    assert -1 not in state.marks
    with pytest.raises(KeyError):
        state.table["x"]
    assert not served.asked(Acquire)


@pytest.mark.parametrize(
    ("name", "method", "arguments", "error"),
    [("row", "pop", (99_999,), IndexError), ("row", "remove", (-1,), ValueError), ("marks", "remove", (-1,), KeyError)],
)
def test_a_call_there_fails_as_one_here_would(
    served: Served[Large], name: str, method: str, arguments: tuple[object, ...], error: type[Exception]
) -> None:
    with pytest.raises(error) as caught:
        getattr(getattr(served.state, name), method)(*arguments)
    assert not getattr(caught.value, "__notes__", [])
    assert len(served.asked(Act)) == 1
    assert not served.asked(Acquire)


def test_what_may_be_something_else_is_changed_in_a_turn(served: Served[Large]) -> None:
    either: Any = served.state.either
    assert either.pop() == 2
    assert len(served.asked(Acquire)) == 1
    served.state.either = {"a": 1}
    with pytest.raises(UnknownPath, match="no list stands there"):
        either.pop()


def test_it_equals_what_it_stands_for_and_has_no_hash(served: Served[Large]) -> None:
    assert served.state.row == list(range(40_000))
    assert served.state.marks == served.state.marks
    assert served.state.row != [1]
    with pytest.raises(TypeError, match="unhashable"):
        hash(served.state.row)
