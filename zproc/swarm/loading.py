"""Pickling items and functions for workers.

The law: the items of a chunk are pickled together, unless each is to have an outcome of its own: then separately, so
that one that cannot be unpickled harms no other. A function is sent to each worker once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from zproc.core.assignment import Chunk
from zproc.process import Cargo, Packer, Segment
from zproc.swarm.channel import Flag, Frame, Kind, Task, locate
from zproc.swarm.job import Function, Job
from zproc.swarm.link import Link
from zproc.swarm.storage import Storage

__all__ = ["HARMLESS", "Loader", "Place"]

HARMLESS: Final = frozenset({int, float, complex, str, bytes, bool, type(None)})
"""Types that are immutable and always can be unpickled."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where items lie that are too long for a message.

    Attributes:
        number: the number of the segment.
        nbytes: their length.
    """

    number: int
    nbytes: int


class Loader:
    """Pickles what workers are sent.

    Args:
        storage: where to put what is too long for a message.
    """

    def __init__(self, storage: Storage) -> None:
        self._packer = Packer()
        self._storage = storage

    def load(self, job: Job, chunk: Chunk, items: Sequence[Any]) -> tuple[Task, Place | None, Sequence[int]]:
        """Pickle a chunk; return the message, where its items lie if not in it, and the descriptors to pass along.

        Raises:
            Exception: whatever the items' classes raise.
            OSError: there is no memory left for them.
        """
        cargo, flags = self._packed(job, chunk, items)
        place: Place | None = None
        along: Sequence[int] = ()
        if cargo.is_short:
            body = cargo.joined()
        else:
            number, segment, layout = self._storage.place(cargo)
            body, flags, along = locate(number, segment, layout), flags | Flag.SEGMENT, (segment.descriptor,)
            place = Place(number, cargo.nbytes)
        return Task(chunk.id, job.function.number, chunk.count, flags, chunk.budget or 0.0, body), place, along

    def _packed(self, job: Job, chunk: Chunk, items: Sequence[Any]) -> tuple[Cargo, int]:
        module = job.function.module
        if job.function.cargo is None:
            return self._packed_calls(items)
        if chunk.count == 1:
            return self._packer.pack(items[0], module), Flag.ALONE
        if not chunk.careful:
            return self._packer.pack(items, module), 0
        if HARMLESS.issuperset(map(type, items)):
            return self._packer.pack(items), Flag.CAREFUL
        packed = [self._packer.pack_whole(item, module) for item in items]
        return self._packer.pack(packed), Flag.CAREFUL | Flag.PACKED

    def _packed_calls(self, calls: Sequence[Any]) -> tuple[Cargo, int]:
        """Pickle calls, except those that were pickled when they were submitted."""
        if len(calls) == 1:
            return self._packed_call(calls[0]), Flag.ALONE
        if Cargo not in map(type, calls):
            return self._packer.pack(calls), Flag.CAREFUL
        packed = [self._packed_call(call).joined() for call in calls]
        return self._packer.pack(packed), Flag.CAREFUL | Flag.PACKED

    def _packed_call(self, call: Any) -> Cargo:
        return call if type(call) is Cargo else self._packer.pack(call)

    def teach(self, link: Link, function: Function) -> None:
        """Send a function to a worker, unless it has it."""
        cargo = function.cargo
        if cargo is None or function.number in link.functions:
            return
        link.functions.add(function.number)
        if cargo.is_short:
            link.tell(Frame(Kind.FUNCTION, function.number, 0, 0, 0.0, cargo.joined()))
            return
        if function.segment is None:
            function.segment = Segment.room_for(cargo)
            function.layout = function.segment.fill(cargo)
        body = locate(0, function.segment, function.layout)
        link.tell(Frame(Kind.FUNCTION, function.number, 0, Flag.SEGMENT, 0.0, body), (function.segment.descriptor,))
