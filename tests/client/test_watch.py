"""Waiting for the state: nothing is missed, nothing is seen twice, and every wait ends."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import pytest
from pydantic import BaseModel

from zproc.client import Client, Cursor, atomic
from zproc.core.limits import Limits
from zproc.core.messages import Watch
from zproc.exceptions import HistoryGone, UnknownPath, UsageError, WaitTimeout
from zproc.schema import StateModel
from zproc.schema.condition import Scope
from zproc.typing import Revision

if TYPE_CHECKING:
    from tests.client.conftest import Serve, Served


class Oven(StateModel):
    temp: float = 20.0
    on: bool = False


class User(BaseModel):
    age: int = 0


class Shop(StateModel):
    cookies: int = 0
    name: str = "shop"
    oven: Oven = Oven()
    spare: Oven | None = None
    stock: dict[str, int] = {}
    numbered: dict[int, int] = {}
    users: list[User] = []
    tags: list[str] = []


@pytest.fixture
def served(serving: Serve) -> Served[Shop]:
    return serving(Shop)


@pytest.fixture
def others(served: Served[Shop]) -> Shop:
    """The state, as another process has it."""
    return served.state_of(served.new_client())


def after_watch(served: Served[Shop], change: Callable[[], object], number: int = 1) -> Callable[[], object]:
    """Do something when a watcher waits."""

    def run() -> None:
        served.wait_for(Watch, number)
        change()

    return run


def at(client: Client, *fields: str, **options: Any) -> Cursor:
    """Return a cursor at some fields."""
    return Cursor(client, Scope.of(Shop, fields), **options)


def following(cursor: Cursor, timeout: float = 10) -> Shop:
    """Return the next state."""
    cursor.next(time.monotonic() + timeout)
    return cast("Shop", cursor.state())


def parked(served: Served[Shop]) -> int:
    return len(served.core._spaces["default"].watchers._parked)


class TestWhenChange:
    def test_it_waits_for_the_next_change(
        self, serving: Serve, together: Callable[..., None], either_address: str
    ) -> None:
        served = serving(Shop, address=either_address)
        served.state.cookies = 1
        seen: list[Shop] = []
        together(
            lambda: seen.append(served.state.get_when_change("cookies")),
            after_watch(served, lambda: setattr(served.state_of(served.new_client()), "cookies", 2)),
        )
        assert seen == [Shop(cookies=2)]
        with pytest.raises(UsageError, match="a snapshot is a copy"):
            seen[0].cookies = 3

    def test_only_what_is_named_wakes_it(
        self, served: Served[Shop], others: Shop, together: Callable[..., None]
    ) -> None:
        def change() -> None:
            others.name = "new"
            others.stock["flour"] = 1
            others.oven.on = True
            others.stock["sugar"] = 2
            others.oven.temp = 180.0

        seen: list[Shop] = []
        together(
            lambda: seen.append(served.state.get_when_change("stock.sugar", "oven.temp")), after_watch(served, change)
        )
        assert seen[0].stock == {"flour": 1, "sugar": 2}
        assert seen[0].oven == Oven(on=True), "it is the state at that commit, even if there are later ones"

    def test_without_names_everything_does(
        self, served: Served[Shop], others: Shop, together: Callable[..., None]
    ) -> None:
        seen: list[Shop] = []
        together(
            lambda: seen.append(served.state.get_when_change()),
            after_watch(served, lambda: others.tags.append("x")),
        )
        assert seen[0].tags == ["x"]

    def test_a_pattern_covers_every_key(
        self, served: Served[Shop], others: Shop, together: Callable[..., None]
    ) -> None:
        def change() -> None:
            others.users = [User()]
            others.users[0].age = 3

        seen: list[Shop] = []
        together(lambda: seen.append(served.state.get_when_change("users.*.age")), after_watch(served, change))
        assert seen[0].users

    def test_the_own_writes_count(self, served: Served[Shop], together: Callable[..., None]) -> None:
        """Those of other threads of this process, that is."""
        seen: list[Shop] = []
        together(
            lambda: seen.append(served.state.get_when_change("cookies")),
            after_watch(served, lambda: setattr(served.state, "cookies", 2)),
        )
        assert seen == [Shop(cookies=2)]

    def test_what_sets_the_value_that_is_there_is_no_change(
        self, served: Served[Shop], others: Shop, together: Callable[..., None]
    ) -> None:
        def change() -> None:
            others.cookies = 0
            others.cookies = 1

        seen: list[Shop] = []
        together(lambda: seen.append(served.state.get_when_change("cookies")), after_watch(served, change))
        assert seen == [Shop(cookies=1)]

    def test_a_timeout_leaves_nothing_behind(self, serving: Serve, either_address: str) -> None:
        served = serving(Shop, address=either_address)
        with pytest.raises(WaitTimeout, match=r"a change of cookies, oven.temp: not within 0.01 s") as timed_out:
            served.state.get_when_change("cookies", "oven.temp", timeout=0.01)
        assert isinstance(timed_out.value, TimeoutError)
        served.state.cookies = 1
        assert parked(served) == 0

    @pytest.mark.parametrize("field", ["cookie", "oven.tmp", "stock", "users.x", "name.x", ""])
    def test_an_unknown_field_is_told_at_once(self, served: Served[Shop], field: str) -> None:
        if field == "stock":
            assert str(Scope.of(Shop, (field,))) == "stock"
            return
        with pytest.raises(UnknownPath):
            served.state.get_when_change(field)
        with pytest.raises(UnknownPath):
            served.state.get_when_equal(field, 3)
        assert not served.asked(Watch)

    def test_the_nearest_names_are_told(self, served: Served[Shop]) -> None:
        with pytest.raises(UnknownPath, match="did you mean 'cookies'"):
            served.state.get_when_change("cookie")

    def test_it_is_of_the_whole_state(self, served: Served[Shop]) -> None:
        with pytest.raises(UsageError, match="watch from the root of the state"):
            served.state.oven.get_when_change("temp")

    def test_a_plain_instance_has_nobody_to_wait_for(self) -> None:
        for wait in (Shop().get_when_change, lambda: Shop().get_when_equal("cookies", 1)):
            with pytest.raises(UsageError, match="use it on a live state"):
                wait()

    @pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="signals cannot be sent to threads here")
    @pytest.mark.parametrize("timeout", [None, 30.0])
    def test_ctrl_c_interrupts_at_once(self, serving: Serve, either_address: str, timeout: float | None) -> None:
        """And the client is as good as before."""
        served = serving(Shop, address=either_address)

        interrupted = threading.Event()

        def once(_signum: int, _frame: object) -> None:
            if not interrupted.is_set():
                interrupted.set()
                raise KeyboardInterrupt

        def interrupt() -> None:
            served.wait_for(Watch)
            # A signal that comes just before a call that blocks interrupts nothing; that is Python's, and rare in life.
            while not interrupted.wait(0.01):
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

        before = signal.signal(signal.SIGINT, once)
        thread = threading.Thread(target=interrupt)
        thread.start()
        try:
            with pytest.raises(KeyboardInterrupt):
                served.state.get_when_change("cookies", timeout=timeout)
        finally:
            thread.join(10)
            signal.signal(signal.SIGINT, before)
        served.state.cookies = 1
        assert served.state.cookies == 1
        assert parked(served) == 0


class TestWhenEqual:
    def test_it_looks_first(self, served: Served[Shop]) -> None:
        served.state.cookies = 5
        assert served.state.get_when_equal("cookies", 5) == Shop(cookies=5)
        assert not served.asked(Watch)

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("cookies", 0),
            ("oven.temp", 20),
            ("oven", Oven()),
            ("stock", {}),
            ("spare", None),
            ("numbered.3", 4),
            ("users[0].age", 7),
        ],
    )
    def test_any_field_may_be_waited_for(self, served: Served[Shop], field: str, value: object) -> None:
        served.state.numbered, served.state.users = {3: 4}, [User(age=7)]
        assert served.state.get_when_equal(field, value) == served.state

    def test_a_value_in_between_is_not_missed(
        self, served: Served[Shop], others: Shop, together: Callable[..., None]
    ) -> None:
        """It was there for one commit, and is gone by the time the waiter hears of it."""

        @atomic
        def there_and_back(shop: Shop) -> None:
            shop.cookies += 1

        def change() -> None:
            for number in range(1, 30):
                others.cookies = number
            there_and_back(others)

        seen: list[Shop] = []
        together(
            lambda: seen.extend(served.state.get_when_equal("cookies", number) for number in (3, 30)),
            after_watch(served, change),
        )
        assert [shop.cookies for shop in seen] == [3, 30]

    def test_a_key_may_come_later(self, served: Served[Shop], others: Shop, together: Callable[..., None]) -> None:
        seen: list[Shop] = []
        together(
            lambda: seen.append(served.state.get_when_equal("stock.flour", 3)),
            after_watch(served, lambda: others.stock.update(flour=3)),
        )
        assert seen[0].stock == {"flour": 3}

    def test_a_live_value_is_waited_for_as_it_is_now(
        self, served: Served[Shop], others: Shop, together: Callable[..., None]
    ) -> None:
        served.state.tags = ["x"]
        wanted = served.state.tags
        assert served.state.get_when_equal("tags", wanted).tags == ["x"]
        served.state.spare = Oven(temp=3.0)
        oven = served.state.spare
        seen: list[Shop] = []
        together(
            lambda: seen.append(served.state.get_when_equal("oven", oven)),
            after_watch(served, lambda: setattr(others, "oven", Oven(temp=3.0))),
        )
        assert seen[0].oven == Oven(temp=3.0)

    def test_a_timeout_is_of_the_whole_wait(
        self, served: Served[Shop], others: Shop, together: Callable[..., None]
    ) -> None:
        """Changes to what is not wanted do not begin it anew."""
        stop = threading.Event()

        def keep_changing() -> None:
            while not stop.is_set():
                others.cookies += 1

        def wait() -> None:
            try:
                with pytest.raises(WaitTimeout, match=r"cookies == -1: not within 0\.05 s"):
                    served.state.get_when_equal("cookies", -1, timeout=0.05)
            finally:
                stop.set()

        together(wait, keep_changing)
        served.state.name = "x"
        assert parked(served) == 0

    def test_a_pattern_has_no_value(self, served: Served[Shop]) -> None:
        with pytest.raises(UnknownPath, match="a pattern has no one value"):
            served.state.get_when_equal("stock.*", 1)


class TestCursors:
    def test_nothing_is_missed_and_nothing_seen_twice(self, served: Served[Shop], others: Shop) -> None:
        """Commits made while nobody waits are handed out one by one, each with the state that it made."""
        cursor = at(served.client, "cookies")
        for number in range(1, 10):
            others.cookies = number
            others.name = f"after {number}"
        seen = [following(cursor) for _ in range(9)]
        assert [shop.cookies for shop in seen] == list(range(1, 10))
        assert [shop.name for shop in seen] == ["shop", *(f"after {number}" for number in range(1, 9))]
        with pytest.raises(WaitTimeout):
            following(cursor, 0.0)

    def test_it_begins_when_it_is_made(self, served: Served[Shop], others: Shop) -> None:
        others.cookies = 1
        cursor = at(served.client)
        others.cookies = 2
        assert following(cursor).cookies == 2
        assert cursor.revision == 2

    def test_it_may_begin_in_the_past(self, served: Served[Shop], others: Shop) -> None:
        others.cookies = 1
        others.cookies = 2
        cursor = at(served.client, "cookies", since=Revision(0))
        assert [following(cursor).cookies for _ in range(2)] == [1, 2]

    def test_the_own_commits_may_not_count(self, served: Served[Shop], others: Shop) -> None:
        cursor = at(served.client, own=False)
        served.state.cookies = 1
        others.cookies = 2
        served.state.cookies = 3
        assert following(cursor).cookies == 2
        with pytest.raises(WaitTimeout):
            following(cursor, 0.01)

    def test_what_the_history_has_dropped_is_an_error(self, serving: Serve) -> None:
        """Never a gap."""
        served = serving(Shop, limits=Limits(history_commits=3))
        cursor = at(served.client)
        for number in range(1, 6):
            served.state.cookies = number
        with pytest.raises(HistoryGone) as gone:
            following(cursor)
        assert (gone.value.asked, gone.value.oldest) == (0, 2)
        again = at(served.client, since=Revision(2))
        assert following(again).cookies == 3

    def test_a_server_that_was_started_anew_is_another(self, serving: Serve, either_address: str) -> None:
        served = serving(Shop, address=either_address)
        cursor = at(served.client)
        served.stop()
        served_again = serving(Shop, address=served.address)
        served_again.state.cookies = 1
        with pytest.raises(HistoryGone) as gone:
            following(cursor)
        assert "started anew" in gone.value.__notes__[0]
        assert cast("Shop", cursor.skip()).cookies == 1

    def test_many_watchers_each_see_everything(
        self, served: Served[Shop], others: Shop, together: Callable[..., None]
    ) -> None:
        clients: list[Client] = [served.client, served.new_client(), served.new_client()]
        cursors = [at(client, "cookies") for client in clients * 2]
        seen: list[list[int]] = [[] for _ in cursors]

        def watch(cursor: Cursor, mine: list[int]) -> None:
            while not mine or mine[-1] < 60:
                mine.append(following(cursor).cookies)

        def write() -> None:
            for _ in range(30):
                others.cookies += 1

        together(*[lambda each=each: watch(*each) for each in zip(cursors, seen, strict=True)], write, write)
        assert seen == [list(range(1, 61))] * 6
