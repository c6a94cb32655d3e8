"""The public surface: small, sorted, documented, and there."""

from __future__ import annotations

import inspect

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
