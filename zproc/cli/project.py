"""The project that a command works on: its settings in ``pyproject.toml``, and its models.

The law: paths in the settings are relative to the file that they stand in, and a model is imported as the project's own
programs would import it: from the directory of that file.
"""

from __future__ import annotations

import importlib
import os
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zproc.exceptions import SchemaError, UsageError

if TYPE_CHECKING:
    from zproc.schema import StateModel

__all__ = ["Project", "model_at"]

_FILE = "pyproject.toml"


@dataclass(frozen=True, slots=True)
class Project:
    """What ``[tool.zproc]`` says.

    Attributes:
        root: the directory that relative paths start from.
        models: the addresses of the models that have a generated client.
        out: the file of that client, relative to the root.
    """

    root: str
    models: tuple[str, ...] = ()
    out: str | None = None

    @classmethod
    def found(cls, directory: str) -> Project:
        """Return the project that a directory is part of; without a ``pyproject.toml`` it is the directory itself.

        Raises:
            UsageError: the settings make no sense.
        """
        root = os.path.abspath(directory)
        while not os.path.isfile(os.path.join(root, _FILE)):
            above = os.path.dirname(root)
            if above == root:
                return cls(os.path.abspath(directory))
            root = above
        path = os.path.join(root, _FILE)
        with open(path, "rb") as file:
            try:
                settings = tomllib.load(file)
            except tomllib.TOMLDecodeError as error:
                raise UsageError(f"{path}: {error}") from None
        return cls._of(root, path, settings.get("tool", {}).get("zproc", {}))

    @classmethod
    def _of(cls, root: str, path: str, settings: Mapping[str, object]) -> Project:
        models, out = settings.get("models", []), settings.get("out")
        if unknown := sorted(settings.keys() - {"models", "out"}):
            raise UsageError(f"{path}: [tool.zproc] has no {unknown[0]!r}; there are 'models' and 'out'")
        if not isinstance(models, list) or not all(isinstance(model, str) for model in models):
            raise UsageError(f'{path}: [tool.zproc] models is a list of texts: models = ["app.state:AppState"]')
        if out is not None and not isinstance(out, str):
            raise UsageError(f'{path}: [tool.zproc] out is a text: out = "app/zproc_client.py"')
        return cls(root, tuple(models), out)

    def importing(self) -> None:
        """Have this process import modules as the project's programs do."""
        if self.root not in sys.path:
            sys.path.insert(0, self.root)


def model_at(address: str) -> type[StateModel]:
    """Import a model.

    Args:
        address: where it is: ``app.state:AppState``.

    Raises:
        UsageError: it is not there.
        SchemaError: what is there is no model of a state.
        Exception: whatever the module raises when it is imported.
    """
    from zproc.schema import StateModel

    module, colon, name = address.partition(":")
    if not (module and colon and name):
        raise UsageError(f"{address!r} is no address of a model; write it like app.state:AppState")
    try:
        found: object = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise UsageError(f"{address}: there is no module {error.name!r} to be imported from {sys.path[0]}") from None
    for part in name.split("."):
        if not hasattr(found, part):
            raise UsageError(f"{address}: {module} has no {name!r}")
        found = getattr(found, part)
    if not (isinstance(found, type) and issubclass(found, StateModel)):
        raise SchemaError(address, "it is no subclass of zproc.StateModel")
    return found
