"""The dotted paths of a model, by the type of what stands there.

The law: a path is listed if the model alone determines it; the keys of a dict are not known, so they are listed as a
pattern. A model that contains itself is followed once, because its paths have no end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from pydantic import BaseModel

from zproc.codegen.catalog import Catalog, Entry
from zproc.codegen.form import Choice, Form, Items, Model, Named, Plain, Record, union

__all__ = ["Paths", "paths_of"]


@dataclass
class Paths:
    """The paths of a state.

    Attributes:
        types: by path, the types of what may stand there.
        patterns: what stands for several paths, through the keys of dicts and the indices of lists.
        whole: the paths at which every change gives the place another value as a whole.
    """

    types: dict[str, list[str]] = field(default_factory=dict)
    patterns: dict[str, None] = field(default_factory=dict)
    whole: list[str] = field(default_factory=list)

    def by_type(self, paths: list[str] | None = None) -> dict[str, list[str]]:
        """Return some paths, or all, by the type of what stands there."""
        groups: dict[str, list[str]] = {}
        for path in self.types if paths is None else paths:
            groups.setdefault(union(self.types[path]), []).append(path)
        return groups


def paths_of(catalog: Catalog, root: Entry) -> Paths:
    """Return the paths of the state of a model."""
    found = Paths()
    for path, form, pattern in _below(catalog, root, "", (root.cls,)):
        if pattern:
            found.patterns[path] = None
        else:
            found.types.setdefault(path, []).append(catalog.written(form))
    found.whole = [name for name, form in root.fields.items() if _is_whole(form)]
    return found


def _below(
    catalog: Catalog, entry: Entry, prefix: str, trail: tuple[type[BaseModel], ...], *, pattern: bool = False
) -> Iterator[tuple[str, Form, bool]]:
    for name, form in entry.fields.items():
        path = prefix + name
        yield path, form, pattern
        yield from _inside(catalog, form, path, trail, pattern=pattern)
    for name, form in entry.computed.items():
        yield prefix + name, form, pattern


def _inside(
    catalog: Catalog, form: Form, path: str, trail: tuple[type[BaseModel], ...], *, pattern: bool
) -> Iterator[tuple[str, Form, bool]]:
    match form:
        case Model(cls, _) if cls not in trail:
            yield from _below(catalog, catalog.add(cls), f"{path}.", (*trail, cls), pattern=pattern)
        case Items(_, item):
            yield f"{path}.*", item, True
            yield from _inside(catalog, item, f"{path}.*", trail, pattern=True)
        case Choice(parts):
            for part in parts:
                yield from _inside(catalog, part, path, trail, pattern=pattern)
        case Named(_, inner):
            yield from _inside(catalog, inner, path, trail, pattern=pattern)
        case _:
            pass


def _is_whole(form: Form) -> bool:
    match form:
        case Plain():
            return True
        case Named(_, inner):
            return _is_whole(inner)
        case Choice(parts):
            return all(map(_is_whole, parts))
        case Model() | Items() | Record() | _:
            return False
