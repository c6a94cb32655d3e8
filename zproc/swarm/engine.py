"""The thread that runs a swarm's workers: it tells the scheduler what happens, and does what the scheduler says.

The law: one thread owns everything; others post calls to it, and share no lock with it. So no signal handler and no
other thread can leave its state inconsistent. It sleeps until something happens on a descriptor, or until a deadline.
It decides nothing.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import CancelledError
from functools import partial
from itertools import count
from typing import Any, Final

from zproc.core.assignment import Break, Chunk, Dismiss, Effect, Fail, Hire, Kill, Recall, Send
from zproc.core.scheduler import Scheduler
from zproc.exceptions import Error, ProcessError, UsageError
from zproc.process import LOG, Process, descriptor, kills_for_memory, unpack_cargo
from zproc.swarm.channel import Flag, Frame, Kind
from zproc.swarm.job import Held, Job, known_cost, note_cost
from zproc.swarm.link import Link
from zproc.swarm.loading import Loader
from zproc.swarm.outcome import Answer, UnreadableError, lost_item, read
from zproc.swarm.source import Feeder, Tray
from zproc.swarm.storage import Storage
from zproc.typing import ChunkId, JobId, WorkerId

__all__ = ["Engine"]

_GRACE: Final = 2.0
"""How long workers may take to exit when there is nothing more to do, in seconds."""

_SILENCE: Final = 0.5
"""How long a worker may survive the end of its line before it is killed, in seconds."""


class Engine:
    """Runs the workers of one swarm.

    Args:
        size: the maximum number of workers.
        make: starts the process of one; called by the engine's thread.

    Attributes:
        closed: what messages say is closed once it has ended.
    """

    def __init__(self, size: int, make: Callable[[], Process[Any]]) -> None:
        self.owner: Final = os.getpid()
        self.closed: str = "swarm"
        self._make = make
        self._posted: deque[Callable[[], None]] = deque()
        self._ringing = threading.RLock()  # reentrant: the garbage collector may call `post` anywhere
        self._bell, self._bell_end = map(descriptor.keep, os.pipe())
        os.set_blocking(self._bell, False)
        os.set_blocking(self._bell_end, False)
        self._nap = 0
        self._rung = -1
        self._over = False
        # What follows belongs to the thread.
        self._scheduler = Scheduler(size)
        self._jobs: dict[JobId, Job] = {}
        self._links: dict[WorkerId, Link] = {}
        self._held: dict[WorkerId, dict[ChunkId, Held]] = {}
        self._deaths: dict[WorkerId, ProcessError] = {}
        self._starved: set[WorkerId] = set()
        self._silent: dict[WorkerId, float] = {}
        self._leaving: set[Link] = set()
        self._storage = Storage()
        self._loader = Loader(self._storage)
        self._functions = count(1)
        self._trouble: BaseException | None = None
        self._closing = False
        self._polled: dict[int, tuple[int, Link | None]] = {}
        self._poller = select.poll()
        self._poller.register(self._bell, select.POLLIN)
        self._thread = threading.Thread(target=self._run, name="zproc-swarm", daemon=True)
        self._thread.start()

    # -------------------------------------------------------------------------------------------- called by any thread

    def post(self, call: Callable[[], None]) -> None:
        """Have the thread make a call.

        Raises:
            UsageError: it has ended.
        """
        self._posted.append(call)
        nap = self._nap
        if self._rung == nap and not self._over:
            return
        with self._ringing:
            if self._over:
                raise self.refusal()
            # In this order: an interruption in between means one ring too many rather than one too few.
            os.write(self._bell_end, b".")
            self._rung = nap

    def refusal(self) -> UsageError:
        """Return the error for what comes too late."""
        return UsageError(f"this {self.closed} is closed")

    def begin(self, job: Job) -> Callable[[], None]:
        """Accept a job; return what is to be called when it has more items."""
        self.post(partial(self._begin, job))
        return partial(self.post, partial(self._fed, job))

    def fed(self, job: Job) -> None:
        """Take note that a job has more items."""
        self.post(partial(self._fed, job))

    def consumed(self, job: Job, items: int) -> None:
        """Take note that outcomes were consumed."""
        self.post(partial(self._consumed, job, items))

    def cancel(self, job: Job, *, running: bool) -> None:
        """Cancel the rest of a job."""
        self.post(partial(self._cancel, job, running=running))

    def withdraw(self, job: Job, index: Callable[[], int], *, running: bool, done: Callable[[], None]) -> None:
        """Cancel one item, whose index is asked for once it is known, and call back when that was tried."""
        self.post(partial(self._withdraw, job, index, running=running, done=done))

    def is_under_way(self, job: Job, index: Callable[[], int]) -> bool:
        """Return whether a worker has an item."""
        return bool(self.ask(lambda: self._scheduler.is_under_way(job.id, index())))

    def resize(self, size: int) -> None:
        """Change the maximum number of workers."""
        self.post(lambda: self._scheduler.resize(size, now=time.monotonic()))

    def ask(self, question: Callable[[], Any]) -> Any:
        """Have the thread answer a question, and wait for the answer."""
        if self.is_here():
            return question()
        answered = threading.Event()
        answer: list[Any] = []

        def find_out() -> None:
            answer.append(question())
            answered.set()

        self.post(find_out)
        while not answered.wait(0.05 if self._over else 1.0):
            if self._over and not self._thread.is_alive():
                raise self.refusal()
        return answer[0]

    def is_here(self) -> bool:
        """Return whether this is its own thread, which must not wait for itself."""
        return threading.current_thread() is self._thread

    def processes(self) -> list[Process[Any]]:
        """Return the workers' processes."""
        return [link.process for link in tuple(self._links.values())]

    def shut(self, *, cancel: bool, running: bool = False) -> None:
        """Accept no more, and end when everything is done that is going to be."""
        try:
            self.post(partial(self._shut, cancel=cancel, running=running))
        except UsageError:
            return

    def join(self) -> None:
        """Wait until it has ended."""
        if threading.current_thread() is not self._thread:
            self._thread.join()

    # --------------------------------------------------------------------------------------------------------- the loop

    def _run(self) -> None:
        try:
            while not self._is_done():
                self._turn()
        except BaseException as error:  # noqa: BLE001 - the program must learn of it, rather than wait for ever
            LOG.exception("an error in the engine of a swarm")
            self._trouble = error
        finally:
            self._end()

    def _turn(self) -> None:
        self._obey()
        if self._is_done():
            return
        self._register()
        deadline = min(filter(None, (self._scheduler.next_deadline(), *self._silent.values())), default=None)
        patience = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000 + 1
        # `post` rings once for each nap. In this order: whatever is posted after the check below rings.
        self._nap += 1
        for number, events in self._poller.poll(0 if self._posted else patience):
            if number == self._bell:
                os.read(self._bell, 64)
                continue
            _, link = self._polled[number]
            assert link is not None, "whatever is polled is the bell, or a link's"
            if events & select.POLLOUT:
                link.flush()
            if events & ~select.POLLOUT:
                self._listen(link)
        if deadline is not None:
            now = time.monotonic()
            self._scheduler.tick(now=now)
            self._end_silent(now)

    def _obey(self) -> None:
        # Effects are carried out before anything else is processed, because that could remove what they are about.
        self._perform()
        while self._posted:
            call = self._posted.popleft()
            while self._posted and self._posted[0] is call:  # a burst: one call does for all of them
                self._posted.popleft()
            call()
            self._perform()

    def _perform(self) -> None:
        while effects := self._scheduler.effects():
            for effect in effects:
                self._do(effect)
        self._deaths.clear()
        self._starved.clear()

    def _do(self, effect: Effect) -> None:
        match effect:
            case Send(worker, chunk):
                self._send(worker, chunk)
            case Recall(worker):
                self._recall(worker)
            case Kill(worker):
                self._links[worker].kill_soon()
            case Hire(worker):
                self._hire(worker)
            case Dismiss(worker):
                self._dismiss(self._links[worker])
            case Fail(job_id, index, loss, worker_id):
                job = self._jobs[job_id]
                job.stray.pop(index, None)
                error = self._deaths.get(worker_id) if worker_id is not None else None
                self._settle_error(job, index, lost_item(job, index, loss, error, starved=worker_id in self._starved))
            case Break(reason):
                self._break(reason)

    def _register(self) -> None:
        """Update what is polled."""
        wanted: dict[int, tuple[int, Link | None]] = {self._bell: (select.POLLIN, None)}
        for link in (*self._links.values(), *self._leaving):
            for number, events in link.polled().items():
                wanted[number] = events, link
        if wanted == self._polled:
            return
        for number in self._polled.keys() - wanted.keys():
            self._poller.unregister(number)
        for number, entry in wanted.items():
            if self._polled.get(number) != entry:
                self._poller.register(number, entry[0])
        self._polled = wanted

    # -------------------------------------------------------------------------------------------------------- the jobs

    def _begin(self, job: Job) -> None:
        if self._closing:
            job.sink.broken(self.refusal())
            return
        job.id = self._scheduler.begin(job.terms, known_cost(job.function))
        self._jobs[job.id] = job
        if job.function.cargo is not None:
            job.function.number = next(self._functions)
        if isinstance(job.source, Feeder):
            job.source.start(partial(self._wake_for, job))
            job.source.allow(self._scheduler.window(job.id))
        self._fed(job)

    def _wake_for(self, job: Job) -> None:
        """Take note of more items; called by a feeder's thread."""
        try:
            self.fed(job)
        except UsageError:
            job.source.close()

    def _fed(self, job: Job) -> None:
        if job.id not in self._jobs or job.total is not None:
            if isinstance(job.source, Tray):
                job.source.close()  # which refuses what came too late
            return
        ended = job.source.ended
        items = job.source.arrived()
        if items or ended:
            job.supplied += items
            self._scheduler.supply(job.id, items, ended=ended, now=time.monotonic())
        if ended:
            self._end_of(job, job.supplied, job.source.error)

    def _end_of(self, job: Job, total: int, error: BaseException | None) -> None:
        job.total = total
        job.sink.ended(total, error)
        self._finish(job)

    def _finish(self, job: Job) -> None:
        if job.is_over and self._jobs.pop(job.id, None) is not None:
            note_cost(job.function, self._scheduler.forget(job.id))
            job.source.close()
            job.stray.clear()
            number = job.function.number
            for link in self._links.values():
                if number in link.functions:
                    link.functions.discard(number)
                    link.tell(Frame(Kind.FORGET, number, 0, 0, 0.0, b""))
            if job.function.segment is not None:
                job.function.segment.close_descriptor()

    def _consumed(self, job: Job, items: int) -> None:
        job.consumed += items
        if job.id in self._jobs:
            self._scheduler.consumed(job.id, items, now=time.monotonic())
            self._allow(job)

    def _allow(self, job: Job) -> None:
        if isinstance(job.source, Feeder):
            job.source.allow(job.consumed + self._scheduler.window(job.id))

    def _cancel(self, job: Job, *, running: bool) -> None:
        if job.id not in self._jobs:
            return
        total = self._scheduler.cancel(job.id, running=running, now=time.monotonic())
        job.outcomes -= self._scheduler.withdrawn(job.id)  # those are not awaited any more
        job.source.close()
        if job.total is None or total < job.total:
            self._end_of(job, total, CancelledError())  # so that a cancelled map does not seem complete

    def _withdraw(self, job: Job, index: Callable[[], int], *, running: bool, done: Callable[[], None]) -> None:
        if job.id in self._jobs:
            self._scheduler.withdraw(job.id, index())
            self._perform()
            if running:
                self._scheduler.condemn(job.id, index())
        self._posted.append(done)  # after the effects of all this

    def _shut(self, *, cancel: bool, running: bool) -> None:
        self._closing = True
        for job in tuple(self._jobs.values()):
            if cancel or running or isinstance(job.source, Feeder):
                self._cancel(job, running=running)
            else:
                self._scheduler.hurry(job.id, now=time.monotonic())
                if not job.source.ended:
                    self._fed(job)
                    job.source.close()
                    self._fed(job)

    def _break(self, reason: str) -> None:
        detail = f": {self._trouble}" if self._trouble is not None else ""
        for job in tuple(self._jobs.values()):
            self._jobs.pop(job.id)
            job.sink.broken(ProcessError(f"{reason}{detail}"))
            job.source.close()
        self._trouble = None

    # ----------------------------------------------------------------------------------------------------- the workers

    def _hire(self, worker: WorkerId) -> None:
        try:
            process = self._make()
            link = Link(worker, process)
        except (Error, OSError) as error:
            self._trouble = error
            self._scheduler.lost(worker, now=time.monotonic())
            return
        self._links[worker] = link
        self._held[worker] = {}
        process.add_done_callback(lambda _process: self._post_end(link))

    def _post_end(self, link: Link) -> None:
        with contextlib.suppress(UsageError):  # the engine has ended, and its workers with it
            self.post(partial(self._bury, link))

    def _bury(self, link: Link) -> None:
        """Process the end of a worker's process."""
        while not link.eof and self._listen(link):
            pass
        self._perform()  # its last results may have earned it another chunk, which is taken back below
        self._silent.pop(link.worker, None)
        if link in self._leaving:
            self._leaving.discard(link)
            link.close()
            return
        untaken = link.recall()
        for chunk_id, held in self._held.pop(link.worker).items():
            self._stow(held)
            self._part_with(held, returned=chunk_id in untaken)
        del self._links[link.worker]
        self._trouble = self._deaths[link.worker] = error = link.death()
        if error.signal is signal.SIGKILL and kills_for_memory() > link.kills_before:
            self._starved.add(link.worker)
        self._scheduler.lost(link.worker, untaken, now=time.monotonic())
        self._perform()
        link.close()

    def _dismiss(self, link: Link) -> None:
        del self._links[link.worker], self._held[link.worker]
        self._leaving.add(link)
        link.dismiss()

    def _end_silent(self, now: float) -> None:
        for link in (*self._links.values(), *self._leaving):
            if now >= self._silent.get(link.worker, now + 1):
                del self._silent[link.worker]
                link.kill_soon()

    # ------------------------------------------------------------------------------------------------------ to workers

    def _send(self, worker: WorkerId, chunk: Chunk) -> None:
        link, job = self._links[worker], self._jobs[chunk.job]
        items = job.items(chunk.first, chunk.count)
        if len(items) < chunk.count:
            self._short(worker, chunk, job)
            return
        try:
            task, storage, along = self._loader.load(job, chunk, items)
        except Exception as error:  # noqa: BLE001 - whatever the items' classes raise, or no memory
            self._unsendable(worker, chunk, job, items, error)
            return
        if storage is not None:
            self._scheduler.weigh(job.id, storage.nbytes / chunk.count)
        self._loader.teach(link, job.function)
        self._held[worker][chunk.id] = Held(job, chunk.first, items, None if storage is None else storage.number)
        link.give(task, along)

    def _unsendable(self, worker: WorkerId, chunk: Chunk, job: Job, items: Sequence[Any], error: Exception) -> None:
        now = time.monotonic()
        if chunk.count > 1:  # one of them is to blame; which one shows when each is sent alone
            job.stray.update(zip(range(chunk.first, chunk.first + chunk.count), items, strict=True))
            self._scheduler.unsent(worker, chunk.id, again=True, now=now)
            return
        self._scheduler.unsent(worker, chunk.id, again=False, now=now)
        refusal = UsageError(f"item {chunk.first} of {job.function.name} cannot be sent to another process: {error}")
        refusal.__cause__ = error
        self._settle_error(job, chunk.first, refusal)

    def _short(self, worker: WorkerId, chunk: Chunk, job: Job) -> None:
        """Settle items that the source announced and did not deliver."""
        self._scheduler.unsent(worker, chunk.id, again=False, now=time.monotonic())
        for index in range(chunk.first, chunk.first + chunk.count):
            self._settle_error(
                job, index, UsageError(f"the items of {job.function.name} changed while they were mapped")
            )

    def _recall(self, worker: WorkerId) -> None:
        link = self._links.get(worker)
        if link is None:
            return
        back = link.recall()
        for chunk_id in back:
            held = self._held[worker].pop(chunk_id)
            self._stow(held)
            self._part_with(held, returned=True)
        self._scheduler.recalled(worker, back, now=time.monotonic())

    # ---------------------------------------------------------------------------------------------------- from workers

    def _listen(self, link: Link) -> bool:
        """Process what a worker has sent; single results of the same chunk are settled together."""
        run: list[Any] = []
        heard, seconds, last = False, 0.0, 0
        for frame in link.hear():
            heard = True
            if frame.kind == Kind.DONE and frame.flags == Flag.ALONE and (not run or frame.chunk == last):
                try:
                    run.append(unpack_cargo(frame.body))
                except Exception:  # noqa: BLE001, S110 - `_hear` below meets the same, and reports it
                    pass
                else:
                    seconds, last = seconds + frame.seconds, frame.chunk
                    continue
            if run:
                self._settle_run(link, ChunkId(last), run, seconds)
                run, seconds = [], 0.0
            self._hear(link, frame)
        if run:
            self._settle_run(link, ChunkId(last), run, seconds)
        if link.eof and link.worker not in self._silent:
            self._silent[link.worker] = time.monotonic() + _SILENCE
        return heard

    def _settle_run(self, link: Link, chunk_id: ChunkId, values: Sequence[Any], seconds: float) -> None:
        held = self._held[link.worker][chunk_id]
        self._settle(link, chunk_id, held, len(values), Answer(values), seconds, returned=False)

    def _hear(self, link: Link, frame: Frame) -> None:
        if frame.kind == Kind.HELLO:
            self._scheduler.ready(link.worker, now=time.monotonic())
            return
        chunk_id = ChunkId(frame.chunk)
        held = self._held[link.worker][chunk_id]
        if frame.kind == Kind.REST:
            self._again(link, chunk_id, held, careful=bool(frame.flags & Flag.CAREFUL))
            return
        try:
            answer = read(held.job, held.first + held.done, frame, link)
        except UnreadableError:
            self._again(link, chunk_id, held, careful=True)
            return
        returned = bool(frame.flags & Flag.RETURNED)
        self._settle(link, chunk_id, held, frame.items, answer, frame.seconds, returned=returned)

    def _again(self, link: Link, chunk_id: ChunkId, held: Held, *, careful: bool) -> None:
        """Take back the rest of a chunk."""
        del self._held[link.worker][chunk_id]
        self._stow(held)
        self._part_with(held, returned=False)
        self._scheduler.gave_back(link.worker, chunk_id, careful=careful, now=time.monotonic())

    def _settle(
        self, link: Link, chunk_id: ChunkId, held: Held, items: int, answer: Answer, seconds: float, *, returned: bool
    ) -> None:
        job, first = held.job, held.first + held.done
        again = self._scheduler.returned(
            link.worker, chunk_id, items, answer.errors, seconds=seconds, now=time.monotonic()
        )
        for index in again or ():
            job.stray[index] = held.items[index - held.first]
        held.done += items
        if held.done == len(held.items):
            del self._held[link.worker][chunk_id]
            self._part_with(held, returned=returned)
        if again is None:
            return
        if answer.nbytes:
            self._scheduler.weigh(job.id, answer.nbytes / items)
        if not answer.errors:
            job.outcomes += items
            job.sink.settled(first, answer.values)
        else:
            self._settle_mixed(job, first, answer, again)
        if isinstance(job.source, Feeder) and job.id in self._jobs:
            self._allow(job)
        if job.total is not None:
            self._finish(job)

    def _settle_mixed(self, job: Job, first: int, answer: Answer, again: Collection[int]) -> None:
        for index, value in enumerate(answer.values, first):
            if index in again:
                continue
            job.outcomes += 1
            if index in answer.errors:
                job.sink.failed(index, answer.errors[index])
            else:
                job.sink.settled(index, (value,))

    def _settle_error(self, job: Job, index: int, error: BaseException) -> None:
        job.outcomes += 1
        job.sink.failed(index, error)
        self._finish(job)

    def _stow(self, held: Held) -> None:
        """Keep the items of a chunk that have no result, to be sent again."""
        start = held.first + held.done
        held.job.stray.update(zip(range(start, held.first + len(held.items)), held.items[held.done :], strict=True))

    def _part_with(self, held: Held, *, returned: bool) -> None:
        if held.storage is not None:
            (self._storage.give_back if returned else self._storage.part_with)(held.storage)

    # --------------------------------------------------------------------------------------------------------- the end

    def _is_done(self) -> bool:
        return self._closing and not self._jobs and not self._posted

    def _end(self) -> None:
        with self._ringing:
            self._over = True
        while self._posted:
            call = self._posted.popleft()
            if not (isinstance(call, partial) and call.func == self._bury):
                self._try(call)
        self._break("the swarm has ended")
        links = (*self._links.values(), *self._leaving)
        for link in self._links.values():
            link.dismiss()
        deadline = time.monotonic() + _GRACE
        for link in links:
            link.end(deadline)
            link.close()
        self._storage.close()
        descriptor.close(self._bell, self._bell_end)

    def _try(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception:  # noqa: BLE001 - it came too late
            LOG.debug("a call came after the end of a swarm", exc_info=True)
