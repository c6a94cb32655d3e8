"""Results as they come: each once, in order, none left out."""

from __future__ import annotations

import contextlib
import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pytest
from pydantic import BaseModel, computed_field

from zproc.client import ClientWatchers, atomic
from zproc.client.connection import Losses
from zproc.core.limits import Limits
from zproc.core.messages import Read, Watch as CommandWatch
from zproc.exceptions import HistoryGone, Unavailable, UnknownPath, UsageError, WaitTimeout
from zproc.schema import StateModel, action, condition
from zproc.schema.event import Change, Commit, Resync
from zproc.schema.selection import Watch
from zproc.typing import Revision

if TYPE_CHECKING:
    from tests.client.conftest import Serve, Served


T = TypeVar("T")


class Oven(BaseModel):
    temp: float = 20.0
    on: bool = False


class Divided(StateModel):
    by: int = 60

    @computed_field  # type: ignore[prop-decorator]  # as pydantic documents it
    @property
    def share(self) -> int:
        return 60 // self.by


class Shop(StateModel):
    cookies: int = 0
    sold: int = 0
    name: str = ""
    oven: Oven = Oven()
    spare: Oven | None = None
    stock: dict[str, int] = {}
    tags: list[str] = []

    @computed_field  # type: ignore[prop-decorator]  # as pydantic documents it
    @property
    def total(self) -> int:
        return self.cookies + self.sold

    @action
    def sell(self, n: int) -> None:
        self.cookies -= n
        self.sold += n


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


def parked(served: Served[Shop]) -> int:
    return len(served.core._spaces["default"].watchers._parked)


class TestStates:
    def test_each_commit_gives_the_state_that_it_made(self, served: Served[Shop], others: Shop) -> None:
        seen = served.state.when_change("cookies", timeout=10)
        for number in range(1, 600):  # more than there are in one answer
            others.cookies = number
            others.name = f"after {number}"
        found = list(islice(seen, 599))
        assert [shop.cookies for shop in found] == list(range(1, 600))
        assert [shop.name for shop in found] == ["", *(f"after {number}" for number in range(1, 599))]

    def test_live_skips_to_the_newest(self, served: Served[Shop], others: Shop) -> None:
        live = served.state.when_change("cookies", live=True, timeout=10)
        for number in range(1, 600):
            others.cookies = number
        assert next(live).cookies == 599
        others.cookies = 600
        assert next(live).cookies == 600

    def test_go_live_skips_what_has_come(self, served: Served[Shop], others: Shop) -> None:
        seen = served.state.when_change("cookies", timeout=10)
        for number in range(1, 10):
            others.cookies = number
        assert next(seen).cookies == 1
        seen.go_live()
        others.cookies = 10
        assert next(seen).cookies == 10

    def test_count_ends_it(self, served: Served[Shop], others: Shop) -> None:
        seen = served.state.when_change("cookies", count=2, timeout=10)
        for number in range(1, 5):
            others.cookies = number
        assert [shop.cookies for shop in seen] == [1, 2]
        with pytest.raises(StopIteration):
            next(seen)

    def test_the_present_state_comes_first_where_it_counts(self, served: Served[Shop], others: Shop) -> None:
        others.cookies = 5
        seen = served.state.when_equal("cookies", 5, timeout=10)
        others.cookies = 6
        others.name = "x"
        others.cookies = 5
        assert [(shop.cookies, shop.name) for shop in islice(seen, 2)] == [(5, ""), (5, "x")]

    @pytest.mark.parametrize(
        ("wait", "change"),
        [
            (lambda s: s.get_when(lambda shop: shop.cookies > 2, timeout=10), {"cookies": 3}),
            (lambda s: s.get_when_not_equal("cookies", 0, timeout=10), {"cookies": 3}),
            (lambda s: s.get_when_truthy("cookies", timeout=10), {"cookies": 3}),
            (lambda s: s.get_when_not_none("spare", timeout=10), {"spare": Oven(), "cookies": 3}),
            (lambda s: s.get_when_available("stock.flour", timeout=10), {"stock": {"flour": 1}, "cookies": 3}),
            (lambda s: s.get_when_equal("total", 3, timeout=10), {"cookies": 3}),
            (lambda s: s.get_when_change("total", timeout=10), {"cookies": 3}),
            (lambda s: s.get_when_change(exclude=["name"], timeout=10), {"cookies": 3}),
            (lambda s: next(s.when(lambda shop: shop.cookies > 2, timeout=10)), {"cookies": 3}),
            (lambda s: next(s.when_not_equal("cookies", 0, timeout=10)), {"cookies": 3}),
            (lambda s: next(s.when_truthy("cookies", timeout=10)), {"cookies": 3}),
            (lambda s: next(s.when_not_none("spare", timeout=10)), {"spare": Oven(), "cookies": 3}),
            (lambda s: next(s.when_available("stock.flour", timeout=10)), {"stock": {"flour": 1}, "cookies": 3}),
        ],
    )
    def test_every_condition_is_waited_for(
        self,
        served: Served[Shop],
        others: Shop,
        together: Callable[..., None],
        wait: Callable[[Shop], Shop],
        change: dict[str, Any],
    ) -> None:
        seen: list[Shop] = []

        def act() -> None:
            served.wait_for(CommandWatch)
            others.name = "not this"
            others.update(**change)

        together(lambda: seen.append(wait(served.state)), act)
        assert seen[0].cookies == 3

    @pytest.mark.parametrize(
        "wait",
        [
            lambda s: s.get_when_none("spare"),
            lambda s: s.get_when_falsy("cookies"),
            lambda s: next(s.when_none("spare")),
            lambda s: next(s.when_falsy("cookies")),
        ],
    )
    def test_what_is_so_already_is_not_waited_for(self, served: Served[Shop], wait: Callable[[Shop], Shop]) -> None:
        assert wait(served.state) == Shop()

    def test_a_computed_field_changes_when_its_value_does(self, served: Served[Shop], others: Shop) -> None:
        seen = served.state.when_change("total", timeout=10)
        others.cookies = 3
        others.sell(2)  # changes what it is computed from, and not the sum
        others.name = "x"
        others.sold = 5
        assert [shop.total for shop in islice(seen, 2)] == [3, 6]

    def test_since_tells_what_was(self, served: Served[Shop], others: Shop) -> None:
        for number in range(1, 4):
            others.cookies = number
        assert [shop.cookies for shop in served.state.when_change("cookies", since=1, count=2)] == [2, 3]
        assert [shop.cookies for shop in served.state.when_equal("cookies", 2, since=0, count=1)] == [2]
        assert served.state.get_when_change(since=0).cookies == 1

    def test_own_commits_may_be_left_out(self, served: Served[Shop], others: Shop) -> None:
        seen = served.state.when_change("cookies", include_own=False, timeout=10)
        served.state.cookies = 1
        others.cookies = 2
        assert next(seen).cookies == 2

    def test_duplicates_may_be_let_in(self, served: Served[Shop], others: Shop) -> None:
        seen = served.state.when_change("cookies", duplicate_okay=True, timeout=10)
        others.cookies = 0
        others.cookies = 0
        others.cookies = 1
        assert [shop.cookies for shop in islice(seen, 3)] == [0, 0, 1]

    def test_a_model_in_the_place_of_its_equal_is_no_change(self, served: Served[Shop], others: Shop) -> None:
        """It was one for every watcher: what is put is recorded as plain data, and what was there was a model."""
        seen = served.state.when_change("oven", timeout=10)
        others.oven.temp = 21
        others.oven = Oven(temp=21)
        others.oven = Oven(temp=22)
        assert [shop.oven.temp for shop in islice(seen, 2)] == [21, 22]

    def test_a_timeout_is_of_one_result_and_ends_nothing(self, served: Served[Shop], others: Shop) -> None:
        seen = served.state.when_change("cookies", timeout=0.02)
        with pytest.raises(WaitTimeout, match="a change of cookies"):
            next(seen)
        others.cookies = 1
        assert patiently(seen).cookies == 1

    def test_what_was_dropped_is_skipped_to_the_state_to_go_on_from(self, serving: Serve) -> None:
        served = serving(Shop, limits=Limits(history_commits=3))
        others = served.state_of(served.new_client())
        seen = served.state.when_change("cookies", timeout=10)
        for number in range(1, 10):
            others.cookies = number
        assert next(seen).cookies == 9
        others.cookies = 10
        assert next(seen).cookies == 10

    def test_what_was_asked_for_and_is_dropped_is_an_error(self, serving: Serve) -> None:
        served = serving(Shop, limits=Limits(history_commits=3))
        for number in range(1, 10):
            served.state.cookies = number
        with pytest.raises(HistoryGone) as gone:
            next(served.state.when_change("cookies", since=2))
        assert (gone.value.asked, gone.value.oldest) == (2, 6)

    def test_a_server_that_was_started_anew_is_gone_on_with(self, serving: Serve, either_address: str) -> None:
        served = serving(Shop, address=either_address)
        seen = served.state.when_change("cookies", timeout=10)
        served.state.cookies = 7
        served.stop()
        again = serving(Shop, address=either_address)
        again.state.cookies = 1
        assert next(seen).cookies == 1, "the state to go on from"
        again.state.cookies = 2
        assert next(seen).cookies == 2


class TestEvents:
    def test_changes_are_those_of_the_fields(self, served: Served[Shop], others: Shop) -> None:
        seen = served.state.changes("stock", "oven.temp", timeout=10)

        @atomic
        def several(shop: Shop) -> None:
            shop.stock["flour"] = 1
            shop.name = "x"
            shop.oven.temp = 30.0

        several(others)
        others.oven.on = True
        del others.stock["flour"]
        assert list(islice(seen, 3)) == [
            Change("stock.flour", "create", None, 1),
            Change("oven.temp", "set", 20.0, 30.0),
            Change("stock.flour", "delete", 1, None),
        ]

    def test_commits_are_whole_and_say_who_made_them(self, served: Served[Shop], others: Shop) -> None:
        seen = served.state.commits("stock", timeout=10)

        @atomic
        def several(shop: Shop) -> None:
            shop.stock["flour"] = 1
            shop.name = "x"

        several(others)
        (commit,) = islice(seen, 1)
        assert isinstance(commit, Commit)
        assert commit.revision == 1
        assert (commit.author.pid, commit.author.process) == (os.getpid(), "test")
        assert commit.author.function.endswith("several")
        assert abs(commit.time - time.time()) < 60
        assert commit.changes == (Change("stock.flour", "create", None, 1), Change("name", "set", "", "x"))

    def test_the_events_folded_are_the_state(self, served: Served[Shop], others: Shop) -> None:
        """Ordered, without a gap, without a repetition."""
        seen = served.state.commits(timeout=10)
        revisions = []
        total = 0
        for _ in range(700):
            others.cookies += 1
        for commit in islice(seen, 700):
            assert isinstance(commit, Commit)
            revisions.append(commit.revision)
            (change,) = commit.changes
            assert change.old == total
            total = change.new  # type: ignore[assignment]  # it is a number
        assert revisions == list(range(1, 701))
        assert total == served.value.cookies

    def test_what_is_excluded_is_left_out(self, served: Served[Shop], others: Shop) -> None:
        seen = served.state.changes(exclude=["stock.flour", "cookies"], timeout=10)
        others.stock["flour"] = 1
        others.cookies = 1
        others.stock["sugar"] = 2
        assert next(seen) == Change("stock.sugar", "create", None, 2)

    def test_dropped_events_are_one_resync(self, serving: Serve) -> None:
        served = serving(Shop, limits=Limits(history_commits=3))
        events, commits = served.state.changes("cookies", timeout=10), served.state.commits(timeout=10)
        for number in range(1, 10):
            served.state.cookies = number
        assert next(events) == next(commits) == Resync(Revision(9), Shop(cookies=9))
        served.state.cookies = 10
        assert next(events) == Change("cookies", "set", 9, 10)

    def test_live_gives_the_newest_commit_only(self, served: Served[Shop], others: Shop) -> None:
        seen = served.state.changes("cookies", live=True, timeout=10)
        for number in range(1, 10):
            others.cookies = number
        assert next(seen) == Change("cookies", "set", 8, 9)

    @pytest.mark.parametrize("field", ["cookie", "oven.tmp"])
    def test_an_unknown_field_is_told_at_once(self, served: Served[Shop], field: str) -> None:
        for make in (served.state.changes, served.state.commits, served.state.when_change):
            with pytest.raises(UnknownPath, match="did you mean"):
                make(field)
            with pytest.raises(UnknownPath, match="did you mean"):
                make(exclude=[field])


class TestNothingIsLost:
    """Whatever a wait ends by, the next one goes on where it was."""

    def test_a_state_that_could_not_be_asked_for_does_not_cost_its_event(
        self, serving: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def give_up(_losses: Losses, _connection: object, error: Unavailable) -> None:
            raise error

        monkeypatch.setattr(Losses, "add", give_up)
        served = serving(Shop, fault=(Read, "before", 1))
        begin = (served.core._epoch, Revision(0))
        wanted = condition.change(Shop, ("cookies",))
        seen = ClientWatchers(served.client).states(wanted, {"timeout": 10}, begin)
        others = served.state_of(served.new_client())
        others.cookies = 1
        others.cookies = 2
        with pytest.raises(Unavailable):
            next(seen)
        assert [shop.cookies for shop in islice(seen, 2)] == [1, 2]

    @pytest.mark.parametrize("fault", ["before", "after", "garble"])
    def test_a_connection_that_breaks_does_neither(self, serving: Serve, fault: str) -> None:
        """No gap and no repetition: the question is asked again from where it was."""
        served = serving(Shop, fault=(CommandWatch, fault, 1))
        seen = served.state.changes("cookies", timeout=10)
        others = served.state_of(served.new_client())
        for number in range(1, 4):
            others.cookies = number
        assert [one.new for one in islice(seen, 3) if isinstance(one, Change)] == [1, 2, 3]

    def test_a_test_that_fails_costs_what_it_failed_for_and_no_more(self, served: Served[Shop], others: Shop) -> None:
        def positive(shop: Shop) -> bool:
            return 6 // (shop.cookies - 2) > 0

        seen = served.state.when(positive, timeout=10)
        for number in range(1, 5):
            others.cookies = number
        with pytest.raises(ZeroDivisionError):
            next(seen)
        assert [shop.cookies for shop in islice(seen, 2)] == [3, 4]

    def test_a_computed_field_that_fails_does_not_end_it(self, serving: Serve) -> None:
        served = serving(Divided)
        seen = served.state.when_change("share", timeout=10)
        for number in range(1, 4):
            served.state.by = number
            served.state.by = 0
        found = []
        for _ in range(6):
            try:
                found.append(next(seen).by)
            except ZeroDivisionError:
                found.append(0)
        assert found == [1, 0, 2, 0, 3, 0]

    def test_live_gives_what_concerns_and_does_not_wait_for_more(self, served: Served[Shop], others: Shop) -> None:
        """What touches the fields and is looked past is no reason to keep the newest that counts back."""
        seen = served.state.when_change("stock", exclude=["stock.sugar"], live=True, timeout=10)
        others.stock["flour"] = 1
        others.stock["flour"] = 2
        others.stock["sugar"] = 3
        assert next(seen).stock == {"flour": 2, "sugar": 3}

    def test_waiting_live_is_for_the_newest_state(self, served: Served[Shop], others: Shop) -> None:
        others.cookies = 1
        others.cookies = 2
        assert served.state.get_when_equal("cookies", 1, since=0, timeout=10).cookies == 1
        with pytest.raises(WaitTimeout):
            served.state.get_when_equal("cookies", 1, since=0, live=True, timeout=0.01)

    def test_far_behind_the_state_is_still_that_of_the_commit(self, served: Served[Shop], others: Shop) -> None:
        seen = served.state.when_change("name", timeout=10)
        for number in range(1, 1200):
            others.cookies = number
            if number in (3, 600, 601, 1100):
                others.name = str(number)
        assert [(shop.name, shop.cookies) for shop in islice(seen, 4)] == [
            ("3", 3),
            ("600", 600),
            ("601", 601),
            ("1100", 1100),
        ]

    def test_between_two_calls_nothing_is_missed_from_a_revision_on(self, served: Served[Shop], others: Shop) -> None:
        others.cookies = 1
        here = served.state.go_live()
        assert here == 1
        others.cookies = 2
        others.cookies = 3
        assert served.state.get_when_change("cookies", since=here, timeout=10).cookies == 2

    def test_threads_may_share_it(self, served: Served[Shop], others: Shop, together: Callable[..., None]) -> None:
        """Each result is given to one of them."""
        seen = served.state.changes("cookies", count=300, timeout=10)
        found: list[list[int]] = [[], [], []]

        def read(mine: list[int]) -> None:
            mine.extend(cast("int", one.new) for one in seen if isinstance(one, Change))

        def write() -> None:
            for number in range(1, 301):
                others.cookies = number

        together(write, *[lambda mine=mine: read(mine) for mine in found])
        assert sorted(chain(*found)) == list(range(1, 301))
        assert all(mine == sorted(mine) for mine in found)

    def test_who_waits_for_another_thread_to_be_done_waits_no_longer_than_he_said(
        self, served: Served[Shop], together: Callable[..., None]
    ) -> None:
        seen = served.state.changes("cookies", timeout=0.05)

        def wait() -> None:
            with pytest.raises(WaitTimeout, match=r"a change of cookies: not within 0\.05 s"):
                next(seen)

        together(wait, wait)

    def test_a_test_may_look_at_the_stream(self, served: Served[Shop], others: Shop) -> None:
        inner: list[int] = []

        def odd(shop: Shop) -> bool:
            if shop.cookies == 1:
                inner.append(next(seen).cookies)
            return shop.cookies % 2 == 1

        seen = served.state.when(odd, since=0, timeout=10)
        for number in range(1, 6):
            others.cookies = number
        assert [next(seen).cookies, *inner, next(seen).cookies] == [1, 3, 5]


class TestSelections:
    """`Watch`: a place by itself."""

    def test_what_stands_there_is_read_as_a_plain_copy(self, served: Served[Shop]) -> None:
        served.state.cookies = 3
        served.state.tags = ["x"]
        assert type(Watch[int](served.state, "cookies").get()) is int
        assert Watch[int](served.state, "total").get() == 3
        Watch[list[str]](served.state, "tags").get().append("y")
        oven = Watch[Oven](served.state, "oven").get()
        with pytest.raises(UsageError, match="a snapshot is a copy"):
            oven.temp = 3.0
        assert served.value.tags == ["x"]
        with pytest.raises(UnknownPath, match=r"no 'stock.flour' now"):
            Watch[int](served.state, "stock.flour").get()

    def test_waiting_gives_what_stands_there(
        self, served: Served[Shop], others: Shop, together: Callable[..., None]
    ) -> None:
        temp = Watch[float](served.state, "oven.temp")
        seen: list[object] = []

        def wait() -> None:
            seen.append(temp.equals(180.0, timeout=10))
            seen.append(temp.when(lambda found: found > 200, timeout=10))
            seen.append(Watch[int](served.state, "stock.flour").equals(1, timeout=10))

        def change() -> None:
            served.wait_for(CommandWatch)
            others.cookies = 1
            others.oven.temp = 180.0
            served.wait_for(CommandWatch, 2)
            others.oven = Oven(temp=250.0)
            served.wait_for(CommandWatch, 3)
            others.stock["flour"] = 1

        together(wait, change)
        assert seen == [180.0, 250.0, 1]

    def test_the_present_value_counts(self, served: Served[Shop]) -> None:
        assert Watch[float](served.state, "oven.temp").equals(20.0) == 20.0
        assert Watch[float](served.state, "oven.temp").when(lambda found: found < 100) == 20.0
        assert not served.asked(CommandWatch)

    def test_where_nothing_stands_no_test_is_passed(self, served: Served[Shop]) -> None:
        with pytest.raises(WaitTimeout, match=r"test_where_nothing.*\(stock.flour\): not within 0.01 s"):
            Watch[int](served.state, "stock.flour").when(lambda _: True, timeout=0.01)

    def test_changes_are_of_the_place_wherever_they_were_made(self, served: Served[Shop], others: Shop) -> None:
        temps = Watch[float](served.state, "oven.temp").changes(timeout=10)
        flour = Watch[int](served.state, "stock.flour").changes(timeout=10)

        @atomic
        def there_and_back(shop: Shop) -> None:
            shop.oven.temp = 1.0
            shop.oven.temp = 30.0

        others.oven.temp = 30.0
        others.oven = Oven(temp=30.0, on=True)
        there_and_back(others)
        others.oven = Oven(temp=40.0)
        others.stock = {"flour": 1, "sugar": 2}
        others.stock = {"sugar": 2}
        assert list(islice(temps, 2)) == [
            Change("oven.temp", "set", 20.0, 30.0),
            Change("oven.temp", "set", 30.0, 40.0),
        ]
        assert list(islice(flour, 2)) == [
            Change("stock.flour", "create", None, 1),
            Change("stock.flour", "delete", 1, None),
        ]

    def test_changes_take_every_option(self, served: Served[Shop], others: Shop) -> None:
        for number in (1, 1, 2, 3):
            others.cookies = number
        watch = Watch[int](served.state, "cookies")
        assert [one.new for one in watch.changes(since=0, count=3) if isinstance(one, Change)] == [1, 2, 3]
        assert [one.new for one in watch.changes(since=0, count=3, duplicate_okay=True) if isinstance(one, Change)] == [
            1,
            1,
            2,
        ]
        assert list(watch.changes(since=0, count=1, live=True)) == [Change("cookies", "set", 0, 3)]
        served.state.cookies = 4
        others.cookies = 5
        assert list(watch.changes(since=4, count=1, include_own=False)) == [Change("cookies", "set", 3, 5)]

    def test_dropped_changes_are_one_resync(self, serving: Serve) -> None:
        served = serving(Shop, limits=Limits(history_commits=3))
        seen = Watch[int](served.state, "cookies").changes(timeout=10)
        for number in range(1, 10):
            served.state.cookies = number
        assert next(seen) == Resync(Revision(9), 9)
        served.state.cookies = 10
        assert next(seen) == Change("cookies", "set", 9, 10)


class TestClosing:
    def test_it_is_of_its_process(self, served: Served[Shop]) -> None:
        with pytest.raises(UsageError, match="pass the state, and make one there"):
            pickle.dumps(served.state.changes())

    def test_a_watcher_that_nobody_asks_costs_the_server_nothing(self, served: Served[Shop], others: Shop) -> None:
        streams = [served.state.changes("cookies") for _ in range(20)]
        assert parked(served) == 0
        others.cookies = 1
        for stream in streams:
            assert next(stream) == Change("cookies", "set", 0, 1)

    def test_closing_wakes_whoever_waits(self, serving: Serve, either_address: str) -> None:
        served = serving(Shop, address=either_address)
        seen = served.state.when_change("cookies")
        found: list[list[Shop]] = []
        thread = threading.Thread(target=lambda: found.append(list(seen)))
        thread.start()
        served.wait_for(CommandWatch)
        seen.close()
        thread.join(10)
        assert found == [[]]
        served.state.cookies = 1
        assert parked(served) == 0

    def test_leaving_its_block_closes_it(self, served: Served[Shop]) -> None:
        with served.state.changes("cookies") as seen:
            served.state.cookies = 1
            assert next(seen) == Change("cookies", "set", 0, 1)
        assert list(seen) == []

    def test_a_callback_may_commit(self, served: Served[Shop]) -> None:
        with served.state.when_change("cookies", timeout=10) as seen:
            served.state.cookies = 1
            for shop in seen:
                if shop.cookies == 5:
                    break
                served.state.cookies += 1
        assert served.value.cookies == 5
