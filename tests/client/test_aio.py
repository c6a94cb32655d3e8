"""Watching by the tasks of an event loop: the same results, no thread, one connection, and nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import pickle
import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from zproc.aio import AsyncState, AsyncStream
from zproc.client import line
from zproc.core.limits import Limits
from zproc.core.messages import Cancel, Command, Hello, Ping, Watch
from zproc.exceptions import HistoryGone, Unavailable, UnknownPath, UsageError, WaitTimeout
from zproc.schema import StateModel, selection
from zproc.schema.event import Change, Commit, Resync
from zproc.schema.watchable import Watchable
from zproc.transport import fresh_address
from zproc.typing import PeerId, Revision

if TYPE_CHECKING:
    from tests.client.conftest import Serve, Served

T = TypeVar("T")


class Shop(StateModel):
    cookies: int = 0
    name: str = ""
    spare: int | None = None
    stock: dict[str, int] = {}


@pytest.fixture
def served(serving: Serve) -> Served[Shop]:
    return serving(Shop, address=fresh_address())


@pytest.fixture
def others(served: Served[Shop]) -> Shop:
    """The state, as another process has it."""
    return served.state_of(served.new_client())


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine, and make sure that it has left no line."""

    async def limited() -> T:
        return await asyncio.wait_for(main, 20)

    threads = threading.active_count()
    result = asyncio.run(limited())
    assert not line._lines, "somebody still waits"
    assert threading.active_count() <= threads
    return result


def parked(served: Served[Shop]) -> int:
    return len(served.core._spaces["default"].watchers._parked)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in the thread of the server
            await asyncio.sleep(0.001)


def numbers(events: list[Any]) -> list[object]:
    return [event.new for event in events]


async def taken(stream: AsyncStream[T], count: int) -> list[T]:
    return [await anext(stream) for _ in range(count)]


def test_it_has_every_form_with_the_same_parameters() -> None:
    for name, method in vars(Watchable).items():
        if not name.startswith("_"):
            mine = inspect.signature(getattr(AsyncState, name)).parameters.values()
            theirs = inspect.signature(method).parameters.values()
            assert [(one.name, one.kind, one.default) for one in mine] == [
                (one.name, one.kind, one.default) for one in theirs
            ]


class TestOnce:
    @pytest.mark.parametrize(
        ("wait", "change"),
        [
            (lambda s: s.get_when_change("cookies"), {"cookies": 3}),
            (lambda s: s.get_when(lambda shop: shop.cookies > 2), {"cookies": 3}),
            (lambda s: s.get_when_equal("cookies", 3), {"cookies": 3}),
            (lambda s: s.get_when_not_equal("cookies", 0), {"cookies": 3}),
            (lambda s: s.get_when_truthy("cookies"), {"cookies": 3}),
            (lambda s: s.get_when_not_none("spare"), {"spare": 1, "cookies": 3}),
            (lambda s: s.get_when_available("stock.flour"), {"stock": {"flour": 1}, "cookies": 3}),
        ],
    )
    def test_it_is_waited_for(
        self, served: Served[Shop], others: Shop, wait: Callable[[AsyncState[Shop]], Any], change: dict[str, Any]
    ) -> None:
        async def main() -> Shop:
            waiting = asyncio.create_task(wait(AsyncState(served.state)))
            await until(lambda: parked(served))
            others.name = "not this"
            others.update(**change)
            found: Shop = await waiting
            return found

        assert run(main()).cookies == 3

    @pytest.mark.parametrize(
        "wait",
        [
            lambda s: s.get_when_none("spare"),
            lambda s: s.get_when_falsy("cookies"),
            lambda s: s.get_when_equal("name", ""),
        ],
    )
    def test_the_present_state_counts(self, served: Served[Shop], wait: Callable[[AsyncState[Shop]], Any]) -> None:
        assert run(wait(AsyncState(served.state))) == Shop()
        assert not served.asked(Watch)

    def test_a_timeout_says_what_was_waited_for(self, served: Served[Shop]) -> None:
        async def main() -> None:
            with pytest.raises(WaitTimeout, match=r"cookies == 3: not within 0\.02 s"):
                await AsyncState(served.state).get_when_equal("cookies", 3, timeout=0.02)

        run(main())
        served.state.name = "x"
        assert not parked(served)

    def test_what_makes_no_sense_is_refused_at_once(self, served: Served[Shop]) -> None:
        async def main() -> None:
            state = AsyncState(served.state)
            with pytest.raises(UnknownPath, match="did you mean 'cookies'"):
                await state.get_when_equal("cookie", 3)
            with pytest.raises(UnknownPath, match="did you mean 'cookies'"):
                state.changes("cookie")
            with pytest.raises(UsageError, match="did you mean 'timeout'"):
                await state.get_when_equal("cookies", 3, timout=3)  # type: ignore[call-arg]  # that is the point

        run(main())
        with pytest.raises(UsageError, match="use it on a live state"):
            AsyncState(Shop())

    def test_what_has_no_descriptor_cannot_be_waited_for(self, serving: Serve) -> None:
        served = serving(Shop)

        async def main() -> None:
            with pytest.raises(UsageError, match="no file descriptor"):
                await AsyncState(served.state).get_when_change("cookies")

        run(main())
        served.state.cookies = 1


class TestStreams:
    def test_nothing_is_missed_from_the_call_on(self, served: Served[Shop], others: Shop) -> None:
        async def main() -> list[object]:
            changes = AsyncState(served.state).changes("cookies")
            for number in range(1, 601):
                others.cookies = number
            return numbers(await taken(changes, 600))

        assert run(main()) == list(range(1, 601))

    def test_states_are_those_of_the_commits(self, served: Served[Shop], others: Shop) -> None:
        async def main() -> list[tuple[int, str]]:
            state = AsyncState(served.state)
            seen = state.when_change("cookies", count=3)
            for number in range(1, 5):
                others.cookies = number
                others.name = str(number)
            return [(shop.cookies, shop.name) async for shop in seen]

        assert run(main()) == [(1, ""), (2, "1"), (3, "2")]

    @pytest.mark.parametrize(
        "wait",
        [
            lambda s: s.when(lambda shop: shop.cookies == 3, count=1),
            lambda s: s.when_equal("cookies", 3, count=1),
            lambda s: s.when_not_equal("cookies", 0, count=1),
            lambda s: s.when_truthy("cookies", count=1),
            lambda s: s.when_not_none("spare", count=1),
            lambda s: s.when_available("stock.flour", count=1),
            lambda s: s.when_none("spare", since=0, count=1),
            lambda s: s.when_falsy("stock", since=0, count=1),
        ],
    )
    def test_every_condition_is_there(
        self, served: Served[Shop], others: Shop, wait: Callable[[AsyncState[Shop]], AsyncStream[Shop]]
    ) -> None:
        async def main() -> list[Shop]:
            state = AsyncState(served.state)
            stream = wait(state)
            others.cookies = 3
            others.spare = 1
            others.stock["flour"] = 1
            others.spare = None
            others.stock.clear()
            return [shop async for shop in stream]

        assert [shop.cookies for shop in run(main())] == [3]

    def test_commits_are_whole(self, served: Served[Shop], others: Shop) -> None:
        async def main() -> list[Commit | Resync[Shop]]:
            state = AsyncState(served.state)
            here = state.go_live()
            others.update(cookies=1, name="x")
            return [commit async for commit in state.commits("name", since=here, count=1)]

        (commit,) = run(main())
        assert isinstance(commit, Commit)
        assert [change.path for change in commit.changes] == ["cookies", "name"]

    def test_live_skips_and_so_does_go_live(self, served: Served[Shop], others: Shop) -> None:
        async def main() -> list[object]:
            state = AsyncState(served.state)
            live, buffered = state.changes("cookies", live=True), state.changes("cookies")
            for number in range(1, 10):
                others.cookies = number
            await buffered.go_live()
            newest = await anext(live)
            others.cookies = 10
            return numbers([newest, await anext(live), await anext(buffered)])

        assert run(main()) == [9, 10, 10]

    def test_a_timeout_ends_nothing(self, served: Served[Shop], others: Shop) -> None:
        async def main() -> list[object]:
            changes = AsyncState(served.state).changes("cookies", timeout=0.02)
            with pytest.raises(WaitTimeout, match="a change of cookies"):
                await anext(changes)
            others.cookies = 1
            for _ in range(1000):
                with contextlib.suppress(WaitTimeout):
                    return numbers(await taken(changes, 1))
            raise AssertionError("nothing came")

        assert run(main()) == [1]

    def test_dropped_events_are_one_resync(self, serving: Serve) -> None:
        served = serving(Shop, address=fresh_address(), limits=Limits(history_commits=3))

        async def main() -> list[object]:
            state = AsyncState(served.state)
            changes = state.changes("cookies")
            for number in range(1, 10):
                served.state.cookies = number
            found: list[object] = [await anext(changes)]
            with pytest.raises(HistoryGone):
                await anext(state.changes(since=2))
            served.state.cookies = 10
            return [*found, await anext(changes)]

        assert run(main()) == [Resync(Revision(9), Shop(cookies=9)), Change("cookies", "set", 9, 10)]

    def test_tasks_may_share_it(self, served: Served[Shop], others: Shop) -> None:
        async def main() -> list[list[object]]:
            changes = AsyncState(served.state).changes("cookies", count=100)

            async def read() -> list[object]:
                return numbers([change async for change in changes])

            reading = [asyncio.create_task(read()) for _ in range(3)]
            await until(lambda: parked(served))
            for number in range(1, 101):
                others.cookies = number
                await asyncio.sleep(0)
            return await asyncio.gather(*reading)

        found = run(main())
        assert sorted(number for one in found for number in one) == list(range(1, 101))  # type: ignore[type-var]
        assert all(one == sorted(one) for one in found)  # type: ignore[type-var]  # they are numbers


class TestEnding:
    def test_closing_ends_whoever_waits(self, served: Served[Shop]) -> None:
        async def main() -> list[object]:
            changes = AsyncState(served.state).changes("cookies")

            async def read() -> list[object]:
                return [change async for change in changes]

            reading = asyncio.create_task(read())
            await until(lambda: parked(served))
            await changes.aclose()
            with pytest.raises(StopAsyncIteration):
                await anext(changes)
            return await reading

        assert run(main()) == []
        served.state.name = "x"
        assert not parked(served)

    def test_leaving_the_block_closes_it(self, served: Served[Shop]) -> None:
        async def main() -> None:
            async with AsyncState(served.state).changes("cookies") as changes:
                served.state.cookies = 1
                assert numbers(await taken(changes, 1)) == [1]
            with pytest.raises(StopAsyncIteration):
                await anext(changes)

        run(main())

    def test_a_cancelled_wait_leaves_nothing_and_loses_nothing(self, served: Served[Shop], others: Shop) -> None:
        async def main() -> list[object]:
            changes = AsyncState(served.state).changes("cookies")
            found: list[object] = []
            for number in range(1, 30):
                waiting = asyncio.create_task(anext(changes))
                await until(lambda waiting=waiting: parked(served) or waiting.done())  # type: ignore[misc]
                if number % 2:
                    others.cookies = number  # the answer may be on its way when the task is cancelled
                waiting.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    found += numbers([await waiting])
                await until(lambda: not parked(served))
            while len(found) < 15:
                found += numbers(await taken(changes, 1))
            return found

        assert run(main()) == list(range(1, 30, 2))

    def test_of_those_that_share_a_connection_one_may_be_cancelled(self, served: Served[Shop], others: Shop) -> None:
        async def main() -> list[object]:
            state = AsyncState(served.state)
            streams = [state.changes("cookies") for _ in range(10)]
            waiting = [asyncio.create_task(anext(stream)) for stream in streams]
            await until(lambda: parked(served) == 10)
            for task in waiting[::2]:
                task.cancel()
            await until(lambda: parked(served) == 5)
            others.cookies = 1
            await asyncio.gather(*waiting, return_exceptions=True)
            rest = await asyncio.gather(*[anext(stream) for stream in streams[::2]])
            return numbers([*[task.result() for task in waiting[1::2]], *rest])

        assert run(main()) == [1] * 10
        assert len(served.asked(Cancel)) == 5

    def test_a_client_that_is_closed_wakes_its_tasks(self, served: Served[Shop]) -> None:
        async def main() -> None:
            client = served.new_client()
            waiting = asyncio.create_task(AsyncState(served.state_of(client)).get_when_change("cookies"))
            await until(lambda: parked(served))
            client.close()
            with pytest.raises(UsageError, match="closed"):
                await waiting

        run(main())

    def test_a_loop_that_ends_leaves_nothing(self, served: Served[Shop]) -> None:
        async def main() -> None:
            state = AsyncState(served.state)
            tasks = [asyncio.create_task(state.get_when_change("cookies")) for _ in range(3)]
            await until(lambda: parked(served) == 3)
            del tasks  # cancelled at the end

        run(main())
        served.state.cookies = 1
        assert not parked(served)


class TestConnections:
    def test_those_who_wait_share_one(self, served: Served[Shop], others: Shop) -> None:
        async def main() -> list[int]:
            state = AsyncState(served.state)
            before = len(served.asked(Hello))
            waiting = [asyncio.create_task(state.get_when_equal("cookies", 1)) for _ in range(100)]
            await until(lambda: parked(served) == 100)
            assert len(served.asked(Hello)) <= before + 2, "theirs, and one for what is asked at once"
            others.cookies = 1
            return [shop.cookies for shop in await asyncio.gather(*waiting)]

        assert run(main()) == [1] * 100

    def test_more_than_may_wait_on_one_take_another(
        self, served: Served[Shop], others: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(line, "_MOST", 3)

        async def main() -> list[int]:
            state = AsyncState(served.state)
            waiting = [asyncio.create_task(state.get_when_equal("cookies", 1)) for _ in range(10)]
            await until(lambda: parked(served) == 10)
            assert [len(one._waiting) for one in next(iter(line._lines.values()))] == [3, 3, 3, 1]
            others.cookies = 1
            return [shop.cookies for shop in await asyncio.gather(*waiting)]

        assert run(main()) == [1] * 10

    @pytest.mark.parametrize("fault", ["before", "after", "garble"])
    def test_one_that_breaks_costs_nobody_anything(self, serving: Serve, fault: str) -> None:
        served = serving(Shop, address=fresh_address(), fault=(Watch, fault, 1))

        async def main() -> list[object]:
            state = AsyncState(served.state)
            streams = [state.changes("cookies") for _ in range(5)]
            waiting = [asyncio.create_task(anext(stream)) for stream in streams]
            if fault == "before":
                await until(lambda: parked(served) == 5)
            served.state.cookies = 1
            return numbers(await asyncio.gather(*waiting))

        assert run(main()) == [1] * 5

    def test_a_server_that_is_gone_is_unavailable(self, served: Served[Shop]) -> None:
        async def main() -> None:
            waiting = asyncio.create_task(AsyncState(served.state).get_when_change("cookies"))
            await until(lambda: parked(served))
            served.stop()
            with pytest.raises(Unavailable):
                await waiting

        run(main())

    def test_a_server_that_was_started_anew_is_gone_on_with(self, serving: Serve) -> None:
        served = serving(Shop, address=fresh_address())

        async def main() -> list[object]:
            changes = AsyncState(served.state).changes("cookies")
            served.state.cookies = 7
            served.stop()
            again = serving(Shop, address=served.address)
            again.state.cookies = 1
            found: list[object] = [await anext(changes)]
            again.state.cookies = 2
            return [*found, await anext(changes)]

        assert run(main()) == [Resync(Revision(1), Shop(cookies=1)), Change("cookies", "set", 1, 2)]

    def test_one_that_is_silent_for_long_is_asked_whether_it_is_there(
        self, serving: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        served = serving(Shop, address=fresh_address())
        monkeypatch.setattr(line, "PATIENCE", 0.01)

        async def main() -> Shop:
            waiting = asyncio.create_task(AsyncState(served.state).get_when_change("cookies"))
            await until(lambda: len(served.asked(Ping)) > 2)
            served.state.cookies = 1
            return await waiting

        assert run(main()).cookies == 1

    def test_one_that_does_not_answer_any_more_is_unavailable(
        self, serving: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        served = serving(Shop, address=fresh_address())
        receive = served.core.receive

        def ignore(peer: PeerId, command: Command, **times: float) -> None:
            if isinstance(command, Ping):
                monkeypatch.setattr(served.core, "receive", receive)
            else:
                receive(peer, command, **times)

        monkeypatch.setattr(served.core, "receive", ignore)
        monkeypatch.setattr(line, "PATIENCE", 0.01)
        monkeypatch.setattr(line, "HELLO_TIMEOUT", 0.05)

        async def main() -> Shop:
            waiting = asyncio.create_task(AsyncState(served.state).get_when_change("cookies"))
            await until(lambda: len(served.asked(Watch)) > 1)
            served.state.cookies = 1
            return await waiting

        assert run(main()).cookies == 1, "it asked again by a new connection"


def test_a_field_of_it_is_refused_with_where_the_field_is(served: Served[Shop], others: Shop) -> None:
    """An assignment would make an attribute of this object, which nobody else ever sees."""
    state: Any = AsyncState(served.state)
    with pytest.raises(UsageError, match=r"cookies = 3 would be lost: .*ctx\.state\.cookies"):
        state.cookies = 3
    with pytest.raises(AttributeError, match=r"cookies: an AsyncState has no fields.*ctx\.state\.cookies"):
        _ = state.cookies
    assert others.cookies == 0


def test_it_travels_as_the_address_that_it_is(served: Served[Shop]) -> None:
    again = pickle.loads(pickle.dumps(AsyncState(served.state)))
    assert repr(again) == repr(AsyncState(served.state))
    assert again.go_live() == 0


def test_a_value_that_a_field_never_has_is_refused_at_once(served: Served[Shop]) -> None:
    """The same in all forms: those of threads, of tasks, and of a place."""
    state, tasks = served.state, AsyncState(served.state)
    given: Any = "five"

    async def main() -> None:
        for wait in (tasks.get_when_equal, tasks.get_when_not_equal):
            with pytest.raises(UsageError, match="cookies never equals 'five'"):
                await wait("cookies", given)
        for stream in (tasks.when_equal, tasks.when_not_equal):
            with pytest.raises(UsageError, match="cookies never equals 'five'"):
                stream("cookies", given)

    run(main())
    place: Any = selection.Watch(state, "cookies")
    for ask in (state.get_when_equal, state.get_when_not_equal, state.when_equal, state.when_not_equal):
        with pytest.raises(UsageError, match="cookies never equals 'five'"):
            ask("cookies", given)
    with pytest.raises(UsageError, match="cookies never equals 'five'"):
        place.equals(given)
    assert not served.asked(Watch)
