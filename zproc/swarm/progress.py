"""Progress bars for maps.

The law: a bar is updated as results are taken, by the thread that takes them. The program's own bar is anything that is
called like tqdm, with ``total=``, and has ``update`` and ``close``; by default there is rich's, if it is installed, or
else a line of text.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable
from typing import Any, Final, Protocol, TextIO

__all__ = ["Bar", "Progress", "bar_of"]

_PERIOD: Final = 0.1
"""How often a line is updated at most, in seconds."""


class Bar(Protocol):
    """The part of a tqdm bar that is used."""

    def update(self, n: int, /) -> object:
        """Advance by a number of items."""
        ...

    def close(self) -> object:
        """Finish the bar."""
        ...


Progress = bool | Callable[..., Bar]
"""Whether to show a bar, or a factory for one: called with ``total=``, a number or ``None``."""


def bar_of(progress: Progress, name: str, total: int | None) -> Bar | None:
    """Return the requested bar, if any.

    Args:
        progress: the request.
        name: its label.
        total: the number of items, if known.
    """
    if progress is False:
        return None
    if progress is not True:
        return progress(total=total)
    if importlib.util.find_spec("rich") is not None:
        return _RichBar(name, total)
    return _Line(name, total, sys.stderr)


class _RichBar:
    def __init__(self, name: str, total: int | None) -> None:
        module: Any = importlib.import_module("rich.progress")
        self._progress = module.Progress(transient=False)
        self._task = self._progress.add_task(name, total=total)
        self._progress.start()

    def update(self, n: int, /) -> None:
        self._progress.update(self._task, advance=n)

    def close(self) -> None:
        self._progress.stop()


class _Line:
    def __init__(self, name: str, total: int | None, out: TextIO) -> None:
        self._name = name
        self._total = total
        self._out = out
        self._done = 0
        self._began = time.monotonic()
        self._shown = 0.0
        self._closed = False

    def update(self, n: int, /) -> None:
        self._done += n
        now = time.monotonic()
        if now - self._shown >= _PERIOD and self._out.isatty():
            self._shown = now
            self._out.write(f"\r{self._text()}")
            self._out.flush()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._out.write(f"\r{self._text()}\n" if self._out.isatty() else f"{self._text()}\n")
            self._out.flush()

    def _text(self) -> str:
        seconds = max(time.monotonic() - self._began, 1e-9)
        of = "" if self._total is None else f"/{self._total} ({100 * self._done // max(1, self._total)} %)"
        return f"{self._name}: {self._done}{of}, {self._done / seconds:.1f}/s"
