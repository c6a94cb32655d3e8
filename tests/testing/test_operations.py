"""Operations are done as a program does them, and say so."""

from __future__ import annotations

from typing import Annotated

import pytest
from hypothesis import Phase, find, settings
from pydantic import BaseModel, Field

import zproc
from zproc.schema.ops import Add, Delete, Discard, Op, Set, Splice, Update
from zproc.testing.memory import MemoryServer
from zproc.testing.operations import Call, Edit, calls_of_action, calls_of_function


class Oven(BaseModel):
    temp: float = 20.0


class Shop(zproc.StateModel):
    cookies: int = 10
    oven: Oven = Oven()
    stock: dict[str, int] = {"x": 1}
    notes: list[int] = [1, 2, 3]
    tags: set[str] = {"a"}

    @zproc.action
    def bake(self, number: Annotated[int, Field(ge=1, le=2)], note: int = 0) -> int:
        self.cookies += number
        return self.cookies + note


FOUND = settings(max_examples=2_000, phases=[Phase.generate])

EDITS: list[tuple[Op, str, dict[str, object]]] = [
    (Set(("cookies",), 3), "state.cookies = 3", {"cookies": 3}),
    (Set(("oven", "temp"), 3.0), "state.oven.temp = 3.0", {"oven": Oven(temp=3.0)}),
    (Set(("oven",), {"temp": 3.0}), "state.oven = {'temp': 3.0}", {"oven": Oven(temp=3.0)}),
    (Set(("stock", "y"), 2), "state.stock.y = 2", {"stock": {"x": 1, "y": 2}}),
    (Set(("notes", -1), 9), "state.notes[-1] = 9", {"notes": [1, 2, 9]}),
    (Delete(("stock", "x")), "del state.stock.x", {"stock": {}}),
    (Splice(("notes",), None, 0, (4, 5)), "state.notes.extend([4, 5])", {"notes": [1, 2, 3, 4, 5]}),
    (Splice(("notes",), 1, 1, (7,)), "state.notes[1:+1] = [7]", {"notes": [1, 7, 3]}),
    (Splice(("notes",), -2, 5, ()), "state.notes[-2:+5] = []", {"notes": [1]}),
    (Splice(("notes",), -9, 1, ()), "state.notes[-9:+1] = []", {"notes": [2, 3]}),
    (Splice(("notes",), None, 2, ()), "state.notes[end:+2] = []", {}),
    (Add(("tags",), ("b",)), "state.tags.update(('b',))", {"tags": {"a", "b"}}),
    (Discard(("tags",), ("a",)), "state.tags.difference_update(('a',))", {"tags": set()}),
    (Update(("cookies",), "+", 2), "state.cookies += 2", {"cookies": 12}),
    (Update(("cookies",), "-", 2), "state.cookies -= 2", {"cookies": 8}),
    (Update(("stock", "x"), "+", 2), "state.stock.x += 2", {"stock": {"x": 3}}),
]


@pytest.mark.parametrize(("op", "text", "result"), EDITS, ids=[text for _, text, _ in EDITS])
def test_an_edit_does_the_same_to_a_live_state_and_to_a_plain_one(op: Op, text: str, result: dict[str, object]) -> None:
    edit, expected = Edit(op), Shop().model_copy(update=result)
    assert repr(edit) == text
    plain = Shop()
    with zproc.transaction(plain) as draft:
        edit(draft)
    with MemoryServer(Shop) as server:
        edit(server.state)
        assert server.state.snapshot() == plain == expected


def test_a_call_is_of_a_function_with_arguments_by_name() -> None:
    call = Call("bake", lambda state, number: state.bake(number), {"number": 2})
    assert repr(call) == "bake(state, number=2)"
    assert call(Shop()) == 12
    assert repr(Call("reset", Shop.reset, {})) == "reset(state)"


def test_arguments_of_an_action_keep_to_its_annotations() -> None:
    calls = calls_of_action(Shop, "bake")
    found = find(calls, lambda call: call.arguments.get("number") == 2, settings=FOUND)
    assert found(Shop()) == 12
    assert "note" not in found.arguments
    assert find(calls, lambda call: call.arguments.get("note", 0) == 1, settings=FOUND).name == "bake"


def sell(state: Shop, oven: Oven, many: Annotated[int, Field(ge=1, le=1)], anything: object = None) -> float:
    state.cookies -= many
    return oven.temp + many


def test_arguments_of_a_function_are_what_it_is_annotated_with() -> None:
    call = find(calls_of_function(sell), lambda call: call.arguments["oven"].temp > 5, settings=FOUND)
    assert isinstance(call.arguments["oven"], Oven)
    assert call(Shop()) == call.arguments["oven"].temp + 1


def test_an_atomic_function_is_known_by_the_function_behind_it() -> None:
    call = find(calls_of_function(zproc.atomic(sell)), lambda call: True, settings=FOUND)
    assert call.name == "sell"


def test_a_parameter_that_nobody_can_guess_is_refused() -> None:
    def unknown(state, what):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - that is the point
        pass

    with pytest.raises(TypeError, match="what to give for what"):
        calls_of_function(unknown)
