"""StateModel, and the registration of a model for sharing.

The law: a model is checked once, when it is registered. What is registered can be shared, starts valid, and is
identified by its fingerprint.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar, Final, Generic, Never, Self, TypeVar, cast

from pydantic import BaseModel, ConfigDict, PydanticUserError, ValidationError

from zproc.exceptions import SchemaError, UnknownPath, UsageError
from zproc.schema.action import run
from zproc.schema.codec import Codec
from zproc.schema.faults import faults
from zproc.schema.fingerprint import Table, action_types, fingerprint, table_of
from zproc.schema.path import format_path, no_field, parse_path
from zproc.schema.shape import Shape, shape_of
from zproc.schema.snapshot import snapshot_of
from zproc.schema.types import check, enums_of, reachable
from zproc.schema.values import View, detached, plain, same, shown
from zproc.schema.watchable import Watchable
from zproc.typing import Key, Path

__all__ = ["RESERVED", "Schema", "StateModel", "refuse_misplaced"]

M = TypeVar("M", bound=BaseModel)

RESERVED: Final = frozenset(
    [
        "changes",
        "commits",
        "fork",
        "get_when",
        "get_when_available",
        "get_when_change",
        "get_when_equal",
        "get_when_falsy",
        "get_when_none",
        "get_when_not_equal",
        "get_when_not_none",
        "get_when_truthy",
        "go_live",
        "reset",
        "snapshot",
        "update",
        "when",
        "when_available",
        "when_change",
        "when_equal",
        "when_falsy",
        "when_none",
        "when_not_equal",
        "when_not_none",
        "when_truthy",
    ]
)
"""Names of a live handle's own methods, which no field or method of a model may have."""


class StateModel(Watchable, BaseModel):
    """The base of models whose state is shared: a pydantic model that forbids fields it does not declare."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    def __getitem__(self, path: str, /) -> Any:  # type: ignore[explicit-any]  # only the text says what stands there
        """Return what stands at a dotted path, ``state["oven.temp"]``, as attributes and keys would.

        Raises:
            UnknownPath: the path leads nowhere, or nothing stands there now.
        """
        return _walk(self, parse_path(path, self.__class__))

    def __setitem__(self, path: str, value: object, /) -> None:
        """Assign to what stands at a dotted path, ``state["oven.temp"] = 3.0``.

        Raises:
            UnknownPath: the path leads nowhere.
            CommitRefused: the state would break its schema.
        """
        *above, key = parse_path(path, self.__class__)
        target = _walk(self, tuple(above))
        if isinstance(target, BaseModel):
            setattr(target, cast("str", key), value)
        else:
            cast("dict[Key, object]", target)[key] = value

    def update(self, *misplaced: Never, **values: object) -> None:
        """Assign to several fields at once: all of them or, if the state would break its schema, none.

        Args:
            misplaced: none.
            values: the new values, by the names of the fields.

        Raises:
            UnknownPath: there is no such field.
            CommitRefused: the state would break its schema.
        """
        refuse_misplaced(misplaced)
        for name in values:
            if name not in self.__class__.model_fields:
                raise no_field(self.__class__, name, name)

        def assign(state: StateModel) -> None:
            for name, value in values.items():
                setattr(state, name, value)

        if isinstance(self, View):
            assign(self)
        else:
            run(self, assign, len)

    def reset(self) -> None:
        """Reset all fields to their defaults at once; those that are frozen have never had another value.

        Raises:
            CommitRefused: the model is frozen as a whole.
        """
        model = self.__class__
        defaults = Schema.of(model).initial().__dict__
        self.update(**{name: defaults[name] for name, info in model.model_fields.items() if not info.frozen})

    def snapshot(self) -> Self:
        """Return a frozen, detached copy of the state as it is now; assigning to it raises.

        Raises:
            Unavailable: on a live state, no server answers.
        """
        values = cast("BaseModel", detached(self)).__dict__
        return snapshot_of(self.__class__, values)


def refuse_misplaced(misplaced: tuple[object, ...]) -> None:
    """Refuse positional arguments, such as the dict that ``dict.update`` would take.

    Raises:
        UsageError: there are any.
    """
    if misplaced:
        raise UsageError(
            f"update takes fields by name: state.update(cookies=3), or state.update(**{shown(misplaced[0])})"
        )


def _walk(value: object, path: Path) -> object:
    for depth, key in enumerate(path, start=1):
        try:
            value = getattr(value, cast("str", key)) if isinstance(value, BaseModel) else value[key]  # type: ignore[index]
        except (AttributeError, LookupError, TypeError):
            raise UnknownPath(format_path(path), f"there is no {format_path(path[:depth])!r} now") from None
    return value


@dataclass(frozen=True, eq=False)
class Schema(Generic[M]):
    """A model that is registered for sharing.

    Attributes:
        model: the model.
        shape: its compiled form.
        codec: encodes its values.
        table: the entries that identify it.
        fingerprint: its identity.
    """

    model: type[M]
    shape: Shape
    codec: Codec
    table: Table
    fingerprint: str

    @staticmethod
    def of(model: type[M]) -> Schema[M]:
        """Register a model.

        Raises:
            SchemaError: it cannot be shared, and why.
        """
        given: object = model
        if not (isinstance(given, type) and issubclass(given, StateModel)):
            name = getattr(given, "__name__", f"{given!r:.80}")
            raise SchemaError(name, f"a state is declared as a subclass of zproc.StateModel{_hint(given)}")
        return Schema._registered(model)

    @staticmethod
    @functools.cache
    def _registered(model: type[M]) -> Schema[M]:
        _complete(model)
        check(model.__name__, model)
        for _, part, _ in reachable("", model):
            if isinstance(part, type) and issubclass(part, StateModel):
                _refuse_reserved(part)
        types = action_types(model)
        for where, annotation in types:
            check(where, annotation)
        table = table_of(model)
        enums = dict.fromkeys(chain(enums_of("", model), *(enums_of("", annotation) for _, annotation in types)))
        return Schema(model, shape_of(model), Codec(tuple(enums)), table, fingerprint(table))

    def initial(self) -> M:
        """Return the state before the first commit: the defaults.

        Raises:
            SchemaError: a field has no default, or the defaults break the schema.
        """
        try:
            state = self.shape.validate(plain(self.model()))
            again = self.shape.validate(plain(state))
        except ValidationError as error:
            found = faults(error, ())
            listed = "; ".join(map(str, found))
            cure = "; give each field a default" if any(fault.rule == "missing" for fault in found) else ""
            raise SchemaError(self.model.__name__, f"its defaults are no valid state: {listed}{cure}") from error
        except (Exception, SystemExit) as error:
            raise SchemaError(self.model.__name__, f"its validation crashed: {error!r}") from error
        if not isinstance(state, self.model):
            raise SchemaError(self.model.__name__, f"a validator returned {shown(state)} instead of self")
        if not same(state, again):
            raise SchemaError(
                self.model.__name__, "a validator changes a value that it has already made; it must leave it alone"
            )
        return state


def _hint(given: object) -> str:
    """Return the hint that goes with the error for something that is no model of a state."""
    if isinstance(given, StateModel):
        return "; give the class, not an instance of it"
    if isinstance(given, type) and issubclass(given, BaseModel):
        return "; let it inherit from that, and not from pydantic's BaseModel"
    if isinstance(given, str) and "://" in given:
        return "; the address of a server is given as address=..."
    return ""


def _complete(model: type[BaseModel]) -> None:
    if model.__pydantic_complete__:
        return
    try:
        model.model_rebuild()
    except PydanticUserError as error:
        raise SchemaError(model.__name__, f"its annotations cannot be resolved: {error}") from error


def _refuse_reserved(model: type[BaseModel]) -> None:
    own = {name for cls in model.__mro__ if cls not in StateModel.__mro__ for name in vars(cls)}
    taken = sorted(RESERVED & (model.model_fields.keys() | own))
    if taken:
        raise SchemaError(
            f"{model.__name__}.{taken[0]}",
            f"the name is taken by live handles; reserved are {', '.join(sorted(RESERVED))}",
        )
