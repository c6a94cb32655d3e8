"""``zproc get``: what stands at a path of the state."""

from __future__ import annotations

import argparse

from zproc.cli.command import OK, Commands
from zproc.cli.reach import add_state, guest_of

__all__ = ["add_to", "run"]


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "get",
        help="print what stands at a path",
        description="Print what stands at a path of the state, or all of it. Exits with 1 if nothing stands there.",
    )
    parser.add_argument("path", nargs="?", help="like cookies, stock.flour or users[3].age; without one, all of it")
    add_state(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print it."""
    from zproc.cli.show import print_json, print_value

    with guest_of(arguments) as guest:
        value = guest.state() if arguments.path is None else guest.get(arguments.path)
    (print_json if arguments.json else print_value)(value)
    return OK
