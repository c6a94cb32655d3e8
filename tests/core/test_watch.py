"""Watchers: each is woken by what it asked for, and not so much as looked at for anything else."""

from __future__ import annotations

import pytest

from zproc.core import watch
from zproc.core.history import Author, Entry
from zproc.core.messages import Watch
from zproc.core.watch import Watcher, Watchers, concerns
from zproc.exceptions import LimitExceeded
from zproc.schema.path import ANY, Pattern
from zproc.typing import Path, PeerId, RequestId, Revision, SessionId


def watcher(
    *patterns: Pattern,
    peer: int = 1,
    request: int = 1,
    session: str = "watching",
    own: bool = True,
    duplicates: bool = False,
) -> Watcher:
    command = Watch(RequestId(request), Revision(0), b"", own=own, duplicates=duplicates, state=False, wait=True)
    return Watcher(PeerId(peer), SessionId(session), command, patterns)


def entry(*touched: Path, repeated: tuple[Path, ...] = (), session: str = "writing") -> Entry:
    return Entry(Revision(1), Author(SessionId(session), 1, "p", "f"), touched, repeated, b"", 0)


@pytest.mark.parametrize(
    ("pattern", "path", "concerned"),
    [
        (("cookies",), ("cookies",), True),
        (("cookies",), ("eaten",), False),
        (("stock",), ("stock", "flour"), True),
        (("stock", "flour"), ("stock",), True),
        (("stock", "flour"), ("stock", "flour"), True),
        (("stock", "flour"), ("stock", "sugar"), False),
        (("users", ANY, "age"), ("users", 3, "age"), True),
        (("users", ANY, "age"), ("users", 3, "name"), False),
        (("users", ANY), ("users",), True),
        ((ANY,), ("cookies",), True),
        ((ANY, "temp"), ("oven", "temp"), True),
        ((ANY, "temp"), ("oven", "door"), False),
        ((), ("cookies",), True),
    ],
)
def test_p6_a_watcher_hears_of_changes_at_above_and_below_its_pattern(
    pattern: Pattern, path: Path, *, concerned: bool
) -> None:
    assert concerns(watcher(pattern), entry(path)) is concerned


def test_p6_one_pattern_of_several_and_one_change_of_several_are_enough() -> None:
    listening = watcher(("eaten",), ("cookies",))
    assert concerns(listening, entry(("notes",), ("cookies",)))
    assert not concerns(listening, entry(("notes",), ("baked",)))


def test_p6_own_commits_are_left_out_unless_they_are_asked_for() -> None:
    mine = entry(("cookies",), session="watching")
    assert concerns(watcher(("cookies",), own=True), mine)
    assert not concerns(watcher(("cookies",), own=False), mine)
    assert concerns(watcher(("cookies",), own=False), entry(("cookies",), session="writing"))


def test_p6_duplicates_are_left_out_unless_they_are_asked_for() -> None:
    again = entry(repeated=(("cookies",),))
    assert not concerns(watcher(("cookies",)), again)
    assert concerns(watcher(("cookies",), duplicates=True), again)


def test_p6_who_is_woken_is_parked_no_longer() -> None:
    watchers = Watchers(100_000)
    watchers.park(watcher(("cookies",)))
    assert watchers.woken_by(entry(("eaten",))) == []
    assert watchers.woken_by(entry(("cookies",))) == [watcher(("cookies",))]
    assert watchers.woken_by(entry(("cookies",))) == []


def test_p6_watchers_are_woken_in_the_order_in_which_they_came() -> None:
    watchers = Watchers(100_000)
    parked = [
        watcher(pattern, request=request)
        for request, pattern in enumerate([("b",), (), ("a",), (ANY,), ("b", "x"), ("a",)])
    ]
    for one in parked:
        watchers.park(one)
    assert watchers.woken_by(entry(("a",), ("b",))) == parked


def test_p6_a_watcher_of_several_fields_is_woken_once() -> None:
    watchers = Watchers(100_000)
    both = watcher(("a",), ("b",), ("a", "x"))
    watchers.park(both)
    assert watchers.woken_by(entry(("a",), ("b",))) == [both]


def test_p6_who_was_forgotten_is_not_woken() -> None:
    watchers = Watchers(100_000)
    gone, there = watcher(("a",), ("b",), request=1), watcher(("a",), request=2)
    watchers.park(gone)
    watchers.park(there)
    assert watchers.forget(PeerId(1), RequestId(1))
    assert not watchers.forget(PeerId(1), RequestId(1))
    assert not watchers.forget(PeerId(2), RequestId(2))
    assert watchers.woken_by(entry(("a",), ("b",))) == [there]


def test_p8_a_parked_watcher_of_other_fields_is_not_even_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    watchers = Watchers(100_000)
    for request in range(1000):
        watchers.park(watcher(("elsewhere", request), request=request))
    watchers.park(watcher(("cookies",), request=1000))
    looked_at = []

    def look(one: Watcher, at: Entry) -> bool:
        looked_at.append(one.command.request)
        return concerns(one, at)

    monkeypatch.setattr(watch, "concerns", look)
    assert len(watchers.woken_by(entry(("cookies",)))) == 1
    assert looked_at == [1000]
    assert watchers.woken_by(entry(("notes",))) == []
    assert looked_at == [1000]


def test_p8_a_parked_watcher_of_other_keys_is_not_looked_at_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole field, any key of it, and anything are looked at with every key; and every key with the whole field."""
    watchers = Watchers(100_000)
    for request in range(1000):
        watchers.park(watcher(("stock", request, "price"), request=request))
    wide = [("stock",), ("stock", ANY, "price"), (ANY, 7), ()]
    for request, pattern in enumerate(wide, 1000):
        watchers.park(watcher(pattern, request=request))
    looked_at: list[int] = []

    def look(one: Watcher, at: Entry) -> bool:
        looked_at.append(one.command.request)
        return False

    monkeypatch.setattr(watch, "concerns", look)
    watchers.woken_by(entry(("stock", 7, "price")))
    assert looked_at == [7, 1000, 1001, 1002, 1003], "in the order in which they came"
    looked_at.clear()
    watchers.woken_by(entry(("stock",)))
    assert looked_at == list(range(1004))


def test_p8_nothing_is_kept_of_a_watcher_that_was_answered() -> None:
    watchers = Watchers(100_000)
    for request in range(100):
        watchers.park(watcher(("a",), ("b", "c"), (), request=request))
    assert len(watchers.woken_by(entry(("a",)))) == 100
    assert not watchers._parked
    assert not watchers._by_field


def test_p10_no_more_are_parked_than_the_limit() -> None:
    watchers = Watchers(2)
    parked = [watcher(("cookies",), peer=peer) for peer in (1, 2, 3)]
    for each in parked[:2]:
        watchers.park(each)
    with pytest.raises(LimitExceeded, match="watchers"):
        watchers.park(parked[2])
    watchers.forget(parked[0].peer, parked[0].command.request)
    watchers.park(parked[2])
