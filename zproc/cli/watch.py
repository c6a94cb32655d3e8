"""``zproc watch``: what changes, as it changes, a line a commit."""

from __future__ import annotations

import argparse

from zproc.cli.command import OK, Commands
from zproc.cli.reach import add_state, guest_of

__all__ = ["add_to", "run"]


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "watch",
        help="print changes as they come",
        description="Print each change at some places of the state, a line each, until ended. Nothing is left out: "
        "exits with 1 if the server is lost, or has dropped commits before they could be told.",
    )
    parser.add_argument("pattern", nargs="*", help="like cookies or stock.*; without one, everything")
    add_state(parser)
    parser.add_argument("--since", type=int, metavar="revision", help="begin after this revision; by default, now")
    parser.add_argument("--count", type=int, metavar="number", help="end after so many lines")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print them."""
    from zproc.cli.show import change_as_data, change_as_text, print_json
    from zproc.schema.path import ANY

    left: int | None = arguments.count
    with guest_of(arguments) as guest:
        patterns = tuple(map(guest.pattern, arguments.pattern)) or ((ANY,),)
        for commit in guest.watch(patterns, arguments.since):
            for change in commit.changes:
                if arguments.json:
                    print_json({"revision": commit.revision, "time": commit.time, **change_as_data(change)})
                else:
                    print(f"{commit.revision}  {change_as_text(change)}", flush=True)
                left = None if left is None else left - 1
                if left == 0:
                    return OK
    raise AssertionError("a watch has no end")
