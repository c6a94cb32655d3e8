"""Names that are fetched from their homes when they are first used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import zproc
import zproc.process
from zproc.homes import lazy_getattr

LAZY = pytest.mark.parametrize("package", [zproc, zproc.process], ids=["zproc", "zproc.process"])


@LAZY
def test_who_reads_types_is_told_of_the_same_homes_as_the_interpreter(package: ModuleType) -> None:
    assert package.__file__ is not None
    blocks = [node for node in ast.parse(Path(package.__file__).read_text("utf-8")).body if isinstance(node, ast.If)]
    imports = [node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom)]
    assert {node.module: [alias.name for alias in node.names] for node in imports} == package._HOMES


@LAZY
def test_every_public_name_is_there(package: ModuleType) -> None:
    assert [name for name in package.__all__ if not hasattr(package, name)] == []


@LAZY
def test_an_unknown_name_is_an_attribute_error(package: ModuleType) -> None:
    with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'contxt'"):
        package.contxt  # noqa: B018 - it is looked for


def test_a_misspelt_name_is_told_with_the_nearest() -> None:
    with pytest.raises(AttributeError, match="did you mean 'Manager'"):
        zproc.process.Manger  # type: ignore[attr-defined]  # noqa: B018


def test_what_was_fetched_is_where_it_was_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    package = ModuleType("shop")
    monkeypatch.setitem(sys.modules, "shop", package)
    fetch = lazy_getattr("shop", {"string": ["digits", "hexdigits"]})
    assert fetch("digits") == "0123456789"
    assert vars(package)["digits"] == "0123456789"
    assert "hexdigits" not in vars(package)


def test_the_homes_are_there_too() -> None:
    code = "import zproc.process as package; print(package.process.Process is package.Process)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "True\n"


def test_a_child_that_is_a_new_interpreter_loads_no_more_than_it_needs() -> None:
    """Neither a validator and transports, nor what only parents need."""
    unneeded = {"pydantic", "pydantic_core", "zmq", "msgpack", "asyncio", "concurrent.futures", "zproc.process.manager"}
    code = f"import sys, zproc.process.child; print({unneeded} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "set()\n"
