"""Drafts of models: they look and act like the model, and keep nothing of their own."""

from __future__ import annotations

import functools
import pickle

import pytest
from pydantic import BaseModel, computed_field

from zproc.exceptions import UnknownPath, UsageError
from zproc.schema.action import run
from zproc.schema.model import StateModel


class Item(BaseModel):
    v: int = 0

    def grow(self, by: int = 1) -> int:
        self.v += by
        return self.v


class Base(StateModel):
    n: int = 0

    def describe(self) -> str:
        return f"n is {self.n}"


class State(Base):
    item: Item = Item()
    items: list[Item] = [Item(v=1), Item(v=2), Item(v=3)]
    tags: list[str] = []
    pair: tuple[list[int], int] = ([1], 2)
    _private: int = 7

    def describe(self) -> str:
        return super().describe() + "!"

    @property
    def half(self) -> float:
        return self.n / 2

    @half.setter
    def half(self, value: float) -> None:
        self.n = int(value * 2)

    @computed_field  # type: ignore[prop-decorator]  # as pydantic documents
    @property
    def twice(self) -> int:
        return self.n * 2

    @functools.cached_property
    def once(self) -> int:
        return self.n + 1

    def __len__(self) -> int:
        return self.n


def on_draft(function: object, state: State | None = None) -> State:
    state = State.model_validate(State().model_dump(exclude={"twice"})) if state is None else state
    run(state, function, len)  # type: ignore[arg-type]  # a function of the draft
    return state


def test_a_draft_is_an_instance_with_all_that_its_class_defines() -> None:
    def body(draft: State) -> None:
        assert isinstance(draft, State)
        assert isinstance(draft.item, Item)
        draft.n = 4
        assert (draft.half, draft.twice, draft.once, draft.describe(), len(draft)) == (2.0, 8, 5, "n is 4!", 4)
        draft.half = 5
        assert draft.item.grow(3) == 3
        assert draft.model_dump()["n"] == 10
        assert dict(draft)["n"] == 10
        assert "n=10" in repr(draft)
        assert draft == draft.model_copy()

    state = on_draft(body)
    assert (state.n, state.item.v) == (10, 3)


def test_children_of_a_list_move_with_their_elements() -> None:
    def body(draft: State) -> None:
        first, last = draft.items[0], draft.items[2]
        draft.items.insert(0, Item(v=9))
        first.v = 10
        draft.items.sort(key=lambda item: -item.v)
        last.v = 33
        del draft.items[0]
        last.v += 1

    assert [item.v for item in on_draft(body).items] == [9, 34, 2]


def test_what_has_left_the_state_can_be_read_and_not_changed() -> None:
    def body(draft: State) -> None:
        gone = draft.items[0]
        draft.items.pop(0)
        assert gone.v == 1
        with pytest.raises(UsageError, match="no longer in the state"):
            gone.v = 5

    on_draft(body)


def test_assigning_copies_and_adding_in_place_does_not_assign() -> None:
    def body(draft: State) -> None:
        mine = ["a"]
        draft.tags = mine
        mine.append("b")
        draft.tags += ["c"]
        draft.item = draft.items[1]
        draft.items[1].v = 99
        draft.pair[0].append(5)

    state = on_draft(body)
    assert (state.tags, state.item.v, state.pair) == (["a", "c"], 2, ([1], 2))


def test_a_name_that_is_no_field_is_refused_with_the_nearest() -> None:
    def body(draft: State) -> None:
        with pytest.raises(UnknownPath) as caught:
            draft.itme = 3  # type: ignore[attr-defined]  # that is the point
        assert "item" in caught.value.nearest
        assert not hasattr(draft, "nope")
        with pytest.raises(UsageError, match="private"):
            draft._private = 8
        with pytest.raises(UsageError, match="always has a value"):
            del draft.n

    on_draft(body)


def test_a_draft_dies_with_its_function() -> None:
    kept: list[State] = []
    on_draft(kept.append)
    for use in (lambda: kept[0].n, lambda: setattr(kept[0], "n", 3), lambda: kept[0].items):
        with pytest.raises(UsageError, match="died"):
            use()


def test_a_draft_cannot_be_pickled() -> None:
    def body(draft: State) -> None:
        with pytest.raises(UsageError, match="pickled"):
            pickle.dumps(draft)

    on_draft(body)


def test_what_a_function_returns_is_no_draft() -> None:
    state = State.model_validate(State().model_dump(exclude={"twice"}))
    (item, rest), _ = run(state, lambda draft: (draft.item, {"x": [draft.items[0]]}), len)
    assert type(item) is Item
    assert type(rest["x"][0]) is Item
    item.v = 50
    assert state.item.v == 0
