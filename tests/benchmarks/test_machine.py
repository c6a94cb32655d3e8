"""Every result says what it is of."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version

from machine import header, machine


def test_the_header_names_the_machine_and_the_versions_of_what_is_measured() -> None:
    said = header()
    assert platform.machine() in said
    assert f"{len(os.sched_getaffinity(0))} cores" in said
    assert f"Python {platform.python_implementation()} {platform.python_version()}" in said
    for package in ("zproc", "pydantic", "msgpack", "pyzmq"):
        assert f"{package} {version(package)}" in said


def test_what_is_kept_names_the_commit_and_the_time_too() -> None:
    kept = machine()
    assert kept.keys() == {"system", "processor", "cores", "python", "versions", "commit", "measured"}
    assert all(kept.values())
