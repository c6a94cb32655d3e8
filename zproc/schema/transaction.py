"""A transaction on a tree of state: ops are applied in place, then the whole is valid or everything is undone.

The law:

* What is accepted is exactly what pydantic's strict validation of the resulting state accepts; the cost is that of the
  change.
* A value is validated where it is put. If it fails there it stays for the moment, and its place is held (see ``tree``):
  a later op may still make it good. ``finish`` validates what is held.
* Limits of length are looked at by ``finish`` only.
* After the fields, the model validators of every touched model run, innermost first, on a draft, so that what they
  rewrite is recorded like any other op. A model that is changed by the validator of one around it is validated again.
* Whatever happens, ``rollback`` leaves the tree as it was, the order of its dicts included.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import Enum, auto
from typing import Final, TypeAlias, TypeVar, assert_never, cast

from pydantic import BaseModel, ValidationError

from zproc.exceptions import CommitRefused, Fault, UnknownPath, UsageError
from zproc.schema.change import Change, Container
from zproc.schema.faults import REFUSALS, crash, faults, length_faults, refused, validator_faults
from zproc.schema.ops import MISSING, Add, Delete, Discard, Op, Set, Splice, Update, compute, get, put
from zproc.schema.order import KeyOrders
from zproc.schema.path import format_path, no_field
from zproc.schema.shape import ANYTHING, AfterValidator, Shape
from zproc.schema.tree import Passed, Place, Tree
from zproc.schema.values import SCALARS, detached, is_atom, plain, same, shown
from zproc.typing import Key, Path

__all__ = ["Change", "Transaction", "scalar_change"]

T = TypeVar("T", list[object], set[object])
MakeDraft: TypeAlias = "Callable[[Transaction, Path], object]"

_ROUNDS: Final = 10
"""How often the validators of one model may run in one transaction, each time because one around it changed something.
"""

# Scalars that no other type's value is equal to, so that what is in a set is what one asks it for.
_EXACT: Final[dict[str, type]] = {"str": str, "int": int, "bytes": bytes}


class _Stage(Enum):
    OPEN = auto()
    FINISHING = auto()
    ENDED = auto()


class Transaction(Tree):
    """One attempt to change a state.

    Args:
        root: the state. It is changed in place, unless the transaction is private.
        make_draft: makes what model validators are shown, from the transaction and the address of the model.
        private: copy every container before its first change instead of changing it in place; ``root``, which is the
            state as it is now, then becomes the copy. Nothing is undone, for it is given up as a whole.
        fresh: the root was made for a private transaction, which need not copy it.

    Attributes:
        changes: what was done, as far as it is known to be valid; nothing, in a private transaction.
        requested: of a private transaction, the ops that were asked for, with plain copies of their values. They are
            what is sent to where the state is.
    """

    __slots__ = ("_latest", "_make_draft", "_orders", "_stage", "changes", "requested")

    def __init__(self, root: BaseModel, make_draft: MakeDraft, *, private: bool = False, fresh: bool = False) -> None:
        Tree.__init__(self, root, private=private, fresh=fresh)
        self.changes: list[Change] = []
        self.requested: list[Op] = []
        self._make_draft = make_draft
        self._stage = _Stage.OPEN
        self._latest: dict[Path, int] = {}
        self._orders: KeyOrders | None = None

    # Changing

    def apply(self, op: Op) -> None:
        """Apply one op to the tree and record it.

        Raises:
            UnknownPath: its address leads nowhere.
            CommitRefused: it cannot be applied to what stands there.
            ValidatorCrashed: a validator raised what is not a refusal.
            UsageError: the transaction has ended.
        """
        if self._stage is _Stage.ENDED:
            raise UsageError("the transaction has ended")
        if isinstance(op, Set):
            if not self._set_scalar(op):
                self._set(op)
        else:
            self._apply(op)
        # Later on it is validators that ask, as they will wherever the ops are sent.
        if self._private and self._stage is _Stage.OPEN:
            self._request(op)

    def _apply(self, op: Delete | Splice | Add | Discard | Update) -> None:
        match op:
            case Delete(path):
                self._delete(path)
            case Splice():
                self._splice(op)
            case Add(path, values):
                self._add(path, values)
            case Discard(path, values):
                self._discard(path, values)
            case Update(path):
                computed = Set(path, compute(op, self.read(path)))
                if not self._set_scalar(computed):
                    self._set(computed)
            case _:
                assert_never(op)

    def _request(self, op: Op) -> None:
        """Keep an op, with copies of what it was given; of two Sets in a row at one address, the second."""
        if type(op) is Set and type(op.value) in SCALARS and not self.requested:
            self.requested.append(op)
            return
        match op:
            case Set():
                last = self.requested[-1] if self.requested else None
                if type(last) is Set and last.path == op.path and last.before is op.before is MISSING:
                    self.requested.pop()
                op = op if is_atom(op.value) else Set(op.path, plain(op.value), op.before)
            case Splice(path, at, remove, items):
                op = Splice(path, at, remove, tuple(map(plain, items)))
            case Add(path, values) | Discard(path, values):
                op = replace(op, values=tuple(map(plain, values)))
            case Delete() | Update():
                pass
            case _:
                assert_never(op)
        self.requested.append(op)

    # Values

    def _set(self, op: Set) -> None:
        value = op.value
        place = self.locate(op.path, assign=True)
        container, key, path = place.container, place.key, place.path
        old = self.original(place)
        if old is MISSING and not isinstance(container, dict):
            raise _no_place(container, key, path)
        if place.loose:
            put(container, key, self._loosely(place.shape, value, place))
            if old is MISSING:
                self._appended(container, path, op.before)
            return
        new: object = MISSING
        if old is not MISSING or (key := self._valid_key(place)) is not MISSING:
            path = (*path[:-1], key)
            new = self._valid_or_missing(place.shape, value, path)
        self.release(path)
        if new is MISSING:
            self.hold(path)
            put(container, path[-1], self.adopt(detached(value)))
            return
        put(container, key, self.adopt(new))
        before = self._appended(container, path, op.before) if old is MISSING else MISSING
        if is_atom(new) and (old is MISSING or is_atom(old)):
            self._record_atom(Set(path, new, before), old)
        else:
            self._record(Change(Set(path, plain(new), before), old))
        if old is MISSING:
            self._length_changed(container, place.nodes[:-1], path[:-1], place.around)

    def _set_scalar(self, op: Set) -> bool:
        """Replace one scalar by another in a field of the state, and return whether this shortcut applies.

        Most ops are of this kind. It does what ``_set`` does, less what one valid field does not need.
        """
        path, value = op.path, op.value
        name = path[0] if len(path) == 1 else None
        if type(name) is not str or type(value) not in SCALARS or self._held:
            return False
        check = self.shape.scalar_fields.get(name)
        if check is None:
            return False
        try:
            new = check(value)
        except ValidationError:
            return False
        root = self._own_root() if self._private else self.root
        if self.shape.after:
            self._pass_model(root, [root], self.shape, path, assigned=True, loose=False)
        fields = root.__dict__
        old, fields[name] = fields[name], new
        self._record_atom(op if new is value else Set(path, new), old)
        return True

    def _record_atom(self, op: Set, old: object) -> None:
        if self._private:
            return
        path, changes = op.path, self.changes
        earlier = self._latest.get(path)
        if earlier is None:
            change = Change(op, old)
            self._latest[path] = len(changes)
            changes.append(change)
            self._undo.append(change)
        else:
            # The undo log already restores what stood there before both.
            first = changes[earlier]
            changes[earlier] = Change(Set(path, op.value, cast("Set", first.op).before), first.old)

    def _loosely(self, shape: Shape, value: object, place: Place) -> object:
        """Return what to put at a place that is validated later on: what is valid by itself, if it is clear what is."""
        opaque = place.opaque or shape.dependent
        found = MISSING if opaque else self._valid_or_missing(shape, value, place.path)
        return self.adopt(detached(value) if found is MISSING else found)

    def _valid_key(self, place: Place) -> Key:
        """Return the new key of a dict as validation makes it, MISSING if it is not valid."""
        if place.around.key is None:
            return place.key
        valid = self._valid_or_missing(place.around.key, place.key, place.path)
        assert valid is MISSING or valid == place.key or valid != valid, (  # noqa: PLR0124 - NaN
            "a dict with keys that validation turns into others is whole"
        )
        return valid

    def _valid_or_missing(self, shape: Shape, value: object, path: Path) -> object:
        try:
            return self._validated(shape, value, path)
        except ValidationError:
            return MISSING

    def _validated(self, shape: Shape, value: object, path: Path) -> object:
        try:
            valid = shape.validate(plain(value))
        except ValidationError:
            raise
        except (Exception, SystemExit) as error:
            raise crash(path, error) from error
        if shape.model is not None and not isinstance(valid, shape.model) and (valid is not None or value is not None):
            raise crash(path, TypeError(f"it returned {shown(valid)} instead of self"))
        return valid

    # Dicts

    def _delete(self, path: Path) -> None:
        place = self.locate(path)
        container, key, path = place.container, place.key, place.path
        if not isinstance(container, dict):
            raise CommitRefused(f"{format_path(path)}: a key of a dict can be deleted, not of a {_kind(container)}")
        if key not in container:
            raise UnknownPath(format_path(path), "there is no such key to delete")
        if place.loose:
            del container[key]
            self._removed(container, key)
            return
        self.release(path)
        if key not in container:  # it was new, and held
            return
        key, follower = self._followed(container, path)
        self._record(Change(Delete((*path[:-1], key)), container.pop(key), follower))
        self._removed(container, key)
        self._length_changed(container, place.nodes[:-1], path[:-1], place.around)

    def _followed(self, target: dict[Key, object], path: Path) -> tuple[Key, Key]:
        """Return what is needed to undo a deletion: the key as the dict has it, and the one after it."""
        if self._private:
            return path[-1], MISSING  # it is given up as a whole, and what is asked for has no order
        if self._orders is None:
            self._orders = KeyOrders(self.is_held_new)
        return self._orders.followed(target, path)

    def _appended(self, target: Container, path: Path, before: Key = MISSING) -> Key:
        """Record that a dict has a new key, at its end, and return the key that it is to stand before, if any."""
        if self._orders is None:
            if before is MISSING:
                return MISSING
            self._orders = KeyOrders(self.is_held_new)
        return self._orders.put(cast("dict[Key, object]", target), path, before)

    def _removed(self, target: object, key: Key) -> None:
        """Record that a dict has lost a key."""
        if self._orders is not None:
            self._orders.remove(target, key)

    # Lists and sets

    def _splice(self, op: Splice) -> None:
        place, target = self._enter(op.path, list)
        at, remove = _slice(op, len(target))
        items: list[object] | None = None
        if not place.loose:
            try:
                item = place.shape.item or ANYTHING
                items = [self._validated(item, value, (*place.path, at)) for value in op.insert]
            except ValidationError:
                self.hold(place.path)
                target = cast("list[object]", self.enter(place))
        if items is None:
            target[at : at + remove] = [
                self._loosely(place.shape.item or ANYTHING, value, place) for value in op.insert
            ]
            return
        self.shift(place.path, at, remove, len(items))
        old = target[at : at + remove]
        if items or old:
            target[at : at + remove] = map(self.adopt, items)
            self._record(Change(Splice(place.path, at, remove, tuple(map(plain, items))), old))
            self._length_changed(target, place.nodes, place.path, place.shape)

    def _add(self, path: Path, values: tuple[object, ...]) -> None:
        place, target = self._enter(path, set)
        new = [value for value in map(plain, values) if not _contains(target, value)]
        if not place.loose:
            try:
                new = [self._validated(place.shape.item or ANYTHING, value, place.path) for value in new]
            except ValidationError:
                self.hold(place.path)
                target = cast("set[object]", self.enter(place))
        if place.loose:
            target.update(new)
            return
        # A validator may have turned a new element into one that is there.
        added = tuple(dict.fromkeys(value for value in new if value not in target))
        if added:
            target.update(added)
            self._record(Change(Add(place.path, added), None))
            self._length_changed(target, place.nodes, place.path, place.shape)

    def _discard(self, path: Path, values: tuple[object, ...]) -> None:
        place, target = self._enter(path, set)
        gone = tuple(dict.fromkeys(value for value in map(plain, values) if _contains(target, value)))
        if gone and not place.loose:
            gone = tuple(_as_stored(target, value, place.shape.item) for value in gone)
            self._record(Change(Discard(place.path, gone), None))
            self._length_changed(target, place.nodes, place.path, place.shape)
        target.difference_update(gone)

    def _enter(self, path: Path, kind: type[T]) -> tuple[Place, T]:
        """Walk to a container that is itself what an op changes."""
        place = self.locate(path)
        present = get(place.container, place.key)
        if present is MISSING:
            raise _no_place(place.container, place.key, place.path)
        if not isinstance(present, kind):
            raise CommitRefused(f"{format_path(path)}: expected a {kind.__name__}, there is {shown(present)}")
        return place, cast("T", self.enter(place))

    # Recording

    def _record(self, change: Change) -> None:
        if self._private:
            return
        # Addresses may mean something else from here on, so an earlier Set may no longer be merged with a later one.
        self._latest.clear()
        self.changes.append(change)
        self._undo.append(change)

    def _length_changed(self, node: Container, nodes: Sequence[Container], path: Path, shape: Shape) -> None:
        if shape.shortest or shape.longest is not None:
            self.remember(Passed(node, tuple(nodes), path, shape))

    # The end

    def finish(self) -> list[Change]:
        """Validate what is not yet validated and return what changed, or undo everything.

        Raises:
            ValidationRefused: the state would break its schema.
            ValidatorCrashed: a validator raised what is not a refusal.
        """
        if self._orders is not None:
            self._orders.arrange()
        if self._held or self.passed:
            self._stage = _Stage.FINISHING
            try:
                self._finish()
            except BaseException:
                self.rollback()
                raise
        self._stage = _Stage.ENDED
        return self.changes

    def _finish(self) -> None:
        self._settle()
        # By identity, and with the model, so that it stays the only one of that identity.
        runs: dict[int, tuple[BaseModel, int]] = {}
        while self.passed:
            # Validators of equal depth see nothing of each other.
            depth = max(len(passed.path) for passed in self.passed.values())
            for passed in [each for each in self.passed.values() if len(each.path) == depth]:
                self._run_after(passed, runs)
                self._settle()

    def _settle(self) -> None:
        """Validate all that is held and all lengths that changed; only models are left to be looked at."""
        found: list[Fault] = []
        for path, original in self.everything_held():
            try:
                value = self._settled(path, original)
            except ValidationError as error:
                found += faults(error, path)
            else:
                self.end_hold(path)
                self._replace(path, value, original)
        for passed in self.take_containers():
            where = passed.current_path()
            if where is not None:
                found += length_faults(where, passed.shape, cast("list[object]", passed.node))
        if found:
            raise refused(found)

    def _settled(self, path: Path, original: object) -> object:
        if original is MISSING:
            key = self.shape_at(path[:-1]).key
            if key is not None:
                self._validated(key, path[-1], path)
        return self._validated(self.shape_at(path), self.read(path), path)

    def _replace(self, path: Path, value: object, original: object) -> None:
        """Put a valid value in the place of what was held."""
        if not path:
            fields = cast("BaseModel", value).__dict__
            for name, old in cast("dict[str, object]", original).items():
                if name in fields:
                    self._replace((name,), fields[name], old)
            return
        container = self.read(path[:-1])
        if original is not MISSING and same(value, original):
            put(container, path[-1], original)
            return
        if original is MISSING:
            # To the end, where it will be when the changes are replayed.
            cast("dict[Key, object]", container).pop(path[-1])
            self._appended(cast("Container", container), path)
        put(container, path[-1], self.adopt(value))
        # The undo log got the original when the place was first held.
        self._latest.clear()
        self.changes.append(Change(Set(path, plain(value)), original))

    def _run_after(self, passed: Passed, all_runs: dict[int, tuple[BaseModel, int]]) -> None:
        node = cast("BaseModel", passed.node)
        path = passed.current_path()
        if path is not None:
            _, runs = all_runs.get(id(node), (node, 0))
            all_runs[id(node)] = node, runs + 1
            for validator in passed.shape.after:
                if runs == _ROUNDS:
                    raise crash(
                        path, RuntimeError("it and the validators around it keep changing the state"), validator
                    )
                self._run_validator(validator, node, path)
        self.passed.pop(id(node), None)  # only now, so that its own changes are no reason to run it again

    def _run_validator(self, validator: AfterValidator, node: BaseModel, path: Path) -> None:
        draft = self._make_draft(self, path)
        try:
            result = validator(draft)
        except CommitRefused:
            raise
        except REFUSALS as error:
            raise refused(validator_faults(error, path)) from error
        except (Exception, SystemExit) as error:
            raise crash(path, error, validator) from error
        if result is draft:
            return
        if type(result) is not type(node):
            raise crash(path, TypeError(f"it returned {shown(result)} instead of self"), validator)
        for name in type(node).model_fields:
            value = get(result, name)
            if not same(value, get(self.read(path), name)):
                self._set(Set((*path, name), value))

    def rollback(self) -> None:
        """Undo everything, the order of dicts included."""
        self._stage = _Stage.ENDED
        super().rollback()
        self.changes = []


def scalar_change(shape: Shape, root: BaseModel, op: Op) -> tuple[str, object, Change] | None:
    """Return the result of a transaction whose only op puts a scalar into a quiet field; ``None`` for any other op.

    This is the most common transaction by far. There is nothing to undo, because nothing is done: the caller performs
    the change. An op that would be refused counts as another op, so that refusals are made in one place.

    Args:
        shape: of the state.
        root: the state.
        op: the only op.

    Returns:
        The field, its new value, and the change that this is.

    Raises:
        CommitRefused: it is arithmetic that fails, as in a transaction.
    """
    name = op.path[0]
    if len(op.path) != 1 or type(name) is not str:
        return None
    check = shape.quiet_fields.get(name)
    if check is None:
        return None
    old = root.__dict__[name]
    if type(op) is Set:
        value = op.value
    elif type(op) is Update:
        value = compute(op, old)
    else:
        return None
    if type(value) not in SCALARS:
        return None
    try:
        new = check(value)
    except ValidationError:
        return None
    return name, new, Change(op if new is value and type(op) is Set else Set(op.path, new), old)


def _no_place(container: Container, key: Key, path: Path) -> UnknownPath:
    if isinstance(container, BaseModel):
        return no_field(type(container), key, format_path(path))
    return UnknownPath(format_path(path), f"a {_kind(container)} has no place {key!r}")


def _slice(op: Splice, length: int) -> tuple[int, int]:
    start, stop, _ = slice(length if op.at is None else op.at, None).indices(length)
    return start, min(op.remove, max(stop - start, 0))


def _contains(target: set[object], value: object) -> bool:
    try:
        return value in target
    except TypeError as error:
        raise CommitRefused(f"{shown(value)} cannot be an element of a set: {error}") from error


def _as_stored(target: set[object], value: object, item: Shape | None) -> object:
    """Return the element of a set that a value is equal to: 1 for ``True``, 0.0 for ``-0.0``."""
    if item is not None and _EXACT.get(cast("str", item.schema["type"])) is type(value):
        return value
    return next(element for element in target if element is value or element == value)


def _kind(container: object) -> str:
    return "model" if isinstance(container, BaseModel) else type(container).__name__
