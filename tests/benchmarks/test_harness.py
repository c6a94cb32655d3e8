from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import harness
import pytest
from harness import (
    Case,
    Effort,
    Need,
    Operation,
    Row,
    Subject,
    Timed,
    clients,
    compare,
    compare_costs,
    cost,
    rate,
    rounds_of,
)

SHORT = Effort(rounds=3, seconds=0.01)
ABSENT = Need("there_is_no_such_module", "pip install it")


def nothing(_stack: ExitStack) -> Operation:
    return lambda: None


def subject(name: str, operation: Operation = lambda: None, **options: object) -> Subject:
    return Subject(name, lambda _stack: lambda _stack: operation, **options)  # type: ignore[arg-type]  # few, and by hand


def figures(*values: float) -> Callable[[], float]:
    return iter(values).__next__


def timed(name: str, *values: float) -> Timed:
    return Timed(name, lambda _stack: figures(*values))


@pytest.fixture(autouse=True)
def _no_client_is_left() -> Iterator[None]:
    yield
    assert multiprocessing.active_children() == []


def test_two_things_are_measured_in_turns_and_each_is_first_as_often() -> None:
    order: list[str] = []

    def measure(name: str) -> float:
        order.append(name)
        return float(len(order))

    pairs = rounds_of(lambda: measure("a"), lambda: measure("b"), 4)
    assert order == ["a", "b", "b", "a", "a", "b", "b", "a"]
    assert pairs == [(1, 2), (4, 3), (5, 6), (8, 7)]


def test_a_comparison_of_costs_gives_medians_and_the_median_of_the_ratios() -> None:
    row = compare_costs("start", timed("ours", 2, 4, 9), timed("theirs", 4, 4, 3), rounds=3, goal=0.5)
    assert (row.ours, row.peer, row.ratio) == (4, 4, 1)
    assert row.rounds == [2, 1, pytest.approx(1 / 3)]
    assert row.what == "start: ours against theirs"


def test_a_cost_without_a_peer_is_held_to_a_bound() -> None:
    row = compare_costs("read", timed("ours", 0.2, 0.5, 0.4), unit="us", rounds=3, at_most=0.3)
    assert (row.ours, row.peer, row.ratio, row.verdict) == (0.4, None, None, "falls short by 1.33 x")


def test_what_is_not_installed_is_said_with_the_command_and_nothing_is_set_up() -> None:
    def prepare(_stack: ExitStack) -> Callable[[ExitStack], Operation]:
        raise AssertionError

    peer = Subject("peer", prepare, needs=[ABSENT, Need("sh", "apt-get install sh"), Need("json", "pip install json")])
    row = compare("action", subject("ours"), peer, goal=2)
    assert (row.verdict, row.aim, row.ours) == ("not installed: pip install it", ">= 2 x", None)


def test_a_rate_is_that_of_all_clients_together_and_counts_what_a_call_does() -> None:
    once = compare("call", subject("ours", per_call=50), subject("peer"), count=2, seconds=0.02, rounds=1)
    assert once.ratio is not None
    assert once.ratio > 5, "it counts for fifty, and takes the same time"
    assert once.what == "call, 2 clients: ours against peer"


def test_a_client_that_raises_ends_the_measurement_with_its_traceback() -> None:
    def make(_stack: ExitStack) -> Operation:
        raise ZeroDivisionError("as planned")

    with pytest.raises(RuntimeError, match="ZeroDivisionError: as planned"):
        clients(make, 3, 0.01)


def test_a_client_that_dies_ends_the_measurement_with_its_exit_code() -> None:
    with pytest.raises(RuntimeError, match="ended with exit code 3"):
        clients(lambda _stack: lambda: os._exit(3), 2, 0.01)


def test_a_client_that_hangs_ends_the_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "_PATIENCE", 0.1)
    with pytest.raises(RuntimeError, match=r"said nothing for 0\.1 s"):
        clients(lambda _stack: lambda: multiprocessing.Event().wait(), 1, 0.01)


def test_a_case_gives_its_key_to_its_rows() -> None:
    (row,) = cost("start", "start", timed("ours", 1, 1, 1)).rows(SHORT)
    assert row.key == "start"
    (row,) = rate("call", "call", subject("ours"), subject("peer")).rows(SHORT)
    assert (row.key, len(row.rounds)) == ("call", 3)


def test_the_keys_of_several_rows_begin_with_that_of_their_case() -> None:
    case = Case("flat", lambda _effort: [Row("small", key="small"), Row("large", key="flat.large"), Row("all")])
    assert [row.key for row in case.rows(SHORT)] == ["flat.small", "flat.large", "flat"]
