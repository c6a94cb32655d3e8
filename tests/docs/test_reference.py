"""Every public name has its place in the reference, and stands in a program that runs."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import zproc
import zproc.aio
import zproc.testing

ROOT = Path(__file__).parent.parent.parent
PAGES = "\n".join(path.read_text("utf-8") for path in sorted((ROOT / "docs" / "reference").glob("*.md")))
DOCUMENTED = set(re.findall(r"^\.\. (?:auto\w+|py:data):: zproc\.((?:testing\.)?\w+)$", PAGES, re.MULTILINE))
PROGRAMS = "\n".join(path.read_text("utf-8") for path in sorted((ROOT / "examples" / "reference").glob("*.py")))
PROCESS = set(re.findall(r"autoclass:: zproc\.Process\n   :members: (.*)", PAGES)[0].split(", "))
NAMES = [*zproc.__all__, *(f"testing.{name}" for name in zproc.testing.__all__)]


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_has_its_place_and_stands_in_a_program(name: str) -> None:
    assert name in DOCUMENTED, f"zproc.{name}: write it into a page of docs/reference"
    short = name.removeprefix("testing.")
    assert re.search(rf"\b{short}\b", PROGRAMS), f"zproc.{name}: use it in a program under examples/reference"


def test_the_reference_names_nothing_that_is_not_public() -> None:
    assert DOCUMENTED - set(NAMES) - {"aio"} == set()


@pytest.mark.parametrize("path", ["ZPROC_START_METHOD", "ZPROC_RUNTIME_DIR", "ZPROC_ADDRESS", "ZPROC_KEYS"])
def test_an_environment_variable_of_the_reference_is_one(path: str) -> None:
    assert any(path in source.read_text("utf-8") for source in (ROOT / "zproc").rglob("*.py"))


def test_every_environment_variable_is_in_the_reference() -> None:
    used = {
        name
        for source in (ROOT / "zproc").rglob("*.py")
        for name in re.findall(r'"(ZPROC_[A-Z_]+)"', source.read_text("utf-8"))
    }
    assert {name for name in used if f"`{name}`" not in PAGES} == set()


def functions() -> Iterator[tuple[str, Callable[..., object]]]:
    """All functions and methods that the reference shows, by their names."""
    shown = {f"zproc.{name}" for name in NAMES} | {"zproc.aio.AsyncState", "zproc.aio.AsyncStream"}
    for name in sorted(shown):
        value = functools.reduce(getattr, name.split(".")[1:], zproc)
        if isinstance(value, type) and not issubclass(value, BaseException):
            for method, found in inspect.getmembers(value, inspect.isfunction):
                own = found.__module__.startswith("zproc") and not method.startswith("_")
                if own and (value is not zproc.Process or method in PROCESS):
                    yield f"{name}.{method}", found
        elif inspect.isfunction(value):
            yield name, value


@pytest.mark.parametrize("name", [name for name, _ in functions()])
def test_every_argument_is_described(name: str) -> None:
    """Options that a whole family has are described with the family; arguments that another has alike, with that."""
    function = dict(functions())[name]
    text = inspect.getdoc(function) or ""
    asked = [
        each.name
        for each in inspect.signature(function).parameters.values()
        if each.name != "self" and each.name[0] != "_" and "Unpack[" not in str(each.annotation)
    ]
    alike = re.search(r"(see|same as|as) `[\w.]+`", text.partition("\n")[0])
    described = re.findall(r"^\s*(\w+): ", text.partition("Args:")[2], re.MULTILINE)
    assert text
    assert alike or set(asked) <= set(described), set(asked) - set(described)
