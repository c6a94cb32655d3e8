"""The places of a live state by attribute, to be waited for: ``ctx.when.oven.temp.equals(180.0)``.

The law: below a place are the places of its fields or elements. A field goes by its own name, with an underscore
appended where every place has a member of that name, such as ``path``. A generated client declares these places
statically; here they are resolved on access.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Generic, TypeVar, cast

from pydantic import BaseModel

from zproc.schema.model import StateModel
from zproc.schema.path import format_path
from zproc.schema.selection import Watch
from zproc.schema.shape import Kind, Shape, shape_at, shape_of
from zproc.typing import Key, Path

__all__ = ["OWN_NAMES", "ItemPlace", "ModelPlace", "Places", "names_of"]

V = TypeVar("V")
K = TypeVar("K")
P = TypeVar("P")

OWN_NAMES: Final = frozenset({"changes", "equals", "get", "path", "when"})
"""The names of what every place can do."""


def names_of(fields: Iterable[str]) -> dict[str, str]:
    """Return fields by the names that they go by among places."""
    taken = {*OWN_NAMES, *fields}
    names: dict[str, str] = {}
    for field in fields:
        name = field
        while name in OWN_NAMES or (name != field and name in taken):
            name += "_"
        names[name] = field
    return names


class Places:
    """The places of a live state.

    Args:
        state: the live state.
    """

    __slots__ = ("_state",)

    def __init__(self, state: StateModel) -> None:
        self._state = state

    def __getattr__(self, name: str) -> Watch[object]:
        """Return the place of a field.

        Raises:
            UnknownPath: there is no such field; the error names the nearest.
        """
        return _place(self._state, (name,))

    def __repr__(self) -> str:
        return f"<Places of {self._state.__class__.__name__}>"

    def __dir__(self) -> list[str]:
        return sorted(_fields(self._state.__class__))


class ModelPlace(Watch[V]):
    """A place at which a model stands, or what may be one; the places of its fields are its attributes."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Watch[object]:
        """Return the place of a field, as for `Places`."""
        found = _shape(self._state, self._path)
        names = names_of(_fields(found.model)) if found is not None and found.model is not None else {}
        return _place(self._state, (*self._path, names.get(name, name)))

    def __dir__(self) -> list[str]:
        found = _shape(self._state, self._path)
        return sorted({*super().__dir__(), *(_fields(found.model) if found and found.model else ())})


class ItemPlace(Watch[V], Generic[V, K, P]):
    """A place at which a list or dict stands; the places of its elements are its items."""

    __slots__ = ()

    def __getitem__(self, key: K) -> P:
        """Return the place of what stands, or will stand, at a key or an index.

        Raises:
            UnknownPath: it is no key that the dict can have.
        """
        return cast("P", _place(self._state, (*self._path, cast("Key", key))))


def _place(state: StateModel, path: Path) -> Watch[object]:
    found = _shape(state, path)
    text = format_path(path)
    if found is None or found.kind in (Kind.MODEL, Kind.UNION):
        return ModelPlace(state, text)
    return ItemPlace(state, text) if found.kind in (Kind.DICT, Kind.LIST) else Watch(state, text)


def _shape(state: StateModel, path: Path) -> Shape | None:
    return shape_at(shape_of(state.__class__), path)


def _fields(model: type[BaseModel]) -> list[str]:
    return [*model.model_fields, *model.model_computed_fields]
