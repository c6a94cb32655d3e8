"""The stubs of dependencies say what these are, and only of those that say nothing themselves."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
STUBS = sorted(path.name for path in (ROOT / "stubs").iterdir() if path.is_dir())


@pytest.mark.parametrize("package", STUBS)
def test_only_a_package_without_types_has_stubs(package: str) -> None:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    assert not (Path(spec.origin).parent / "py.typed").exists(), f"{package} ships types now; remove stubs/{package}"


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_what_is_stubbed_is_what_is_there() -> None:
    """They describe what zproc uses and no more, so what is missing is not looked at."""
    done = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "--ignore-missing-stub", "--concise", *STUBS],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": str(ROOT / "stubs")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
