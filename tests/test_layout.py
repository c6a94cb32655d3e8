"""Each module has a test file of its own, found where one looks for it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

COVERED_ELSEWHERE: dict[str, str] = {
    "__main__.py": "tests/cli/test_program.py: it is the call of `zproc.cli.main`",
    "context.py": "tests/integration/test_context.py and test_promises.py: a context is nothing without real processes",
    "aio.py": "tests/client/test_aio.py: it is the client's cursor, awaited, and needs a server as that does",
    "call_when.py": "tests/integration/test_call_when.py: it is about processes",
    "generated.py": "tests/integration/test_generated.py: it is about contexts",
    "spawning.py": "tests/process/test_process_list.py and tests/integration/test_context.py: it is about processes",
    "swarm/crews.py": "tests/integration/test_process_map.py: it is what a context has of swarms",
    "swarm/job.py": "tests/swarm/test_swarm.py and test_engine.py: what a job is, is what becomes of it",
    "swarm/link.py": "tests/swarm/test_engine.py: a link is nothing without the worker at its other end",
    "swarm/loading.py": "tests/swarm/test_swarm.py and test_engine.py: what is loaded is what a worker reads",
    "swarm/outcome.py": "tests/swarm/test_engine.py: every outcome is what a worker has said, or failed to",
    "host.py": "tests/integration/test_namespace.py and test_promises.py: it is nothing without its process",
}
"""Modules without a test file of their own, each with the reason: what covers it instead."""

MODULES = sorted(
    path.relative_to(ROOT / "zproc").as_posix() for path in (ROOT / "zproc").rglob("*.py") if path.name != "__init__.py"
)


def mirror(module: str) -> str:
    """Tell where the tests of a module are: ``core/lease.py`` -> ``core/test_lease.py``."""
    path = Path(module)
    return path.with_name(f"test_{path.stem.strip('_')}.py").as_posix()


@pytest.mark.parametrize("module", [module for module in MODULES if module not in COVERED_ELSEWHERE])
def test_a_module_has_its_test_file(module: str) -> None:
    assert (ROOT / "tests" / mirror(module)).is_file(), (
        f"zproc/{module} has no tests/{mirror(module)}: write it, or say in COVERED_ELSEWHERE what covers the module"
    )


@pytest.mark.parametrize("module", COVERED_ELSEWHERE)
def test_an_exception_to_the_rule_is_one(module: str) -> None:
    assert module in MODULES, f"zproc/{module} is no more"
    assert not (ROOT / "tests" / mirror(module)).exists(), f"tests/{mirror(module)} exists, so {module} needs no reason"


def test_every_package_can_be_imported() -> None:
    """A directory without ``__init__.py`` would be left out of the import contracts without a word."""
    for directory in {path.parent for path in (ROOT / "zproc").rglob("*.py")}:
        assert (directory / "__init__.py").is_file(), directory.relative_to(ROOT).as_posix()


def test_every_pure_package_is_under_the_sans_io_contract() -> None:
    """The import linter refuses the names of packages that are yet to come, so they are asked for when they come."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    (contract,) = (each for each in settings["tool"]["importlinter"]["contracts"] if "sans-I/O" in each["name"])
    for name in ("schema", "core", "codegen", "exceptions", "typing"):
        if (ROOT / "zproc" / name).is_dir() or (ROOT / "zproc" / f"{name}.py").is_file():
            assert f"zproc.{name}" in contract["source_modules"]


def test_no_room_has_a_name_that_fits_everything() -> None:
    assert not {Path(module).stem for module in MODULES} & {"utils", "util", "common", "helpers", "misc"}


def test_no_file_is_longer_than_600_lines() -> None:
    lengths = {module: len((ROOT / "zproc" / module).read_text("utf-8").splitlines()) for module in MODULES}
    assert {module: length for module, length in lengths.items() if length > 600} == {}
