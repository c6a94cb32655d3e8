"""What is declared of the methods that wait is what they are."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from zproc.aio import AsyncState
from zproc.call_when import CallWhen
from zproc.codegen.names import Names
from zproc.codegen.watchers import NAMES, Watched, calls, watchers
from zproc.schema.condition import CONDITIONS
from zproc.schema.watchable import Watchable

WATCHED = Watched(
    names=Names([]),
    model="State",
    called="Call",
    path="Path",
    pattern="Pattern",
    groups={"IntPath": "int", "StrPath": "str"},
    whole={"IntField": "int"},
)


Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


def declared(members: Any) -> dict[str, Function]:
    """The last declaration of each method: the one that covers all its forms."""
    text = "\n".join(line for member in members for line in member)
    return {node.name: node for node in ast.parse(text).body if isinstance(node, Function)}


STATE, CONTEXT = declared(watchers(WATCHED)), declared(calls(WATCHED))
TASKS = declared(watchers(WATCHED, tasks=True))


def methods_of(cls: type) -> dict[str, Callable[..., Any]]:
    return {name: value for name, value in vars(cls).items() if inspect.isfunction(value) and not name.startswith("_")}


def exact(method: Callable[..., Any]) -> bool:
    """Whether a method takes paths or states, or gives states, of which a model knows more."""
    signature = inspect.signature(method)
    return "Self" in str(signature.return_annotation) or bool({"field", "fields", "test"} & signature.parameters.keys())


def test_every_method_that_can_be_exact_is_declared() -> None:
    assert STATE.keys() == {name for name, method in methods_of(Watchable).items() if exact(method)}
    assert CONTEXT.keys() == {name for name, method in methods_of(CallWhen).items() if exact(method)}
    assert STATE.keys() | CONTEXT.keys() == NAMES
    assert TASKS.keys() == STATE.keys()


def test_every_condition_has_its_methods() -> None:
    for name in CONDITIONS:
        assert {f"get_when_{name}", f"when_{name}"} <= STATE.keys()
        assert f"call_when_{name}" in CONTEXT


@pytest.mark.parametrize(
    ("node", "method"),
    [
        *((node, getattr(Watchable, name)) for name, node in STATE.items()),
        *((node, getattr(CallWhen, name)) for name, node in CONTEXT.items()),
        *((node, getattr(AsyncState, name)) for name, node in TASKS.items()),
    ],
    ids=lambda each: getattr(each, "__name__", getattr(each, "name", "")),
)
def test_its_parameters_are_those_of_the_method(node: Function, method: Callable[..., Any]) -> None:
    parameters = inspect.signature(method).parameters
    arguments = node.args
    assert [each.arg for each in arguments.args] == [
        name for name, each in parameters.items() if each.kind is each.POSITIONAL_OR_KEYWORD
    ]
    assert (arguments.vararg and arguments.vararg.arg) == next(
        (name for name, each in parameters.items() if each.kind is each.VAR_POSITIONAL), None
    )
    keywords = {name: each for name, each in parameters.items() if each.kind is each.KEYWORD_ONLY}
    assert {each.arg for each in arguments.kwonlyargs} == keywords.keys()
    assert arguments.kwarg
    assert ast.unparse(arguments.kwarg.annotation or ast.Constant("")) == str(parameters["options"].annotation)


def test_tasks_await_what_threads_wait_for() -> None:
    for name, node in TASKS.items():
        assert isinstance(node, ast.AsyncFunctionDef) == inspect.iscoroutinefunction(getattr(AsyncState, name))
        returned, of_threads = (ast.unparse(each.returns or ast.Constant("")) for each in (node, STATE[name]))
        assert returned.replace("AsyncStream", "Stream") == of_threads


def test_each_form_is_of_one_type() -> None:
    lines = [line for member in watchers(WATCHED) for line in member if "def get_when_equal" in line]
    assert lines == [
        "def get_when_equal(self, field: IntPath, value: int, **options: Unpack[Options]) -> State: ...",
        "def get_when_equal(self, field: StrPath, value: str, **options: Unpack[Options]) -> State: ...",
        "def get_when_equal(self, field: str, value: object, **options: Unpack[Options]) -> State: ...",
    ]


def test_changes_tell_their_values_where_they_are_known() -> None:
    (changes,) = (member for member in watchers(WATCHED) if any("def changes" in line for line in member))
    assert [line.partition(" -> ")[2] for line in changes if " -> " in line] == [
        "Stream[Change[int] | Resync[State]]: ...",
        "Stream[Change | Resync[State]]: ...",
        "Stream[Change | Resync[State]]: ...",
    ]
