"""Contexts for tests: real servers and processes, ended after the test and checked for leaks.

The law: what a test has made through this ends with it, in order; what is left then fails the test.
"""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self, TypeVar

from zproc.context import Context
from zproc.schema.model import StateModel
from zproc.testing.leaks import leak_check, runtime_directory

__all__ = ["Contexts"]

M = TypeVar("M", bound=StateModel)


class Contexts:
    """Makes contexts, and closes them at the end of a ``with`` block, newest first.

    Sockets are made in a directory of their own meanwhile.

    Args:
        leak_check: whether to make sure at the end that no process, thread, descriptor or socket file is left.
        defaults: options for each context that does not say otherwise, as for `zproc.Context`.
    """

    def __init__(self, *, leak_check: bool = True, **defaults: Any) -> None:
        self._check = leak_check
        self._defaults = defaults
        self._around = ExitStack()
        self._contexts = ExitStack()

    def __call__(self, model: type[M], **options: Any) -> Context[M]:
        """Make a context, with a server of its own unless the options name one.

        Args:
            model: what the state is declared as.
            options: as for `zproc.Context`.
        """
        options = {"cleanup": False, **self._defaults, **options}
        if options.get("address") is None:
            options.setdefault("start_server", True)  # never the one of ZPROC_ADDRESS, which is a real one
        context = Context(model, **options)
        self._contexts.callback(context.close)
        return context

    def __enter__(self) -> Self:
        directory = self._around.enter_context(runtime_directory())
        if self._check:
            self._around.enter_context(leak_check(directory))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the contexts.

        Raises:
            LeakError: something is left, and what.
        """
        try:
            self._contexts.close()
        finally:
            self._around.__exit__(kind, error, trace)
