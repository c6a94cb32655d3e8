"""The public surface: small, sorted, documented, and there."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import zproc

MOST_NAMES = 46


def test_the_public_names_are_few() -> None:
    assert len(zproc.__all__) <= MOST_NAMES


def test_the_public_names_are_sorted_and_each_stands_once() -> None:
    assert list(zproc.__all__) == sorted(set(zproc.__all__))


@pytest.mark.parametrize("name", zproc.__all__)
class TestEveryPublicName:
    def test_can_be_imported(self, name: str) -> None:
        assert hasattr(zproc, name)

    def test_is_not_private(self, name: str) -> None:
        assert not name.startswith("_") or name == "__version__"

    def test_is_documented(self, name: str) -> None:
        value = getattr(zproc, name)
        if inspect.isclass(value) or inspect.isroutine(value):
            # `__doc__` itself: `inspect.getdoc` would be content with a base class's.
            assert (value.__doc__ or "").strip()

    def test_says_that_it_is_zprocs(self, name: str) -> None:
        value = getattr(zproc, name)
        if inspect.isclass(value) or inspect.isroutine(value):
            assert value.__module__.split(".")[0] == "zproc"


def test_no_other_name_is_public() -> None:
    """What `dir` shows is what `__all__` promises, submodules aside."""
    own = {"TYPE_CHECKING", "annotations"}
    loose = {name for name, value in vars(zproc).items() if not name.startswith("_") and not inspect.ismodule(value)}
    assert loose <= set(zproc.__all__) | own
    assert set(zproc.__all__) <= set(dir(zproc))


def test_who_reads_types_is_told_of_the_same_homes_as_the_interpreter() -> None:
    blocks = [node for node in ast.parse(Path(zproc.__file__).read_text("utf-8")).body if isinstance(node, ast.If)]
    imports = [node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom)]
    assert {node.module: [alias.name for alias in node.names] for node in imports} == zproc._HOMES


def test_a_name_costs_nothing_before_it_is_used() -> None:
    """A child that was started for one function must not import a validator and transports for it."""
    code = "import sys, zproc.process.child; print({'pydantic', 'zmq', 'msgpack', 'asyncio'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "set()\n"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'zproc' has no attribute 'contxt'"):
        zproc.contxt  # type: ignore[attr-defined]  # noqa: B018
