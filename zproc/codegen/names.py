"""The names in a generated module: those that it defines, and those that it imports.

The law: a name means one thing in all of the module. Where two modules have a class of one name, and where a class has
the name of a field, which would hide it within the class that has the field, one of them is imported under another
name.
"""

from __future__ import annotations

import keyword
import re
import sys
from collections.abc import Iterable
from typing import Final

from zproc.exceptions import SchemaError

__all__ = ["Names", "importable", "label"]

_HOME: Final = {"pathlib._local": "pathlib"}
"""Modules whose classes are to be imported from another, which is the one that is documented."""


class Names:
    """The names of a module in the making.

    Args:
        hiding: names that may mean something else within a class.
    """

    def __init__(self, hiding: Iterable[str]) -> None:
        self._taken = set(hiding)
        self._imported: dict[tuple[str, str], str] = {}

    def new(self, name: str) -> str:
        """Take a name for something that the module defines: the name, or with a number if it is taken."""
        number, found = 1, name
        while found in self._taken:
            number += 1
            found = f"{name}{number}"
        self._taken.add(found)
        return found

    def of(self, module: str, name: str) -> str:
        """Return what something is called that another module has defined.

        Args:
            module: the other module.
            name: the name there, with dots for a class within a class.
        """
        module = _HOME.get(module, module)
        outer, dot, inner = name.partition(".")
        known = self._imported.get((module, outer))
        if known is None:
            known = self._imported[module, outer] = self._unhidden(outer)
        return f"{known}{dot}{inner}"

    def builtin(self, name: str) -> str:
        """Return what a builtin is called."""
        return self.of("builtins", name)

    def _unhidden(self, name: str) -> str:
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name

    def imports(self) -> dict[str, list[str]]:
        """Return what is to be imported, by module, in the order in which a formatter would have it."""
        by_module: dict[str, list[str]] = {}
        for (module, name), known in sorted(self._imported.items()):
            if module != "builtins" or name != known:
                by_module.setdefault(module, []).append(name if name == known else f"{name} as {known}")
        return by_module


def label(cls: type) -> str:
    """Return an identifier for a class: its name, and for ``Box[int]`` those of its parameters, too."""
    first, *others = re.findall(r"\w+", cls.__name__)
    return "".join([first, *(word[0].upper() + word[1:] for word in others)])


def importable(where: str, module: str, name: str, thing: object) -> None:
    """Make sure that another module can import something.

    Args:
        where: what needs it, for the error.
        module: the module that it says that it is of.
        name: its name there, with dots for a class within a class.
        thing: what it is.

    Raises:
        SchemaError: it cannot.
    """
    if module == "__main__":
        raise SchemaError(where, f"{name} is defined in the program itself; move it to a module that can be imported")
    found: object = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is not thing or any(map(keyword.iskeyword, (*module.split("."), *name.split(".")))):
        raise SchemaError(where, f"{module} has no {name} to be imported; define it at the top level of the module")
