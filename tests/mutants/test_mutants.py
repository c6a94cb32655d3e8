"""The tests notice when a promise is broken: each mutant of `mutants.toml` fails the tests that it names.

They test the tests and not the code, and run those of the core once for each: in `make soak`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
TOGETHER = 2
"""How many run at a time."""

PARTS = 3

SIMULATION = (
    "tests/core/test_simulation.py::test_p1_p2_p4_p5_p6_whatever_the_network_does_everybody_is_told_the_truth[0]"
)


@dataclass(frozen=True, slots=True)
class Mutant:
    """A way to break a promise."""

    name: str
    promise: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def apply(self, package: Path) -> None:
        target = package / self.file
        text = target.read_text("utf-8")
        found = text.count(self.old)
        assert found == 1, f"{self.name!r}: its text stands {found} times in {self.file}; bring mutants.toml up to date"
        target.write_text(text.replace(self.old, self.new), "utf-8")


def mutants() -> list[Mutant]:
    listed = tomllib.loads((Path(__file__).parent / "mutants.toml").read_text("utf-8"))["mutant"]
    return [Mutant(**{**each, "tests": tuple(each["tests"])}) for each in listed]


MUTANTS = mutants()


def copy_to(directory: Path) -> Path:
    ignored = shutil.ignore_patterns(".*")  # what was compiled may come along: it is known by the time of its source
    shutil.copytree(ROOT / "zproc", directory / "zproc", ignore=ignored)
    shutil.copytree(ROOT / "tests" / "core", directory / "tests" / "core", ignore=ignored)
    shutil.copy(ROOT / "tests" / "conftest.py", directory / "tests")
    shutil.copy(ROOT / "pyproject.toml", directory)
    return directory / "zproc"


def run(directory: Path, tests: Iterable[str]) -> subprocess.CompletedProcess[str]:
    """Run tests of a copy, until the first that fails."""
    files = [SIMULATION if name == "simulation" else f"tests/core/test_{name}.py" for name in tests]
    inherited = {name: value for name, value in os.environ.items() if name not in ("ZPROC_SEED", "PYTEST_ADDOPTS")}
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-x",
            "-q",
            "--tb=line",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:randomly",
            *files,
        ],
        cwd=directory,
        env={
            **inherited,
            "PYTHONPATH": str(directory),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HYPOTHESIS_PROFILE": "quick",
        },
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def survives(mutant: Mutant, directory: Path) -> str:
    """Run the tests that are to notice a mutant; return what is wrong if they do not."""
    mutant.apply(copy_to(directory))
    ended = run(directory, mutant.tests)
    # 1 is pytest's word for tests that failed; a mutant that cannot be imported proves nothing, either.
    if ended.returncode == 1 and " error" not in ended.stdout.splitlines()[-1]:
        return ""
    return f"{mutant.promise} {mutant.name}: pytest ended with {ended.returncode}\n{ended.stdout[-1500:]}{ended.stderr}"


def notice(some: Sequence[Mutant], directory: Path) -> None:
    places = [directory / str(number) for number in range(len(some))]
    with ThreadPoolExecutor(TOGETHER) as pool:
        survivors = [what for what in pool.map(survives, some, places) if what]
    assert not survivors, "these were not noticed:\n" + "\n".join(survivors)


@pytest.mark.soak
@pytest.mark.parametrize("part", range(PARTS))
def test_every_mutant_is_noticed(part: int, tmp_path: Path) -> None:
    notice(MUTANTS[part::PARTS], tmp_path)


@pytest.mark.soak
def test_the_original_passes(tmp_path: Path) -> None:
    """Or the failing of the mutants would mean nothing."""
    copy_to(tmp_path)
    ended = run(tmp_path, sorted({name for mutant in MUTANTS for name in mutant.tests}))
    assert ended.returncode == 0, ended.stdout


def test_every_mutant_breaks_a_promise_in_its_own_way() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    assert len({(mutant.file, mutant.old, mutant.new) for mutant in MUTANTS}) == len(MUTANTS)
    assert {mutant.promise for mutant in MUTANTS} <= {f"P{number}" for number in range(1, 13)}
    for mutant in MUTANTS:
        assert (ROOT / "zproc" / mutant.file).read_text("utf-8").count(mutant.old) == 1, mutant.name
        for name in mutant.tests:
            assert (ROOT / "tests" / "core" / f"test_{name}.py").is_file()
