"""What a benchmark leaves behind. Each test runs `alone` in a process of its own: whom orphans go to is a process's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import cast

import psutil
import pytest

BENCHMARKS = Path(__file__).parent.parent.parent / "benchmarks"

PROGRAM = """
import dataclasses, json, sys
sys.path.insert(0, sys.argv[1])
from alone import adopt_orphans, run_alone
assert adopt_orphans()
print(json.dumps(dataclasses.asdict(run_alone([sys.executable, "-c", sys.argv[2]], float(sys.argv[3]), 0.2))))
"""

SLEEPER = "[sys.executable, '-c', 'import time; print(1, flush=True); time.sleep(60)']"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="orphans are adopted on Linux only"),
]


def ending(program: str, limit: float = 30) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(BENCHMARKS), program, str(limit)],
        capture_output=True, text=True, check=True, timeout=50,
    )  # fmt: skip
    said: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return said


def test_of_a_command_that_does_well_nothing_is_said() -> None:
    assert ending("") == {"trouble": "", "said": "", "left": []}


def test_a_command_that_fails_says_how() -> None:
    said = ending("raise SystemExit('as planned')")
    assert said == {"trouble": "ended with exit code 1", "said": "as planned", "left": []}


def test_a_process_that_was_detached_and_left_is_ended_and_named() -> None:
    said = ending(
        "import subprocess, sys, os;"
        f"child = subprocess.Popen({SLEEPER}, start_new_session=True, stdout=subprocess.PIPE);"
        "child.stdout.readline(); print(child.pid, file=sys.stderr); os._exit(0)"
    )
    assert said["trouble"] == ""
    (left,) = cast("list[str]", said["left"])
    assert left.startswith(f"{said['said']} ")
    assert not psutil.pid_exists(int(str(said["said"])))


def test_a_command_that_hangs_is_ended_with_all_that_it_started() -> None:
    said = ending(
        "import subprocess, sys;"
        f"child = subprocess.Popen({SLEEPER}, start_new_session=True);"
        "print(child.pid, file=sys.stderr); child.wait()",
        limit=1,
    )
    assert (said["trouble"], said["left"]) == ("not done after 1 s", [])
    assert not psutil.pid_exists(int(str(said["said"])))
