"""Frozen copies of a state.

The law: a snapshot is an instance of its model in every respect but one: assigning to it, or to any model in it,
raises, because a write to a copy is a lost write. Its lists, dicts and sets are plain ones.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping
from typing import NoReturn, TypeVar, cast

from pydantic import BaseModel

from zproc.exceptions import UsageError
from zproc.schema.shape import Kind, Shape, shape_of

__all__ = ["accepted", "assemble", "frozen", "refuse_snapshot", "snapshot_of"]

M = TypeVar("M", bound=BaseModel)


def assemble(model: type[M], values: Mapping[str, object]) -> M:
    """Make an instance of a model from validated values, without validating them again.

    Private attributes have their defaults.

    Args:
        model: its class.
        values: the value of every field, by name; a dict that makes them on demand will do.
    """
    instance, attributes = model.__new__(model), model.__private_attributes__
    _put_values(instance, values)
    _put_set(instance, set(model.__pydantic_fields__))
    _put_extra(instance, None)
    _put_private(
        instance, {name: attribute.get_default() for name, attribute in attributes.items()} if attributes else None
    )
    return instance


# What pydantic keeps in an instance, put past its checks; object.__setattr__ takes twice as long.
_put_values, _put_set, _put_extra, _put_private = [
    vars(BaseModel)[name].__set__
    for name in ("__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")
]


def accepted(shape: Shape, value: object) -> object:
    """Return plain data that the schema has taken once as what stands there, though it might not take it again.

    A validator may say something else of a value today than it did yesterday, that a date lies in the future, say. What
    has become part of the state is told all the same, without asking it.

    Raises:
        pydantic_core.ValidationError: what it is cannot be told without a validator that does not take it.
    """
    if value is None:
        return None
    if shape.model is not None and type(value) is dict and value.keys() <= shape.fields.keys():
        return assemble(shape.model, {name: accepted(shape.fields[name], part) for name, part in value.items()})
    if shape.item is not None and type(value) is list:
        return [accepted(shape.item, part) for part in value]
    if shape.item is not None and type(value) is dict:
        return {key: accepted(shape.item, part) for key, part in value.items()}
    return shape.check(value) if _holds_dict(value) else value


def _holds_dict(value: object) -> bool:
    """Whether plain data may be, or have in it, that of a model."""
    return type(value) is dict or (isinstance(value, (list, tuple)) and any(map(_holds_dict, value)))


def snapshot_of(model: type[M], values: Mapping[str, object]) -> M:
    """Make the frozen copy of a state out of the values of its fields, which become its own."""
    shape = shape_of(model)
    kept = {
        name: frozen(value) if _may_hold_model(shape.fields[name]) else value
        for name, value in values.items()
        if name in shape.fields  # a cached property is none
    }
    return cast("M", assemble(_frozen(model), kept))


def frozen(value: object) -> object:
    """Return a value with snapshots in the place of the models in it; the containers around them stay the same ones."""
    if type(value) in _frozen_classes:
        return value
    if isinstance(value, BaseModel):
        return snapshot_of(type(value), value.__dict__)
    if isinstance(value, list):
        value[:] = [frozen(item) for item in value]
    elif isinstance(value, dict):
        value.update([(key, frozen(item)) for key, item in value.items()])
    elif isinstance(value, tuple):
        return tuple([frozen(item) for item in value])
    return value


def _may_hold_model(shape: Shape) -> bool:
    """Whether a value of a shape may be, or have in it, a model; so that a million numbers need not be looked at."""
    if shape.kind in (Kind.LIST, Kind.DICT):
        return shape.item is None or _may_hold_model(shape.item)
    return shape.whole if shape.kind is Kind.VALUE else shape.kind is not Kind.SET


_frozen_classes: set[type] = set()


class _Snapshot:
    """The mixin that makes an instance a snapshot."""

    __slots__ = ()

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise UsageError(
            f"cannot set {name!r}: a snapshot is a copy; set it on the live state, or on snapshot.model_copy()"
        )

    def __delattr__(self, name: str) -> NoReturn:
        raise UsageError(f"cannot delete {name!r}: a snapshot is a copy")

    def __reduce__(self) -> tuple[object, ...]:
        return snapshot_of, (self.__class__, self.__dict__)

    def model_copy(
        self,
        *,
        update: Mapping[str, object] | None = None,
        deep: bool = True,  # noqa: ARG002 - pydantic's signature; half a copy would have frozen parts
    ) -> BaseModel:
        """Return a copy that can be changed, models in it included, and is nobody's but the caller's.

        Args:
            update: values to change, not validated.
            deep: the copy is a deep one whatever is asked for.
        """
        model = cast("type[BaseModel]", self.__class__)
        fields = model.model_fields
        values = {name: copy.deepcopy(value) for name, value in self.__dict__.items() if name in fields}
        return assemble(model, {**values, **(update or {})})

    def __copy__(self) -> BaseModel:
        return self.model_copy()

    def __deepcopy__(self, memo: object) -> BaseModel:
        return self.model_copy()


def refuse_snapshot(value: object) -> None:
    """Make sure that a value may be changed in place.

    Raises:
        UsageError: it is a snapshot.
    """
    if isinstance(value, _Snapshot):
        raise UsageError("a snapshot is a copy and cannot be changed; change the live state, or snapshot.model_copy()")


@functools.cache
def _frozen(model: type[BaseModel]) -> type[BaseModel]:
    # Made past pydantic's metaclass, which would compile a schema anew; everything it needs is inherited.
    namespace: dict[str, object] = {
        "__slots__": (),
        "__class__": property(lambda _: model),
        "__doc__": model.__doc__,
        "__module__": model.__module__,
        "__qualname__": model.__qualname__,
    }
    frozen = type.__new__(type(model), model.__name__, (_Snapshot, model), namespace)
    _frozen_classes.add(frozen)
    return frozen
