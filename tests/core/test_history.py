"""The log: without gaps, bounded, and honest about what it no longer holds."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st
from pydantic import BaseModel

from zproc.core.history import Author, Entry, History, change_from_plain, change_to_plain, is_duplicate
from zproc.exceptions import HistoryGone
from zproc.schema.ops import MISSING, Add, Delete, Discard, Set, Splice
from zproc.schema.transaction import Change
from zproc.typing import Revision, SessionId

AUTHOR = Author(SessionId("s"), 1, "main", "bake")


class Oven(BaseModel):
    temp: int


def entry(revision: int, size: int = 10) -> Entry:
    return Entry(Revision(revision), AUTHOR, (), (), b"x" * size, size)


def filled(count: int, commits: int = 1000, size: int = 1 << 20) -> History:
    history = History(commits, size)
    for revision in range(1, count + 1):
        history.append(entry(revision))
    return history


def revisions(history: History, since: int) -> list[int]:
    return [found.revision for found in history.since(Revision(since))]


def test_p2_an_empty_history_is_at_revision_nought() -> None:
    history = History(10, 1000)
    assert (history.oldest, history.newest) == (0, 0)
    assert revisions(history, 0) == []


def test_p6_all_commits_after_a_revision_are_returned_in_order() -> None:
    history = filled(20)
    for since in range(21):
        assert revisions(history, since) == list(range(since + 1, 21))


def test_p6_backwards_the_same_commits_come_newest_first() -> None:
    history = filled(20)
    for since in range(21):
        assert [found.revision for found in history.backwards(Revision(since))] == list(range(20, since, -1))


def test_p10_the_oldest_commits_are_dropped_when_there_are_too_many() -> None:
    history = filled(25, commits=10)
    assert (history.oldest, history.newest) == (15, 25)
    assert revisions(history, 15) == list(range(16, 26))


def test_p10_the_oldest_commits_are_dropped_when_they_have_too_many_bytes() -> None:
    history = filled(25, size=100)
    assert (history.oldest, history.newest) == (15, 25)
    history.append(entry(26, 91))
    assert (history.oldest, history.newest) == (25, 26)


def test_p10_the_newest_commit_is_held_however_large() -> None:
    history = filled(3, size=100)
    history.append(entry(4, 5000))
    assert revisions(history, 3) == [4]
    assert history.oldest == 3


@pytest.mark.parametrize("asked", [0, 14])
def test_p6_what_was_dropped_is_said_to_be_gone(asked: int) -> None:
    history = filled(25, commits=10)
    for ask in (history.since, history.backwards):
        with pytest.raises(HistoryGone) as caught:
            ask(Revision(asked))
        assert (caught.value.asked, caught.value.oldest) == (asked, 15)


@pytest.mark.parametrize("asked", [26, 1025])
def test_p6_what_is_yet_to_come_is_said_not_to_be_there(asked: int) -> None:
    history = filled(25, commits=10)
    for ask in (history.since, history.backwards):
        with pytest.raises(HistoryGone):
            ask(Revision(asked))


def test_p2_a_revision_that_is_not_the_next_is_a_bug() -> None:
    history = filled(3)
    for wrong in (3, 5):
        with pytest.raises(AssertionError):
            history.append(entry(wrong))


@given(st.lists(st.integers(0, 50), max_size=60), st.integers(1, 20), st.integers(1, 500))
def test_p6_a_history_holds_an_unbroken_run_up_to_the_newest(sizes: list[int], commits: int, size: int) -> None:
    history = History(commits, size)
    for revision, length in enumerate(sizes, start=1):
        history.append(entry(revision, length))
        held = list(history.since(history.oldest))
        assert [found.revision for found in held] == list(range(history.oldest + 1, revision + 1))
        assert len(held) <= commits
        assert sum(found.size for found in held) <= size or len(held) == 1
        assert history.oldest == 0 or len(held) == commits or sum(sizes[history.oldest - 1 : revision]) > size


CHANGES = [
    Change(Set(("a",), 1), 0),
    Change(Set(("a", "b"), 1), MISSING),
    Change(Set(("a",), 1), None),
    Change(Set(("a",), None), 1),
    Change(Delete(("a", "b")), 5),
    Change(Delete(("a", "b")), 5, "c"),
    Change(Delete(("a", "b")), None, None),
    Change(Splice(("a",), 0, 1, (2, 3)), [1]),
    Change(Add(("a",), (1,)), None),
    Change(Discard(("a",), (1,)), None),
]


@pytest.mark.parametrize("change", CHANGES, ids=repr)
def test_p6_a_change_comes_out_of_the_log_as_it_went_in(change: Change) -> None:
    assert change_from_plain(change_to_plain(change)) == change


@pytest.mark.parametrize("wrong", [None, [], [1, 2], [[0, ["a"], 1], 1, 0], [[0, ["a"], 1], True, 0, 0]])
def test_what_is_no_change_is_a_bug(wrong: object) -> None:
    with pytest.raises(AssertionError):
        change_from_plain(wrong)


@pytest.mark.parametrize(
    ("change", "duplicate"),
    [
        (Change(Set(("a",), 1), 1), True),
        (Change(Set(("a",), 1), 2), False),
        (Change(Set(("a",), 1), True), False),
        (Change(Set(("a",), 1), 1.0), False),
        (Change(Set(("a",), 1), MISSING), False),
        (Change(Set(("a",), [1]), [1]), True),
        (Change(Set(("a",), {"temp": 1}), Oven(temp=1)), True),
        (Change(Set(("a",), {"temp": 2}), Oven(temp=1)), False),
        (Change(Set(("a",), {"b": [{"temp": 1}]}), {"b": [Oven(temp=1)]}), True),
        (Change(Delete(("a",)), 1), False),
    ],
)
def test_a_duplicate_is_the_same_value_of_the_same_type(change: Change, *, duplicate: bool) -> None:
    assert is_duplicate(change) is duplicate


def test_p6_it_knows_of_which_fields_something_was_dropped() -> None:
    history = History(3, 1 << 20)
    for revision, field in enumerate(["a", "b", "a", "c", "c", "c"], start=1):
        paths = ((field, "deeper"),)
        # What gave a place the value that it had counts as well.
        touched, repeated = ((), paths) if field == "b" else (paths, ())
        history.append(Entry(Revision(revision), AUTHOR, touched, repeated, b"", 0))
    assert history.oldest == 3
    assert not history.holds_all(["a"], Revision(2))
    assert history.holds_all(["a"], Revision(3))
    assert not history.holds_all(["b"], Revision(1))
    assert history.holds_all(["b"], Revision(2))
    assert history.holds_all(["c"], Revision(0))
    assert not history.holds_all(["c", "a"], Revision(0))
