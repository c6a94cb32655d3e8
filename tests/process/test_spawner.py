"""The call that makes a process, in all its forms."""

from __future__ import annotations

from typing import Any

import pytest

from zproc.core.supervisor import Stage
from zproc.exceptions import UsageError
from zproc.process import Manager, Process, ProcessList, Spawn

WITHIN = 20.0


def first(*, stateful: bool, pass_context: bool) -> tuple[object, ...]:
    return ("context",) if pass_context else ("state",) if stateful else ()


@pytest.fixture
def spawn() -> Spawn[str, str]:
    return Spawn(Manager(), first)


def tell(*args: object, **kwargs: object) -> tuple[tuple[object, ...], dict[str, object]]:
    return args, kwargs


def test_a_function_is_called_with_the_state_and_its_arguments(spawn: Spawn[str, str]) -> None:
    assert spawn(tell, 1, name="an argument").wait(WITHIN) == (("state", 1), {"name": "an argument"})


def test_options_have_a_call_of_their_own(spawn: Spawn[str, str]) -> None:
    process = spawn(name="teller")(tell, 1, name="an argument")
    assert process.name == "teller"
    assert process.wait(WITHIN) == (("state", 1), {"name": "an argument"})


def test_a_function_gets_the_context_or_nothing_if_asked(spawn: Spawn[str, str]) -> None:
    assert spawn(pass_context=True)(tell).wait(WITHIN) == (("context",), {})
    assert spawn(stateful=False)(tell, 5).wait(WITHIN) == ((5,), {})


def test_with_a_count_there_is_a_list_even_of_one(spawn: Spawn[str, str]) -> None:
    assert isinstance(spawn(tell), Process)
    one = spawn(count=1)(tell)
    assert isinstance(one, ProcessList)
    assert spawn(count=2)(tell, 3).wait(WITHIN) == [(("state", 3), {})] * 2
    assert one.wait(WITHIN) == [(("state",), {})]


def test_it_decorates(spawn: Spawn[str, str]) -> None:
    @spawn
    def bare(state: str) -> str:
        return state

    @spawn(count=2, start=False)
    def many(state: str) -> str:
        return state

    assert bare.wait(WITHIN) == "state"
    assert [each.stage for each in many] == [Stage.NEW] * 2
    many.start()
    assert many.wait(WITHIN) == ["state"] * 2


def test_an_unknown_option_is_refused_by_name(spawn: Spawn[str, str]) -> None:
    with pytest.raises(UsageError, match="retries"):
        spawn(retries=3)(tell)  # type: ignore[call-overload]


@pytest.mark.parametrize("count", [-1, "3", 2.0, None.__class__])
def test_a_count_is_a_number_of_processes(spawn: Spawn[str, str], count: Any) -> None:
    with pytest.raises(UsageError, match="count"):
        spawn(count=count)(tell)
