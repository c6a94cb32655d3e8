"""What the documentation shows is what runs: its programs are files, and these are run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted(path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts)
PROGRAMS = sorted(
    path
    for folder in ("tutorial", "howto", "reference")
    for path in (ROOT / "examples" / folder).glob("*.py")
    if not path.stem.startswith("test_") and path.stem not in {"wrong", "bakery_client"}
)
SESSIONS = sorted((ROOT / "examples" / "deploy").glob("*.sh"))
TUTORIAL = ROOT / "examples" / "tutorial"
TESTS = sorted((ROOT / "examples").rglob("test_*.py"))
INCLUDED = re.compile(r"\{literalinclude\} (\S+)")
SHOWN = re.compile(r"^```python$", re.MULTILINE)


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS, ids=name)
def test_a_program_runs_to_its_end_and_prints_what_the_page_says(program: Path, tmp_path: Path) -> None:
    """Beside it lies what it prints, where its page shows that. Reports of crashes on standard error are no failure."""
    done = subprocess.run(
        [sys.executable, "-W", "error", program], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    printed = program.with_suffix(".out")
    if printed.exists():
        assert [line.rstrip() for line in done.stdout.splitlines()] == printed.read_text("utf-8").splitlines()


@pytest.mark.slow
def test_the_cells_of_the_notebook_run_where_there_is_no_file(tmp_path: Path) -> None:
    """As in a kernel: each is compiled alone, into a main module that was never read from anywhere."""
    cells = (ROOT / "examples" / "howto" / "notebook.py").read_text("utf-8").split("# %%")[1:]
    kernel = f"for number, cell in enumerate({cells!r}): exec(compile(cell, f'<cell {{number}}>', 'exec'), globals())"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", kernel],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.splitlines() == ["0.7", "6 ['left', 'right']"], done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("tests", TESTS, ids=name)
def test_the_tests_that_the_pages_show_pass(tests: Path) -> None:
    # The plugin by module name, so that it is there however this checkout was installed; and not twice.
    plugins = ("-p", "no:zproc", "-p", "_zproc_pytest", "-p", "no:randomly", "-p", "no:cacheprovider")
    options = ("--import-mode=prepend", "--rootdir", tests.parent, "-c", "/dev/null", "-q")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *plugins, *options, tests.name],
        cwd=tests.parent,
        env={**os.environ, "CI": "true"},  # by which Hypothesis takes no busy machine for a slow test
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout


SAID = {
    "session.sh": ["revision 1", "revision 2", "180", "refused, exit code 1", "36 cookies"],
    "two_machines.sh": ["keys/server", "keys/ada", "revision 1", "3", "refused, exit code 1"],
}


@pytest.mark.slow
@pytest.mark.parametrize("session", SESSIONS, ids=name)
def test_a_session_with_the_commands_goes_as_the_page_says(session: Path, tmp_path: Path) -> None:
    """With the module of the tutorial, in a directory whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="zp", dir="/tmp") as directory:
        shutil.copy(TUTORIAL / "bakery.py", directory)
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run(
            ["sh", "-e", session],
            cwd=directory,
            env=environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[: len(SAID[session.name])] == SAID[session.name]
    if session.name == "session.sh":
        assert "3  cookies: set 12 -> 36" in lines


@pytest.mark.soak
def test_a_type_checker_refuses_the_marked_lines_of_the_tutorial_and_no_others(tmp_path: Path) -> None:
    """All of zproc is checked for it; that generated clients refuse such lines, other tests show in every run."""
    text = (TUTORIAL / "wrong.py").read_text("utf-8").replace("# mypy: ignore-errors", "#")
    (tmp_path / "wrong.py").write_text(text)
    marked = [number for number, line in enumerate(text.splitlines(), 1) if "# E:" in line]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", tmp_path / "cache", "wrong.py"],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": os.pathsep.join([str(TUTORIAL), str(ROOT), str(ROOT / "stubs")])},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    found = [int(number) for number in re.findall(r"^wrong\.py:(\d+): error", done.stdout, re.MULTILINE)]
    assert sorted(set(found)) == marked, done.stdout


def test_the_client_of_the_tutorial_is_that_of_its_model() -> None:
    command = [sys.executable, "-m", "zproc", "generate", "--check"]
    done = subprocess.run(command, cwd=TUTORIAL, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


def test_no_page_shows_python_that_is_in_no_file() -> None:
    """Design notes may: they show what is not done, too."""
    for page in PAGES:
        if page.parent.name != "design":
            assert not SHOWN.search(page.read_text("utf-8")), f"{name(page)} has a program that nobody runs"


def test_every_program_for_the_documentation_is_shown() -> None:
    shown = {
        (page.parent / included).resolve() for page in PAGES for included in INCLUDED.findall(page.read_text("utf-8"))
    }
    there = {*PROGRAMS, *TESTS, *(ROOT / "examples").rglob("*.out")}
    assert {name(path) for path in there - shown} == set()
    assert {path for path in shown if not path.exists()} == set()


def test_the_readme_has_what_a_newcomer_looks_for() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    targets = re.findall(r"^make (\w+)", text, re.MULTILINE)
    assert targets == ["demo", "test"]
    assert all(f"\n{target}: " in (ROOT / "Makefile").read_text("utf-8") for target in targets)
    choice = text.partition("## When to pick what")[2].partition("\n## ")[0]
    assert [
        peer for peer in ("multiprocessing.Manager", "Redis", "Ray", "Dask", "**zproc**") if peer not in choice
    ] == []
    assert "<!-- benchmarks: read.manager " in text


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md"])
def test_a_page_outside_of_the_site_links_to_what_is_there(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    for link in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text):
        if "://" not in link:
            assert (ROOT / page).parent.joinpath(link).exists(), link
