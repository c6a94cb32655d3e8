"""The classes of a generated module: live handles, places and contexts.

The law: to a type checker a live handle is an instance of its model, as it is to ``isinstance``, with its methods and
computed fields; only the types of what is read and what may be assigned are declared anew.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from zproc.codegen.catalog import Catalog, Entry
from zproc.codegen.member import class_of, method, property_of
from zproc.codegen.watchers import Watched, calls, watchers
from zproc.schema.model import StateModel
from zproc.schema.places import names_of
from zproc.schema.shape import shape_of

__all__ = ["context_class", "handle_class", "places_class", "root_places_class", "tasks_class"]


def handle_class(catalog: Catalog, entry: Entry, watched: Watched | None) -> list[str]:
    """Return the class of the live handles of a model.

    Args:
        catalog: the models.
        entry: the model.
        watched: what its methods watch, if it is the model of a state.
    """
    return class_of(
        f"class {entry.handle}({entry.text}):", _documentation(entry), _handle_members(catalog, entry, watched)
    )


def _handle_members(catalog: Catalog, entry: Entry, watched: Watched | None) -> Iterator[list[str]]:
    yield method("__zproc_value__", [], entry.text)
    fixed = shape_of(entry.cls).frozen_fields
    for name, form in entry.fields.items():
        assigned = None if name in fixed else catalog.assigned(form)
        documentation = entry.cls.model_fields[name].description
        yield property_of(catalog.names, name, catalog.read(form), assigned, documentation)
    if issubclass(entry.cls, StateModel):
        values = [f"{name}: {catalog.assigned(form)} = ..." for name, form in entry.fields.items() if name != "self"]
        yield method("update", ["*", *values] if values else [], "None")
        yield method("snapshot", [], entry.text)
    if watched is not None:
        yield from watchers(watched)


def places_class(catalog: Catalog, entry: Entry, variable: str) -> list[str]:
    """Return the class of the places where a model stands, or what may be it.

    Args:
        catalog: the models.
        entry: the model.
        variable: a type variable.
    """
    watch = catalog.names.of("zproc", "Watch")
    return class_of(f"class {entry.watch}({watch}[{variable}]):", None, _places(catalog, entry))


def root_places_class(catalog: Catalog, entry: Entry, name: str) -> list[str]:
    """Return the class of the places of a state, which itself is none."""
    return class_of(f"class {name}:", None, _places(catalog, entry, own=False))


def _places(catalog: Catalog, entry: Entry, *, own: bool = True) -> Iterator[list[str]]:
    watch = catalog.names.of("zproc", "Watch")
    types = {name: catalog.place(form, catalog.written(form)) for name, form in entry.fields.items()}
    types |= {name: f"{watch}[{catalog.written(form)}]" for name, form in entry.computed.items()}
    called = {field: name for name, field in names_of(types).items()} if own else {}
    for field, type_ in types.items():
        yield property_of(catalog.names, called.get(field, field), type_)


def context_class(catalog: Catalog, entry: Entry, name: str, places: str, watched: Watched) -> list[str]:
    """Return the class of the contexts of a model.

    Args:
        catalog: the models.
        entry: the model.
        name: what the class is called.
        places: the class of its places.
        watched: what it calls processes for.
    """
    names = catalog.names
    generated = "zproc.generated"
    options = f"**options: {names.of('typing', 'Unpack')}[{names.of(generated, 'ContextOptions')}]"
    given = [f"model: {names.builtin('type')}[{entry.text}] = ...", options]
    spawn = f"{names.of(generated, 'Spawn')}[{entry.handle}, {name}]"
    return class_of(
        f"class {name}({names.of('zproc', 'Context')}[{entry.text}]):",
        f"A shared state that is declared as `{entry.cls.__name__}`, and the processes that work on it.",
        [
            method("__new__", given, names.of("typing", "Self")),
            method("__init__", given, "None"),
            property_of(names, "state", entry.handle, documentation="The live state."),
            property_of(names, "when", places, documentation="The places of the state, to be waited for."),
            property_of(names, "spawn", spawn, documentation="Start processes: see `zproc.Context.spawn`."),
            *calls(watched),
        ],
    )


def tasks_class(catalog: Catalog, entry: Entry, name: str, watched: Watched) -> list[str]:
    """Return the class by which tasks wait for a state."""
    base = catalog.names.of("zproc.aio", "AsyncState")
    documentation = f"What tasks wait by for a state that is declared as `{entry.cls.__name__}`."
    return class_of(f"class {name}({base}[{entry.text}]):", documentation, watchers(watched, tasks=True))


def _documentation(entry: Entry) -> str | None:
    """Return the docstring of a model itself, or of the generic model that it is made of."""
    for cls in (entry.cls, entry.cls.__pydantic_generic_metadata__["origin"]):
        if cls is not None and cls.__dict__.get("__doc__"):
            return inspect.cleandoc(cls.__dict__["__doc__"])
    return None
