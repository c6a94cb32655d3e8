"""What a command is: a module that adds its parser to the program's and runs.

The law: a command's module imports at its top what its parser needs, and everything else when it runs, so that
``zproc --help`` costs the same however many commands there are. It returns its exit code, writes results to the
standard output and anything else to the standard error, and lets the errors of zproc pass: the program reports them.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

__all__ = ["FAILED", "INTERRUPTED", "OK", "USAGE", "Command", "Commands"]

OK: Final = 0
"""It did what was asked, and the answer, if there is one, is yes."""

FAILED: Final = 1
"""It could not, or the answer is no; the standard error says why."""

USAGE: Final = 2
"""It was not understood: there is no such command or option."""

INTERRUPTED: Final = 130
"""It was ended by Ctrl-C, as a shell reports that."""

if TYPE_CHECKING:
    Commands: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - it has no public name
else:
    Commands = object


class Command(Protocol):
    """A command, which is a module."""

    def add_to(self, commands: Commands, /) -> None:
        """Add the command's parser, with ``run`` as its default of that name."""
        ...

    def run(self, arguments: argparse.Namespace, /) -> int:
        """Do it, and return the exit code."""
        ...
