"""Who may stay for how long without a hello."""

from __future__ import annotations

from zproc.transport.probation import Probation
from zproc.typing import PeerId

ANNA, BERT, CARL = PeerId(1), PeerId(2), PeerId(3)


def test_nobody_is_due_at_first() -> None:
    """There is no next deadline either."""
    probation = Probation(5)
    assert probation.due(1e9) == []
    assert probation.next_deadline() is None


def test_peers_are_due_in_the_order_in_which_they_came() -> None:
    """At their deadline, not before."""
    probation = Probation(5)
    probation.enter(ANNA, 100)
    probation.enter(BERT, 101)
    probation.enter(CARL, 101)
    assert probation.next_deadline() == 105
    assert probation.due(104.9) == []
    assert probation.due(105) == [ANNA]
    assert probation.due(106) == [ANNA, BERT, CARL]


def test_a_peer_that_leaves_is_no_longer_due() -> None:
    """Leaving twice is allowed."""
    probation = Probation(5)
    probation.enter(ANNA, 100)
    probation.enter(BERT, 101)
    probation.leave(ANNA)
    probation.leave(ANNA)
    assert probation.due(200) == [BERT]
    assert probation.next_deadline() == 106


def test_a_peer_that_enters_anew_comes_last() -> None:
    """Otherwise its later deadline would hide those behind it."""
    probation = Probation(5)
    probation.enter(ANNA, 100)
    probation.enter(BERT, 101)
    probation.enter(ANNA, 102)
    assert probation.due(106.5) == [BERT]
    assert probation.due(107) == [BERT, ANNA]
