"""A job: a function, its items, and where the outcomes go.

The law: a job is complete when it is handed to the engine, and from then on belongs to the engine alone.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import FunctionType, ModuleType
from typing import Any, Protocol

from zproc.core.assignment import Terms
from zproc.process import Cargo, Packer, Segment, parcel
from zproc.swarm.source import Source
from zproc.swarm.worker import bound
from zproc.typing import JobId

__all__ = ["Function", "Held", "Job", "Sink", "known_cost", "note_cost"]


class Sink(Protocol):
    """Receives the outcomes of a job's items; called by the engine's thread, and must not block."""

    def settled(self, first: int, values: Sequence[Any]) -> None:
        """Take the results of consecutive items."""
        ...

    def failed(self, index: int, error: BaseException) -> None:
        """Take the error of one item."""
        ...

    def broken(self, error: BaseException) -> None:
        """Take note that nothing more will be settled."""
        ...

    def ended(self, total: int, error: BaseException | None) -> None:
        """Take note of how many items there are, and of what was raised in place of the next."""
        ...


@dataclass(eq=False)
class Function:
    """What is called with each item, pickled.

    Attributes:
        name: its name in messages.
        cargo: its pickle; ``None`` if each item is a whole call.
        module: a module to be pickled by value with it, because another process could not import it.
        origin: the function itself, if its cost can be remembered.
        number: the number by which workers know it.
        segment: where its pickle lies, if it is long.
        layout: where in the segment.
    """

    name: str
    cargo: Cargo | None
    module: ModuleType | None = None
    origin: Callable[..., Any] | None = None
    number: int = 0
    segment: Segment | None = None
    layout: tuple[int, ...] = ()

    @classmethod
    def of(
        cls,
        function: Callable[..., Any],
        first: Sequence[Any] = (),
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        spread: bool = False,
    ) -> Function:
        """Pickle a function, with the arguments that all its calls share.

        Raises:
            UsageError: something of it cannot be sent to another process.
        """
        module = parcel.unfindable(function)
        call = parcel.Call(bound, (function, tuple(first), tuple(args), dict(kwargs or {})), {"spread": spread})
        name = getattr(function, "__qualname__", type(function).__qualname__)
        try:
            return cls(name, Packer().pack(call, module), module, function if type(function) is FunctionType else None)
        except Exception as error:
            raise parcel.unsendable(function, error) from error


@dataclass(eq=False)
class Job:
    """A map, or calls that were submitted with the same terms.

    Attributes:
        function: what is called with each item.
        source: the items.
        sink: where the outcomes go.
        terms: how the items are to be processed.
        id: the id by which the scheduler knows it.
        stray: items to be sent again, by index.
        fresh: the index of the next item from the source.
        supplied: how many items there are so far.
        outcomes: how many were settled.
        total: how many there are in all, once that is known.
        consumed: how many outcomes were taken.
    """

    function: Function
    source: Source
    sink: Sink
    terms: Terms
    id: JobId = field(default=JobId(0))
    stray: dict[int, Any] = field(default_factory=dict)
    fresh: int = 0
    supplied: int = 0
    outcomes: int = 0
    total: int | None = None
    consumed: int = 0

    def label(self, index: int) -> str:
        """Return the name of an item in messages."""
        return "a call" if self.function.cargo is None else f"item {index} of {self.function.name}"

    @property
    def is_over(self) -> bool:
        """Whether everything is settled."""
        return self.total is not None and self.outcomes >= self.total

    def items(self, first: int, count: int) -> list[Any]:
        """Take items, fresh or stray; fewer if the source delivers fewer than it announced."""
        if first < self.fresh:
            return [self.stray.pop(index) for index in range(first, first + count)]
        if first > self.fresh:  # those between were withdrawn
            self.source.take(first - self.fresh)
        self.fresh = first + count
        return self.source.take(count)


@dataclass(slots=True)
class Held:
    """A chunk that a worker has: its items, until their results are there."""

    job: Job
    first: int
    items: Sequence[Any]
    storage: int | None
    done: int = 0


_costs: weakref.WeakKeyDictionary[Callable[..., Any], float] = weakref.WeakKeyDictionary()


def known_cost(function: Function) -> float | None:
    """Return how long an item of a function took the last time, in seconds, if known."""
    return None if function.origin is None else _costs.get(function.origin)


def note_cost(function: Function, cost: float | None) -> None:
    """Remember how long an item took."""
    if cost is not None and function.origin is not None:
        _costs[function.origin] = cost
