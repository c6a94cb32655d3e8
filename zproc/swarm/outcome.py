"""The outcomes of items: read from what a worker has sent, or inferred from its death.

The law: an exception of the function is passed on as it is, with its traceback in the worker. Anything else is an error
of zproc, which says what was being done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from typing import Any

from zproc.core.assignment import Loss
from zproc.exceptions import ProcessError, RemoteError, WaitTimeout, WorkerDied
from zproc.process import Loan, Process, Segment, parcel, unpack_cargo
from zproc.swarm.channel import Flag, Frame, located
from zproc.swarm.job import Job
from zproc.swarm.link import Link

__all__ = ["Answer", "UnreadableError", "lost_item", "read"]


class UnreadableError(Exception):
    """Results that came together cannot be unpickled here; one of them is to blame."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcomes of some items.

    Attributes:
        values: the results, in order; arbitrary where there is an error.
        errors: the errors, by the indexes of the items.
        nbytes: their length, if they came in a segment.
    """

    values: Sequence[Any]
    errors: Mapping[int, BaseException] = field(default_factory=dict)
    nbytes: int = 0


def read(job: Job, first: int, frame: Frame, link: Link) -> Answer:
    """Read the outcomes of the next items of a chunk.

    Args:
        job: the job.
        first: the index of the first of these items.
        frame: what the worker has sent.
        link: the worker.

    Raises:
        UnreadableError: there are several, and they cannot be unpickled together.
    """
    nbytes = 0
    try:
        if frame.flags & Flag.SEGMENT:
            _, nbytes, layout = located(frame.body)
            segment = Segment(nbytes, link.next_descriptor())
            segment.close_descriptor()
            value = Loan(segment, layout).read()
        else:
            value = unpack_cargo(frame.body)
    except Exception as error:
        if not frame.flags & Flag.ALONE:
            raise UnreadableError from error
        remote = RemoteError(
            "returned what cannot be read here", link.process.name, link.process.pid, error=parcel.describe(error)
        )
        remote.__cause__ = error
        return Answer((None,), {first: remote})
    if frame.flags & Flag.FAILED:
        return Answer((None,), {first: _error(value, job, first, link.process)}, nbytes)
    if frame.flags & Flag.ALONE:
        return Answer((value,), {}, nbytes)
    if frame.flags & Flag.MIXED:
        values, packed = value
        raised = {first + place: parcel.unpack(data) for place, data in packed.items()}
        found = {index: _error(each, job, index, link.process) for index, each in raised.items()}
        return Answer(values, found, nbytes)
    return Answer(value, {}, nbytes)


def _error(raised: parcel.Raised, job: Job, index: int, process: Process[Any]) -> BaseException:
    original = parcel.unpack_error(raised)
    if isinstance(original, Exception) and raised.reason == "raised":
        original.add_note(f"raised in {process.name} (pid {process.pid}), {job.label(index)}")
        return original
    error = RemoteError(
        raised.reason,
        name=process.name,
        pid=process.pid,
        error=raised.error,
        traceback=raised.traceback,
        kinds=raised.kinds,
    )
    error.__cause__ = original
    return error


def lost_item(job: Job, index: int, loss: Loss, death: ProcessError | None, *, starved: bool) -> BaseException:
    """Return the error of an item that has no outcome of its own."""
    match loss:
        case Loss.CANCELLED:
            return CancelledError()
        case Loss.TIMED_OUT:
            return WaitTimeout(f"{job.label(index)} returns", job.terms.timeout or 0.0)
        case Loss.DIED:
            assert death is not None
            item = None if job.function.cargo is None else index
            return WorkerDied(death.reason, death.name, death.pid, death.exitcode, item, starved)
