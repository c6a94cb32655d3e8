"""What is to be done with which items, and where what came of them goes.

The law: a job is complete when it is handed to the engine, and from then on the engine's alone.
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
    """Where what came of a job's items goes; called by the engine's thread, and must not wait."""

    def settled(self, first: int, values: Sequence[Any]) -> None:
        """Take the results of some items, from a place on."""
        ...

    def failed(self, index: int, error: BaseException) -> None:
        """Take the error of one item."""
        ...

    def broken(self, error: BaseException) -> None:
        """Hear that nothing more is settled."""
        ...

    def ended(self, total: int, error: BaseException | None) -> None:
        """Hear how many items there are, and what was raised in place of the next."""
        ...


@dataclass(eq=False)
class Function:
    """What is called with each item, as it travels.

    Attributes:
        name: what it is called in messages.
        cargo: itself, packed.
        origin: the function itself, if it is one that can be remembered.
        module: the module that travels with it, because another process would not find it.
        number: what workers know it by.
        segment: where it lies, if it is long.
        layout: where in it.
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
        """Pack a function, with what goes with each call of it.

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
    """A map, or calls that were submitted on the same terms.

    Attributes:
        function: what is called with each item.
        source: the items.
        sink: where what came of them goes.
        terms: how they are to be done.
        id: what the scheduler knows it by.
        stray: items that were sent, or put there, and are to be sent again.
        fresh: the place of the next item that comes from the source.
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
        """Name an item in messages."""
        return "a call" if self.function.cargo is None else f"item {index} of {self.function.name}"

    @property
    def is_over(self) -> bool:
        """Whether everything is settled."""
        return self.total is not None and self.outcomes >= self.total

    def items(self, first: int, count: int) -> list[Any]:
        """Take items, new ones or such as come again; fewer if the source has fewer than it said."""
        if first < self.fresh:
            return [self.stray.pop(index) for index in range(first, first + count)]
        if first > self.fresh:  # those between were withdrawn
            self.source.take(first - self.fresh)
        self.fresh = first + count
        return self.source.take(count)


@dataclass(slots=True)
class Held:
    """A chunk in a worker's hands: its items, until their results are there."""

    job: Job
    first: int
    items: Sequence[Any]
    storage: int | None
    done: int = 0


_costs: weakref.WeakKeyDictionary[Callable[..., Any], float] = weakref.WeakKeyDictionary()


def known_cost(function: Function) -> float | None:
    """Tell how long an item of a function took the last time, in seconds."""
    return None if function.origin is None else _costs.get(function.origin)


def note_cost(function: Function, cost: float | None) -> None:
    """Remember that."""
    if cost is not None and function.origin is not None:
        _costs[function.origin] = cost
