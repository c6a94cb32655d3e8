"""The scheduler settles every item once, whatever becomes of workers.

The simulation has workers that are numbers, a clock that is a number, and chance that is a seed: it delivers, delays,
kills and recalls in any order that a seed makes of it. Hypothesis varies what there is to do, and shrinks what fails.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random

import pytest
from hypothesis import given, settings, strategies as st

from zproc.core.assignment import Break, Chunk, Dismiss, Fail, Hire, Kill, Loss, Recall, Send, Terms
from zproc.core.crew import BIRTH
from zproc.core.scheduler import Scheduler
from zproc.typing import JobId, WorkerId

PATIENCE = 30_000
"""Steps after which somebody is starving."""


@dataclass
class Worker:
    queue: deque[Chunk] = field(default_factory=deque)
    at: Chunk | None = None
    done: int = 0
    ready: bool = False
    condemned: bool = False


@dataclass
class Work:
    terms: Terms
    items: int
    given: int = 0
    consumed: int = 0
    ended: bool = False
    total: int | None = None
    widest: int = 0


@dataclass
class World:
    """Everything around the scheduler."""

    random: Random
    scheduler: Scheduler
    deadly: float = 0.02
    faulty: float = 0.1
    now: float = 0.0
    workers: dict[WorkerId, Worker] = field(default_factory=dict)
    work: dict[JobId, Work] = field(default_factory=dict)
    outcomes: dict[tuple[JobId, int], str] = field(default_factory=dict)
    begun: Counter[tuple[JobId, int]] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    broken: bool = False

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def settle(self, job: JobId, index: int, how: str) -> None:
        assert (job, index) not in self.outcomes, f"item {index} is settled twice: {self.outcomes[job, index]}, {how}"
        self.outcomes[job, index] = how

    def perform(self) -> None:
        while effects := self.scheduler.effects():
            for effect in effects:
                self.seen[type(effect).__name__] += 1
                match effect:
                    case Send(worker, chunk):
                        assert chunk.count >= 1
                        self.workers[worker].queue.append(chunk)
                    case Hire(worker):
                        self.workers[worker] = Worker()
                        assert len(self.workers) <= 8
                    case Dismiss(worker):
                        gone = self.workers.pop(worker)
                        assert not gone.queue
                        assert gone.at is None
                    case Kill(worker):
                        assert self.workers[worker].at is not None or self.workers[worker].queue
                        self.workers[worker].condemned = True
                    case Fail(job, index, loss, _):
                        self.settle(job, index, loss.name)
                    case Recall(worker):
                        self.recall(worker)
                    case Break():
                        self.broken = True

    def recall(self, worker: WorkerId) -> None:
        if worker in self.workers:
            back = [chunk.id for chunk in self.workers[worker].queue]
            self.workers[worker].queue.clear()
            self.seen["taken back"] += len(back)
            self.scheduler.recalled(worker, back, now=self.now)

    def tell(self, call: Callable[[], object]) -> None:
        call()
        self.perform()

    # What happens

    def step(self) -> None:
        self.now += self.random.random() * 0.01
        self.tell(lambda: self.scheduler.tick(now=self.now))
        for job in self.work:
            self.supply(job)
            self.consume(job)
        for name in list(self.workers):
            if name in self.workers:
                self.act(name, self.workers[name])
            if name in self.workers and (self.workers[name].condemned or self.chance(self.deadly)):
                self.die(name)

    def supply(self, job: JobId) -> None:
        work = self.work[job]
        if work.total is None and not work.ended and self.chance(0.5):
            items = min(self.random.randint(0, 5), work.items - work.given)
            work.given += items
            work.ended = work.given == work.items
            self.tell(lambda: self.scheduler.supply(job, items, ended=work.ended, now=self.now))

    def consume(self, job: JobId) -> None:
        work = self.work[job]
        work.widest = max(work.widest, self.scheduler.window(job))
        end = work.consumed
        while (job, end) in self.outcomes:
            end += 1
        if end > work.consumed:
            items, work.consumed = end - work.consumed, end
            self.tell(lambda: self.scheduler.consumed(job, items, now=self.now))

    def act(self, name: WorkerId, worker: Worker) -> None:
        if not worker.ready:
            if self.chance(0.3):
                worker.ready = True
                self.tell(lambda: self.scheduler.ready(name, now=self.now))
        elif worker.at is None and worker.queue:
            worker.at, worker.done = worker.queue.popleft(), 0
            self.note(worker.at, 0, 1 if worker.at.careful else worker.at.count)
        elif worker.at is not None and self.chance(0.6):
            self.answer(name, worker, worker.at)
        elif worker.at is not None and not worker.at.careful and self.chance(0.05):
            chunk, worker.at = worker.at, None  # it cannot be read
            self.seen["given back to go alone"] += 1
            self.tell(lambda: self.scheduler.gave_back(name, chunk.id, careful=True, now=self.now))

    def note(self, chunk: Chunk, start: int, items: int) -> None:
        for index in range(chunk.first + start, min(chunk.first + start + items, chunk.first + chunk.count)):
            self.begun[chunk.job, index] += 1
            # The item itself may be the first of a window and the last that was allowed.
            assert index - self.work[chunk.job].consumed <= max(self.work[chunk.job].widest, 1) + chunk.count

    def answer(self, name: WorkerId, worker: Worker, chunk: Chunk) -> None:
        left = chunk.count - worker.done
        items = 1 if chunk.careful else left
        if not chunk.careful and chunk.budget is not None and left > 1 and self.chance(0.3):
            items = self.random.randint(1, left - 1)
        start = chunk.first + worker.done
        failed = [index for index in range(start, start + items) if self.chance(self.faulty)]
        seconds = items * self.random.choice([1e-6, 1e-3, 0.1])
        again = self.scheduler.returned(name, chunk.id, items, failed, seconds=seconds, now=self.now)
        worker.done += items
        for index in range(start, start + items):
            if again is not None and index not in again:
                self.settle(chunk.job, index, "raised" if index in failed else "returned")
        rest = chunk.count - worker.done
        if rest == 0:
            worker.at = None
        elif not chunk.careful or (chunk.budget is not None and self.chance(0.2)):
            worker.at = None
            self.seen["gave back the rest"] += 1
            self.scheduler.gave_back(name, chunk.id, now=self.now)
        else:
            self.note(chunk, worker.done, 1)
        self.perform()

    def die(self, name: WorkerId) -> None:
        worker = self.workers.pop(name)
        if worker.at is None:
            self.seen["died with nothing in hand"] += 1
        else:
            self.seen["died carefully" if worker.at.careful else "died with a chunk"] += 1
        self.tell(lambda: self.scheduler.lost(name, [chunk.id for chunk in worker.queue], now=self.now))

    # Until all is done

    def is_over(self) -> bool:
        totals = {job: work.total if work.total is not None else work.items for job, work in self.work.items()}
        return all(
            (work.ended or work.total is not None)
            and all((job, index) in self.outcomes for index in range(totals[job]))
            for job, work in self.work.items()
        )

    def run(self, meddle: Callable[[World], None] = lambda _world: None) -> None:
        for _ in range(PATIENCE):
            self.step()
            meddle(self)
            if self.broken or self.is_over():
                return
        raise AssertionError(f"somebody starves: {self.scheduler.__dict__}")


def world_of(
    seed: int, size: int, jobs: list[tuple[Terms, int]], *, deadly: float = 0.02, faulty: float = 0.1
) -> World:
    world = World(Random(seed), Scheduler(size), deadly, faulty)
    for terms, items in jobs:
        world.work[world.scheduler.begin(terms)] = Work(terms, items)
    return world


TERMS = st.builds(
    Terms,
    chunksize=st.sampled_from([None, None, 1, 3]),
    timeout=st.sampled_from([None, None, 0.5]),
    retries=st.integers(0, 2),
    ahead=st.sampled_from([None, None, 1, 5]),
)
JOBS = st.lists(st.tuples(TERMS, st.integers(0, 60)), min_size=1, max_size=3)
SEEDS = st.integers(0, 2**32)


@given(seed=SEEDS, size=st.integers(1, 4), jobs=JOBS)
@settings(max_examples=80)
def test_every_item_is_settled_exactly_once_whoever_dies_when(
    seed: int, size: int, jobs: list[tuple[Terms, int]]
) -> None:
    world = world_of(seed, size, jobs)
    world.run()
    if not world.broken:
        assert len(world.outcomes) == sum(items for _, items in jobs)


@given(seed=SEEDS, size=st.integers(1, 4), jobs=JOBS)
@settings(max_examples=60)
def test_every_item_is_settled_while_workers_come_and_go_and_jobs_are_cancelled(
    seed: int, size: int, jobs: list[tuple[Terms, int]]
) -> None:
    def meddle(world: World) -> None:
        if world.chance(0.02):
            world.tell(lambda: world.scheduler.resize(world.random.randint(1, 4), now=world.now))
        for job, work in world.work.items():
            if work.total is None and work.given and world.chance(0.05):
                # Of those that were given, and settled or not, as a program that cancels a call knows no better.
                index = world.random.randrange(work.given)
                if (job, index) not in world.outcomes:
                    world.tell(partial(world.scheduler.withdraw, job, index))
            if work.total is None and world.chance(0.01):
                work.total = world.scheduler.cancel(job, running=world.chance(0.5), now=world.now)
                world.perform()

    world = world_of(seed, size, jobs)
    world.run(meddle)
    for (job, index), how in world.outcomes.items():
        total = world.work[job].total
        assert total is None or index < total or how == "CANCELLED", "an item was settled that was never begun"


@given(seed=SEEDS, size=st.integers(1, 4), retries=st.integers(0, 3), items=st.integers(1, 40))
@settings(max_examples=60)
def test_an_item_that_goes_alone_is_begun_no_more_often_than_it_may(
    seed: int, size: int, retries: int, items: int
) -> None:
    world = world_of(seed, size, [(Terms(chunksize=1, retries=retries), items)], deadly=0.05, faulty=0.3)
    world.run()
    assert max(world.begun.values()) <= retries + 1
    for (job, index), how in world.outcomes.items():
        if how in ("raised", "DIED"):
            assert world.begun[job, index] == retries + 1, "it had a try left"


@given(seed=SEEDS, size=st.integers(1, 4), jobs=JOBS)
@settings(max_examples=40)
def test_without_deaths_and_faults_nothing_is_done_twice_and_everything_returns(
    seed: int, size: int, jobs: list[tuple[Terms, int]]
) -> None:
    patient = [(Terms(each.chunksize, None, each.retries, each.ahead), items) for each, items in jobs]
    world = world_of(seed, size, patient, deadly=0.0, faulty=0.0)
    world.run()
    assert set(world.outcomes.values()) <= {"returned"}
    if not world.seen["given back to go alone"]:
        assert max(world.begun.values(), default=0) <= 1 + world.seen["gave back the rest"]


def test_the_simulation_meets_what_is_interesting() -> None:
    """A simulation that never comes to the hard places proves nothing."""
    seen: Counter[str] = Counter()
    for seed in range(150):
        random = Random(seed)
        jobs = [
            (
                Terms(random.choice([None, 1, 3]), random.choice([None, 0.05]), random.randint(0, 2)),
                random.randint(1, 60),
            )
            for _ in range(2)
        ]
        world = world_of(seed, random.randint(1, 4), jobs)
        world.run()
        seen += world.seen
        seen.update(world.outcomes.values())
    interesting = {
        "Recall",
        "Kill",
        "taken back",
        "died with nothing in hand",
        "died carefully",
        "died with a chunk",
        "gave back the rest",
        "given back to go alone",
        "raised",
        "DIED",
        "TIMED_OUT",
    }
    assert {what for what in interesting if not seen[what]} == set()


# ------------------------------------------------------------------------------------------------ rules, one by one


class Small:
    """A scheduler with workers that are ready, driven by hand."""

    def __init__(self, size: int = 2, terms: Terms | None = None, items: int = 0, *, ended: bool = True) -> None:
        self.scheduler = Scheduler(size)
        self.now = 0.0
        self.job = self.scheduler.begin(terms or Terms())
        self.scheduler.supply(self.job, items, ended=ended, now=0.0)

    def effects(self, kind: type) -> list[object]:
        self.last = self.scheduler.effects()
        return [effect for effect in self.last if isinstance(effect, kind)]

    def sent(self) -> list[tuple[WorkerId, Chunk]]:
        return [(effect.worker, effect.chunk) for effect in self.scheduler.effects() if isinstance(effect, Send)]

    def hire(self) -> list[WorkerId]:
        hired = [effect.worker for effect in self.scheduler.effects() if isinstance(effect, Hire)]
        for worker in hired:
            self.scheduler.ready(worker, now=self.now)
        return hired

    def returned(self, worker: WorkerId, chunk: Chunk, seconds: float = 1.0, failed: tuple[int, ...] = ()) -> object:
        return self.scheduler.returned(worker, chunk.id, chunk.count, failed, seconds=seconds, now=self.now)


def test_no_more_workers_are_hired_than_there_is_work_for() -> None:
    assert len(Small(8, items=3).effects(Hire)) == 3
    assert len(Small(2, items=3).effects(Hire)) == 2
    assert Small(8, items=0).effects(Hire) == []


def test_a_worker_gets_nothing_before_it_listens() -> None:
    small = Small(1, items=3)
    (hired,) = small.effects(Hire)
    assert small.sent() == []
    small.scheduler.ready(hired.worker, now=0.0)  # type: ignore[attr-defined]
    assert [chunk.count for _, chunk in small.sent()] == [1]


def test_a_worker_that_does_not_come_to_listen_is_killed_and_another_one_hired() -> None:
    small = Small(1, items=1)
    (hired,) = small.effects(Hire)
    first = hired.worker  # type: ignore[attr-defined]
    assert small.scheduler.next_deadline() == BIRTH
    small.scheduler.tick(now=BIRTH - 0.1)
    assert small.effects(Kill) == []
    small.scheduler.tick(now=BIRTH)
    small.scheduler.tick(now=BIRTH)
    assert small.effects(Kill) == [Kill(first)]
    small.scheduler.ready(first, now=BIRTH)  # too late
    assert small.sent() == []
    small.scheduler.lost(first, now=BIRTH)
    again = small.scheduler.next_deadline()
    assert again is not None
    small.scheduler.tick(now=again)
    assert len(small.effects(Hire)) == 1


def test_while_nothing_is_known_no_item_is_sent_ahead() -> None:
    small = Small(2, items=10)
    small.hire()
    assert len(small.sent()) == 2


def test_long_items_are_not_sent_ahead() -> None:
    small = Small(1, items=10)
    small.hire()
    ((worker, chunk),) = small.sent()
    small.returned(worker, chunk, seconds=1.0)
    assert len(small.sent()) == 1


def test_tiny_items_are_sent_ahead_in_chunks() -> None:
    small = Small(1, items=100_000)
    small.hire()
    ((worker, chunk),) = small.sent()
    small.returned(worker, chunk, seconds=1e-6)
    sent = small.sent()
    assert len(sent) > 1
    assert all(chunk.count > 1 and not chunk.careful and chunk.budget for _, chunk in sent)


def test_items_behind_a_long_one_are_recalled_for_an_idle_worker_and_cost_no_try() -> None:
    small = Small(2, Terms(chunksize=1), items=50)
    one, two = small.hire()
    sent = small.sent()
    small.returned(one, next(chunk for worker, chunk in sent if worker == one), seconds=0.0009)
    ahead = [chunk for worker, chunk in small.sent() if worker == one]
    assert len(ahead) > 1
    mine: dict[WorkerId, deque[Chunk]] = {one: deque(ahead), two: deque([c for w, c in sent if w == two])}
    done: list[int] = [0]
    for _ in range(200):
        effects: list[object] = []
        if mine[two]:
            chunk = mine[two].popleft()
            small.returned(two, chunk, seconds=0.0009 * chunk.count)
            done += range(chunk.first, chunk.first + chunk.count)
        effects = list(small.scheduler.effects())
        for effect in effects:
            if isinstance(effect, Send):
                mine[effect.worker].append(effect.chunk)
            elif isinstance(effect, Recall):
                assert effect.worker == one
                back = [mine[one].pop().id for _ in range(len(mine[one]) - 1)]  # the first is under way
                small.scheduler.recalled(one, back, now=0.0)
                for more in small.scheduler.effects():
                    if isinstance(more, Send):
                        mine[more.worker].append(more.chunk)
    assert len(mine[one]) == 1
    assert len(done) == 50 - mine[one][0].count


def test_a_death_in_a_chunk_blames_nobody_and_the_chunk_is_done_carefully() -> None:
    small = Small(1, Terms(chunksize=4), items=4)
    (worker,) = small.hire()
    ((_, chunk),) = small.sent()
    assert not chunk.careful
    small.scheduler.lost(worker, now=0.0)
    (again,) = small.hire()
    ((_, chunk),) = small.sent()
    assert (chunk.first, chunk.count, chunk.careful) == (0, 4, True)
    small.scheduler.returned(again, chunk.id, 1, seconds=0.1, now=0.0)
    small.scheduler.lost(again, now=0.0)
    (failure,) = small.effects(Fail)
    assert failure == Fail(small.job, 1, Loss.DIED, again)


def test_what_a_dead_worker_had_not_taken_in_costs_no_try() -> None:
    small = Small(1, Terms(chunksize=1), items=3)
    (worker,) = small.hire()
    ((_, chunk),) = small.sent()
    small.scheduler.lost(worker, [chunk.id], now=0.0)
    assert small.effects(Fail) == []


def test_an_item_that_takes_too_long_has_its_worker_killed_and_fails() -> None:
    small = Small(1, Terms(timeout=1.0), items=2)
    (worker,) = small.hire()
    assert len(small.sent()) == 1
    assert small.scheduler.next_deadline() == 1.0
    small.scheduler.tick(now=0.99)
    assert small.effects(Kill) == []
    small.scheduler.tick(now=1.0)
    small.scheduler.tick(now=1.1)
    assert small.effects(Kill) == [Kill(worker)]
    assert small.scheduler.next_deadline() is None
    small.scheduler.lost(worker, now=1.2)
    assert small.effects(Fail) == [Fail(small.job, 0, Loss.TIMED_OUT, worker)]


def test_a_result_that_comes_before_the_kill_counts_and_the_next_item_is_not_blamed() -> None:
    small = Small(1, Terms(timeout=1.0, chunksize=2), items=2)
    (worker,) = small.hire()
    ((_, chunk),) = small.sent()
    small.scheduler.tick(now=1.0)
    assert small.effects(Kill) == [Kill(worker)]
    assert small.scheduler.returned(worker, chunk.id, 1, seconds=1.0, now=1.0) == ()
    small.scheduler.lost(worker, now=1.1)
    assert small.effects(Fail) == []


def test_the_clock_of_an_item_begins_when_its_worker_turns_to_it() -> None:
    small = Small(1, Terms(timeout=1.0, chunksize=2), items=2)
    (worker,) = small.hire()
    ((_, chunk),) = small.sent()
    small.scheduler.returned(worker, chunk.id, 1, seconds=0.9, now=0.9)
    assert small.scheduler.next_deadline() == 1.9


def test_look_ahead_is_bounded_by_what_is_consumed() -> None:
    small = Small(4, Terms(ahead=3), items=100)
    small.hire()
    assert len(small.sent()) == 3
    small.scheduler.consumed(small.job, 1, now=0.0)
    assert len(small.sent()) == 1


def test_in_a_hurry_nobody_waits_for_a_consumer() -> None:
    small = Small(4, Terms(ahead=1), items=100)
    small.hire()
    assert len(small.sent()) == 1
    small.scheduler.hurry(small.job, now=0.0)
    assert len(small.sent()) == 3


def test_a_cancelled_job_tells_how_many_items_will_be_settled() -> None:
    small = Small(2, items=10)
    workers = small.hire()
    sent = small.sent()
    assert small.scheduler.cancel(small.job, now=0.0) == 2
    assert len(small.effects(Recall)) == 2
    small.scheduler.recalled(workers[0], [], now=0.0)
    small.scheduler.recalled(workers[1], [sent[1][1].id], now=0.0)
    assert small.effects(Fail) == [Fail(small.job, sent[1][1].first, Loss.CANCELLED, None)]
    assert small.sent() == []


def test_to_cancel_what_runs_kills_who_runs_it() -> None:
    small = Small(1, items=1)
    (worker,) = small.hire()
    small.sent()
    small.scheduler.cancel(small.job, running=True, now=0.0)
    assert small.effects(Recall) == [Recall(worker)]
    small.scheduler.recalled(worker, [], now=0.0)
    assert small.effects(Kill) == [Kill(worker)]
    small.scheduler.lost(worker, now=0.0)
    assert small.effects(Fail) == [Fail(small.job, 0, Loss.CANCELLED, worker)]


def test_one_item_can_be_withdrawn_before_it_is_sent_and_while_it_waits_in_a_socket_but_not_later() -> None:
    small = Small(1, Terms(chunksize=1), items=3)
    (worker,) = small.hire()
    ((_, chunk),) = small.sent()
    small.scheduler.withdraw(small.job, 2)
    assert small.effects(Fail) == [Fail(small.job, 2, Loss.CANCELLED, None)]
    small.scheduler.withdraw(small.job, 0)
    assert small.effects(Recall) == [Recall(worker)]
    small.scheduler.recalled(worker, [], now=0.0)
    assert small.effects(Fail) == []
    assert small.returned(worker, chunk) == ()
    ((_, chunk),) = small.sent()
    assert chunk.first == 1
    small.scheduler.withdraw(small.job, 1)
    small.scheduler.effects()
    small.scheduler.recalled(worker, [chunk.id], now=0.0)
    assert small.effects(Fail) == [Fail(small.job, 1, Loss.CANCELLED, None)]


def test_an_item_can_be_withdrawn_from_within_those_that_travel_together() -> None:
    """Whether they wait in a socket, have been taken back, or are about to be sent once more."""
    small = Small(1, Terms(chunksize=3), items=9)
    (worker,) = small.hire()
    sent = [chunk for _, chunk in small.sent()]
    small.returned(worker, sent[0])
    sent = [chunk for _, chunk in small.sent()] or sent
    chunk = sent[-1]
    first = chunk.first
    small.scheduler.withdraw(small.job, first + 1)
    assert small.effects(Recall) == [Recall(worker)]
    small.scheduler.withdraw(small.job, first + 1)
    assert small.effects(Recall) == [], "once is enough"
    small.scheduler.recalled(worker, [chunk.id], now=0.0)
    effects = small.scheduler.effects()
    assert [each for each in effects if isinstance(each, Fail)] == [Fail(small.job, first + 1, Loss.CANCELLED, None)]
    again = [each.chunk for each in effects if isinstance(each, Send)]
    small.returned(worker, again[0])
    again += [each for _, each in small.sent()]
    assert [(each.first, each.count) for each in again[:2]] == [(first, 1), (first + 2, 1)]


def test_an_item_can_be_withdrawn_from_within_those_that_wait_to_be_sent_again() -> None:
    small = Small(1, Terms(chunksize=5), items=5)
    (worker,) = small.hire()
    ((_, chunk),) = small.sent()
    small.scheduler.lost(worker, [chunk.id], now=0.0)
    small.scheduler.withdraw(small.job, 2)
    assert small.effects(Fail) == [Fail(small.job, 2, Loss.CANCELLED, None)]
    small.scheduler.withdraw(small.job, 0)
    assert small.effects(Fail) == [Fail(small.job, 0, Loss.CANCELLED, None)]
    small.scheduler.tick(now=1.0)
    small.hire()
    (sent,) = small.sent()
    assert (sent[1].first, sent[1].count) == (1, 1)


def test_those_that_were_withdrawn_and_never_sent_are_counted() -> None:
    """A job that is cancelled has as many items as were sent; these were settled besides."""
    small = Small(1, Terms(chunksize=1), items=5)
    small.hire()
    small.sent()
    small.scheduler.withdraw(small.job, 3)
    assert small.scheduler.withdrawn(small.job) == 1
    assert small.scheduler.cancel(small.job, now=0.0) == 1
    assert small.scheduler.withdrawn(small.job) == 1


def test_an_item_under_way_can_be_condemned() -> None:
    small = Small(1, Terms(chunksize=1), items=1)
    (worker,) = small.hire()
    small.sent()
    small.scheduler.condemn(small.job, 0)
    assert small.effects(Kill) == [Kill(worker)]


def test_fewer_workers_are_dismissed_when_they_have_nothing_in_hand() -> None:
    small = Small(2, items=2)
    small.hire()
    sent = small.sent()
    small.scheduler.resize(1, now=0.0)
    assert small.effects(Dismiss) == []
    for worker, chunk in sent:
        small.returned(worker, chunk)
    assert len(small.effects(Dismiss)) == 1


def test_more_workers_are_hired_at_once_if_there_is_work() -> None:
    small = Small(1, items=5)
    small.hire()
    small.scheduler.resize(3, now=0.0)
    assert len(small.effects(Hire)) == 2


def test_workers_that_end_before_they_begin_are_waited_for_and_then_given_up() -> None:
    small = Small(1, items=1)
    hired = 0
    broken: list[object] = []
    while not broken and hired < 20:
        for effect in small.scheduler.effects():
            if isinstance(effect, Hire):
                hired += 1
                small.scheduler.lost(effect.worker, now=small.now)
        broken = small.effects(Break)
        deadline = small.scheduler.next_deadline()
        assert broken or deadline is not None, "nobody would look after it again"
        small.now = deadline or small.now
        small.scheduler.tick(now=small.now)
    assert hired == 6
    assert broken


def test_workers_that_take_long_to_fail_are_given_up_too() -> None:
    """One may take half a minute to say that it cannot be made, for ever."""
    small = Small(1, items=1)
    hired = 0
    broken = False
    while not broken and hired < 20:
        for effect in small.scheduler.effects():
            if isinstance(effect, Hire):
                hired += 1
                small.now += 30.0
                small.scheduler.lost(effect.worker, now=small.now)
            broken = broken or isinstance(effect, Break)
        small.now = max(small.now, small.scheduler.next_deadline() or 0.0)
        small.scheduler.tick(now=small.now)
    assert hired == 6
    assert broken


def test_jobs_take_turns() -> None:
    scheduler = Scheduler(1)
    jobs = [scheduler.begin(Terms(chunksize=1)) for _ in range(3)]
    for job in jobs:
        scheduler.supply(job, 10, ended=True, now=0.0)
    (hired,) = (effect.worker for effect in scheduler.effects() if isinstance(effect, Hire))
    scheduler.ready(hired, now=0.0)
    turns = []
    for _ in range(9):
        (chunk,) = (effect.chunk for effect in scheduler.effects() if isinstance(effect, Send))
        turns.append(chunk.job)
        scheduler.returned(hired, chunk.id, 1, seconds=1.0, now=0.0)
    assert turns == jobs * 3


def test_a_chunk_that_cannot_be_sent_goes_item_by_item() -> None:
    small = Small(1, Terms(chunksize=3), items=3)
    (worker,) = small.hire()
    ((_, chunk),) = small.sent()
    small.scheduler.unsent(worker, chunk.id, again=True, now=0.0)
    ((_, alone),) = small.sent()
    assert (alone.first, alone.count, alone.careful) == (0, 1, True)
    small.scheduler.unsent(worker, alone.id, again=False, now=0.0)
    ((_, next_one),) = small.sent()
    assert next_one.first == 1


def test_what_comes_of_a_forgotten_job_interests_nobody() -> None:
    small = Small(1, items=1)
    (worker,) = small.hire()
    ((_, chunk),) = small.sent()
    assert small.scheduler.forget(small.job) is None
    assert small.returned(worker, chunk) is None


@pytest.mark.soak
@pytest.mark.timeout(600)  # twenty seconds each, on a machine that does nothing else
@pytest.mark.parametrize("start", range(0, 40_000, 5_000))
def test_every_item_is_settled_in_tens_of_thousands_of_runs(start: int) -> None:
    for seed in range(start, start + 5_000):
        random = Random(seed)
        jobs = [
            (
                Terms(
                    random.choice([None, 1, 3]),
                    random.choice([None, 0.5]),
                    random.randint(0, 2),
                    random.choice([None, 1, 5]),
                ),
                random.randint(0, 60),
            )
            for _ in range(random.randint(1, 3))
        ]
        world = world_of(seed, random.randint(1, 4), jobs)
        world.run()
        assert world.broken or len(world.outcomes) == sum(items for _, items in jobs)
