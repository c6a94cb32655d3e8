"""The state machine finds orders of events that break a condition, and none where there are none."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from hypothesis import Phase, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test
from pydantic import Field

import zproc
from zproc.testing import state_machine

pytestmark = pytest.mark.slow

Name = Literal["a", "b"]
Amount = Annotated[int, Field(gt=0, le=60)]


class Bank(zproc.StateModel):
    accounts: dict[Name, Annotated[int, Field(ge=0)]] = {"a": 50, "b": 50}
    payments: int = 0
    booked: int = 0


class TooPoorError(Exception):
    pass


@zproc.atomic
def pay(state: Bank, source: Name, target: Name, amount: Amount) -> None:
    if state.accounts[source] < amount:
        raise TooPoorError
    state.accounts[source] -= amount
    state.accounts[target] += amount


def pay_carelessly(state: Bank, source: Name, target: Name, amount: Amount) -> None:
    """Both steps are atomic, and each may be refused; the two together are not."""
    state.accounts[source] -= amount
    state.accounts[target] += amount


def count_carelessly(state: Bank) -> None:
    """Right as long as nobody else counts at the same time."""
    seen = state.payments
    with zproc.transaction(state) as draft:
        draft.payments = seen + 1
        draft.booked += 1


def crash(state: Bank) -> None:
    state.payments += 1
    raise KeyError("a bug of the user's")


def money_is_constant(state: Bank) -> None:
    assert sum(state.accounts.values()) == 100


def all_is_counted(state: Bank) -> None:
    assert state.payments == state.booked


FEW = settings(max_examples=15, stateful_step_count=20)
MANY = settings(max_examples=300, stateful_step_count=20, report_multiple_bugs=False, phases=[Phase.generate])


def test_what_is_atomic_keeps_the_condition_whoever_dies() -> None:
    machine = state_machine(Bank, money_is_constant, pay, clients=3, refusals=[TooPoorError])
    run_state_machine_as_test(machine, settings=FEW)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("check", "function"), [(money_is_constant, pay_carelessly), (all_is_counted, count_carelessly)]
)
def test_what_is_not_atomic_is_found(check: object, function: object) -> None:
    machine = state_machine(Bank, check, function)  # type: ignore[arg-type]
    with pytest.raises((AssertionError, Flaky)) as caught:
        run_state_machine_as_test(machine, settings=MANY)
    assert not isinstance(caught.value, Flaky), "the same decisions led to another end"


def test_an_error_that_is_no_refusal_is_reported_with_its_operation() -> None:
    with pytest.raises(KeyError) as caught:
        run_state_machine_as_test(state_machine(Bank, money_is_constant, crash), settings=FEW)
    assert any("raised by crash(state), run by client" in note for note in caught.value.__notes__)


def test_random_edits_keep_what_the_schema_promises() -> None:
    def valid(state: Bank) -> None:
        assert all(value >= 0 for value in state.accounts.values())

    run_state_machine_as_test(state_machine(Bank, valid, edits=True), settings=FEW)


def test_a_machine_that_does_nothing_is_refused() -> None:
    with pytest.raises(TypeError, match="nothing to do"):
        state_machine(Bank, money_is_constant)


def test_pytest_can_run_it() -> None:
    assert state_machine(Bank, money_is_constant, pay).TestCase is not None
