"""A forked child disowns what its parent connected."""

from __future__ import annotations

import gc
import os
from typing import Any

import pytest

from zproc.transport.fork import disown_after_fork

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


class Thing:
    def __init__(self) -> None:
        self.owner: int | None = os.getpid()

    def disown(self) -> None:
        self.owner = None


def test_a_thing_is_disowned_in_the_child_and_not_in_the_parent(in_fork: Any) -> None:
    """Before anything else runs there."""
    thing = Thing()
    disown_after_fork(thing)
    assert in_fork(lambda: thing.owner) == "None"
    assert thing.owner == os.getpid()


def test_a_thing_that_is_no_more_is_not_kept_for_forks(in_fork: Any) -> None:
    """Registering is not owning."""
    thing = Thing()
    disown_after_fork(thing)
    seen: list[str] = []
    thing.disown = lambda: seen.append("disowned")  # type: ignore[method-assign]
    del thing
    gc.collect()
    assert in_fork(lambda: seen) == "[]"


def test_a_childs_own_things_are_its_childrens_to_disown(in_fork: Any) -> None:
    """The second generation forks as the first did."""

    def child() -> str:
        thing = Thing()
        disown_after_fork(thing)
        return f"{in_fork(lambda: thing.owner)} {thing.owner == os.getpid()}"

    assert in_fork(child) == "None True"
