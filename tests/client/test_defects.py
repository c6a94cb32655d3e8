"""Each way in which the library that this one replaces lost, invented or hid events, forced without a process.

``tests/integration/test_watching.py`` forces them among real ones.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from zproc.client import Client, ClientWatchers, atomic, model_handle
from zproc.core.limits import Limits
from zproc.core.messages import Watch as CommandWatch
from zproc.exceptions import HistoryGone, Unavailable, UsageError, WaitTimeout
from zproc.schema import StateModel, condition
from zproc.schema.event import Change, Commit, Resync
from zproc.schema.model import Schema
from zproc.schema.selection import Watch
from zproc.typing import Revision

if TYPE_CHECKING:
    from tests.client.conftest import Serve, Served


T = TypeVar("T")


class Shop(StateModel):
    cookies: int = 0
    eaten: int = 0
    name: str = ""
    spare: int | None = None
    stock: dict[str, int] = {}


@pytest.fixture
def served(serving: Serve) -> Served[Shop]:
    return serving(Shop)


@pytest.fixture
def others(served: Served[Shop]) -> Shop:
    """The state, as another process has it."""
    return served.state_of(served.new_client())


def patiently(stream: Iterator[T]) -> T:
    """Return the next result of a stream that may be slower than its timeout, which ends nothing."""
    for _ in range(1000):
        with contextlib.suppress(WaitTimeout):
            return next(stream)
    raise AssertionError("nothing came")


def events(served: Served[Shop]) -> int:
    return served.revision


def test_1_what_happens_before_the_watcher_has_begun_to_wait_is_not_lost(served: Served[Shop], others: Shop) -> None:
    """The first program of its README baked five cookies and ate none: it subscribed after they were baked."""
    watching = ClientWatchers(served.client)
    begin = served.client.position()  # the call that makes the watcher has returned; its process has not begun
    for _ in range(5):
        others.cookies += 1
    found = watching.states(condition.change(Shop, ("cookies",)), {"timeout": 10, "include_own": False}, begin)
    assert [shop.cookies for shop in islice(found, 5)] == [1, 2, 3, 4, 5]


def test_2_between_the_first_look_and_the_wait_nothing_is_lost(
    served: Served[Shop], others: Shop, together: Callable[..., None]
) -> None:
    """It copied the state and subscribed then; what came between the two woke nobody. Here it comes just there."""
    seen = served.state.when_equal("cookies", 1, timeout=10)  # has looked, and does not wait yet
    others.cookies = 1
    others.cookies = 2
    assert next(seen).cookies == 1


def test_3_reading_is_no_event(served: Served[Shop], others: Shop) -> None:
    """Three reads were three events."""
    seen = served.state.commits(timeout=0.01, duplicate_okay=True)
    for _ in range(3):
        assert (others.cookies, others.stock, others.snapshot().name) == (0, {}, "")
    with pytest.raises(WaitTimeout):
        next(seen)
    assert events(served) == 0


def test_4_a_match_is_not_stale(served: Served[Shop], others: Shop) -> None:
    """``get_when_equal('x', 1)`` gave ``{x: 1}`` out of a buffer while the state was ``{x: 2}``."""
    for number in (1, 2):
        others.cookies = number
    with pytest.raises(WaitTimeout):
        served.state.get_when_equal("cookies", 1, timeout=0.01)
    assert served.state.get_when_equal("cookies", 2).cookies == 2
    assert served.state.get_when_equal("cookies", 1, since=0).cookies == 1, "whoever wants the past says so"


@pytest.mark.parametrize(
    "wait",
    [
        lambda s: s.get_when_equal("cookies", 0, timeout=10),
        lambda s: s.get_when_not_equal("cookies", 1, timeout=10),
        lambda s: s.get_when_none("spare", timeout=10),
        lambda s: s.get_when_not_none("name", timeout=10),
        lambda s: s.get_when_falsy("cookies", timeout=10),
        lambda s: s.get_when_available("name", timeout=10),
        lambda s: s.get_when(lambda shop: shop.cookies == 0, timeout=10),
        lambda s: next(s.when_equal("cookies", 0, timeout=10)),
        lambda s: next(s.when(lambda shop: shop.cookies == 0, timeout=10)),
    ],
)
def test_5_what_is_so_already_is_not_waited_for(served: Served[Shop], wait: Callable[[Shop], Shop]) -> None:
    """Its last version never looked at the present: TimeoutError."""
    assert wait(served.state) == Shop()
    assert not served.asked(CommandWatch)


@pytest.mark.parametrize("include_own", [True, False])
def test_6_own_writes_are_seen_unless_they_are_not_wanted(
    served: Served[Shop], others: Shop, include_own: bool
) -> None:
    """They never were, and no option asked for them."""
    seen = served.state.changes("cookies", include_own=include_own, timeout=10)
    served.state.cookies = 1
    others.cookies = 2
    served.state.cookies = 3
    others.cookies = 4
    wanted = [1, 2, 3, 4] if include_own else [2, 4]
    assert [one.new for one in islice(seen, len(wanted)) if isinstance(one, Change)] == wanted


def test_7_a_namespace_whose_name_begins_like_another_is_another(serving: Serve) -> None:
    """Watching ``default`` broke when ``default2`` changed."""
    served = serving(Shop)
    served.core.add("default2", Schema.of(Shop))
    client = Client(Schema.of(Shop), served.address, "default2")
    other: Any = model_handle(client, (), Shop)
    seen = served.state.changes(timeout=0.01)
    other.cookies = 1
    with pytest.raises(WaitTimeout):
        next(seen)
    served.state.cookies = 2
    assert patiently(seen) == Change("cookies", "set", 0, 2)
    client.close()


def test_8_what_the_clock_says_orders_nothing(
    served: Served[Shop], others: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its cursor was a time: two commits of one moment were one, and a clock that was set lost or repeated some."""
    receive, clock = served.core.receive, cycle([100.0, 100.0, 50.0])
    monkeypatch.setattr(
        served.core, "receive", lambda peer, command, *, now, wall: receive(peer, command, now=now, wall=next(clock))
    )
    seen = served.state.commits("cookies", timeout=10)
    for number in range(1, 400):
        others.cookies = number
    commits = [commit for commit in islice(seen, 399) if isinstance(commit, Commit)]
    assert [commit.revision for commit in commits] == list(range(1, 400))
    assert {commit.time for commit in commits} == {100.0, 50.0}


def test_9_every_option_is_there_in_every_form(served: Served[Shop], others: Shop) -> None:
    """``timeout`` and ``duplicate_okay`` were documented, and a TypeError; the last version had no ``include_own``."""
    others.cookies = 1
    others.cookies = 1
    every: dict[str, Any] = {
        "timeout": 10,
        "live": False,
        "since": 1,
        "include_own": True,
        "duplicate_okay": True,
    }
    assert served.state.get_when_change("cookies", **every).cookies == 1
    assert served.state.get_when_equal("cookies", 1, **every).cookies == 1
    assert served.state.get_when(lambda shop: shop.cookies == 1, **every).cookies == 1
    for make in (
        lambda: served.state.when_change("cookies", **every, count=1),
        lambda: served.state.when_truthy("cookies", **every, count=1),
        lambda: served.state.changes("cookies", **every, count=1),
        lambda: served.state.commits("cookies", **every, count=1),
    ):
        assert len(list(make())) == 1


class TestSince:
    """Where a watcher may begin."""

    @pytest.fixture
    def held(self, serving: Serve) -> Served[Shop]:
        """Twenty commits, of which the history holds the last ten."""
        served = serving(Shop, limits=Limits(history_commits=10))
        for number in range(1, 21):
            served.state.cookies = number
        return served

    def test_at_the_oldest_all_that_is_held_is_told(self, held: Served[Shop]) -> None:
        found = held.state.changes(since=10, count=10, timeout=10)
        assert [one.new for one in found if isinstance(one, Change)] == list(range(11, 21))

    @pytest.mark.parametrize("since", [1, 9])
    def test_before_the_oldest_it_is_gone(self, held: Served[Shop], since: int) -> None:
        with pytest.raises(HistoryGone) as gone:
            next(held.state.changes(since=since, timeout=10))
        assert (gone.value.asked, gone.value.oldest) == (since, 10)
        with pytest.raises(HistoryGone):
            held.state.get_when_change(since=since, timeout=10)

    def test_zero_is_all_that_is_held(self, held: Served[Shop]) -> None:
        found = held.state.changes(since=0, count=10, timeout=10)
        assert [one.new for one in found if isinstance(one, Change)] == list(range(11, 21))
        states = held.state.when_change("cookies", since=0, count=10, timeout=10)
        assert [shop.cookies for shop in states] == list(range(11, 21))
        values = Watch[int](held.state, "cookies").changes(since=0, count=10, timeout=10)
        assert [(one.old, one.new) for one in values if isinstance(one, Change)] == [(n - 1, n) for n in range(11, 21)]
        assert held.state.get_when_equal("cookies", 15, since=0, timeout=10).cookies == 15

    def test_at_the_newest_the_next_is_waited_for(self, held: Served[Shop]) -> None:
        seen = held.state.changes(since=20, timeout=0.01)
        with pytest.raises(WaitTimeout):
            next(seen)
        held.state.cookies = 21
        assert patiently(seen) == Change("cookies", "set", 20, 21)

    @pytest.mark.parametrize("since", [21, 1020])
    def test_one_that_is_yet_to_come_is_said_to_be(self, held: Served[Shop], since: int) -> None:
        """Not waited for: it is a mistake, or a number of another life of the server."""
        with pytest.raises(HistoryGone) as gone:
            next(held.state.changes(since=since, timeout=10))
        assert gone.value.asked == since

    @pytest.mark.parametrize("since", [-1, "3", 1.0, True])
    def test_what_is_no_revision_is_refused(self, held: Served[Shop], since: Any) -> None:
        with pytest.raises(UsageError, match="'since' is the number of a revision"):
            held.state.changes(since=since)

    def test_of_another_life_of_the_server_there_is_one_resync(self, serving: Serve, either_address: str) -> None:
        served = serving(Shop, address=either_address)
        seen = served.state.changes(timeout=10)
        served.state.cookies = 7
        served.stop()
        with pytest.raises(Unavailable):
            next(seen)
        again = serving(Shop, address=either_address)
        again.state.cookies = 1
        again.state.cookies = 2
        assert list(islice(seen, 1)) == [Resync(Revision(2), Shop(cookies=2))]


def test_what_was_dropped_and_concerns_somebody_else_is_not_missed(serving: Serve) -> None:
    """A watcher of what is rare is not woken, or told of a gap, because others were busy while it was."""
    served = serving(Shop, limits=Limits(history_commits=5))
    events, states = served.state.changes("name", timeout=10), served.state.when_change("name", timeout=10)
    total = served.state.when_change("eaten", "name", timeout=0.01)
    for number in range(1, 100):
        served.state.cookies = number
    with pytest.raises(WaitTimeout):
        next(total)
    served.state.name = "x"
    assert next(events) == Change("name", "set", "", "x")
    assert next(states) == Shop(cookies=99, name="x")
    for number in range(1, 100):
        served.state.cookies = number
    served.state.name = "y"
    served.state.name = "z"
    for number in range(1, 100):
        served.state.cookies = number
    assert isinstance(next(events), Resync), "now something of it was dropped"


def test_a_commit_to_five_watched_fields_is_one_event(served: Served[Shop], others: Shop) -> None:
    """Told at once, as one revision, in one answer."""
    states = served.state.when_change(timeout=10)
    commits = served.state.commits(*Shop.model_fields, timeout=10)
    changes = served.state.changes(timeout=10)

    @atomic
    def all_of_them(shop: Shop) -> None:
        shop.cookies, shop.eaten, shop.name, shop.spare = 1, 2, "x", 3
        shop.stock["flour"] = 4

    all_of_them(others)
    others.cookies = 9
    whole = Shop(cookies=1, eaten=2, name="x", spare=3, stock={"flour": 4})
    assert next(states) == whole
    assert next(states).cookies == 9
    (commit,) = islice(commits, 1)
    assert isinstance(commit, Commit)
    assert (commit.revision, len(commit.changes)) == (1, 5)
    five = [one.path for one in islice(changes, 5) if isinstance(one, Change)]
    assert five == ["cookies", "eaten", "name", "spare", "stock.flour"]
