"""Watching among real processes that are killed, stopped and cut off: whoever listens is told all of it, once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
from pydantic import BaseModel

import zproc
from tests.integration import watching
from tests.integration.watching import Broken, CuttableLine, folded, judge
from zproc.aio import AsyncState

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
