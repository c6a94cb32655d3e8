"""``zproc log``: who changed what, and when."""

from __future__ import annotations

import argparse

from zproc.cli.command import OK, Commands
from zproc.cli.reach import add_state, guest_of

__all__ = ["add_to", "run"]


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "log",
        help="print what was changed, by whom and when",
        description="Print the commits that the server still holds, oldest first, a line each.",
    )
    add_state(parser)
    parser.add_argument("--since", type=int, metavar="revision", help="begin after this revision")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print them."""
    from zproc.cli.show import commit_as_data, commit_as_text, print_json

    with guest_of(arguments) as guest:
        for commit in guest.commits(arguments.since):
            if arguments.json:
                print_json(commit_as_data(commit))
            else:
                print(commit_as_text(commit))
    return OK
