"""The original zproc, 0.9.5, as a peer: in an environment of its own, because it needs an older Python.

The law: it does what its documentation shows, in a process of its own, which is asked for one figure at a time. Its
state server is the one that its Context starts, on the ``ipc://`` address that it chooses. Its atomic functions run in
that server, in one round trip, and stop it meanwhile; ours run in the client, which takes two.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness import Need, Timed

__all__ = ["ORIGINAL_ATOMIC", "ORIGINAL_GET", "ORIGINAL_SET"]

_DEFAULT: Final = Path(__file__).parent.parent / "build" / "original" / "bin" / "python"
_SECONDS: Final = 0.2
_RUN: Final = ("-I", "-c")
"""How its Python runs a program: isolated, or it would find ours in the directory that benchmarks are run in."""

_PROGRAM: Final = """
import sys, time
import zproc

if __name__ == "__main__":
    ctx = zproc.Context()
    state = ctx.create_state()
    state["c"] = 0

    @zproc.atomic
    def increment(snap):
        snap["c"] += 1

    def put():
        state["c"] = 5

    operations = {"get": lambda: state["c"], "set": put, "atomic": lambda: increment(state)}
    for operation in operations.values():
        operation()
    print("ready", flush=True)
    for line in sys.stdin:
        operation, seconds = operations[line.split()[0]], float(line.split()[1])
        count, begin = 0, time.perf_counter()
        while time.perf_counter() - begin < seconds:
            operation()
            count += 1
        print((time.perf_counter() - begin) / count * 1e6, flush=True)
"""


def _python() -> Path:
    return Path(os.environ.get("ZPROC_ORIGINAL_PYTHON", _DEFAULT))


@dataclass(frozen=True)
class _Environment(Need):
    def met(self) -> bool:
        """Whether there is an environment with the original in it."""
        python = _python()
        probe = [str(python), *_RUN, "import zproc; assert zproc.__version__ == '0.9.5'"]
        return python.exists() and subprocess.run(probe, check=False, capture_output=True).returncode == 0


_NEEDS: Final = (
    _Environment(
        "zproc 0.9.5",
        "python3.9 -m venv build/original && build/original/bin/pip install zproc==0.9.5 "
        "(or ZPROC_ORIGINAL_PYTHON=/path/to/its/python)",
    ),
)


def _timed(name: str, operation: str) -> Timed:
    def prepare(stack: ExitStack) -> Callable[[], float]:
        process = subprocess.Popen(
            [str(_python()), *_RUN, _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        stack.callback(_stop, process)
        assert process.stdin is not None
        assert process.stdout is not None
        to, out = process.stdin, process.stdout
        if out.readline() != "ready\n":
            raise RuntimeError(f"the original does not start; exit code {process.wait()}")

        def measure() -> float:
            to.write(f"{operation} {_SECONDS}\n")
            to.flush()
            while True:
                line = out.readline().strip()
                if not line:
                    raise RuntimeError(f"the original has ended; exit code {process.wait()}")
                try:
                    return float(line)
                except ValueError:
                    continue  # it prints, too

        return measure

    return Timed(name, prepare, needs=_NEEDS)


def _stop(process: subprocess.Popen[str]) -> None:
    process.communicate()  # its input ends, and so does it, with its server
    process.wait()


ORIGINAL_GET: Final = _timed("zproc 0.9.5 state['c']", "get")
ORIGINAL_SET: Final = _timed("zproc 0.9.5 state['c'] = 5", "set")
ORIGINAL_ATOMIC: Final = _timed("zproc 0.9.5 atomic increment", "atomic")
