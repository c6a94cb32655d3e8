"""One recorded step of a transaction, and its inverse.

The law: the changes of a commit, replayed in order on the state before it, give the state after it; their inverses,
replayed backwards, give the state before it again. Both preserve the order of a dict's keys.
"""

from __future__ import annotations

from typing import TypeAlias, assert_never, cast

from pydantic import BaseModel

from zproc.schema.ops import MISSING, Add, Delete, Discard, Op, Set, Splice, Update, get, put
from zproc.schema.order import KeyOrders
from zproc.schema.record import record
from zproc.schema.values import same
from zproc.typing import Key, Path

__all__ = ["Change", "Container", "Replay", "perform"]

Container: TypeAlias = "BaseModel | dict[Key, object] | list[object] | set[object]"


@record
class Change:
    """One thing that a transaction did: the op, with final values, and what stood there before.

    Attributes:
        op: a Set, Delete, Splice, Add or Discard, never an Update; with plain copies, because what was put goes on
            changing.
        old: the value before, MISSING for a new key; of a Splice the removed elements, as a list.
        follower: of a Delete, the key that came after the deleted one, MISSING if it was the last.
    """

    op: Op
    old: object
    follower: Key = MISSING

    def inverse(self) -> Op:
        """The op that takes this one back."""
        match self.op:
            case Set(path):
                return Delete(path) if self.old is MISSING else Set(path, self.old)
            case Delete(path):
                return Set(path, self.old, self.follower)
            case Splice(path, at, _, inserted):
                return Splice(path, at, len(inserted), tuple(cast("list[object]", self.old)))
            case Add(path, values):
                return Discard(path, values)
            case Discard(path, values):
                return Add(path, values)
            case Update():
                raise AssertionError("an Update is recorded as the Set that it comes to")
            case _:
                assert_never(self.op)

    def moved(self, path: Path) -> Path | None:
        """Return where a thing stands after this change, given where it stood before; ``None`` if it is gone.

        What was changed within a thing is still that thing; what was put in its place is not, unless it is the same.
        """
        op, depth = self.op, len(self.op.path)
        if path[:depth] != op.path or isinstance(op, (Add, Discard)):
            return path
        if isinstance(op, Set):
            return path if same(self.was(path), _below(op.value, path[depth:])) else None
        if isinstance(op, Delete):
            return None
        assert isinstance(op, Splice), "an Update is recorded as the Set that it comes to"
        assert op.at is not None, "recorded splices know their place"
        if len(path) == depth:
            return path
        place, removed = cast("int", path[depth]) - op.at, len(cast("list[object]", self.old))
        if place < 0:
            return path
        if place >= removed:
            return (*op.path, op.at + place - removed + len(op.insert), *path[depth + 1 :])
        is_there = place < len(op.insert) and same(self.was(path), _below(op.insert[place], path[depth + 1 :]))
        return path if is_there else None

    def was(self, path: Path) -> object:
        """Return what stood, before this change, at an address that this change has taken it from."""
        depth = len(self.op.path)
        if isinstance(self.op, Splice):
            return _below(self.old, (cast("int", path[depth]) - cast("int", self.op.at), *path[depth + 1 :]))
        return _below(self.old, path[depth:])


def _below(value: object, keys: Path) -> object:
    for key in keys:
        value = get(value, key)
    return value


class Replay:
    """Applies recorded ops to one tree, one after the other; at the end, the keys of dicts are in order."""

    __slots__ = ("_orders",)

    def __init__(self) -> None:
        self._orders = KeyOrders()

    def do(self, root: object, op: Op) -> None:
        """Apply a recorded op to the tree; see `perform`."""
        node = perform(root, op)
        if type(node) is not dict:
            return
        if type(op) is Set:
            self._orders.put(node, op.path, op.before)
        elif type(op) is Delete:
            self._orders.remove(node, op.path[-1])

    def finish(self) -> None:
        """Rearrange the keys of the dicts."""
        self._orders.arrange()


def perform(root: object, op: Op) -> object:
    """Apply a recorded op to an equal tree, without any validation; the tree may be of plain data.

    Args:
        root: the tree: a model, or a dict of its fields.
        op: one that a transaction recorded, or the inverse of one.

    Returns:
        What the last key of the op's address is a key of.
    """
    node = root
    for key in op.path[:-1]:
        node = get(node, key)
    key = op.path[-1]
    match op:
        case Set(_, value):
            put(node, key, value)
        case Delete():
            # What was held at a new key is gone already, if it was taken out again.
            cast("dict[Key, object]", node).pop(key, None)
        case Splice(_, at, remove, values):
            assert at is not None, "recorded splices know their place"
            cast("list[object]", get(node, key))[at : at + remove] = values
        case Add(_, values):
            cast("set[object]", get(node, key)).update(values)
        case Discard(_, values):
            cast("set[object]", get(node, key)).difference_update(values)
        case Update():
            raise AssertionError("an Update is recorded as the Set that it comes to")
        case _:
            assert_never(op)
    return node
