"""Drafts: recording views of the state, for atomic functions, actions and model validators.

The law: a draft looks and acts like the model that it stands for and holds no data of its own: it reads the
transaction's tree, and every change through it is an op of the transaction. It dies when its function returns; from
then on every use of it raises.

A draft knows its place by its parent and its key, not by an address, because positions in lists move. When its value
has left the tree it can still be read, but no longer be changed.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import ClassVar, Final, NoReturn, TypeVar, cast

from pydantic import BaseModel

from zproc.exceptions import UnknownPath, UsageError
from zproc.schema.interface import actions_of
from zproc.schema.lazy import type_of
from zproc.schema.ops import Op, Set, get
from zproc.schema.path import format_path, no_field
from zproc.schema.transaction import Transaction
from zproc.schema.values import SCALARS, View, detached, is_atom, value_of
from zproc.typing import Key, Path

__all__ = [
    "Draft",
    "ModelDraft",
    "Session",
    "class_attribute",
    "operators",
    "set_class_attribute",
    "validator_draft",
]

M = TypeVar("M", bound=BaseModel)

_FORWARDED: Final = frozenset(
    f"__{name}__"
    for name in (  # noqa: SIM905 - a list would be 100 lines
        "abs add aenter aexit aiter and anext await bool bytes call ceil complex contains delitem divmod "
        "enter eq exit float floor floordiv format ge getitem gt hash iadd iand ifloordiv ilshift imatmul "
        "imod imul index int invert ior ipow irshift isub iter itruediv ixor le len length_hint lshift lt "
        "matmul missing mod mul ne neg next or pos pow radd rand rdivmod repr reversed rfloordiv rlshift "
        "rmatmul rmod rmul ror round rpow rrshift rshift rsub rtruediv rxor setitem str sub truediv trunc xor"
    ).split()
)


class Session:
    """The life of the drafts of one transaction.

    Args:
        transaction: what they read and change.
    """

    __slots__ = ("transaction",)

    def __init__(self, transaction: Transaction) -> None:
        self.transaction: Transaction = transaction
        """The transaction, while its function runs; then what refuses to be used."""

    def root(self, model: type[M]) -> M:
        """Return the draft of the whole state."""
        return _draft_class(model)(self, None, None)  # type: ignore[return-value]  # it says that it is one

    def end(self) -> None:
        """End the life of the drafts."""
        self.transaction = _DEAD


class _Dead:
    """What takes the place of the transaction when its function has returned."""

    __slots__ = ()

    def __getattr__(self, name: str) -> NoReturn:
        raise UsageError("this draft died when its function returned; take a snapshot() of what must outlive it")


_DEAD: Final = cast("Transaction", _Dead())


class Draft(View):
    """The draft of a part of the state.

    Args:
        session: what it lives in.
        parent: the draft of the container that it stands in, ``None`` for the root.
        key: where it stands there.
    """

    __slots__ = (
        "__weakref__",
        "_zproc_children",
        "_zproc_detached",
        "_zproc_key",
        "_zproc_parent",
        "_zproc_session",
    )

    _zproc_classes: ClassVar[dict[type, type[Draft]]] = {}
    _zproc_session: Session
    _zproc_parent: Draft | None
    _zproc_key: Key
    _zproc_kind: ClassVar[type]
    """The class of the values that drafts of this class stand for."""
    _zproc_children: dict[Key, Draft]
    _zproc_detached: tuple[object, ...]

    def __init_subclass__(cls, stands_for: type | None = None) -> None:
        """Register the class as the draft of a kind of container."""
        super().__init_subclass__()
        if stands_for is not None:
            cls._zproc_kind = stands_for
            Draft._zproc_classes[stands_for] = cls

    def __init__(self, session: Session, parent: Draft | None, key: Key) -> None:
        _put_session(self, session)
        _put_parent(self, parent)
        _put_key(self, key)
        _put_children(self, {})
        _put_detached(self, ())

    @property  # type: ignore[misc]  # a view says that it is what it stands for
    def __class__(self) -> type:
        return self._zproc_kind

    def _zproc_path(self) -> Path:
        if self._zproc_parent is None:
            return ()
        steps: list[Key] = []
        draft: Draft = self
        while draft._zproc_parent is not None:
            if draft._zproc_detached:
                raise draft._zproc_gone()
            steps.append(draft._zproc_key)
            draft = draft._zproc_parent
        return tuple(reversed(steps))

    def __zproc_value__(self) -> object:
        """Return the value in the tree, or what it was when it left the tree."""
        root = self._zproc_session.transaction.root
        if self._zproc_detached:
            return self._zproc_detached[0]
        if self._zproc_parent is None:
            return root
        found = get(self._zproc_parent.__zproc_value__(), self._zproc_key)
        if type_of(found) is not self._zproc_kind:
            raise self._zproc_gone()
        return found

    def _zproc_gone(self) -> UsageError:
        return UsageError("this part is no longer in the state: it was removed or replaced; use what stands there now")

    def _zproc_apply(self, op: Op) -> None:
        self._zproc_session.transaction.apply(op)

    def _zproc_child(self, key: Key, value: object) -> object:
        """Return what a reader is handed for the value at a key."""
        if is_atom(value):
            return value
        kind = type_of(value)
        cls = Draft._zproc_classes.get(kind)
        if cls is None:
            if not isinstance(value, BaseModel) or type(value).model_config.get("frozen"):
                return detached(value)
            cls = _draft_class(type(value))
        known = self._zproc_children.get(key)
        if known is None or known._zproc_kind is not kind:
            known = self._zproc_children[key] = cls(self._zproc_session, self, key)
        return known

    def _zproc_put(self, key: Key, value: object) -> None:
        """Assign to a key; what stood there leaves the tree."""
        known = self._zproc_children.get(key)
        if known is None:
            self._zproc_session.transaction.apply(Set((*self._zproc_path(), key), value))
        elif known is not value:  # the second half of `draft.tags += [...]` has already happened in place
            path = (*self._zproc_path(), key)
            leaving = self._zproc_values((key,))
            self._zproc_apply(Set(path, value))
            self._zproc_leave(leaving)

    def _zproc_values(self, keys: Iterable[Key]) -> dict[Key, object]:
        """Return the values of those children that have drafts."""
        children = self._zproc_children
        return {key: children[key].__zproc_value__() for key in keys if key in children}

    def _zproc_leave(self, leaving: dict[Key, object]) -> None:
        """Detach children from the tree. Nobody changes their values any more, so no copies are needed."""
        for key, value in leaving.items():
            _put_detached(self._zproc_children.pop(key), (value,))

    def __repr__(self) -> str:
        return repr(self.__zproc_value__())

    def __copy__(self) -> object:
        """Return what the draft stands for, detached; there is no shallow copy of a state."""
        return detached(self.__zproc_value__())

    def __deepcopy__(self, memo: dict[int, object]) -> object:
        """Return what the draft stands for, detached."""
        return detached(self.__zproc_value__())

    def __reduce__(self) -> NoReturn:
        raise UsageError("a draft cannot be pickled; take a snapshot() or a copy of what must travel")


# To assign to a draft is to change the state, so its slots are set past that; object.__setattr__ takes twice as long.
_put_session, _put_parent, _put_key, _put_children, _put_detached = [
    Draft.__dict__[f"_zproc_{name}"].__set__ for name in ("session", "parent", "key", "children", "detached")
]


class ModelDraft(Draft):
    """The draft of a model: to ``isinstance`` an instance of it, with its methods and computed fields."""

    __slots__ = ()
    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # like the models it stands for
    _zproc_fields: ClassVar[frozenset[str]] = frozenset()

    def __getattr__(self, name: str) -> object:
        self._zproc_session.transaction.root  # noqa: B018 - a dead draft says so
        return class_attribute(self, cast("type[BaseModel]", self._zproc_kind), name)

    def __setattr__(self, name: str, value: object) -> None:
        if name not in self._zproc_fields:
            set_class_attribute(self, cast("type[BaseModel]", self._zproc_kind), name, value)
        elif self._zproc_children:
            self._zproc_put(name, value)
        else:
            path = (name,) if self._zproc_parent is None else (*self._zproc_path(), name)
            self._zproc_session.transaction.apply(Set(path, value))

    def __delattr__(self, name: str) -> None:
        raise UsageError(f"{name!r} cannot be deleted: a field of a model always has a value")

    def __str__(self) -> str:
        return str(self.__zproc_value__())

    def __eq__(self, other: object) -> bool:
        return self.__zproc_value__() == value_of(other)

    def __iter__(self) -> Iterator[tuple[str, object]]:
        for name in cast("type[BaseModel]", self._zproc_kind).__pydantic_fields__:
            yield name, getattr(self, name)


def class_attribute(view: View, model: type[BaseModel], name: str) -> object:
    """Look up an attribute of the model's class on behalf of a view: a method bound to it, a property computed from it.

    What pydantic defines (``model_dump`` ...) looks into instances from Rust, so it is given a copy of the value that
    the view stands for; and so is what the user's class makes of it, which calls it by ``super()``.

    Raises:
        UnknownPath: the model has no such attribute.
        UsageError: it is a private attribute.
    """
    if name.startswith("model_") and hasattr(BaseModel, name):
        return getattr(detached(view.__zproc_value__()), name)
    for cls in model.__mro__:
        if name in cls.__dict__:
            if cls in (BaseModel, object):
                return getattr(detached(view.__zproc_value__()), name)
            attribute = cls.__dict__[name]
            if isinstance(attribute, functools.cached_property):
                return attribute.func(view)
            bind = getattr(type(attribute), "__get__", None)
            return attribute if bind is None else bind(attribute, view, model)
    if name in model.__private_attributes__:
        raise _private(name)
    raise no_field(model, name, name, actions_of(model))


def set_class_attribute(view: View, model: type[BaseModel], name: str, value: object) -> None:
    """Assign to a property of the model's class on behalf of a view.

    Raises:
        UnknownPath: the model has no such property.
        UsageError: it is a private attribute.
    """
    found = next((cls.__dict__[name] for cls in model.__mro__ if name in cls.__dict__), None)
    if isinstance(found, property) and found.fset is not None:
        found.fset(view, value)
    elif name in model.__private_attributes__:
        raise _private(name)
    elif name in model.model_computed_fields:
        raise UnknownPath(name, f"{model.__name__}.{name} is computed; assign to what it is computed from")
    else:
        raise no_field(model, name, name)


def _private(name: str) -> UsageError:
    return UsageError(f"{name!r} is a private attribute, which is not part of the shared state")


def operators(model: type[BaseModel]) -> dict[str, object]:
    """Return the operators that a user's model defines: Python looks them up on the class of a view."""
    found: dict[str, object] = {}
    for cls in reversed(model.__mro__[: model.__mro__.index(BaseModel)]):
        found.update({name: value for name, value in cls.__dict__.items() if name in _FORWARDED and callable(value)})
    return found


@functools.cache
def _draft_class(model: type[BaseModel]) -> type[ModelDraft]:
    fields = model.__pydantic_fields__
    readers = {name: _reader(name) for name in fields}
    own = {"__slots__": (), "_zproc_kind": model, "_zproc_fields": frozenset(fields)}
    namespace = {**own, **operators(model), **readers}
    return type(f"{model.__name__}Draft", (ModelDraft,), namespace)


def _reader(name: str) -> property:
    """Return the property that reads a field; a check of the name on each access would cost more than the read."""

    def read(draft: ModelDraft) -> object:
        if draft._zproc_parent is None:  # the whole state, which most that is read is a field of
            value = draft._zproc_session.transaction.root.__dict__[name]
        else:
            value = draft.__zproc_value__().__dict__[name]
        return value if type(value) in SCALARS else draft._zproc_child(name, value)

    return property(read)


def validator_draft(transaction: Transaction, path: Path) -> object:
    """Return the draft of the model at an address, for the model's own validators."""
    root = type(transaction.root)
    draft: Draft = _draft_class(root)(Session(transaction), None, None)
    for key in path:
        child = draft._zproc_child(key, get(draft.__zproc_value__(), key))
        assert isinstance(child, Draft), f"no model stands at {format_path(path)}"
        draft = child
    return draft
