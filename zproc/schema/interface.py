"""The signature of an action: what its arguments and its result are as data.

The law: arguments are validated strictly against their annotations before the body runs, and the result before it is
sent. An action that is not annotated, or not with types that can be shared, is refused when its model is registered.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol, cast

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from typing_extensions import get_type_hints

from zproc.exceptions import Fault, SchemaError
from zproc.schema.faults import faults, refused
from zproc.schema.shape import quiet_check
from zproc.schema.values import SCALARS, plain, shown

__all__ = ["ACTION", "Interface", "Method", "action_of", "actions_of", "interface_of"]


class Method(Protocol):
    """The function behind an action: what it takes only its signature tells."""

    __name__: str
    __annotations__: dict[str, object]

    def __call__(self, *positional: object, **by_name: object) -> object:
        """Call it with arguments that its signature was asked about."""
        ...


ACTION: Final = "__zproc_action__"
"""The attribute by which a method of a model is known to be an action; it is the function behind it."""

_PLAIN: Final = frozenset({inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD})
_REST: Final = frozenset({inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD})


def action_of(model: type[BaseModel], name: str) -> Method | None:
    """Return the function behind an action of a model, ``None`` if the name is no action's."""
    return actions_of(model).get(name)


@functools.cache
def actions_of(model: type[BaseModel]) -> Mapping[str, Method]:
    """Return the functions behind a model's actions, by name."""
    found: dict[str, object] = {}
    for cls in reversed(model.__mro__):
        found |= cls.__dict__  # looked at as they stand there: asked for, a descriptor would be another thing
    methods = ((name, getattr(found[name], ACTION, None)) for name in sorted(found))
    # In an order that survives everything: a class that travels by value has its attributes in another one afterwards.
    return {name: cast("Method", method) for name, method in methods if method is not None}


class Interface:
    """The parameters and the result of one action.

    Args:
        model: the model that it is a method of.
        method: the function behind it.

    Raises:
        SchemaError: it is not wholly annotated.
    """

    def __init__(self, model: type[BaseModel], method: Method) -> None:
        self.name: str = f"{model.__name__}.{method.__name__}()"
        self.method = method
        whole = inspect.signature(method)
        own, *parameters = whole.parameters.values()  # an action has its self
        hints = _hints(self.name, model, method, own.name)
        for parameter in parameters:
            if isinstance(parameter.default, FieldInfo):
                raise SchemaError(
                    f"{self.name}.{parameter.name}", "write Annotated[..., Field(...)], and a plain default"
                )
        self.types: dict[str, object] = {}
        """What each parameter is annotated with, and under ``return`` the result."""
        for name in (*(parameter.name for parameter in parameters), "return"):
            if name not in hints:
                raise SchemaError(
                    f"{self.name}.{name}", "an action is annotated with the types of what it takes and returns"
                )
            self.types[name] = hints[name]
        self._signature = whole.replace(parameters=parameters)
        self._rest = {parameter.name: parameter.kind for parameter in parameters if parameter.kind in _REST}
        self._positional = tuple([parameter.name for parameter in parameters])
        simple = all(parameter.kind in _PLAIN for parameter in parameters)
        self._arity = len(parameters) if simple else -1

    @functools.cached_property
    def _checks(self) -> dict[str, Callable[[object], object]]:
        """What validates plain data strictly, for each of the types."""
        return {name: _check(cast("type[object]", annotation)) for name, annotation in self.types.items()}

    def arguments(self, positional: Sequence[object], by_name: Mapping[str, object]) -> inspect.BoundArguments:
        """Return arguments that came as data as what the action is to be called with.

        Raises:
            ValidationRefused: they are not what it is annotated with.
        """
        try:
            bound = self._signature.bind(*positional, **by_name)
        except TypeError as error:
            raise refused([Fault(self.name, "arguments", str(error), "")], self._reason("arguments")) from error
        given = bound.arguments
        for name, value in given.items():
            kind = self._rest.get(name)
            if kind is inspect.Parameter.VAR_POSITIONAL:
                rest = cast("tuple[object, ...]", value)
                given[name] = tuple([self.checked(name, item) for item in rest])
            elif kind is inspect.Parameter.VAR_KEYWORD:
                named = cast("dict[str, object]", value)
                given[name] = {key: self.checked(name, item) for key, item in named.items()}
            else:
                given[name] = self.checked(name, value)
        return bound

    def quick(self, positional: Sequence[object]) -> list[object] | None:
        """Return the arguments of the simplest call, by position and all of them; ``None`` if it is not that simple."""
        if len(positional) != self._arity:
            return None
        return list(map(self.checked, self._positional, positional)) if positional else []

    def result(self, value: object) -> object:
        """Return a result as what the action is annotated with; see ``checked``."""
        return self.checked("return", value)

    def checked(self, name: str, value: object) -> object:
        """Return an argument, or under ``return`` a result, as what the action is annotated with.

        Raises:
            ValidationRefused: it is something else.
        """
        try:
            return self._checks[name](value if type(value) in SCALARS else plain(value))
        except ValidationError as error:
            raise refused(faults(error, (name,)), self._reason(name)) from error

    def _reason(self, name: str) -> str:
        if name == "return":
            return f"{self.name} has returned something else than it is annotated with"
        return f"{self.name} does not take these arguments"


@functools.cache
def interface_of(model: type[BaseModel], name: str) -> Interface:
    """Return the interface of a model's action.

    Raises:
        SchemaError: it has none.
    """
    method = action_of(model, name)
    assert method is not None, f"{name} is no action"
    return Interface(model, method)


def _check(annotation: type[object]) -> Callable[[object], object]:
    adapter = TypeAdapter(annotation)
    quick = quiet_check(cast("Mapping[str, object]", adapter.core_schema), None)
    return quick or functools.partial(
        adapter.validate_python, strict=True, extra="forbid", by_alias=False, by_name=True
    )


def _hints(where: str, model: type[BaseModel], method: Method, own: str) -> dict[str, object]:
    """Resolve a method's annotations, but that of ``self``; names may be local to where the model was made.

    They stay resolved: a model that travels to its server by value takes along what its functions use, and not what
    only their annotations name.
    """
    local = {name: _dereferenced(value) for name, value in (model.__pydantic_parent_namespace__ or {}).items()}
    annotations = {name: hint for name, hint in method.__annotations__.items() if name != own}
    try:
        hints = get_type_hints(
            _Annotated(annotations),
            getattr(method, "__globals__", {}),
            {model.__name__: model, **local},
            include_extras=True,
        )
    except Exception as error:
        raise SchemaError(where, f"its annotations cannot be resolved: {shown(error)}") from error
    method.__annotations__.update(hints)
    return dict(hints)


class _Annotated:
    """Something that has the annotations of a function."""

    def __init__(self, annotations: dict[str, object]) -> None:
        self.__annotations__ = annotations


def _dereferenced(value: object) -> object:
    # pydantic keeps weak references to what was local where a model was defined.
    return value() if type(value).__name__ == "_PydanticWeakRef" and callable(value) else value
