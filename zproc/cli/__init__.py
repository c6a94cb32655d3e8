"""The command line: ``zproc``, and ``python -m zproc``.

The law: a command is a thin shell around what a program could call too. It reads arguments, calls, prints, and tells by
its exit code how it went.
"""

from __future__ import annotations

from zproc.cli.program import main

__all__ = ["main"]
