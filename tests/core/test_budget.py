"""Where a computation may be cut off: in the user's code, and nowhere in ours."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from enum import Enum
from types import FrameType
from typing import Annotated, Self, cast

import pytest
from pydantic import AfterValidator, field_validator, model_validator

import zproc
from zproc.core.budget import BudgetExceeded, interruptible, resuming
from zproc.core.history import Author
from zproc.core.limits import Limits
from zproc.core.namespace import Namespace
from zproc.schema.action import action
from zproc.schema.model import Schema, StateModel
from zproc.schema.ops import Op, Set, op_to_plain
from zproc.schema.transaction import Transaction
from zproc.typing import SessionId

SEEN: dict[str, bool] = {}
GOES_ON: dict[str, str | None] = {}


def look(where: str) -> None:
    """Note whether an alarm that went off here would be heeded, and which function of the user's goes on afterwards."""
    SEEN[where] = interruptible(sys._getframe())
    frame = resuming(sys._getframe())
    GOES_ON[where] = None if frame is None else frame.f_code.co_name


class Colour(Enum):
    RED = "red"

    def __hash__(self) -> int:
        look("a hash in our bookkeeping")
        return 1


def checked(value: int) -> int:
    look("a validator of an argument or a result")
    return value


class Watched(StateModel):
    number: int = 0
    numbers: list[int] = []
    colours: dict[Colour, int] = {}

    @field_validator("number")
    @classmethod
    def _check(cls, value: int) -> int:
        look("a validator of a field")
        return value

    @model_validator(mode="after")
    def _check_all(self) -> Self:
        look("a validator of the model")
        return self

    @property
    def double(self) -> int:
        look("a property")
        return 2 * self.number

    @double.setter
    def double(self, value: int) -> None:
        look("a setter")
        self.number = value // 2

    @action
    def run(self) -> None:
        look("an action")
        self.double = self.double + 2
        self.numbers.extend([3, 1, 2])
        self.numbers.sort(key=self._by)
        self.inner()
        aside(self)

    @action
    def inner(self) -> None:
        look("an action of an action")

    @action
    def take(self, number: Annotated[int, AfterValidator(checked)]) -> None: ...

    @action
    def give(self) -> Annotated[int, AfterValidator(checked)]:
        return 1

    @action
    def paint(self) -> None:
        self.colours[Colour.RED] = 1

    def _by(self, value: int) -> int:
        look("the key of a sort")
        return value


@zproc.atomic
def aside(state: Watched) -> None:
    look("an atomic function of an action")
    state.number += 1


@pytest.fixture
def namespace() -> Namespace:
    SEEN.clear()
    GOES_ON.clear()
    schema = cast("Schema[StateModel]", Schema.of(Watched))
    return Namespace(schema, Limits(), lambda _: nullcontext())


AUTHOR = Author(SessionId("s"), 1, "p", "f")


def act(namespace: Namespace, name: str, *arguments: int) -> None:
    namespace.act(name, namespace.schema.codec.encode([[], list(arguments), {}]), AUTHOR, wall=0.0)


def commit(namespace: Namespace) -> None:
    ops = [op_to_plain(Set(("number",), namespace.revision + 1))]
    namespace.commit(namespace.schema.codec.encode(ops), AUTHOR, wall=0.0)


def test_p10_the_users_code_can_be_cut_off_wherever_it_runs(namespace: Namespace) -> None:
    act(namespace, "run")
    assert (
        dict.fromkeys(
            [
                "an action",
                "a property",
                "a setter",
                "a validator of a field",
                "the key of a sort",
                "an action of an action",
                "an atomic function of an action",
                "a validator of the model",
            ],
            True,
        )
        == SEEN
    )


def test_p10_validators_of_a_commit_can_be_cut_off(namespace: Namespace) -> None:
    commit(namespace)
    assert SEEN == {"a validator of a field": True, "a validator of the model": True}


def test_p10_validators_of_arguments_and_of_results_can_be_cut_off(namespace: Namespace) -> None:
    for called, given in (("take", (1,)), ("give", ())):
        SEEN.clear()
        act(namespace, called, *given)
        assert SEEN == {"a validator of an argument or a result": True}


@pytest.mark.parametrize(
    "place",
    [Transaction.apply, Transaction.finish, Transaction.rollback],
    ids=lambda place: place.__name__,
)
def test_p1_our_bookkeeping_is_not_cut_off(
    namespace: Namespace, monkeypatch: pytest.MonkeyPatch, place: Callable[..., object]
) -> None:
    """An alarm that goes off in it, or in what it calls, is put off."""
    name = place.__name__

    def caught(self: Transaction, *args: object) -> object:
        look(name)
        return place(self, *args)

    monkeypatch.setattr(Transaction, name, caught)
    if name == "rollback":
        with pytest.raises(zproc.ValidationRefused):
            namespace.commit(
                namespace.schema.codec.encode([op_to_plain(Set(("number",), "no number"))]), AUTHOR, wall=0.0
            )
    else:
        commit(namespace)
    assert SEEN[name] is False


def test_p1_what_our_bookkeeping_calls_is_not_cut_off(namespace: Namespace) -> None:
    """The innermost frame is not ours, but we are in the middle of something."""
    act(namespace, "paint")
    assert SEEN["a hash in our bookkeeping"] is False
    assert GOES_ON["a hash in our bookkeeping"] == "paint", "and is cut off as soon as we are done"


def test_p10_whose_code_goes_on_when_our_bookkeeping_is_done_is_told(
    namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply = Transaction.apply

    def caught(self: Transaction, op: Op) -> None:
        look("bookkeeping")
        apply(self, op)

    monkeypatch.setattr(Transaction, "apply", caught)
    commit(namespace)
    assert GOES_ON["bookkeeping"] is None
    act(namespace, "paint")
    assert GOES_ON["bookkeeping"] == "paint"


def test_p10_where_none_of_our_code_runs_nothing_is_cut_off() -> None:
    def frames() -> FrameType | None:
        frame: FrameType | None = sys._getframe()
        while frame is not None and str(frame.f_globals.get("__name__", "")).startswith("zproc."):
            frame = frame.f_back
        return frame

    assert not interruptible(frames())
    assert not interruptible(None)


def test_the_end_of_the_time_is_no_exception_that_a_program_catches_by_the_way() -> None:
    assert issubclass(BudgetExceeded, BaseException)
    assert not issubclass(BudgetExceeded, Exception)
