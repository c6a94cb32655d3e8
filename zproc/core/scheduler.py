"""Scheduling of maps: which items travel together, to which worker, and what becomes of those whose worker is lost.

The law: every item is settled exactly once, whatever happens to workers: by its worker's report, or by a `Fail`. Items
are known by their index alone; what they are, and their results, belong to the shell. A worker does its chunks one
after the other, in the order in which they were sent, and its first unsettled item is to blame when it dies. Where that
cannot be told, because a chunk's results travel together, nobody is blamed: the chunk is repeated carefully, each
result on its own. What a dead worker had not begun goes to another, and costs no try.

So that nobody waits behind a long item, a chunk that was sent ahead is recalled when another worker is idle, and a
worker gives back the rest of a chunk that takes longer than was expected. Look-ahead is bounded: no item is begun that
is more than a window ahead of what was consumed.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Collection, Sequence
from itertools import count
from typing import Final

from zproc.core.assignment import Break, Chunk, Dismiss, Effect, Fail, Hire, Kill, Loss, Recall, Send, Terms
from zproc.core.crew import Job, Sent, Worker
from zproc.core.pace import BUDGET, Pace
from zproc.core.supervisor import Ending, Over, Past, Policy, Restart, decide
from zproc.typing import ChunkId, JobId, WorkerId

__all__ = ["Scheduler"]

_AHEAD: Final = 0.005
"""How much work a worker has in hand before it is sent more, in seconds: longer than it takes to send it."""

_DEPTH: Final = 16
"""How many chunks a worker has in hand at most."""

_FRUITLESS: Final = Policy(restart=Restart.ALWAYS, retry_delay=0.05, max_delay=1.0, jitter=0.0, intensity=(5, 600.0))
"""What is done about workers that end with nothing in hand although there is work; each may take half a minute to."""


class Scheduler:
    """Decides about one crew of workers and all the jobs that it has.

    Args:
        size: how many workers there may be; they are hired when there is work for them.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._jobs: dict[JobId, Job] = {}
        # Those that have something to send now, in the order of their turns.
        self._open: OrderedDict[JobId, Job] = OrderedDict()
        self._workers: dict[WorkerId, Worker] = {}
        self._effects: list[Effect] = []
        self._ids = count(1)
        self._past = Past()
        self._hire_at = 0.0

    @property
    def size(self) -> int:
        """How many workers there may be."""
        return self._size

    def effects(self) -> list[Effect]:
        """Hand over what is to be done, in this order."""
        effects, self._effects = self._effects, []
        return effects

    # ----------------------------------------------------------------------------------------------------- the jobs

    def begin(self, terms: Terms, cost: float | None = None) -> JobId:
        """Take in a job, whose items come by `supply`; ``cost`` is what `forget` has told of one like it."""
        job = Job(JobId(next(self._ids)), terms, Pace(terms, self._size, cost))
        self._jobs[job.id] = job
        return job.id

    def supply(self, job_id: JobId, items: int, *, ended: bool = False, now: float) -> None:
        """Report that there are more items.

        Args:
            job_id: whose.
            items: how many more.
            ended: whether these were the last.
            now: the monotonic time, in seconds.
        """
        job = self._jobs[job_id]
        job.supplied += items
        job.ended = job.ended or ended
        self._dispatch(job, now)

    def consumed(self, job_id: JobId, items: int, *, now: float) -> None:
        """Report that outcomes were taken, which makes room for as many."""
        job = self._jobs[job_id]
        job.consumed += items
        self._dispatch(job, now)

    def weigh(self, job_id: JobId, nbytes: float) -> None:
        """Report how many bytes one of a job's large items or results has."""
        job = self._jobs.get(job_id)
        if job is not None:
            job.pace.weigh(nbytes)

    def window(self, job_id: JobId) -> int:
        """Return how far, in items, a job may be ahead of what was consumed."""
        return self._jobs[job_id].pace.window

    def hurry(self, job_id: JobId, *, now: float) -> None:
        """Do all of a job, however far that is ahead of what was consumed."""
        job = self._jobs[job_id]
        job.pace.hurry()
        self._dispatch(job, now)

    def cancel(self, job_id: JobId, *, running: bool = False, now: float) -> int:
        """Begin no more items of a job.

        Args:
            job_id: which.
            running: whether to kill the workers that are at it; otherwise what is begun is finished.
            now: the monotonic time, in seconds.

        Returns:
            How many of its items are settled, sooner or later; those after them were not begun, and will not be.
        """
        job = self._jobs[job_id]
        job.cancelled, job.killing, job.ended = True, running or job.killing, True
        while job.again:  # nothing of a cancelled job is queued again
            first, items, _ = job.again.popleft()
            self._requeue(job, first, items, careful=False)
        self._open.pop(job_id, None)
        for worker in self._workers.values():
            if any(sent.chunk.job == job_id for sent in worker.hand):
                self._effects.append(Recall(worker.id))
        self._settle_down(now)
        return job.next

    def withdraw(self, job_id: JobId, index: int) -> None:
        """Withdraw one item if it was not begun; if that succeeds, there is a `Fail` for it."""
        job = self._jobs.get(job_id)
        if job is None or index in job.dropped:
            return
        if index >= job.next:
            job.dropped.add(index)
            self._effects.append(Fail(job_id, index, Loss.CANCELLED, None))
            return
        for place, (first, items, careful) in enumerate(job.again):
            if first <= index < first + items:
                del job.again[place]
                for start, end in ((index + 1, first + items), (first, index)):
                    if end > start:
                        job.again.insert(place, (start, end - start, careful))
                self._effects.append(Fail(job_id, index, Loss.CANCELLED, None))
                return
        for worker in self._workers.values():
            if any(sent.chunk.job == job_id and index in sent.rest for sent in worker.hand):
                job.dropped.add(index)
                self._effects.append(Recall(worker.id))

    def withdrawn(self, job_id: JobId) -> int:
        """Return how many of the items that were not sent yet were withdrawn, and so settled."""
        job = self._jobs[job_id]
        return sum(index >= job.next for index in job.dropped)

    def condemn(self, job_id: JobId, index: int) -> None:
        """Kill the worker that is at an item, if there is one; then there is a `Fail` for the item."""
        worker = self._worker_at(job_id, index)
        if worker is not None and worker.victim is None:
            self._doom(worker, Loss.CANCELLED)

    def is_under_way(self, job_id: JobId, index: int) -> bool:
        """Return whether a worker is at an item, as far as is known."""
        return self._worker_at(job_id, index) is not None

    def _worker_at(self, job_id: JobId, index: int) -> Worker | None:
        busy = (worker for worker in self._workers.values() if worker.hand)
        return next((each for each in busy if (each.hand[0].chunk.job, each.hand[0].index) == (job_id, index)), None)

    def forget(self, job_id: JobId) -> float | None:
        """Forget a job; whatever is still reported of it is ignored.

        Returns:
            How long an item of it took, in seconds, if that is known.
        """
        job = self._jobs.pop(job_id, None)
        self._open.pop(job_id, None)
        return None if job is None else job.pace.cost

    # -------------------------------------------------------------------------------------------------- the workers

    def resize(self, size: int, *, now: float) -> None:
        """Change the number of workers; those that are too many end when they have nothing in hand."""
        self._size = size
        for job in self._jobs.values():
            job.pace.resize(size)
        staying = [worker for worker in self._workers.values() if not worker.retiring]
        for worker in sorted(staying, key=lambda each: (each.ready, len(each.hand)))[: max(0, len(staying) - size)]:
            worker.retiring = True
            self._retire(worker)
        self._dispatch(None, now)

    def ready(self, worker_id: WorkerId, *, now: float) -> None:
        """Report that a worker listens."""
        worker = self._workers.get(worker_id)
        if worker is not None:
            worker.ready = not worker.stillborn
            self._retire(worker)
            self._dispatch(None, now)

    def returned(
        self,
        worker_id: WorkerId,
        chunk_id: ChunkId,
        items: int,
        failed: Collection[int] = (),
        *,
        seconds: float,
        now: float,
    ) -> Collection[int] | None:
        """Report that a worker has done the next items of the first chunk in its hands.

        Args:
            worker_id: who.
            chunk_id: which chunk.
            items: how many of its items.
            failed: the places of those that raised.
            seconds: how long they took.
            now: the monotonic time, in seconds.

        Returns:
            The places of those that are tried again, so that they are not settled; ``None`` if nobody wants any.
        """
        worker = self._workers.get(worker_id)
        if worker is None or not worker.hand or worker.hand[0].chunk.id != chunk_id:
            return None
        sent = worker.hand[0]
        sent.done += items
        worker.began = now
        self._past = Past()
        if sent.done == sent.chunk.count:
            self._drop_first(worker)
        job = self._jobs.get(sent.chunk.job)
        retried: Collection[int] = ()
        if job is not None:
            job.pace.learn(items, seconds)
            if failed:
                retried = [index for index in failed if self._try_again(job, index)]
        self._dispatch(None, now)
        return None if job is None else retried

    def gave_back(self, worker_id: WorkerId, chunk_id: ChunkId, *, careful: bool = False, now: float) -> None:
        """Report that a worker has given back the rest of the first chunk in its hands.

        Args:
            worker_id: who.
            chunk_id: which chunk.
            careful: whether each item of it is to travel alone from now on, because they could not be read together.
            now: the monotonic time, in seconds.
        """
        worker = self._workers.get(worker_id)
        if worker is None or not worker.hand or worker.hand[0].chunk.id != chunk_id:
            return
        sent = self._drop_first(worker)
        worker.began = now
        job = self._jobs.get(sent.chunk.job)
        if job is not None:
            self._give_back(job, sent, alone=careful, careful=careful)
        self._dispatch(None, now)

    def unsent(self, worker_id: WorkerId, chunk_id: ChunkId, *, again: bool, now: float) -> None:
        """Report that a chunk could not be sent.

        Args:
            worker_id: to whom.
            chunk_id: which chunk.
            again: whether each item of it is to be sent alone; otherwise they are settled.
            now: the monotonic time, in seconds.
        """
        worker = self._workers[worker_id]
        (sent,) = (each for each in worker.hand if each.chunk.id == chunk_id)
        worker.hand.remove(sent)
        worker.load = sum(each.estimate for each in worker.hand)
        job = self._jobs.get(sent.chunk.job)
        if again and job is not None:
            self._give_back(job, sent, alone=True)
        self._settle_down(now)

    def recalled(self, worker_id: WorkerId, chunk_ids: Sequence[ChunkId], *, now: float) -> None:
        """Report which chunks could be taken back from a worker; it has taken in whatever else it has in hand."""
        worker = self._workers.get(worker_id)
        if worker is None:
            return
        back = [sent for sent in worker.hand if sent.chunk.id in chunk_ids]
        worker.hand = deque(sent for sent in worker.hand if sent.chunk.id not in chunk_ids)
        worker.load = sum(sent.estimate for sent in worker.hand)
        worker.taken = True
        for sent in worker.hand:  # it is too late for these
            if (job := self._jobs.get(sent.chunk.job)) is not None:
                job.dropped -= set(range(sent.chunk.first, sent.chunk.first + sent.chunk.count))
        for sent in reversed(back):
            if (job := self._jobs.get(sent.chunk.job)) is not None:
                self._give_back(job, sent, careful=sent.chunk.careful)
        self._doom_if_killing(worker)
        self._settle_down(now)

    def lost(self, worker_id: WorkerId, untaken: Collection[ChunkId] = (), *, now: float) -> None:
        """Report that a worker is dead.

        Args:
            worker_id: who.
            untaken: the chunks that it had not taken in.
            now: the monotonic time, in seconds.
        """
        worker = self._workers.pop(worker_id, None)
        if worker is None:
            return
        hand = list(worker.hand)
        under_way = hand.pop(0) if hand and hand[0].chunk.id not in untaken else None
        for sent in reversed(hand):
            if (job := self._jobs.get(sent.chunk.job)) is not None:
                self._give_back(job, sent, careful=sent.chunk.careful)
        if under_way is not None:
            self._past = Past()
            self._blame(worker, under_way)
        elif not worker.retiring and worker.victim is None and self._is_needed():
            self._back_off(now)
        self._settle_down(now)

    # ------------------------------------------------------------------------------------------------------- the clock

    def next_deadline(self) -> float | None:
        """Return when `tick` is due."""
        every = (worker.deadline(self._jobs) for worker in self._workers.values())
        deadlines = [deadline for deadline in every if deadline is not None]
        if self._open and len(self._workers) < self._size and self._hire_at:
            deadlines.append(self._hire_at)
        return min(deadlines, default=None)

    def tick(self, *, now: float) -> None:
        """Do what is due; may be called at any time."""
        for worker in self._workers.values():
            deadline = worker.deadline(self._jobs)
            if deadline is None or now < deadline:
                continue
            if worker.ready:
                self._doom(worker, Loss.TIMED_OUT)
            else:
                worker.stillborn = True
                self._effects.append(Kill(worker.id))
        if self._hire_at and now >= self._hire_at:
            self._dispatch(None, now)

    # ---------------------------------------------------------------------------------------------- what is lost, again

    def _doom(self, worker: Worker, loss: Loss) -> None:
        sent = worker.hand[0]
        worker.victim = sent.chunk.job, sent.index, loss
        self._effects.append(Kill(worker.id))

    def _doom_if_killing(self, worker: Worker) -> None:
        if worker.hand and worker.victim is None:
            job = self._jobs.get(worker.hand[0].chunk.job)
            if job is not None and job.killing:
                self._doom(worker, Loss.CANCELLED)

    def _blame(self, worker: Worker, sent: Sent) -> None:
        """Decide which item is to blame for a death."""
        job = self._jobs.get(sent.chunk.job)
        if job is None:
            return
        index, last = sent.index, sent.chunk.first + sent.chunk.count
        if worker.victim is not None and worker.victim[:2] != (job.id, index):
            self._requeue(job, index, last - index, careful=True)  # it was killed for the item before
        elif sent.chunk.careful or last - index == 1:
            self._requeue(job, index + 1, last - index - 1, careful=True)
            loss = Loss.DIED if worker.victim is None else worker.victim[2]
            if loss is Loss.CANCELLED or not self._try_again(job, index):
                self._effects.append(Fail(job.id, index, loss, worker.id))
        else:
            self._requeue(job, index, last - index, careful=True)

    def _try_again(self, job: Job, index: int) -> bool:
        tries = job.tries.get(index, 0)
        if tries >= job.terms.retries or job.cancelled:
            job.tries.pop(index, None)
            return False
        job.tries[index] = tries + 1
        self._requeue(job, index, 1, careful=True)
        return True

    def _give_back(self, job: Job, sent: Sent, *, alone: bool = False, careful: bool = False) -> None:
        rest = sent.chunk.count - sent.done
        if not alone:
            self._requeue(job, sent.index, rest, careful=careful)
            return
        for index in reversed(range(sent.index, sent.index + rest)):
            self._requeue(job, index, 1, careful=True)

    def _requeue(self, job: Job, first: int, items: int, *, careful: bool) -> None:
        """Queue items to be sent once more, before others, unless nobody wants them any more."""
        end = first + items
        if job.cancelled or job.dropped:
            for index in reversed(range(first, end)):
                if job.cancelled or index in job.dropped:
                    job.dropped.discard(index)
                    self._effects.append(Fail(job.id, index, Loss.CANCELLED, None))
                    self._put_first(job, index + 1, end, careful=careful)
                    end = index
        self._put_first(job, first, end, careful=careful)

    def _put_first(self, job: Job, first: int, end: int, *, careful: bool) -> None:
        if end > first:
            job.again.appendleft((first, end - first, careful))
            self._open[job.id] = job

    def _is_needed(self) -> bool:
        return bool(self._open) or any(worker.hand for worker in self._workers.values())

    def _back_off(self, now: float) -> None:
        """Back off before the next worker is hired, or give up: one has ended with nothing in hand."""
        decision = decide(_FRUITLESS, self._past, Ending.FAILED, now=now, chance=0.0)
        if isinstance(decision, Over):
            self._past = Past()
            self._jobs.clear()
            self._open.clear()
            self._effects.append(Break(f"workers end before they begin: {decision.reason}"))
        else:
            self._past, self._hire_at = decision.past, decision.at

    # ------------------------------------------------------------------------------------------------------- dispatch

    def _settle_down(self, now: float) -> None:
        for worker in list(self._workers.values()):
            self._retire(worker)
        self._dispatch(None, now)

    def _retire(self, worker: Worker) -> None:
        if worker.retiring and not worker.hand and worker.victim is None:
            del self._workers[worker.id]
            self._effects.append(Dismiss(worker.id))

    def _drop_first(self, worker: Worker) -> Sent:
        sent = worker.hand.popleft()
        worker.load = sum(each.estimate for each in worker.hand)
        worker.taken = False
        self._retire(worker)
        self._doom_if_killing(worker)
        return sent

    def _dispatch(self, job: Job | None, now: float) -> None:
        """Send what can be sent: to the idle first, then ahead; and level out what was sent ahead too early."""
        if job is not None and not job.cancelled and self._has_work(job):
            self._open[job.id] = job
        if self._open:
            workers = [each for each in self._workers.values() if _can_take(each)]
            for worker in workers:
                if not worker.hand:
                    self._feed(worker, now)
            for worker in workers:
                while self._open and worker.load < _AHEAD and 0 < len(worker.hand) < _DEPTH and self._feed(worker, now):
                    pass
            self._hire(now)
        if len(self._workers) > 1:
            self._level()

    def _feed(self, worker: Worker, now: float) -> bool:
        """Send a worker one more chunk, if there is one for it."""
        chunk = self._next_chunk(ahead=bool(worker.hand))
        if chunk is None:
            return False
        cost = self._jobs[chunk.job].pace.cost
        estimate = chunk.count * cost if cost is not None else math.inf
        if not worker.hand:
            worker.began = now
        worker.hand.append(Sent(chunk, estimate))
        worker.load += estimate
        worker.taken = False
        self._effects.append(Send(worker.id, chunk))
        return True

    def _next_chunk(self, *, ahead: bool) -> Chunk | None:
        """Take the next chunk of the job whose turn it is; ``ahead`` of need, only one that is worth a message."""
        for job_id, job in list(self._open.items()):
            if not self._has_work(job):
                del self._open[job_id]
                continue
            taken = self._take(job, ahead=ahead)
            if taken is None:
                continue
            self._open.move_to_end(job_id)
            if not self._has_work(job):
                del self._open[job_id]
            first, items, careful = taken
            terms = job.terms
            careful = careful or terms.timeout is not None or items == 1 or terms.chunksize == 1
            budget = BUDGET if terms.chunksize in (None, 1) and items > 1 else None
            return Chunk(ChunkId(next(self._ids)), job_id, first, items, careful, budget)
        return None

    def _has_work(self, job: Job) -> bool:
        while job.dropped and job.next in job.dropped:
            job.dropped.discard(job.next)
            job.next += 1
        if job.again:
            return True
        return not job.cancelled and job.next < job.supplied and job.next - job.consumed < job.pace.window

    def _take(self, job: Job, *, ahead: bool) -> tuple[int, int, bool] | None:
        if job.again:
            return None if ahead and job.pace.cost is None else job.again.popleft()
        left = job.supplied - job.next
        wanted = job.pace.share(left) if job.ended else job.pace.size
        items = min(wanted, left, job.pace.window - (job.next - job.consumed))
        if ahead and (job.pace.cost is None or (items < wanted and not job.ended)):
            return None
        if job.dropped:
            items = next((place for place in range(1, items) if job.next + place in job.dropped), items)
        first = job.next
        job.next += items
        return first, items, False

    def _hire(self, now: float) -> None:
        """Hire as many workers as there is work for."""
        if len(self._workers) >= self._size or now < self._hire_at:
            return
        self._hire_at = 0.0
        staying = [worker for worker in self._workers.values() if not worker.retiring]
        coming = sum(not worker.ready for worker in staying)
        wanted = sum(self._backlog(job) for job in self._open.values()) - coming
        for _ in range(min(wanted, self._size - len(staying))):
            worker = Worker(WorkerId(next(self._ids)), began=now)
            self._workers[worker.id] = worker
            self._effects.append(Hire(worker.id))

    @staticmethod
    def _backlog(job: Job) -> int:
        return len(job.again) + max(0, job.supplied - job.next)

    def _level(self) -> None:
        """Take back what waits behind something else while somebody is idle."""
        if not any(not each.hand and _can_take(each) for each in self._workers.values()):
            return
        behind = [each for each in self._workers.values() if len(each.hand) > 1 and not each.taken]
        if behind:
            self._effects.append(Recall(max(behind, key=lambda each: each.load).id))


def _can_take(worker: Worker) -> bool:
    return worker.ready and not worker.retiring and worker.victim is None
