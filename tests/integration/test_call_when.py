"""Processes that are called when something happens."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import zproc
from zproc.transport import runtime_directory

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.conftest import Eventually, Script


class Shop(zproc.StateModel):
    cookies: int = 0
    name: str = ""
    seen: list[int] = []
    pids: list[int] = []
    stock: dict[str, int] = {}
    spare: int | None = None


async def later(snapshot: Shop, state: Shop) -> None:
    state.seen.append(snapshot.cookies)


def marks() -> list[Path]:
    return list(Path(runtime_directory()).glob("*.mark"))


def test_it_is_called_for_each_commit_from_the_moment_on_at_which_it_was_asked_for(method: str) -> None:
    with zproc.Context(Shop, start_method=method) as ctx:

        @ctx.call_when_change("cookies", count=50)
        def watcher(snapshot: Shop, state: Shop) -> None:
            state.seen.append(snapshot.cookies)

        for number in range(1, 51):
            ctx.state.cookies = number
        watcher.wait(30)
        assert ctx.state.seen == list(range(1, 51))
    assert not marks()


def test_its_own_commits_wake_it_only_if_asked_to() -> None:
    with zproc.Context(Shop) as ctx:

        @ctx.call_when_change("cookies", count=3, include_own=True)
        def counts(snapshot: Shop, state: Shop) -> None:
            state.cookies += 1

        ctx.state.cookies = 1
        counts.wait(30)
        assert ctx.state.cookies == 4


@pytest.mark.parametrize(
    ("make", "change"),
    [
        (lambda ctx: ctx.call_when(lambda shop: shop.cookies > 2, count=1), {"cookies": 3}),
        (lambda ctx: ctx.call_when_equal("cookies", 3, count=1), {"cookies": 3}),
        (lambda ctx: ctx.call_when_not_equal("cookies", 0, count=1), {"cookies": 3}),
        (lambda ctx: ctx.call_when_not_none("spare", count=1), {"spare": 1}),
        (lambda ctx: ctx.call_when_truthy("cookies", count=1), {"cookies": 3}),
        (lambda ctx: ctx.call_when_available("stock.flour", count=1), {"stock": {"flour": 0}}),
        (lambda ctx: ctx.call_when_none("spare", count=1), {}),
        (lambda ctx: ctx.call_when_falsy("cookies", count=1), {}),
        (lambda ctx: ctx.call_when_change(exclude=["name"], count=1), {"cookies": 3}),
    ],
)
def test_every_condition_calls(make: Callable[..., Callable[..., object]], change: dict[str, object]) -> None:
    with zproc.Context(Shop) as ctx:

        def note(snapshot: Shop, state: Shop) -> None:
            state.seen.append(snapshot.cookies)

        process = make(ctx)(note)
        assert isinstance(process, zproc.Process)
        ctx.state.name = "x"
        ctx.state.update(**change)
        process.wait(30)
        assert ctx.state.seen == [ctx.state.cookies]


def test_it_is_given_what_was_agreed() -> None:
    with zproc.Context(Shop) as ctx:

        @ctx.call_when_change("cookies", count=1, args=(3,), kwargs={"more": 4})
        def full(snapshot: Shop, state: Shop, number: int, more: int) -> None:
            state.seen.extend([snapshot.cookies, number, more])

        @ctx.call_when_change("cookies", count=1, stateful=False)
        def bare(snapshot: Shop) -> None:
            assert snapshot.cookies == 1

        ctx.state.cookies = 1
        full.wait(30)
        bare.wait(30)
        assert ctx.state.seen == [1, 3, 4]


def test_it_ends_itself_by_process_exit() -> None:
    with zproc.Context(Shop) as ctx:

        @ctx.call_when_change("cookies")
        def once(snapshot: Shop, state: Shop) -> None:
            state.seen.append(snapshot.cookies)
            raise zproc.ProcessExit

        ctx.state.cookies = 1
        ctx.state.cookies = 2
        once.wait(30)
        assert once.exitcode == 0
        assert ctx.state.seen == [1]


def test_an_exception_is_the_process_s() -> None:
    with zproc.Context(Shop) as ctx:

        @ctx.call_when_change("cookies")
        def fails(snapshot: Shop, state: Shop) -> None:
            raise KeyError(snapshot.cookies)

        ctx.state.cookies = 7
        with pytest.raises(zproc.RemoteError) as caught:
            fails.wait(30)
        assert isinstance(caught.value.__cause__, KeyError)


def test_one_that_crashed_goes_on_after_what_it_has_finished(method: str) -> None:
    """Nothing is missed; only what it was in the middle of comes again."""
    with zproc.Context(Shop, start_method=method) as ctx:

        @ctx.call_when_change("cookies", count=6, restart="on_failure", retry_delay=0.0)
        def crashes(snapshot: Shop, state: Shop) -> None:
            state.seen.append(snapshot.cookies)
            state.pids.append(os.getpid())
            if snapshot.cookies in (2, 4) and state.seen.count(snapshot.cookies) == 1:
                os.kill(os.getpid(), signal.SIGKILL)

        for number in range(1, 7):
            ctx.state.cookies = number
        crashes.wait(30)
        assert ctx.state.seen == [1, 2, 2, 3, 4, 4, 5, 6]
        assert len({*ctx.state.pids}) == 3
        assert crashes.restarts == 2


def test_what_it_did_before_it_crashed_does_not_wake_it_either(method: str) -> None:
    """Its predecessor's commits are its own: it watches what it changes, and crashes after it has changed it."""
    with zproc.Context(Shop, start_method=method) as ctx:

        @ctx.call_when_change("cookies", count=3, restart="on_failure", retry_delay=0.0)
        def eats(snapshot: Shop, state: Shop) -> None:
            state.cookies -= 1
            state.seen.append(snapshot.cookies)
            if len(state.pids) < 2:
                state.pids.append(os.getpid())
                os.kill(os.getpid(), signal.SIGKILL)

        for _ in range(3):
            ctx.state.cookies += 10
        eats.wait(30)
        # The first event comes three times, since it was finished at the third; none of the decrements is an event.
        assert len(ctx.state.seen) == 5
        assert ctx.state.cookies == 25
        assert eats.restarts == 2


def test_tries_may_be_given_other_arguments(method: str) -> None:
    with zproc.Context(Shop, start_method=method) as ctx:

        @ctx.call_when_change(
            "cookies", count=1, restart="on_failure", retry_delay=0.0, args=(1,), retry_args=(2,), retry_kwargs={"b": 3}
        )
        def tries(snapshot: Shop, state: Shop, a: int, b: int = 0) -> None:
            state.seen.extend([a, b])
            if a == 1:
                raise ValueError

        ctx.state.cookies = 1
        tries.wait(30)
        assert ctx.state.seen == [1, 0, 2, 3]


def test_a_timeout_is_its_failure() -> None:
    with zproc.Context(Shop) as ctx:

        @ctx.call_when_change("cookies", timeout=0.05)
        def waits(snapshot: Shop, state: Shop) -> None:
            state.seen.append(snapshot.cookies)

        with pytest.raises(zproc.RemoteError) as caught:
            waits.wait(30)
        assert isinstance(caught.value.__cause__, zproc.WaitTimeout)
        assert "a change of cookies: not within 0.05 s" in str(caught.value.__cause__)


def test_nothing_is_left_of_a_program_that_is_killed(script: Script, eventually: Eventually) -> None:
    program = script("""
        import zproc

        class Shop(zproc.StateModel):
            cookies: int = 0

        def watch(snapshot, state): ...

        if __name__ == "__main__":
            ctx = zproc.Context(Shop)
            for _ in range(3):
                ctx.call_when_change("cookies")(watch)
            print("ready", flush=True)
            ctx.process_list.wait()
    """)
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    assert len(marks()) == 3
    program.kill()
    eventually(lambda: not marks())


def test_one_that_is_restarted_on_command_does_too() -> None:
    with zproc.Context(Shop) as ctx:

        @ctx.call_when_change("cookies")
        def watcher(snapshot: Shop, state: Shop) -> None:
            state.seen.append(snapshot.cookies)

        ctx.state.cookies = 1
        ctx.state.get_when_change("seen", since=1, timeout=20)
        watcher.restart()
        ctx.state.cookies = 2
        ctx.state.cookies = 3
        # It may have been told to end before it had noted that it was through with the first.
        seen = ctx.state.get_when(lambda shop: shop.seen[-1:] == [3], timeout=20).seen
        assert list(dict.fromkeys(seen)) == [1, 2, 3]


def test_since_replays_the_past_once(method: str) -> None:
    with zproc.Context(Shop, start_method=method) as ctx:
        for number in range(1, 4):
            ctx.state.cookies = number

        @ctx.call_when_change("cookies", since=1, count=3, restart="on_failure", retry_delay=0.0)
        def watcher(snapshot: Shop, state: Shop) -> None:
            state.seen.append(snapshot.cookies)
            if state.seen == [2, 3]:
                os.kill(os.getpid(), signal.SIGKILL)

        ctx.state.cookies = 4
        watcher.wait(30)
        assert ctx.state.seen == [2, 3, 3, 4]


def test_several_make_a_chain(method: str) -> None:
    with zproc.Context(Shop, start_method=method) as ctx:

        @ctx.call_when_equal("cookies", 1, count=1)
        def second(snapshot: Shop, state: Shop) -> None:
            state.cookies = 2

        @ctx.call_when_equal("cookies", 2, count=1)
        def third(snapshot: Shop, state: Shop) -> None:
            state.cookies = 3

        ctx.state.cookies = 1
        assert ctx.state.get_when_equal("cookies", 3, timeout=30).cookies == 3


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda ctx: ctx.call_when_change("cookie"), zproc.UnknownPath),
        (lambda ctx: ctx.call_when_equal("stock.*", 1), zproc.UnknownPath),
        (lambda ctx: ctx.call_when_equal("cookies", "five"), zproc.UsageError),
        (lambda ctx: ctx.call_when_change("cookies", retrys=3), zproc.UsageError),
        (lambda ctx: ctx.call_when_change("cookies", count=-1), zproc.UsageError),
        (lambda ctx: ctx.call_when_change("cookies", since=-1), zproc.UsageError),
        (lambda ctx: ctx.call_when_change("cookies", exclude="cookies"), zproc.UsageError),
        (lambda ctx: ctx.call_when("cookies"), zproc.UsageError),
        (lambda ctx: ctx.call_when_change(later), zproc.UsageError),
        (lambda ctx: ctx.call_when_change("cookies")("not a function"), zproc.UsageError),
        (lambda ctx: ctx.call_when_change("cookies")(later), zproc.UsageError),
        (lambda ctx: ctx.call_when_change("cookies", args=[threading.Lock()])(lambda *_: None), zproc.UsageError),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(
    make: Callable[[zproc.Context[Shop]], object], error: type[Exception]
) -> None:
    with zproc.Context(Shop) as ctx:
        with pytest.raises(error):
            make(ctx)
        assert not ctx.process_list
        assert not marks()
