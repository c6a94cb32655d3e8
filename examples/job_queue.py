"""A queue of jobs with progress: workers take jobs by an atomic function, one crashes, and no job is lost."""

import os
import signal
from typing import Literal

import zproc
from pydantic import BaseModel


class Job(BaseModel):
    name: str
    status: Literal["waiting", "running", "done"] = "waiting"
    progress: int = 0  # percent
    worker: int | None = None  # its process id


class Queue(zproc.StateModel):
    jobs: dict[str, Job] = {}
    crashes: int = 0

    @zproc.action
    def submit(self, name: str) -> None:
        self.jobs[name] = Job(name=name)

    @zproc.action
    def give_back(self, worker: int) -> list[str]:
        """Let others have what a worker that died was doing."""
        lost = [job for job in self.jobs.values() if job.worker == worker and job.status == "running"]
        for job in lost:
            job.status, job.progress, job.worker = "waiting", 0, None
        self.crashes += 1
        return [job.name for job in lost]


@zproc.atomic
def take(state: Queue) -> str | None:
    """Take the next job that waits, if there is one; two workers never take the same."""
    for job in state.jobs.values():
        if job.status == "waiting":
            job.status, job.worker = "running", os.getpid()
            return job.name
    return None


def work(state: Queue) -> None:
    while (name := take(state)) is not None:
        job = state.jobs[name]
        for percent in (25, 50, 75, 100):
            if name == "job 3" and percent == 75 and state.crashes == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            job.progress = percent
        job.status = "done"


with zproc.Context(Queue) as ctx:
    for number in range(1, 7):
        ctx.state.submit(f"job {number}")

    workers = [ctx.spawn(work) for _ in range(3)]
    for worker in workers:
        if worker.exception() is not None:  # waits; it does not raise
            assert worker.pid is not None
            print("crashed, given back:", ctx.state.give_back(worker.pid))
            ctx.spawn(work).wait()

    for job in ctx.state.snapshot().jobs.values():
        print(job.name, job.status, job.progress)
