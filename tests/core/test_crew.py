"""What a worker has tells how long it may take."""

from __future__ import annotations

from zproc.core.assignment import Chunk, Loss, Terms
from zproc.core.crew import BIRTH, Job, Sent, Worker
from zproc.core.pace import Pace
from zproc.typing import ChunkId, JobId, WorkerId


def a_job(**terms: float) -> Job:
    made = Terms(**terms)  # type: ignore[arg-type]  # by name
    return Job(JobId(1), made, Pace(made, 1, None))


def a_chunk(job: Job) -> Sent:
    return Sent(Chunk(ChunkId(1), job.id, 5, 3, careful=False, budget=None), estimate=0.1)


def test_the_first_item_that_has_not_come_back_is_counted_from_the_chunk() -> None:
    sent = a_chunk(a_job())
    sent.done = 2
    assert sent.index == 7


def test_who_was_hired_may_take_a_while_until_it_listens() -> None:
    worker = Worker(WorkerId(1), began=3.0)
    assert worker.deadline({}) == 3.0 + BIRTH
    worker.stillborn = True
    assert worker.deadline({}) is None


def test_who_listens_is_in_no_hurry_without_work() -> None:
    assert Worker(WorkerId(1), ready=True).deadline({}) is None


def test_an_item_may_take_what_its_job_says() -> None:
    job = a_job(timeout=2.0)
    worker = Worker(WorkerId(1), ready=True, began=1.0)
    worker.hand.append(a_chunk(job))
    assert worker.deadline({job.id: job}) == 3.0
    assert worker.deadline({}) is None, "nobody wants it any more"
    worker.victim = job.id, 5, Loss.TIMED_OUT
    assert worker.deadline({job.id: job}) is None, "it is doomed already"


def test_without_a_limit_an_item_may_take_for_ever() -> None:
    job = a_job()
    worker = Worker(WorkerId(1), ready=True)
    worker.hand.append(a_chunk(job))
    assert worker.deadline({job.id: job}) is None
