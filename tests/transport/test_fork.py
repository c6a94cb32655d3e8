"""A forked child disowns what its parent connected."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
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


def test_what_is_above_comes_after_it_in_a_child() -> None:
    """A client that lets go of its connections there would leave their sockets to the garbage collector otherwise."""
    program = """
        import os
        register, order = os.register_at_fork, []
        def registered(**hooks):
            order.extend(hook.__module__ for when, hook in hooks.items() if when == "after_in_child")
            register(**hooks)
        os.register_at_fork = registered
        import zproc
        zproc.Context
        print(next(name for name in order if name.startswith("zproc.")))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "zproc.transport.fork"
