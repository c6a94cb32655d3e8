"""The tree that a transaction works on: walking to a place, copying before writing, holding what is not valid yet.

The law:

* Nothing is changed that the transaction does not own. In a private transaction it owns only its copies; in any other
  the whole tree, except what is held.
* A place is *held* when what stands there is to be validated at the end only, as a whole: because it was not valid when
  it was put, or because its parts depend on each other. Its original is kept aside, untouched, and a copy stands in for
  it, copied further as it is changed. No held place is below another.
* Held places move with the elements of their lists.
* The undo log leads back to the tree as it was, whatever is held.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar, cast

from pydantic import BaseModel

from zproc.exceptions import UnknownPath
from zproc.schema.change import Change, Container, Replay
from zproc.schema.faults import fault
from zproc.schema.ops import MISSING, Delete, Set, get, put
from zproc.schema.path import format_path, no_field
from zproc.schema.shape import Kind, Shape, shape_of
from zproc.typing import Key, Path

__all__ = ["Passed", "Place", "Tree"]

Value = TypeVar("Value")

_CONTAINERS = (BaseModel, dict, list, set)


@dataclass(slots=True)
class Place:
    """Where an op goes.

    Attributes:
        path: its address, with indices from the start of their lists.
        container: what it is a key of.
        key: which.
        shape: what may stand there.
        around: what the container is.
        loose: it is at or below a held place: anything may be put there.
        opaque: what may stand there is known only when the whole around it is validated.
        nodes: the containers from the root to this one.
    """

    path: Path
    container: Container
    key: Key
    shape: Shape
    around: Shape
    loose: bool
    opaque: bool
    nodes: list[Container]


@dataclass(slots=True)
class Passed:
    """A container that a change was made in or below, and the way to it as it was then.

    Attributes:
        node: the container.
        nodes: the containers above it, from the root.
        path: the keys on that way.
        shape: what it is.
    """

    node: Container
    nodes: tuple[Container, ...]
    path: Path
    shape: Shape

    def current_path(self) -> Path | None:
        """Return where it stands now; ``None`` when it has left the tree."""
        path: Path = ()
        for container, key, child in zip(self.nodes, self.path, (*self.nodes, self.node)[1:], strict=True):
            if get(container, key) is not child:
                if not isinstance(container, list):
                    return None
                moved = next((index for index, item in enumerate(container) if item is child), None)
                if moved is None:
                    return None
                path = (*path, moved)
            else:
                path = (*path, key)
        return path


class Tree:
    """A state that is being changed.

    Args:
        root: the state.
        private: copy every container before its first change instead of changing it in place.
        fresh: the root was made for this, and need not be copied.
    """

    __slots__ = ("_held", "_original", "_owned", "_private", "_undo", "passed", "root", "shape")

    def __init__(self, root: BaseModel, *, private: bool, fresh: bool = False) -> None:
        self.root: BaseModel = root
        self.shape: Shape = shape_of(type(root))
        self.passed: dict[int, Passed] = {}
        """The models with validators of their own, and the containers with limits, that changes were made in or below.
        """
        self._original = root
        self._private = private
        self._owned: dict[int, object] = {id(root): root} if fresh else {}
        self._held: dict[Path, object] = {}
        self._undo: list[Change] = []

    # Walking

    def read(self, path: Path) -> object:
        """Return what stands at an address.

        Raises:
            UnknownPath: nothing does.
        """
        node: object = self.root
        for depth, key in enumerate(path):
            node = get(node, key)
            if node is MISSING:
                raise UnknownPath(format_path(path), f"there is no {format_path(path[: depth + 1])!r}")
        return node

    def shape_at(self, path: Path) -> Shape:
        """Return what may stand at an address."""
        node: object = self.root
        shape = self.shape
        for key in path:
            shape = shape.child(node, key)
            node = get(node, key)
        return shape

    def locate(self, path: Path, *, assign: bool = False) -> Place:
        """Walk to the container of an address, so that it may be changed.

        Raises:
            UnknownPath: the address leads nowhere.
            ValidationRefused: something on the way is frozen.
        """
        if not path:
            raise UnknownPath("", "the state as a whole cannot be replaced; set its fields")
        shape = self.shape
        node: Container = self._own_root()
        nodes: list[Container] = [node]
        loose, opaque = bool(self._held) and () in self._held, False
        if shape.whole and not loose:
            self.hold(())
            loose = True
        last = len(path) - 1
        for depth, key in enumerate(path):
            if isinstance(node, BaseModel):
                self._pass_model(node, nodes, shape, path[: depth + 1], assigned=assign and depth == last, loose=loose)
            elif type(key) is int and key < 0 and isinstance(node, list):
                if key < -len(node):
                    raise UnknownPath(format_path(path), f"a list of {len(node)} elements has no place {key}")
                path = (*path[:depth], key + len(node), *path[depth + 1 :])
                key = path[depth]  # noqa: PLW2901 - as above
            around, shape = shape, shape.child(node, key)
            if depth == last:
                return Place(path, node, key, shape, around, loose, opaque, nodes)
            here = path[: depth + 1]
            if not isinstance(get(node, key), _CONTAINERS):
                raise self._no_way(node, key, path, here)
            if not loose:
                loose = self._is_loose(shape, here)
            opaque = opaque or _is_opaque(shape)
            node = self.own(node, key, loose=loose)
            nodes.append(node)
        raise AssertionError("the loop returns at the last key")

    def enter(self, place: Place) -> Container:
        """Return the container at a place itself, so that it may be changed; the place becomes loose with it."""
        if not place.loose:
            place.loose = self._is_loose(place.shape, place.path)
        place.opaque = place.opaque or _is_opaque(place.shape)
        return self.own(place.container, place.key, loose=place.loose)

    def _is_loose(self, shape: Shape, path: Path) -> bool:
        if shape.whole:
            self.hold(path)
            return True
        return bool(self._held) and path in self._held

    @staticmethod
    def _no_way(node: Container, key: Key, path: Path, here: Path) -> UnknownPath:
        found = get(node, key)
        if found is not MISSING:
            return UnknownPath(
                format_path(path), f"nothing can stand below {format_path(here)!r}, which is {found!r:.80}"
            )
        if isinstance(node, BaseModel):
            return no_field(type(node), key, format_path(path))
        return UnknownPath(format_path(path), f"there is no {format_path(here)!r}")

    def _pass_model(
        self, node: BaseModel, nodes: list[Container], shape: Shape, here: Path, *, assigned: bool, loose: bool
    ) -> None:
        own = shape if shape.model is type(node) else shape_of(type(node))
        if own.frozen:
            raise fault(here, "frozen_instance", f"{type(node).__name__} is frozen", here[-1])
        if assigned and here[-1] in own.frozen_fields:
            raise fault(here, "frozen_field", "the field is frozen", here[-1])
        if own.after and not loose and id(node) not in self.passed:
            self.passed[id(node)] = Passed(node, tuple(nodes[:-1]), here[:-1], own)

    def remember(self, passed: Passed) -> None:
        """Remember that a container with limits of length was changed."""
        self.passed.setdefault(id(passed.node), passed)

    def take_containers(self) -> list[Passed]:
        """Return the containers that were remembered and forget them; models stay."""
        found = [passed for passed in self.passed.values() if not isinstance(passed.node, BaseModel)]
        for passed in found:
            del self.passed[id(passed.node)]
        return found

    # Owning

    def _own_root(self) -> BaseModel:
        if self._private and id(self.root) not in self._owned:
            self.root = cast("BaseModel", _shallow(self.root))
            self._owned[id(self.root)] = self.root
        return self.root

    def own(self, container: Container, key: Key, *, loose: bool) -> Container:
        """Return a container's child for changing: itself, or a copy that has taken its place."""
        child = cast("Container", get(container, key))
        if (loose or self._private) and id(child) not in self._owned:
            child = self.adopt(_shallow(child))
            put(container, key, child)
        return child

    def adopt(self, value: Value) -> Value:
        """Remember that a value just made is this transaction's own, so that it need not be copied before a change."""
        if isinstance(value, _CONTAINERS):
            self._owned[id(value)] = value
        return value

    # Holding

    def hold(self, path: Path) -> None:
        """Hold a place that is not below a held one: what stands there, or nothing, is its original.

        What was held below it is a part of it from now on.
        """
        if path in self._held:
            return
        inner = [(below, self.read(below)) for below in self._held if below[: len(path)] == path]
        for below, _ in inner:
            self._restore(below)
        original: object
        if path:
            container = cast("Container", self.read(path[:-1]))
            original = get(container, path[-1])
            self._undo.append(Change(Set(path, None), original))
            if isinstance(original, _CONTAINERS):
                put(container, path[-1], self.adopt(_shallow(original)))
        else:
            original = copy.copy(self.root.__dict__)
            for name in self.shape.fields:
                if name in original:
                    self._undo.append(Change(Set((name,), None), original[name]))
        self._held[path] = original
        for below, value in inner:
            node: Container = self._own_root()
            for depth, key in enumerate(below[:-1]):
                node = self.own(node, key, loose=depth >= len(path))
            put(node, below[-1], value)

    def original(self, place: Place) -> object:
        """Return what stands at a place, or stood there before it was held; MISSING for nothing."""
        if self._held and place.path in self._held:
            return self._held[place.path]
        return get(place.container, place.key)

    def release(self, path: Path) -> None:
        """Restore the originals held at and below an address, because something else will be put there."""
        if self._held:
            for below in [held for held in self._held if held[: len(path)] == path]:
                self._restore(below)

    def _restore(self, path: Path) -> None:
        original = self._held.pop(path)
        node = self.read(path[:-1])
        if original is MISSING:
            cast("dict[Key, object]", node).pop(path[-1], None)
        else:
            put(node, path[-1], original)

    def shift(self, path: Path, at: int, removed: int, inserted: int) -> None:
        """Make ready for a splice of the list at an address: release what it removes, move what it moves."""
        depth = len(path)
        below = [held for held in self._held if len(held) > depth and held[:depth] == path]
        moved: dict[Path, object] = {}
        for held in below:
            index = cast("int", held[depth])
            if at <= index < at + removed:
                self._restore(held)
            elif index >= at + removed:
                moved[(*path, index - removed + inserted, *held[depth + 1 :])] = self._held.pop(held)
        self._held.update(moved)

    def end_hold(self, path: Path) -> None:
        """Stop holding an address, and leave there what stands there."""
        del self._held[path]

    def is_held_new(self, path: Path) -> bool:
        """Whether what stands at an address is held, and nothing stood there before."""
        return bool(self._held) and self._held.get(path) is MISSING

    def everything_held(self) -> list[tuple[Path, object]]:
        """Return the held addresses, each with its original."""
        return list(self._held.items())

    # Undoing

    def restore(self, changes: Iterable[Change]) -> None:
        """Take back changes of the past, in a private tree that is walked back from the present.

        Args:
            changes: the newest first, none left out. What stands there may be plain data for models.
        """
        assert self._private, "the present is changed by commits only"
        replay = Replay()
        for change in changes:
            inverse = change.inverse()
            node: Container = self._own_root()
            below = inverse.path[:-1] if isinstance(inverse, (Set, Delete)) else inverse.path
            for key in below:
                node = self.own(node, key, loose=True)
            replay.do(self.root, inverse)
        replay.finish()

    def rollback(self) -> None:
        """Undo everything, the order of dicts included."""
        self._held.clear()
        self.passed.clear()
        if self._private:
            self.root = self._original
            self._owned.clear()
        else:
            replay = Replay()
            for change in reversed(self._undo):
                replay.do(self.root, change.inverse())
            replay.finish()
        self._undo.clear()


def _is_opaque(shape: Shape) -> bool:
    return shape.kind in (Kind.UNION, Kind.VALUE) or shape.dependent


def _shallow(node: Container) -> Container:
    # Not copy.copy of a model: its class may define what that does.
    return BaseModel.__copy__(node) if isinstance(node, BaseModel) else copy.copy(node)
