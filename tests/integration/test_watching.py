"""Watching among real processes that are killed, stopped and cut off: whoever listens is told all of it, once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import threading
import zlib
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pytest
from pydantic import BaseModel

import zproc
from tests.integration import watching
from tests.integration.watching import Broken, CuttableLine, folded, judge
from zproc.aio import AsyncState

if TYPE_CHECKING:
    from tests.integration.conftest import Script

T = TypeVar("T")

HISTORY = zproc.Limits(history_commits=100_000)


class Oven(BaseModel):
    temp: float = 20.0
    on: bool = False


class Shop(zproc.StateModel):
    cookies: int = 0
    rare: int = 0
    name: str = ""
    oven: Oven = Oven()
    stock: dict[str, int] = {}
    tags: list[int] = []
    labels: set[int] = set()
    made: dict[str, int] = {}
    done: bool = False


@pytest.fixture(scope="module", autouse=True)
def the_validators_travel_too(everything_travels_by_value: None) -> Iterator[None]:
    import cloudpickle

    cloudpickle.register_pickle_by_value(watching)
    yield
    cloudpickle.unregister_pickle_by_value(watching)


@zproc.atomic
def disturb(shop: Shop, seed: int, who: str, number: int) -> None:
    """Change this and that, and note that it was done."""
    chance = random.Random(seed)
    for _ in range(chance.randint(1, 4)):
        match chance.randrange(8):
            case 0:
                shop.cookies += 1
            case 1:
                shop.name = str(seed)
            case 2:
                shop.oven.temp = float(chance.randrange(300))
            case 3:
                shop.oven = Oven(temp=float(chance.randrange(300)), on=chance.random() < 0.5)
            case 4:
                shop.stock[str(chance.randrange(5))] = seed
            case 5:
                shop.stock.pop(str(chance.randrange(5)), None)
            case 6:
                shop.tags.insert(chance.randrange(len(shop.tags) + 1), seed)
                del shop.tags[8:]
            case 7:
                shop.labels ^= {chance.randrange(10)}
    if chance.random() < 0.05:
        shop.rare += 1
    shop.made[who] = number


def write(shop: Shop, who: str, count: int) -> None:
    """Disturb so many times in all, whoever began with it."""
    for number in range(shop.made.get(who, 0) + 1, count + 1):
        disturb(shop, zlib.crc32(f"{who} {number}".encode()), who, number)


def until_done(fields: tuple[str, ...]) -> tuple[str, ...]:
    """What is listened to: fields and the mark of the end; for none named, everything."""
    return (*fields, "done") if fields else ()


def begun(make: Callable[[], T]) -> T:
    """Begin to listen, although the line may be cut in the middle of the greeting, which is an error of its own."""
    for _ in range(50):
        with contextlib.suppress(zproc.Unavailable):
            return make()
    return make()


def listen(shop: Shop, fields: tuple[str, ...], since: int) -> list[zproc.Commit]:
    heard = []
    for commit in begun(lambda: shop.commits(*until_done(fields), since=since, timeout=50)):
        assert isinstance(commit, zproc.Commit), commit
        heard.append(commit)
        if any(change.path == "done" for change in commit.changes):
            return heard
    raise AssertionError("the stream has ended")


def listen_by_tasks(shop: Shop, fields: list[tuple[str, ...]], since: int) -> list[list[zproc.Commit]]:
    async def one(names: tuple[str, ...]) -> list[zproc.Commit]:
        heard: list[zproc.Commit] = []
        async for commit in begun(lambda: AsyncState(shop).commits(*until_done(names), since=since, timeout=50)):
            assert isinstance(commit, zproc.Commit), commit
            heard.append(commit)
            if any(change.path == "done" for change in commit.changes):
                return heard
        raise AssertionError("the stream has ended")

    async def main() -> list[list[zproc.Commit]]:
        return await asyncio.gather(*map(one, fields))

    return asyncio.run(main())


def listen_and_be_killed(shop: Shop, path: str, since: int) -> None:
    """Note each commit down when it is through with it; a successor goes on after the last one that was noted."""
    notes = Path(path)
    noted = [int(line) for line in notes.read_text().splitlines()] if notes.exists() else []
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for commit in shop.commits(since=noted[-1] if noted else since, timeout=50):
        assert isinstance(commit, zproc.Commit), commit
        os.write(file, f"{commit.revision}\n".encode())
        if any(change.path == "done" for change in commit.changes):
            return


def concerns(*fields: str) -> Callable[[zproc.Commit], bool]:
    """Whether a commit changes any of some top-level fields."""

    def test(commit: zproc.Commit) -> bool:
        changed = {change.path.split(".")[0] for change in commit.changes if change.kind != "set" or moved(change)}
        return bool(changed & {*fields, "done"})

    return test


def moved(change: zproc.Change) -> bool:
    return change.old != change.new or type(change.old) is not type(change.new)


def everything(_: zproc.Commit) -> bool:
    return True


class TestValidators:
    """They find what is broken; otherwise their silence would mean nothing."""

    @pytest.fixture
    def truth(self) -> list[zproc.Commit]:
        author = zproc.Author(1, "p", "f")
        return [
            zproc.Commit(cast("Any", number), "e", 0.0, author, (zproc.Change("cookies", "set", number - 1, number),))
            for number in range(1, 6)
        ]

    @pytest.mark.parametrize(
        ("spoil", "message"),
        [
            (lambda heard: [heard[1], heard[0], *heard[2:]], "not ordered"),
            (lambda heard: [heard[0], *heard], "not unique"),
            (lambda heard: heard[1:], "not reliable: missing .1."),
            (lambda heard: heard[:-1], "not reliable: missing .5."),
            (lambda heard: [*heard[:2], *heard[3:]], "not reliable: missing .3."),
        ],
    )
    def test_what_is_broken_is_found(
        self, truth: list[zproc.Commit], spoil: Callable[[list[zproc.Commit]], list[zproc.Commit]], message: str
    ) -> None:
        judge(truth, truth, everything)
        with pytest.raises(Broken, match=message):
            judge(spoil(truth), truth, everything)

    def test_half_a_commit_is_found(self, truth: list[zproc.Commit]) -> None:
        author = zproc.Author(1, "p", "f")
        half = zproc.Commit(truth[2].revision, "e", 0.0, author, ())
        with pytest.raises(Broken, match="not atomic"):
            judge([*truth[:2], half, *truth[3:]], truth, everything)

    def test_what_was_not_asked_for_is_found(self, truth: list[zproc.Commit]) -> None:
        with pytest.raises(Broken, match="not filtered"):
            judge(truth, truth, lambda commit: commit.revision != 2)

    def test_a_fold_over_a_gap_is_found(self, truth: list[zproc.Commit]) -> None:
        assert folded(Shop, truth)[-1]["cookies"] == 5
        with pytest.raises(Broken, match="not what was there before"):
            folded(Shop, [truth[0], *truth[2:]])


def disasters(
    ctx: zproc.Context[Shop], writers: list[zproc.Process[None]], targets: dict[str, Any], chance: random.Random
) -> None:
    """Kill, stop and cut, as long as anybody writes; between two of these something is written."""

    def something_is_written() -> None:
        with contextlib.suppress(zproc.WaitTimeout):
            ctx.state.get_when_change("made", timeout=0.5)

    while any(writer.is_alive for writer in writers):
        something_is_written()
        match chance.randrange(4):
            case 0:
                send(chance.choice(writers), signal.SIGKILL)
            case 1:
                send(targets["killed"], signal.SIGKILL)
            case 2:
                send(targets["stopped"], signal.SIGSTOP)
                something_is_written()
                send(targets["stopped"], signal.SIGCONT)
            case 3:
                targets["line"].cut()


def send(process: zproc.Process[Any], number: signal.Signals) -> None:
    """Send a signal to a process, if it is there."""
    if process.pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


def be_told_whatever_happens(tmp_path: Path, writers: int, commits: int, seed: int) -> None:
    chance = random.Random(seed)
    endless: Any = {"restart": "on_failure", "retry_delay": 0.0, "max_retries": None, "intensity": None}
    fields: list[tuple[str, ...]] = [(), ("cookies",), ("oven", "stock"), ("rare",), ("tags", "labels")]
    path = str(tmp_path / "line")
    with zproc.Context(Shop, limits=HISTORY) as ctx:
        line = CuttableLine(ctx.address.removeprefix("unix://"), path)
        try:
            with zproc.Context(Shop, address=line.address, cleanup=False) as by_line:
                since = ctx.state.go_live()
                plain = [ctx.spawn(listen, names, since) for names in fields]
                tasks = ctx.spawn(listen_by_tasks, fields * 4, since)
                cut = [by_line.spawn(listen, names, since) for names in fields[:2]]
                cut_tasks = by_line.spawn(listen_by_tasks, fields, since)
                notes = tmp_path / "notes"
                killed = ctx.spawn(**endless)(listen_and_be_killed, str(notes), since)
                called = tmp_path / "called"

                @ctx.call_when_change(**endless)
                def call(snapshot: Shop, state: Shop) -> None:
                    file = os.open(called, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
                    os.write(file, json.dumps([sum(snapshot.made.values()), snapshot.done]).encode() + b"\n")
                    os.close(file)
                    if snapshot.done:
                        raise zproc.ProcessExit

                writing = [ctx.spawn(**endless)(write, f"w{n}", commits) for n in range(writers)]
                targets = {"killed": killed, "stopped": plain[0], "line": line}
                disasters(ctx, writing, targets, chance)
                for writer in writing:
                    writer.wait(50)
                ctx.state.done = True
                truth = list(ctx.history(0))
                for names, process in [*zip(fields, plain, strict=True), *zip(fields, cut, strict=False)]:
                    judge(process.wait(50), truth, concerns(*names) if names else everything, since)
                for names, heard in [
                    *zip(fields * 4, tasks.wait(50), strict=True),
                    *zip(fields, cut_tasks.wait(50), strict=True),
                ]:
                    judge(heard, truth, concerns(*names) if names else everything, since)
                killed.wait(50)
                call.wait(50)
                final = ctx.state.snapshot().model_dump()
        finally:
            line.close()
    states = folded(Shop, truth)
    assert states[-1] == final, "the events folded are the state"
    assert [int(number) for number in notes.read_text().splitlines()] == [commit.revision for commit in truth]
    told = [json.loads(text) for text in called.read_text().splitlines()]
    expected = [[sum(state["made"].values()), state["done"]] for state in states[1:]]
    assert [one for number, one in enumerate(told) if number == 0 or one != told[number - 1]] == expected
    assert len(told) - len(expected) <= call.restarts, "what was finished is not repeated"
    assert len(truth) == writers * commits + 1, "every write was made once, whoever was killed"


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_p6_whatever_happens_everybody_is_told_all_of_it_once(tmp_path: Path) -> None:
    """Writers and watchers are killed and stopped, lines are cut; `make soak` does it at length."""
    be_told_whatever_happens(tmp_path, writers=2, commits=40, seed=random.randrange(1000))


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10))
def test_p6_whatever_happens_at_length(tmp_path: Path, seed: int) -> None:
    be_told_whatever_happens(tmp_path, writers=4, commits=1000, seed=seed)


class TestDefects:
    """What the original did to watchers, among real processes; ``tests/client/test_defects.py`` forces it alone."""

    def test_1_what_happens_before_a_process_has_begun_is_not_lost(self, method: str) -> None:
        with zproc.Context(Shop, start_method=method) as ctx:

            @ctx.call_when_change("cookies", count=5)
            def eat(snapshot: Shop, state: Shop) -> None:
                state.tags.append(snapshot.cookies)

            for _ in range(5):
                ctx.state.cookies += 1
            eat.wait(50)
            assert ctx.state.tags == [1, 2, 3, 4, 5]

    def test_2_between_look_and_wait_nothing_is_lost(self) -> None:
        """Each answers the other's number with the next; one answer that woke nobody would end it."""

        def answer(shop: Shop, parity: int, until: int) -> None:
            for number in range(parity, until, 2):
                shop.get_when_equal("cookies", number, timeout=50)
                shop.cookies = number + 1

        with zproc.Context(Shop) as ctx:
            for process in [ctx.spawn(answer, parity, 300) for parity in (0, 1)]:
                process.wait(50)
            assert ctx.state.cookies == 300

    def test_3_reading_wakes_nobody(self) -> None:
        def read(shop: Shop) -> int:
            return sum(shop.cookies + len(shop.stock) + shop.snapshot().rare for _ in range(20))

        with zproc.Context(Shop) as ctx:
            seen = ctx.state.commits(timeout=0.01)
            ctx.spawn(read).wait(50)
            with pytest.raises(zproc.WaitTimeout):
                next(seen)

    def test_4_and_5_and_6_the_present_and_ones_own_count_and_the_past_does_not(self) -> None:
        def change(shop: Shop) -> None:
            shop.cookies = 1
            shop.cookies = 2

        with zproc.Context(Shop) as ctx:
            ctx.spawn(change).wait(50)
            with pytest.raises(zproc.WaitTimeout):
                ctx.state.get_when_equal("cookies", 1, timeout=0.05)
            assert ctx.state.get_when_equal("cookies", 2, timeout=50).cookies == 2
            seen = ctx.state.changes("cookies", timeout=50)
            ctx.state.cookies = 3
            assert next(seen) == zproc.Change("cookies", "set", 2, 3)

    def test_7_namespaces_are_apart_whatever_their_names(self) -> None:
        with zproc.Context(Shop) as ctx:
            seen = ctx.state.changes(timeout=0.05)
            ctx.namespace("default2", Shop).state.cookies = 1
            with pytest.raises(zproc.WaitTimeout):
                next(seen)
            ctx.state.cookies = 2
            assert next(ctx.state.changes(since=0, timeout=50)) == zproc.Change("cookies", "set", 0, 2)

    def test_8_commits_of_one_moment_are_told_apart(self) -> None:
        """By their numbers, and each of several processes' is told once."""

        def add(shop: Shop) -> None:
            for _ in range(100):
                shop.cookies += 1

        with zproc.Context(Shop, limits=HISTORY) as ctx:
            seen = ctx.state.commits("cookies", count=300, timeout=50)
            for process in [ctx.spawn(add) for _ in range(3)]:
                process.wait(50)
            commits = [commit for commit in seen if isinstance(commit, zproc.Commit)]
            assert [commit.revision for commit in commits] == list(range(1, 301))
            assert [commit.changes[0].new for commit in commits] == list(range(1, 301))

    def test_9_a_watching_process_takes_every_option(self) -> None:
        with zproc.Context(Shop) as ctx:
            ctx.state.cookies = 1
            here = ctx.state.go_live()

            @ctx.call_when_change(
                "cookies", timeout=50, live=False, since=here, count=2, include_own=True, duplicate_okay=True
            )
            def note(snapshot: Shop, state: Shop) -> None:
                state.tags.append(snapshot.cookies)

            ctx.state.cookies = 1
            ctx.state.cookies = 2
            note.wait(50)
            assert ctx.state.tags == [1, 2]


def test_p8_one_that_is_stopped_costs_the_others_nothing_and_is_told_of_the_gap() -> None:
    """What it has not asked for is kept by nobody for it: the history goes on without it."""

    def slow(shop: Shop) -> list[object]:
        found: list[object] = []
        events = shop.changes("cookies", timeout=50)
        shop.made["slow"] = 0
        for event in events:
            found.append(event)
            if isinstance(event, zproc.Resync) or event.new == 2000:
                return found
        return found

    def quick(shop: Shop, who: str) -> list[object]:
        found: list[object] = []
        events = shop.changes("cookies", count=2000, timeout=50)
        shop.made[who] = 0
        for event in events:
            assert isinstance(event, zproc.Change), event
            found.append(event.new)
            if cast("int", event.new) % 100 == 0:
                shop.made[who] = cast("int", event.new)
        return found

    with zproc.Context(Shop, limits=zproc.Limits(history_commits=500)) as ctx:
        stopped, others = ctx.spawn(slow), [ctx.spawn(quick, who) for who in ("a", "b")]
        ctx.state.get_when(lambda shop: len(shop.made) == 3, timeout=50)
        os.kill(stopped.pid or 0, signal.SIGSTOP)
        for number in range(1, 2001):
            ctx.state.cookies = number
            if number % 100 == 0:  # they keep up, so that they are told of all of it
                for who in ("a", "b"):
                    ctx.state.get_when_equal(f"made.{who}", number, timeout=50)
        assert [other.wait(50) for other in others] == [[*range(1, 2001)]] * 2
        os.kill(stopped.pid or 0, signal.SIGCONT)
        *before, last = stopped.wait(50)
        assert isinstance(last, zproc.Resync)
        assert last.snapshot.cookies == 2000
        assert len(before) <= 1, "it was told of one at most, and then of the gap"


def be_cut_at_bytes(tmp_path: Path, step: int) -> None:
    """Cut the line at one byte after the other of all that comes while a batch of commits is told."""
    commits = 5
    with zproc.Context(Shop) as ctx:
        line = CuttableLine(ctx.address.removeprefix("unix://"), str(tmp_path / "line"))
        try:
            with zproc.Context(Shop, address=line.address, cleanup=False) as by_line:
                size = 0
                cut_at = 0
                while cut_at <= size:
                    events = by_line.state.changes("cookies", timeout=20)
                    line.carried, before = 0, line.cuts
                    first = ctx.state.cookies + 1
                    for number in range(first, first + commits):
                        ctx.state.cookies = number
                    if size:
                        line.cut_after(cut_at)
                    told = [event.new for event in islice(events, commits) if isinstance(event, zproc.Change)]
                    assert told == list(range(first, first + commits)), f"cut after {cut_at} bytes"
                    assert not size or line.cuts > before or cut_at >= line.carried
                    cut_at, size = (cut_at + step, size) if size else (0, line.carried)
                line.cut_after(10**9)
                assert size > 100, "there was a batch to be cut"
        finally:
            line.close()


@pytest.mark.slow
def test_p6_a_line_that_is_cut_at_any_byte_costs_no_event_and_repeats_none(tmp_path: Path) -> None:
    """At every seventh; `make soak` cuts at every one."""
    be_cut_at_bytes(tmp_path, 7)


@pytest.mark.soak
def test_p6_a_line_that_is_cut_at_every_byte_does_neither(tmp_path: Path) -> None:
    be_cut_at_bytes(tmp_path, 1)


def hear_of_everything(watchers: int, commits: int) -> None:
    def listen_many(shop: Shop, since: int) -> list[list[int]]:
        async def one() -> list[int]:
            return [commit.revision async for commit in AsyncState(shop).commits("cookies", since=since, count=commits)]

        async def main() -> list[list[int]]:
            return await asyncio.gather(*[one() for _ in range(watchers)])

        return asyncio.run(main())

    with zproc.Context(Shop, limits=HISTORY) as ctx:
        since = ctx.state.go_live()
        listening = [ctx.spawn(listen_many, since) for _ in range(2)]
        for number in range(1, commits + 1):
            ctx.state.cookies = number
        for process in listening:
            assert process.wait(3000) == [list(range(1, commits + 1))] * watchers


@pytest.mark.slow
def test_p6_many_watchers_are_all_told_of_everything() -> None:
    """A hundred of a few hundred commits; `make soak` has a thousand of ten thousand."""
    hear_of_everything(50, 200)


@pytest.mark.soak
def test_p6_a_thousand_watchers_are_told_of_ten_thousand_commits() -> None:
    hear_of_everything(500, 10_000)


def test_p12_ctrl_c_ends_a_program_that_waits_at_once(script: Script) -> None:
    program = script("""
        import signal
        import zproc

        def once(signum, frame):
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            raise KeyboardInterrupt

        signal.signal(signal.SIGINT, once)

        class Shop(zproc.StateModel):
            cookies: int = 0

        if __name__ == "__main__":
            with zproc.Context(Shop) as ctx:
                try:
                    print("ready", flush=True)
                    ctx.state.get_when_change("cookies")
                except KeyboardInterrupt:
                    ctx.state.cookies = 1
                    print("interrupted", ctx.state.cookies, flush=True)
    """)
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    interrupted = threading.Event()

    def interrupt() -> None:
        # One that comes just before a call that blocks interrupts nothing, so there is another; the first that does is
        # the last that is heeded.
        while not interrupted.wait(0.2):
            program.send_signal(signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        assert program.stdout.readline() == "interrupted 1\n"
    finally:
        interrupted.set()
        thread.join(10)
    assert program.wait(20) in {0, -signal.SIGINT, 130}
