from __future__ import annotations

from zproc.cli import command


def test_each_outcome_has_an_exit_code_of_its_own() -> None:
    """Scripts depend on the numbers."""
    assert (command.OK, command.FAILED, command.USAGE, command.INTERRUPTED) == (0, 1, 2, 130)
