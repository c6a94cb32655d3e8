"""What it costs to begin: to import zproc, and to have a state served.

The law: each is measured from outside, by the time at which something else can go on. The peer of a context is one
process of the standard library by the same start method, until it says that it is there.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from multiprocessing import get_context
from multiprocessing.context import SpawnContext
from typing import cast

from harness import Timed, cost
from models import Counter
from peers import until_it_runs, without_main

import zproc
from zproc.process import StartMethod

TIMES = 5


METHODS: Sequence[StartMethod] = (StartMethod.FORKSERVER, StartMethod.FORK, StartMethod.SPAWN)


def _median(measure: Callable[[], float]) -> float:
    """Return the median of a few, in milliseconds."""
    return statistics.median(measure() for _ in range(TIMES)) * 1e3


def _context(method: StartMethod) -> Timed:
    def once() -> float:
        begun = time.perf_counter()
        with zproc.Context(Counter, start_method=method):
            return time.perf_counter() - begun

    def prepare(_stack: ExitStack) -> Callable[[], float]:
        once()  # the fork server is made once in a program's life
        return lambda: _median(once)

    return Timed("Context()", prepare)


def _process(method: StartMethod) -> Timed:
    context = cast("SpawnContext", get_context(method.value))  # all three have the same methods

    def prepare(stack: ExitStack) -> Callable[[], float]:
        stack.enter_context(without_main())
        until_it_runs(context)
        return lambda: _median(lambda: until_it_runs(context))

    return Timed(f"multiprocessing.Process, {method.value}", prepare)


def _import(statement: str) -> Timed:
    program = f"import time; begun = time.perf_counter(); {statement}; print(time.perf_counter() - begun)"

    def once() -> float:
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        return float(done.stdout)

    def prepare(_stack: ExitStack) -> Callable[[], float]:
        once()  # so that it is compiled and in the page cache
        return lambda: _median(once)

    return Timed(statement, prepare)


CASES = [
    cost("import.pydantic", "import", _import("import zproc"), _import("import pydantic"), unit="ms", goal=1 / 1.3),
    # Of pydantic nothing but the name is imported before it is used; a program that declares a state uses it.
    cost(
        "import.used",
        "import",
        _import("from zproc import Context, StateModel"),
        _import("from pydantic import BaseModel"),
        unit="ms",
        goal=1 / 1.3,
    ),
    *(
        cost(f"context.{method}", "up", _context(method), _process(method), unit="ms", goal=1 / 1.5)
        for method in METHODS
    ),
]
