"""Outcomes: one request has one, for as long as it is known, and is never taken for new after that."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, strategies as st

from zproc.core.limits import Limits
from zproc.core.messages import Committed, Refused
from zproc.core.refusal import error_from_data, error_to_data
from zproc.core.session import Session, Sessions, _Numbers
from zproc.exceptions import CommitRefused, CommitUnknown, LeaseLost, LimitExceeded
from zproc.typing import RequestId, Revision, SessionId


def committed(request: int, size: int = 0) -> Committed:
    return Committed(RequestId(request), Revision(request), b"x" * size)


def session(*, doubtful: bool = False, **limits: int) -> Session:
    return Session(dataclasses.replace(Limits(), **limits), doubtful=doubtful)


def error_of(outcome: object) -> BaseException:
    assert isinstance(outcome, Refused)
    return error_from_data(outcome.error)


def test_p5_what_has_not_come_has_no_outcome() -> None:
    assert session().outcome(RequestId(1)) is None


def test_p5_what_was_remembered_is_told_again_and_again() -> None:
    one = session()
    refused = Refused(RequestId(2), error_to_data(CommitRefused("no")))
    one.remember(committed(1))
    one.remember(refused)
    for _ in range(3):
        assert one.outcome(RequestId(1)) == committed(1)
        assert one.outcome(RequestId(2)) == refused


def test_p5_p10_the_oldest_outcomes_are_forgotten_and_then_unknown_but_never_new() -> None:
    one = session(outcomes=4)
    for request in range(1, 11):
        one.remember(committed(request))
    assert [one.outcome(RequestId(request)) for request in range(7, 11)] == [committed(n) for n in range(7, 11)]
    for request in range(1, 7):
        error = error_of(one.outcome(RequestId(request)))
        assert isinstance(error, CommitUnknown)
        assert error.request_id == request
        assert "outcomes" in str(error)
    assert one.outcome(RequestId(11)) is None


@given(st.lists(st.integers(0, 60), unique=True, max_size=60), st.integers(1, 24), st.integers(1, 30))
def test_p5_p10_in_whatever_order_requests_come_each_is_known_unknown_or_new_and_no_more_are_kept(
    requests: list[int], most: int, size: int
) -> None:
    one = session(outcomes=most, outcome_bytes=400)
    for number, request in enumerate(requests):
        assert one.outcome(RequestId(request)) is None or number > most - most // 8
        one.remember(committed(request, size))
        assert one.outcome(RequestId(request)) == committed(request, size)
    kept = [each for each in requests if one.outcome(RequestId(each)) == committed(each, size)]
    assert kept == requests[len(requests) - len(kept) :], "the oldest are forgotten first"
    assert min(len(requests), most - most // 8, 400 // size) <= len(kept) <= min(most, 400 // size)
    for request in set(requests) - set(kept):
        assert isinstance(error_of(one.outcome(RequestId(request))), CommitUnknown)


def test_p5_a_request_that_is_late_among_forgotten_ones_is_still_new() -> None:
    """Threads of one process take their numbers in one order and send in another."""
    one = session(outcomes=4)
    for request in (1, 2, 4, 5, 6, 7, 8, 9):
        one.remember(committed(request))
    assert one.outcome(RequestId(3)) is None
    assert isinstance(error_of(one.outcome(RequestId(4))), CommitUnknown)


def test_p5_a_request_that_is_far_too_late_is_unknown_and_not_new() -> None:
    one = session(outcomes=4)
    for request in range(2, 300):
        one.remember(committed(request))
    assert isinstance(error_of(one.outcome(RequestId(1))), CommitUnknown)


def test_p10_results_count_by_their_bytes() -> None:
    one = session(outcome_bytes=1000)
    for request in range(1, 5):
        one.remember(committed(request, 400))
    assert one.outcome(RequestId(4)) == committed(4, 400)
    assert one.outcome(RequestId(3)) == committed(3, 400)
    assert isinstance(error_of(one.outcome(RequestId(2))), CommitUnknown)


def test_p10_a_result_that_is_too_large_to_be_kept_is_unknown_and_names_the_limit() -> None:
    one = session(outcome_bytes=1000)
    one.remember(committed(1, 10))
    one.remember(committed(2, 1001))
    assert one.outcome(RequestId(1)) == committed(1, 10)
    error = error_of(one.outcome(RequestId(2)))
    assert isinstance(error, CommitUnknown)
    assert "outcome_bytes" in str(error)


def test_p10_a_limit_too_small_for_any_outcome_makes_all_of_them_unknown() -> None:
    one = session(outcome_bytes=1)
    one.remember(committed(1, 10))
    one.remember(committed(2, 10))
    assert isinstance(error_of(one.outcome(RequestId(1))), CommitUnknown)
    assert isinstance(error_of(one.outcome(RequestId(2))), CommitUnknown)


def test_p5_giving_up_what_came_tells_its_outcome() -> None:
    one = session()
    one.remember(committed(1))
    assert one.give_up(RequestId(1)) == committed(1)


def test_p5_giving_up_what_has_not_come_makes_it_come_too_late() -> None:
    one = session()
    assert one.give_up(RequestId(1)) is None
    assert isinstance(error_of(one.outcome(RequestId(1))), LeaseLost)
    late = one.give_up(RequestId(1))
    assert isinstance(error_of(late), LeaseLost)


def test_p5_giving_up_what_may_be_forgotten_is_unknown_and_stays_so() -> None:
    one = session(doubtful=True)
    for _ in range(2):
        assert isinstance(error_of(one.give_up(RequestId(1))), CommitUnknown)
    assert isinstance(error_of(one.outcome(RequestId(1))), CommitUnknown)


# Sessions


def sessions(most: int) -> Sessions:
    return Sessions(Limits(sessions=most))


def test_p5_a_process_is_the_same_by_all_its_connections_and_after_a_while_without_any() -> None:
    known = sessions(2)
    first = known.enter(SessionId("a"), RequestId(0))
    assert known.enter(SessionId("a"), RequestId(0)) is first
    known.leave(SessionId("a"))
    known.leave(SessionId("a"))
    assert known.enter(SessionId("a"), RequestId(0)) is first
    assert known.enter(SessionId("b"), RequestId(0)) is not first


def test_p10_who_left_first_is_forgotten_first_and_who_is_connected_never() -> None:
    known = sessions(3)
    here, left, later = (known.enter(SessionId(name), RequestId(0)) for name in ("here", "left", "later"))
    known.leave(SessionId("left"))
    known.leave(SessionId("later"))
    known.enter(SessionId("new"), RequestId(0))
    assert known.enter(SessionId("here"), RequestId(0)) is here
    assert known.enter(SessionId("later"), RequestId(0)) is later
    with pytest.raises(LimitExceeded, match="sessions: 4 is over the limit of 3"):
        known.enter(SessionId("left"), RequestId(0))
    known.leave(SessionId("new"))
    assert known.enter(SessionId("left"), RequestId(0)) is not left


def test_p5_a_process_that_may_have_been_forgotten_is_not_told_that_nothing_happened() -> None:
    known = sessions(1)
    assert known.enter(SessionId("a"), RequestId(0)).give_up(RequestId(1)) is None
    known.leave(SessionId("a"))
    known.enter(SessionId("b"), RequestId(0))
    known.leave(SessionId("b"))
    assert isinstance(error_of(known.enter(SessionId("a"), RequestId(0)).give_up(RequestId(1))), CommitUnknown)


def test_p5_of_a_process_that_may_have_been_forgotten_older_requests_are_not_taken_for_new_ones() -> None:
    known = sessions(1)
    assert known.enter(SessionId("a"), RequestId(7)).outcome(RequestId(6)) is None
    known.leave(SessionId("a"))
    again = known.enter(SessionId("b"), RequestId(9))
    assert isinstance(error_of(again.outcome(RequestId(8))), CommitUnknown)
    assert again.outcome(RequestId(9)) is None


def test_the_last_connection_of_a_process_to_leave_is_told_from_the_others() -> None:
    known = sessions(1)
    known.enter(SessionId("a"), RequestId(0))
    known.enter(SessionId("a"), RequestId(0))
    assert not known.leave(SessionId("a"))
    assert known.leave(SessionId("a"))


def test_leaving_more_often_than_entering_is_a_bug() -> None:
    known = sessions(1)
    known.enter(SessionId("a"), RequestId(0))
    known.leave(SessionId("a"))
    with pytest.raises(AssertionError):
        known.leave(SessionId("a"))


@given(st.lists(st.lists(st.integers(0, 60), min_size=1, max_size=5), max_size=10), st.integers(1, 20))
def test_a_set_of_numbers_never_loses_one_and_is_exact_for_the_greatest(batches: list[list[int]], span: int) -> None:
    numbers = _Numbers(span)
    for batch in batches:
        numbers.update(batch)
    added = [number for batch in batches for number in batch]
    top = max(added, default=0)
    for number in range(80):
        if number in added:
            assert number in numbers
        elif number > top - span:
            assert number not in numbers
