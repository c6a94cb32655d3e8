"""What generated clients import.

The law: a generated client declares to type checkers the classes that zproc makes for a model, and at run time is given
these very classes; so what it says of an object is what the object is, however it was obtained.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Concatenate, TypeAlias, TypeVar

from pydantic import BaseModel, JsonValue

from zproc.call_when import CallOptions
from zproc.client import DictHandle, ListHandle, SetHandle, handle_class
from zproc.context import Context, ContextOptions, context_class
from zproc.process import Process, Spawn
from zproc.schema.declared import Declared
from zproc.schema.model import StateModel
from zproc.schema.places import ItemPlace, ModelPlace, Places
from zproc.schema.watchable import EventOptions, Options, StreamOptions

__all__ = [
    "CallOptions",
    "Called",
    "ContextOptions",
    "Decorator",
    "DictHandle",
    "EventOptions",
    "ItemPlace",
    "ListHandle",
    "LiveJson",
    "ModelPlace",
    "Options",
    "Places",
    "SetHandle",
    "Spawn",
    "StreamOptions",
    "context",
    "handle",
    "tasks",
]

M = TypeVar("M", bound=StateModel)
L = TypeVar("L")

Called: TypeAlias = Callable[Concatenate[M, L, ...], object] | Callable[[M], object]
"""What is called by a process that watches: with a snapshot and the live state, or with a snapshot alone."""

Decorator: TypeAlias = Callable[[Called[M, L]], Process[None]]
"""What makes such a process of a function."""

LiveJson: TypeAlias = (
    "ListHandle[LiveJson, JsonValue] | DictHandle[str, LiveJson, JsonValue] | str | int | float | bool | None"
)
"""What a field that is declared as `pydantic.JsonValue` is read as."""


def handle(model: type[BaseModel], module: str, name: str) -> type:
    """Return the class of the live handles of a model, which goes by the name that a generated client has for it.

    Args:
        model: the model.
        module: the name of the client's module.
        name: the name of the class there.
    """
    return _named(handle_class(model), module, name)


def context(model: type[StateModel], module: str, name: str, table: Mapping[str, str]) -> type[Context[StateModel]]:
    """Return the class of the contexts of a model, which from now on refuses a model that is not what it was.

    Args:
        model: the model.
        module: the name of the client's module.
        name: the name of the class there.
        table: what the model declared when the client was generated.
    """
    cls = _named(context_class(model), module, name)
    cls._declared = Declared(model, module, dict(table))
    return cls


def tasks(module: str, *names: str) -> Callable[[str], object]:
    """Return a module's ``__getattr__``, which gives what tasks wait by to those who ask for it.

    Args:
        module: the name of the client's module.
        names: the names of the classes there.
    """

    def get(name: str) -> object:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        from zproc.aio import AsyncState  # noqa: PLC0415 - asyncio is slow to come, and most programs do without

        return AsyncState

    return get


C = TypeVar("C", bound=type)


def _named(cls: C, module: str, name: str) -> C:
    # Pickled by reference, as the class that can be imported by this name.
    cls.__module__ = module
    cls.__name__ = cls.__qualname__ = name
    return cls
