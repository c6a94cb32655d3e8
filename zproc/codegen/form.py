"""The forms of annotations that a live state distinguishes.

The law: an annotation is analysed once, here; what may be assigned, what is read back and what can be waited for are
derived from its form. So a new kind of annotation is added in one place, and so is a new use of all of them.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Annotated, Literal, TypeAlias, Union, cast, get_args, get_origin

import typing_extensions
from pydantic import AwareDatetime, BaseModel, JsonValue, NaiveDatetime

from zproc.codegen.layout import quoted
from zproc.codegen.names import Names, importable
from zproc.schema.types import unwrapped

__all__ = ["Choice", "Form", "Forms", "Items", "Json", "Model", "Named", "Plain", "Record", "Recursive", "Unordered"]


@dataclass(frozen=True, slots=True)
class Plain:
    """A value of which nothing can be changed in place: it is read as what it is declared as."""

    text: str


@dataclass(frozen=True, slots=True)
class Model:
    """A model, which is read as a live handle unless it is frozen."""

    cls: type[BaseModel]
    text: str

    @property
    def frozen(self) -> bool:
        """Whether it cannot be changed in place, and so is read as a copy."""
        return bool(self.cls.model_config.get("frozen"))


@dataclass(frozen=True, slots=True)
class Items:
    """A list, or a dict if it has keys."""

    key: Form | None
    item: Form


@dataclass(frozen=True, slots=True)
class Record:
    """A typed dict: read as a dict that is live, of all that may stand at its keys."""

    text: str
    item: Form


@dataclass(frozen=True, slots=True)
class Unordered:
    """A set."""

    item: Form


@dataclass(frozen=True, slots=True)
class Choice:
    """A union."""

    parts: tuple[Form, ...]


@dataclass(frozen=True, slots=True)
class Named:
    """Another form by a name that the user gave it, which a type checker holds apart: a ``NewType``."""

    text: str
    form: Form


@dataclass(frozen=True, slots=True)
class Recursive:
    """A type alias that contains itself; what it is read as is an alias of the generated module."""

    text: str
    live: str


@dataclass(frozen=True, slots=True)
class Json:
    """Anything that JSON has."""

    text: str


Form: TypeAlias = Plain | Model | Items | Record | Unordered | Choice | Named | Recursive | Json


@dataclass
class Forms:
    """Reads annotations.

    Attributes:
        names: the names of the module that will speak of them.
        recursive: the forms of recursive aliases, by the name of what they are read as.
    """

    names: Names
    recursive: dict[str, Form] = field(default_factory=dict)
    _knots: dict[object, Recursive] = field(default_factory=dict)
    _within: set[object] = field(default_factory=set)

    def of(self, annotation: object, where: str) -> Form:
        """Return the form of an annotation of a model that is registered.

        Args:
            annotation: the annotation.
            where: whose it is, for errors.

        Raises:
            SchemaError: something that it names cannot be imported.
        """
        if annotation is JsonValue:
            return Json(self.names.of("pydantic", "JsonValue"))
        origin, arguments = get_origin(annotation), get_args(annotation)
        if origin is Annotated:
            return self.of(arguments[0], where)
        if origin is Literal:
            return Plain(f"{self.names.of('typing', 'Literal')}[{', '.join(map(self._literal, arguments))}]")
        if origin in (Union, types.UnionType):
            return _choice([self.of(part, where) for part in arguments])
        if type(annotation).__name__ == "TypeAliasType":  # there is one in ``typing`` and one in ``typing_extensions``
            return self._alias(annotation, where)
        if hasattr(annotation, "__supertype__"):
            return self._new_type(annotation, where)
        if origin is not None:
            return self._container(origin, [part if part is ... else self.of(part, where) for part in arguments])
        return self._class(annotation, where)

    def _container(self, origin: object, parts: list[object]) -> Form:
        forms = cast("list[Form]", parts)
        if origin is list:
            return Items(None, forms[0])
        if origin is dict:
            return Items(forms[0], forms[1])
        if origin is set:
            return Unordered(forms[0])
        name = cast("type", origin).__name__
        texts = ["..." if part is ... else self.written(cast("Form", part)) for part in parts] or ["()"]
        return Plain(f"{self.names.builtin(name)}[{', '.join(texts)}]")

    def _class(self, annotation: object, where: str) -> Form:
        if annotation is None or annotation is type(None):
            return Plain("None")
        if annotation in (AwareDatetime, NaiveDatetime):
            annotation = datetime
        cls = cast("type", annotation)
        if issubclass(cls, BaseModel):
            return Model(cls, self.model(cls, where))
        text = self._imported(cls, where)
        if typing_extensions.is_typeddict(cls):
            values = [unwrapped(value) for value in typing_extensions.get_type_hints(cls).values()]

            def record() -> Form:
                return Record(text, _choice([self.of(value, where) for value in values]))

            return self._tied(cls, cls.__name__, lambda: text, record)
        return Plain(text)

    def model(self, cls: type[BaseModel], where: str) -> str:
        """Return what a model goes by."""
        generic = cls.__pydantic_generic_metadata__
        origin = generic["origin"]
        if origin is None:
            return self._imported(cls, where)
        arguments = [self.written(self.of(argument, where)) for argument in generic["args"]]
        return f"{self._imported(origin, where)}[{', '.join(arguments)}]"

    def _imported(self, cls: type, where: str) -> str:
        if cls.__module__ not in ("builtins", "pathlib._local"):
            importable(where, cls.__module__, cls.__qualname__, cls)
        return self.names.of(cls.__module__, cls.__qualname__)

    def _literal(self, value: object) -> str:
        if isinstance(value, Enum):
            return f"{self._imported(type(value), str(value))}.{value.name}"
        return quoted(value) if isinstance(value, str) else repr(value)

    def _new_type(self, annotation: object, where: str) -> Form:
        module, name = cast("type", annotation).__module__, cast("type", annotation).__name__
        importable(where, module, name, annotation)
        supertype: object = annotation.__supertype__  # type: ignore[attr-defined]  # as was asked for
        return Named(self.names.of(module, name), self.of(supertype, where))

    def _alias(self, alias: object, where: str) -> Form:
        module, name = cast("type", alias).__module__, cast("type", alias).__name__

        def text() -> str:
            importable(where, module, name, alias)
            return self.names.of(module, name)

        value: object = alias.__value__  # type: ignore[attr-defined]  # as was asked for
        return self._tied(alias, name, text, lambda: self.of(value, where))

    def _tied(self, key: object, name: str, text: Callable[[], str], make: Callable[[], Form]) -> Form:
        """Return the form of what may contain itself; if it does, inside of it and outside alike, by a name."""
        known = self._knots.get(key)
        if known is not None:
            return known
        if key in self._within:
            found = self._knots[key] = Recursive(text(), self.names.new(f"{name}Live"))
            return found
        self._within.add(key)
        form = make()
        self._within.discard(key)
        known = self._knots.get(key)
        if known is None:
            return form
        self.recursive[known.live] = form
        return known

    def written(self, form: Form) -> str:
        """Return the type of what is declared by a form."""
        match form:
            case Plain(text) | Model(_, text) | Record(text, _) | Named(text, _) | Recursive(text, _) | Json(text):
                return text
            case Items(None, item):
                return f"{self.names.builtin('list')}[{self.written(item)}]"
            case Items(key, item):
                assert key is not None, "the case before"
                return f"{self.names.builtin('dict')}[{self.written(key)}, {self.written(item)}]"
            case Unordered(item):
                return f"{self.names.builtin('set')}[{self.written(item)}]"
            case Choice(parts):
                return union(map(self.written, parts))


def union(texts: Iterable[str]) -> str:
    """Return the type of what is of any of some types."""
    return " | ".join(dict.fromkeys(texts))


def _choice(parts: list[Form]) -> Form:
    flat = [inner for part in parts for inner in (part.parts if isinstance(part, Choice) else (part,))]
    different = tuple(dict.fromkeys(flat))
    return different[0] if len(different) == 1 else Choice(different)
