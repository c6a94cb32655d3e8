"""Clients that move one at a time: the same decisions lead to the same end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import zproc
from zproc.testing.interleaving import Interleaving


class Bank(zproc.StateModel):
    a: int = 50
    b: int = 50


@zproc.atomic
def pay(state: Bank, amount: int) -> int:
    state.a -= amount
    state.b += amount
    return state.a


def pay_carelessly(state: Bank, amount: int) -> None:
    seen = state.a
    state.a = seen - amount
    state.b += amount


@pytest.fixture
def bank() -> Iterator[Interleaving[Bank]]:
    with Interleaving(Bank) as made:
        yield made


def test_a_client_is_held_at_each_request(bank: Interleaving[Bank]) -> None:
    bank.start(0, lambda state: pay_carelessly(state, 3))
    assert (bank.ready, bank.free, bank.revision) == ([0], [1], 0)
    states = []
    while bank.ready:
        bank.step(0)
        states.append((bank.state.a, bank.state.b))
    assert states == [(50, 50), (47, 50), (47, 50), (47, 53)]  # of each field a read and a write
    assert bank.free == [0, 1]


@pytest.mark.parametrize(
    ("order", "end"),
    [
        ([0, 0, 0, 0, 1, 1, 1, 1], (43, 57)),
        ([0, 1, 0, 1, 0, 1, 0, 1], (46, 57)),  # both have read 50; the second write of `a` wins
        ([1, 0, 1, 0, 1, 0, 1, 0], (47, 57)),
    ],
)
def test_the_order_decides_what_a_race_comes_to_each_time(order: list[int], end: tuple[int, int]) -> None:
    for _ in range(3):
        with Interleaving(Bank) as bank:
            bank.start(0, lambda state: pay_carelessly(state, 3))
            bank.start(1, lambda state: pay_carelessly(state, 4))
            for client in order:
                bank.step(client)
            assert (bank.state.a, bank.state.b) == end


def test_who_waits_for_a_turn_waits_without_moving(bank: Interleaving[Bank]) -> None:
    bank.start(0, lambda state: pay(state, 3))
    bank.start(1, lambda state: pay(state, 4))
    bank.step(0)
    bank.step(1)
    assert (bank.ready, bank.free) == ([0], [])
    bank.finish()
    assert (bank.outcome(0), bank.outcome(1), bank.revision) == (47, 43, 2)


def test_a_turn_can_run_out(bank: Interleaving[Bank]) -> None:
    bank.start(0, lambda state: pay(state, 3))
    bank.step(0)
    bank.pass_time(31)
    bank.finish()
    with pytest.raises(zproc.LeaseLost):
        bank.outcome(0)
    assert bank.revision == 0


def test_a_client_that_dies_in_its_turn_leaves_nothing(bank: Interleaving[Bank]) -> None:
    bank.start(0, lambda state: pay(state, 3))
    bank.start(1, lambda state: pay(state, 4))
    bank.step(0)
    bank.step(1)
    bank.crash(0)
    bank.finish()
    assert (bank.outcome(1), bank.revision) == (46, 1)
    bank.start(0, lambda state: pay(state, 1))
    bank.finish()
    assert bank.outcome(0) == 45


def test_a_client_that_dies_half_way_leaves_its_first_half(bank: Interleaving[Bank]) -> None:
    bank.start(0, lambda state: pay_carelessly(state, 3))
    bank.step(0)
    bank.step(0)
    bank.crash(0)
    assert (bank.state.a, bank.state.b) == (47, 50)


def test_who_watches_is_woken_by_what_arrives(bank: Interleaving[Bank]) -> None:
    bank.start(0, lambda state: state.get_when_equal("a", 1).b)
    bank.finish()
    assert bank.free == [1]
    bank.start(1, lambda state: setattr(state, "a", 1))
    bank.finish()
    assert bank.outcome(0) == 50


def test_what_makes_no_sense_is_refused(bank: Interleaving[Bank]) -> None:
    with pytest.raises(ValueError, match="no request"):
        bank.step(0)
    bank.start(0, lambda state: pay(state, 3))
    with pytest.raises(ValueError, match="not finished"):
        bank.start(0, lambda state: pay(state, 3))
    with pytest.raises(ValueError, match="not finished"):
        bank.outcome(0)


def test_leaving_in_the_middle_ends_everybody() -> None:
    with Interleaving(Bank, clients=3) as bank:
        for client in range(3):
            bank.start(client, lambda state: pay(state, 3))
            bank.step(client)
