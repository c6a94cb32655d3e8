"""Commits and the changes that they are made of, as programs see them.

The law: an event holds copies, so it never changes; and nothing of a commit is left out, so the events of a period,
replayed in order, lead from the state before it to the state after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Literal, TypeAlias, assert_never, cast

from pydantic import ValidationError
from typing_extensions import TypeVar

from zproc.schema import change
from zproc.schema.ops import MISSING, Add, Delete, Discard, Set, Splice, Update
from zproc.schema.path import format_path
from zproc.schema.shape import Shape, shape_at
from zproc.schema.snapshot import accepted, frozen
from zproc.schema.values import SCALARS
from zproc.typing import Revision

__all__ = ["Author", "Change", "Commit", "Kind", "Resync", "change_of"]

S_co = TypeVar("S_co", covariant=True)
V_co = TypeVar("V_co", default=object, covariant=True)

Kind: TypeAlias = Literal["set", "create", "delete", "splice", "add", "discard"]
"""What a change did: ``"set"`` gave a place another value, ``"create"`` and ``"delete"`` made and removed a key of a
dict, ``"splice"`` replaced elements of a list, ``"add"`` and ``"discard"`` put elements into a set and out of it."""


@dataclass(frozen=True, slots=True)
class Change(Generic[V_co]):
    """One thing that a commit did.

    It is generic in the values of the place, as far as they are known to a type checker: those that `Watch` gives are.

    Attributes:
        path: where, as a dotted path; of a splice, the path of the list.
        kind: what it was.
        old: what stood there before, ``None`` if nothing did; of a splice the elements that were removed.
        new: what stands there since, ``None`` if nothing does; of a splice the elements that were inserted.
        at: of a splice, the index in the list.
    """

    path: str
    kind: Kind
    old: V_co | None
    new: V_co | None
    at: int | None = None


@dataclass(frozen=True, slots=True)
class Author:
    """Who made a commit.

    Attributes:
        pid: the process.
        process: its name.
        function: the atomic function or action, by its name; empty for an assignment.
    """

    pid: int
    process: str
    function: str


@dataclass(frozen=True, slots=True)
class Commit:
    """All that happened to a state at once.

    Attributes:
        revision: the number of the state that it made; they count from 1, without gaps.
        epoch: the life of the server that the number is of.
        time: when, in seconds since 1970, by the server's clock.
        author: who made it.
        changes: what it did, in order.
    """

    revision: Revision
    epoch: str
    time: float
    author: Author
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Resync(Generic[S_co]):
    """In a stream of events: some were dropped before they could be told; this is the state to go on from.

    Attributes:
        revision: the number of the state.
        snapshot: the state.
    """

    revision: Revision
    snapshot: S_co


def change_of(shape: Shape, done: change.Change) -> Change:
    """Return the event of a change.

    Args:
        shape: of the state.
        done: the change, with plain values.
    """
    op = done.op
    path = op.path
    where, there = format_path(path), shape_at(shape, path)
    match op:
        case Set():
            value = _typed(there, op.value)
            if done.old is MISSING:
                return Change(where, "create", None, value)
            return Change(where, "set", _typed(there, done.old), value)
        case Delete():
            return Change(where, "delete", _typed(there, done.old), None)
        case Splice(_, at, _, inserted):
            item = shape_at(shape, (*path, 0))
            old, new = (
                [_typed(item, value) for value in values] for values in (cast("list[object]", done.old), inserted)
            )
            return Change(where, "splice", old, new, at)
        case Add(_, values):
            return Change(where, "add", None, set(values))
        case Discard(_, values):
            return Change(where, "discard", set(values), None)
        case Update():
            raise AssertionError("an Update is recorded as the Set that it comes to")
        case _:
            assert_never(op)


def _typed(shape: Shape | None, value: object) -> object:
    """Return plain data as what may stand somewhere, frozen; as it is where the address alone does not tell that."""
    if shape is None:
        return value
    try:
        valid = shape.check(value)
    except ValidationError:  # an event must not be lost because a validator does not take what it has made itself
        try:
            valid = accepted(shape, value)
        except ValidationError:
            return value
    return valid if type(valid) in SCALARS else frozen(valid)
