"""Live handles: objects that look like the state and hold its address.

The law: a handle holds no value. Reading it reads the state as it is now, writing to it is one validated commit; put
elsewhere, in the state or in a call, it is the thing that stood there when it was made, or a swap would lose one. To
``==``, ``repr`` and iteration it is what it stands for, the handle of a model to ``isinstance`` too. It may be shared
by threads, forked, and pickled, and is then the same address elsewhere. A handle stands for one kind of value: if
another kind stands at its address, it raises.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from time import monotonic
from typing import ClassVar, Final, cast

from pydantic import BaseModel

from zproc.client.client import Client
from zproc.client.history import whereabouts
from zproc.client.number import LiveInt, Origin, live_number, pending_ops, sent
from zproc.client.replica import LARGE
from zproc.core.messages import Act
from zproc.exceptions import HistoryGone, UnknownPath, UsageError
from zproc.schema.action import action_of
from zproc.schema.draft import class_attribute, operators, set_class_attribute
from zproc.schema.interface import actions_of, interface_of
from zproc.schema.model import StateModel
from zproc.schema.ops import MISSING, Op, Set, Update, get
from zproc.schema.path import format_path
from zproc.schema.shape import Shape, shape_of
from zproc.schema.values import SCALARS, View, detached, is_atom, plain, value_of
from zproc.typing import Key, Path, Revision

__all__ = ["Handle", "ModelHandle", "address_of", "certain_kind", "gone", "handle_class", "kind_of", "model_handle"]


class Handle(View):
    """The live handle of a part of the state.

    Args:
        client: how it is reached.
        path: where it stands.
        kind: the class of the value that stood there when the handle was made.
    """

    __slots__ = ("_zproc_client", "_zproc_kind", "_zproc_path", "_zproc_since")

    _zproc_classes: ClassVar[dict[type, type[Handle]]] = {}
    _zproc_client: Client
    _zproc_path: Path
    _zproc_kind: type
    _zproc_since: Revision

    def __init_subclass__(cls, stands_for: type | None = None) -> None:
        """Register the class as the handle of a kind of container."""
        super().__init_subclass__()
        if stands_for is not None:
            Handle._zproc_classes[stands_for] = cls

    def __init__(self, client: Client, path: Path, kind: type) -> None:
        object.__setattr__(self, "_zproc_client", client)
        object.__setattr__(self, "_zproc_path", path)
        object.__setattr__(self, "_zproc_kind", kind)
        object.__setattr__(self, "_zproc_since", client.replica.newest())

    def __zproc_value__(self) -> object:
        """Return the value as it is now.

        Raises:
            UnknownPath: what the handle stands for is no longer in the state.
        """
        client, path = self._zproc_client, self._zproc_path
        if not path:
            return client.snapshot()
        value = self._zproc_found()
        return self._zproc_checked(client.part(path)) if value is LARGE else value

    def __zproc_taken__(self) -> object:
        """Return the value of the thing that stood here when the handle was made, wherever it has gone since.

        That is what ``state.a, state.b = state.b, state.a`` means: it makes two handles, and puts the one in the place
        of the other before it looks at the other.

        Raises:
            UnknownPath: the thing is no longer in the state.
            UsageError: what became of it can no longer be told.
        """
        client, path, since = self._zproc_client, self._zproc_path, self._zproc_since
        if not path or client.replica.newest() == since:
            return self.__zproc_value__()
        try:
            place, was = whereabouts(client, path, since)
        except HistoryGone as gone:
            raise UsageError(
                f"{format_path(path)} was read so long ago that nobody knows any more what stood there then; "
                "read it again, and put that where you want it"
            ) from gone
        if was is not MISSING:
            return was
        return (self if place == path else _revive(client, place, self._zproc_kind)).__zproc_value__()

    def _zproc_found(self) -> object:
        """Return the value as it is now; LARGE if it is part of a field that is read by address.

        Raises:
            UnknownPath: what the handle stands for is no longer in the state.
        """
        path = self._zproc_path
        value = self._zproc_client.field(cast("str", path[0]))
        if value is LARGE:
            return LARGE
        for key in path[1:]:
            value = get(value, key)
        return self._zproc_checked(value)

    def _zproc_checked(self, value: object) -> object:
        path = self._zproc_path
        if value is MISSING:
            raise UnknownPath(format_path(path), f"there is no {format_path(path)!r} any longer")
        if type(value) is not self._zproc_kind:
            raise gone(path, self._zproc_kind)
        return value

    def _zproc_child(self, key: Key, value: object, asked: Key = MISSING) -> object:
        """Return what a reader is handed for the value at a key; ``asked`` is the key as it was asked for."""
        kind = type(value)
        if kind is int or kind is float:
            path = (*self._zproc_path, key)
            origin = Origin(self._zproc_client.mark, path, path if asked is MISSING else (*self._zproc_path, asked))
            return live_number(cast("int | float", value), origin)
        return self._zproc_part(key, value)

    def _zproc_part(self, key: Key, value: object) -> object:
        """Return what iteration hands out for a value: as above, but numbers are plain."""
        if is_atom(value):
            return value
        kind = value.__class__  # of a snapshot, its model
        cls = Handle._zproc_classes.get(kind)
        if cls is not None:
            return cls(self._zproc_client, (*self._zproc_path, key), kind)
        if isinstance(value, BaseModel) and not value.model_config.get("frozen"):
            return model_handle(self._zproc_client, (*self._zproc_path, key), value.__class__)
        return detached(value)

    def _zproc_put(self, key: Key, value: object) -> None:
        """Assign to a key, as one commit."""
        if type(value) in SCALARS:  # which come from nowhere
            self._zproc_client.commit((Set((*self._zproc_path, key), value),), "")
            return
        ops = self._zproc_assignment(key, value)
        if ops:
            self._zproc_commit(*ops)
            sent(value)
            if type(value) is LiveInt and type(ops[0]) is Update and not self._zproc_path:
                # It remembers this very place. If it is what stands there now, it will do for the next reader.
                self._zproc_client.hand_out(cast("str", key), int(value), value)

    def _zproc_assignment(self, key: Key, value: object) -> tuple[Op, ...]:
        """Return what assigning a value to a key comes to."""
        echo = self._zproc_echo(key, value)
        return (Set((*self._zproc_path, key), plain(value)),) if echo is None else echo

    def _zproc_echo(self, key: Key, value: object) -> tuple[Op, ...] | None:
        """Return what assigning a value to the key that it came from comes to, ``None`` if it came from elsewhere.

        That is the second half of ``state.count += 1``, for which the number knows what was done to it, and of
        ``state.tags += ["x"]``, which has already happened.
        """
        path = (*self._zproc_path, key)
        if isinstance(value, Handle):
            return () if address_of(value) == (self._zproc_client, path) else None
        return pending_ops(value, self._zproc_client.mark, path) or None

    def _zproc_commit(self, *ops: Op) -> None:
        self._zproc_client.commit(ops, "")

    def __repr__(self) -> str:
        try:
            return repr(self.__zproc_value__())
        except Exception as error:  # noqa: BLE001 - a debugger that shows a handle must not fall over a server that is gone
            return f"<{self._zproc_kind.__name__} at {format_path(self._zproc_path) or 'the root'}: {error}>"

    def __reduce__(self) -> tuple[object, ...]:
        return _revive, (self._zproc_client, self._zproc_path, self._zproc_kind)

    def __copy__(self) -> object:
        return detached(self.__zproc_value__())

    def __deepcopy__(self, memo: object) -> object:
        return self.__copy__()


def gone(path: Path, kind: type) -> UnknownPath:
    """Return the error of a handle at whose address something else stands now."""
    return UnknownPath(format_path(path), f"no {kind.__name__} stands there any longer")


def _revive(client: Client, path: Path, kind: type) -> Handle:
    cls = Handle._zproc_classes.get(kind)
    return model_handle(client, path, kind) if cls is None else cls(client, path, kind)


def address_of(handle: Handle) -> tuple[Client, Path]:
    """Return by which client, and where in its state, a handle's value is."""
    return handle._zproc_client, handle._zproc_path


def kind_of(handle: Handle) -> type:
    """Return the class of what a handle stands for."""
    return handle._zproc_kind


class ModelHandle(Handle):
    """The live handle of a model: to ``isinstance`` an instance of it, with its methods and computed fields.

    It has no methods of its own, because any name may be a field's.
    """

    __slots__ = ()
    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # like the models it stands for

    @property  # type: ignore[misc]  # a view says that it is what it stands for
    def __class__(self) -> type:
        return self._zproc_kind

    def __getattr__(self, name: str) -> object:
        if name in self._zproc_fields:
            return self._zproc_read(name)
        model = cast("type[BaseModel]", self._zproc_kind)
        if action_of(model, name) is not None:
            return _RemoteAction(self, model, name)
        return class_attribute(self, model, name)

    def _zproc_read(self, name: str) -> object:
        kind = type(self)._zproc_certain.get(name)
        if kind is not None:
            return _revive(self._zproc_client, (*self._zproc_path, name), kind)
        value = self._zproc_field(name)
        given = self._zproc_child(name, value)
        if not self._zproc_path and is_atom(value):
            self._zproc_client.hand_out(name, value, given)
        return given

    def _zproc_field(self, name: str) -> object:
        client, path = self._zproc_client, (*self._zproc_path, name)
        value = self._zproc_found() if self._zproc_path else client.field(name)
        if value is LARGE:
            return self._zproc_still(client.part(path))
        return cast("BaseModel", value).__dict__[name] if self._zproc_path else value

    def _zproc_still(self, part: object) -> object:
        if part is MISSING:
            raise gone(self._zproc_path, self._zproc_kind)
        return part

    def __setattr__(self, name: str, value: object) -> None:
        if name in self._zproc_fields:
            self._zproc_put(name, value)
        else:
            set_class_attribute(self, cast("type[BaseModel]", self._zproc_kind), name, value)

    def __delattr__(self, name: str) -> None:
        raise UsageError(f"{name!r} cannot be deleted: a field of a model always has a value")

    def __dir__(self) -> list[str]:
        model = cast("type[BaseModel]", self._zproc_kind)
        return sorted({*dir(model), *model.model_fields})

    def __str__(self) -> str:
        return str(self.__zproc_value__())

    def __eq__(self, other: object) -> bool:
        return self.__zproc_value__() == value_of(other)

    def __iter__(self) -> Iterator[tuple[str, object]]:
        # All fields of one moment.
        values = cast("BaseModel", self.__zproc_value__()).__dict__
        return iter([(name, self._zproc_part(name, values[name])) for name in type(self)._zproc_fields])

    def __copy__(self) -> object:
        return cast("BaseModel", self.__zproc_value__()).model_copy(deep=True)

    _zproc_fields: ClassVar[tuple[str, ...]] = ()
    _zproc_certain: ClassVar[dict[str, type]] = {}
    """The fields of which the model says what stands there, so that nobody has to be asked to make a handle of it."""


class _RemoteAction:
    """An action of a live state, to be called."""

    def __init__(self, handle: ModelHandle, model: type[BaseModel], name: str) -> None:
        self._handle = handle
        self._model = model
        self._name = name

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]  # each has that of its method
        return cast("Callable[[], object]", action_of(self._model, self._name)).__doc__

    def __repr__(self) -> str:
        return f"<action {self._model.__name__}.{self._name} of the live state>"

    def __call__(self, *args: object, **kwargs: object) -> object:
        client, path = address_of(self._handle)
        codec, name = client.schema.codec, self._name
        positional, by_name = plain(list(args)) if args else [], plain(kwargs) if kwargs else kwargs
        call = codec.encode([list(path), positional, by_name])
        committed = client.change(Act(client.next_request(), name, call))
        return interface_of(self._model, name).result(codec.decode(committed.result))


@functools.cache
def handle_class(model: type[BaseModel]) -> type[ModelHandle]:
    """Return the class of the handles of a model."""
    base = Handle._zproc_classes.get(StateModel, ModelHandle) if issubclass(model, StateModel) else ModelHandle
    fields = shape_of(model).fields
    certain = {name: kind for name, shape in fields.items() if (kind := certain_kind(shape)) is not None}
    actions = {name: _caller(model, name) for name in actions_of(model) if not hasattr(base, name)}
    namespace = {
        "__slots__": (),
        "_zproc_fields": tuple(fields),
        "_zproc_certain": certain,
        **actions,
        **operators(model),
    }
    return type(f"{model.__name__}Handle", (base,), namespace)


def _caller(model: type[BaseModel], name: str) -> property:
    return property(lambda handle: _RemoteAction(handle, model, name))


@functools.cache
def _root_class(model: type[BaseModel]) -> type[ModelHandle]:
    cls = handle_class(model)
    namespace: dict[str, object] = {"__slots__": (), **{name: _reader(name) for name in cls._zproc_fields}}
    return type(cls.__name__, (cls,), namespace)


def _reader(name: str) -> property:
    def read(handle: ModelHandle) -> object:
        now = handle._zproc_client.now
        if now.word[0] == now.revision and monotonic() < now.until:
            try:
                return now.direct[name]
            except KeyError:
                pass
        return handle._zproc_read(name)

    return property(read)


def certain_kind(shape: Shape) -> type | None:
    """Return the class of whatever stands at a place, ``None`` if that depends or is nothing to make a handle of."""
    node = shape.schema
    while node["type"] in ("default", "definition-ref"):
        if node["type"] == "default":
            node = cast("Mapping[str, object]", node["schema"])
        else:
            node = shape.definitions[cast("str", node["schema_ref"])]
    if shape.model is None:
        return _CONTAINERS.get(cast("str", node["type"]))
    # Validators around a model may make anything of it. Those that are its own do not; of others the shape is whole.
    plain_model = node["type"] == "model" or (node["type"] == "function-after" and not shape.whole)
    return shape.model if plain_model and not shape.frozen else None


_CONTAINERS: Final[Mapping[str, type]] = {"list": list, "dict": dict, "set": set}


def model_handle(client: Client, path: Path, model: type[BaseModel]) -> ModelHandle:
    """Return the handle of the model that stands at a path."""
    cls = handle_class(model) if path else _root_class(model)
    return cls(client, path, model)
