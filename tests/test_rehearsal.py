"""The rehearsal of a state server; in the fork server nobody would be told of an error in it."""

from __future__ import annotations

import subprocess
import sys

from zproc.rehearsal import rehearse


def test_it_goes_as_far_as_the_first_answers() -> None:
    """A welcome, and the values that were asked for."""
    assert rehearse() == 2


def test_nothing_else_imports_it() -> None:
    code = "import sys, zproc; zproc._preload(); print('zproc.rehearsal' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
