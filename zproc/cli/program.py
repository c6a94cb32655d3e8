"""The program: it finds the command, runs it, and turns what goes wrong into a line and an exit code.

The law: an error of zproc is a message, because its text says what to do; any other exception is a bug, and keeps its
traceback.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import metadata

from zproc.cli import doctor, generate, get, keys, log, ping, ps, serve, set, watch  # noqa: A004 - it is a command
from zproc.cli.command import FAILED, INTERRUPTED, Command
from zproc.exceptions import Error

__all__ = ["COMMANDS", "main"]

COMMANDS: tuple[Command, ...] = (serve, ping, get, set, watch, log, ps, doctor, keys, generate)
"""Every command, in the order of ``zproc --help``."""


def main(argv: Sequence[str] | None = None, commands: Sequence[Command] = COMMANDS) -> int:
    """Run the program.

    Args:
        argv: the arguments; by default, those of this process.
        commands: what it can do.

    Returns:
        The exit code: one of those in ``zproc.cli.command``.
    """
    arguments = _parser(commands).parse_args(argv)
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except Error as error:
        print(f"zproc {arguments.command}: {error}", file=sys.stderr)
        return FAILED
    except BrokenPipeError:
        # Whoever read the output has seen enough. What is still buffered must not fail at the end of the process.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    return code


def _parser(commands: Sequence[Command]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zproc",
        description="Shared state for Python processes that is declared, validated and watched.",
        epilog="Exit codes: 0 done, 1 it failed or the answer is no, 2 not understood, 130 interrupted.",
    )
    parser.add_argument("--version", action="version", version=f"zproc {metadata.version('zproc')}")
    adding = parser.add_subparsers(dest="command", metavar="command", title="commands", required=True)
    for command in commands:
        command.add_to(adding)
    return parser
