"""Whether what a generated client declares of an object is what the object is."""

from __future__ import annotations

import ast
import functools
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ForwardRef, Literal, Union, cast, get_args, get_origin

from typing_extensions import is_typeddict

from zproc import generated
from zproc.client import DictHandle, ListHandle, SetHandle
from zproc.client.handle import ModelHandle
from zproc.schema.places import ItemPlace, ModelPlace
from zproc.schema.selection import Watch
from zproc.schema.values import detached


@dataclass(frozen=True)
class Declared:
    """A property that a class of the client has.

    Attributes:
        name: its name.
        read: what it gives, as text.
        assigned: what it takes, as text; ``None`` if it cannot be assigned.
    """

    name: str
    read: str
    assigned: str | None


class Client:
    """A generated client, by what it declares and by what it is.

    Args:
        module: the module.
    """

    def __init__(self, module: Any) -> None:
        items, entries, again = cast("Any", (ListHandle, DictHandle, ForwardRef("LiveJson")))
        json = items[again, Any] | entries[str, again, Any] | str | int | float | bool | None
        self.space = {**vars(generated), **vars(module), "Any": Any, "LiveJson": json}
        self._assigned: set[tuple[type, str]] = set()  # each once, because each is a round trip
        declarations, self.classes = _read(module.__file__)
        for node in declarations:
            if isinstance(node, ast.AnnAssign):  # of a recursive alias
                value = cast("ast.Constant", node.value)
                if isinstance(value, ast.Constant):
                    self.space[cast("ast.Name", node.target).id] = value.value

    def _type(self, text: str) -> object:
        found: object = eval(text, self.space)
        return found

    def complaints(self, value: object, declared: str) -> list[str]:
        """Say in what a value, and what can be read from it, differs from what it is declared as."""
        return list(self._complaints(value, self._type(declared), declared))

    def _complaints(self, value: object, kind: object, where: str) -> Iterator[str]:
        if not self._is(value, kind):
            yield f"{where}: {value!r}, of {type(value).__name__}, is not {kind}"
            return
        if isinstance(value, ModelHandle):
            yield from self._of_fields(value, where)
        elif isinstance(value, (ListHandle, DictHandle)):
            items = dict(value) if isinstance(value, DictHandle) else dict(enumerate(value))
            for key in items:
                read = value[key]
                wanted = self._elements(kind)
                if not any(self._is(read, each) for each in wanted):
                    yield f"{where}[{key!r}]: {read!r}, of {type(read).__name__}, is none of {wanted}"
                elif isinstance(read, ModelHandle):
                    yield from self._of_fields(read, f"{where}[{key!r}]")
            plain = value.copy()
            if type(plain) not in (list, dict):
                yield f"{where}: its copy is no plain one"

    def _of_fields(self, handle: Any, where: str) -> Iterator[str]:
        for each in self.classes[type(handle).__name__]:
            read = getattr(handle, each.name)
            yield from self._complaints(read, self._type(each.read), f"{where}.{each.name}")
            place = (type(handle), each.name)
            if each.assigned is not None and place not in self._assigned:
                self._assigned.add(place)
                for same in (read, detached(read)):
                    setattr(handle, each.name, same)

    def _elements(self, kind: object) -> list[object]:
        if isinstance(kind, str):
            kind = self._type(kind)
        origin, arguments = get_origin(kind), get_args(kind)
        if origin in (Union, types.UnionType):
            return [element for part in arguments for element in self._elements(part)]
        return [arguments[0]] if origin is ListHandle else [arguments[1]] if origin is DictHandle else []

    def _is(self, value: object, kind: object) -> bool:
        if isinstance(kind, str):
            kind = self._type(kind)
        if hasattr(kind, "__forward_arg__"):
            kind = self._type(cast("Any", kind).__forward_arg__)
        if hasattr(kind, "__supertype__"):
            kind = kind.__supertype__
        origin, arguments = get_origin(kind), get_args(kind)
        if origin in (Union, types.UnionType):
            return any(self._is(value, part) for part in arguments)
        if origin is Literal:
            return any(self._is(value, type(part)) and value == part for part in arguments)
        if origin in (tuple, frozenset) and type(value) is origin:
            parts = arguments if ... not in arguments and origin is tuple else arguments[:1] * len(cast("Any", value))
            return all(map(self._is, cast("Any", value), parts))
        if kind is None or kind is type(None):
            return value is None
        if kind is Any or kind is object:
            return True
        if origin in (SetHandle, set):
            return isinstance(value, cast("type", origin)) and all(
                self._is(each, arguments[0]) for each in cast("Any", value)
            )
        cls = dict if is_typeddict(kind) else origin or kind
        return isinstance(value, cast("type", cls)) and (type(value) is not bool or cls is bool)

    def complaints_of_places(self, places: Any, name: str) -> list[str]:
        """Say in what places, two deep, differ from what they are declared as."""
        found: list[str] = []
        for each in self.classes[name]:
            place = getattr(places, each.name)
            head, _, _ = each.read.partition("[")
            kind = self._type(head)
            wanted = Watch if kind is Watch else ItemPlace if kind is ItemPlace else ModelPlace
            if not isinstance(place, wanted):
                found.append(f"{name}.{each.name}: {place!r}, of {type(place).__name__}, is no {wanted.__name__}")
            if head in self.classes and name not in (head, head.removesuffix("Watch")):
                found += [
                    f"{head}.{inner.name} is no place"
                    for inner in self.classes[head]
                    if not isinstance(getattr(place, inner.name), Watch)
                ]
        return found


@functools.cache  # it takes as long as an example does
def _read(path: str) -> tuple[list[ast.stmt], dict[str, list[Declared]]]:
    """Return what a client declares to type checkers, and of that the properties of each class."""
    tree = ast.parse(Path(path).read_text("utf-8"))
    (branch,) = (node for node in tree.body if isinstance(node, ast.If))
    return branch.body, {node.name: list(_properties(node)) for node in branch.body if isinstance(node, ast.ClassDef)}


def _properties(cls: ast.ClassDef) -> Iterator[Declared]:
    functions = [node for node in cls.body if isinstance(node, ast.FunctionDef)]
    setters = {
        node.name: ast.unparse(cast("ast.expr", node.args.args[1].annotation))
        for node in functions
        if any(ast.unparse(decorator).endswith(".setter") for decorator in node.decorator_list)
    }
    for node in functions:
        if any(ast.unparse(decorator) in ("property", "property_") for decorator in node.decorator_list):
            yield Declared(node.name, ast.unparse(cast("ast.expr", node.returns)), setters.get(node.name))
