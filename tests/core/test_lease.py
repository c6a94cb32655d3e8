"""Turns: first come, first served, to the living, and not a moment longer than the limit."""

from __future__ import annotations

import random
from collections import OrderedDict

import pytest

from zproc.core.lease import Running, Turns, Waiting
from zproc.core.messages import Acquire
from zproc.typing import LeaseId, PeerId, RequestId, Revision


def ask(peer: int, request: int = 1) -> Waiting:
    return Waiting(PeerId(peer), Acquire(RequestId(request), (), Revision(0), 1 << 16))


def take(turns: Turns, peer: int, now: float = 0.0) -> LeaseId:
    return turns.take(PeerId(peer), RequestId(1), now=now).lease


@pytest.fixture
def running() -> Running:
    return OrderedDict()


def first_deadline(running: Running) -> float | None:
    return next((holder.deadline for holder in running.values()), None)


@pytest.fixture
def turns(running: Running) -> Turns:
    return Turns(30.0, running)


def test_p4_a_turn_is_free_until_it_is_taken_and_after_it_has_ended(turns: Turns) -> None:
    assert turns.is_free()
    take(turns, 1)
    assert not turns.is_free()
    turns.end()
    assert turns.is_free()


def test_p4_a_turn_is_not_free_while_others_wait(turns: Turns) -> None:
    """Or a newcomer would overtake them."""
    turns.wait(ask(2))
    assert not turns.is_free()


def test_p4_every_turn_has_an_id_greater_than_all_before_it(turns: Turns) -> None:
    leases = []
    for peer in (1, 2, 1, 1):
        leases.append(take(turns, peer))
        turns.end()
    assert leases == sorted(set(leases))


def test_p4_only_its_holder_holds_a_turn_and_only_by_its_id(turns: Turns) -> None:
    lease = take(turns, 1)
    assert turns.holds(PeerId(1), lease)
    assert not turns.holds(PeerId(2), lease)
    assert not turns.holds(PeerId(1), LeaseId(lease + 1))
    assert not turns.holds(PeerId(1), LeaseId(lease - 1))
    held = turns.held_by(PeerId(1))
    assert held is not None
    assert held.lease == lease
    assert turns.held_by(PeerId(2)) is None


def test_p4_a_turn_that_ended_is_held_by_nobody_forever(turns: Turns) -> None:
    lease = take(turns, 1)
    turns.end()
    assert not turns.holds(PeerId(1), lease)
    assert turns.held_by(PeerId(1)) is None
    take(turns, 1)
    assert not turns.holds(PeerId(1), lease)


def test_p4_who_waits_is_served_in_the_order_of_coming(turns: Turns) -> None:
    for peer in (3, 1, 2):
        turns.wait(ask(peer))
    assert [served.peer for _ in range(3) if (served := turns.next_waiting())] == [3, 1, 2]
    assert turns.next_waiting() is None


def test_p4_nobody_is_served_while_a_turn_is_held(turns: Turns) -> None:
    take(turns, 1)
    turns.wait(ask(2))
    assert turns.next_waiting() is None
    turns.end()
    assert turns.next_waiting() == ask(2)


def test_p4_one_connection_may_wait_with_several_requests(turns: Turns) -> None:
    turns.wait(ask(1, 5))
    turns.wait(ask(2, 5))
    turns.wait(ask(1, 4))
    assert turns.forget(PeerId(1), RequestId(5))
    assert turns.next_waiting() == ask(2, 5)
    assert turns.next_waiting() == ask(1, 4)


def test_p4_who_has_left_the_queue_is_not_in_it(turns: Turns) -> None:
    turns.wait(ask(1))
    assert turns.forget(PeerId(1), RequestId(1))
    assert not turns.forget(PeerId(1), RequestId(1))
    assert not turns.forget(PeerId(9), RequestId(1))
    assert turns.is_free()


@pytest.mark.parametrize(("now", "over"), [(129.999, False), (130.0, True), (130.001, True), (1e9, True)])
def test_p4_a_turn_is_overrun_from_the_very_deadline_on(
    turns: Turns, running: Running, now: float, *, over: bool
) -> None:
    take(turns, 1, now=100.0)
    assert first_deadline(running) == 130.0
    assert turns.expired(now=now) is over


def test_p4_what_nobody_holds_is_not_overrun(turns: Turns, running: Running) -> None:
    assert first_deadline(running) is None
    assert not turns.expired(now=1e9)
    take(turns, 1)
    turns.end()
    assert first_deadline(running) is None
    assert not turns.expired(now=1e9)


def test_p4_of_all_turns_that_are_held_the_one_that_was_granted_first_ends_first(running: Running) -> None:
    first, second, third = (Turns(30.0, running) for _ in range(3))
    take(second, 1, now=1.0)
    take(first, 1, now=2.0)
    take(third, 1, now=3.0)
    assert first_deadline(running) == 31.0
    first.end()
    assert first_deadline(running) == 31.0
    second.end()
    assert first_deadline(running) == 33.0
    take(second, 1, now=4.0)
    assert first_deadline(running) == 33.0


def test_p4_of_a_thousand_that_wait_half_die_and_the_others_keep_their_order(turns: Turns) -> None:
    dead = set(random.Random(32).sample(range(1000), 500))
    for peer in range(1000):
        turns.wait(ask(peer))
    for peer in dead:
        assert turns.forget(PeerId(peer), RequestId(1))
    served = []
    while waiting := turns.next_waiting():
        served.append(waiting.peer)
    assert served == [peer for peer in range(1000) if peer not in dead]


def test_p8_leaving_the_queue_takes_as_long_wherever_one_stands(turns: Turns) -> None:
    """No clock is needed to know it: the queue is a linked table, in which nothing is searched for."""
    assert type(turns._queue) is OrderedDict
