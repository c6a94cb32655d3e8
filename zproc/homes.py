"""Lazy imports of the public names of a package (PEP 562).

The law: a name costs nothing before its first use, and is afterwards where an eager import would have put it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Collection, Mapping, Sequence

__all__ = ["lazy_getattr"]


def lazy_getattr(
    package: str, homes: Mapping[str, Sequence[str]], parts: Collection[str] = ()
) -> Callable[[str], object]:
    """Return the ``__getattr__`` of a package.

    Args:
        package: its name.
        homes: the names that are defined in each of its modules.
        parts: further modules of it, which are known by their own names.
    """
    home = {name: module for module, names in homes.items() for name in names}

    def fetch(name: str) -> object:
        if name in home:
            value: object = getattr(importlib.import_module(home[name]), name)
            setattr(sys.modules[package], name, value)  # so that it is asked for once
            return value
        module = f"{package}.{name}"
        if name in parts or module in homes:  # it would be there if it had been imported eagerly
            return importlib.import_module(module)
        import difflib  # noqa: PLC0415 - only for misspelt names

        nearest = difflib.get_close_matches(name, home, n=1)
        hint = f"; did you mean {nearest[0]!r}?" if nearest and not name.startswith("_") else ""
        raise AttributeError(f"module {package!r} has no attribute {name!r}{hint}")

    return fetch
