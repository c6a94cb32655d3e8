"""``zproc keys``: the keys by which a server and its clients know each other."""

from __future__ import annotations

import argparse

from zproc.cli.command import OK, Commands
from zproc.cli.reach import add_json

__all__ = ["add_to", "run"]


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "keys",
        help="make keys for servers that other machines can reach",
        description="Make keys for servers that other machines can reach.",
    )
    actions = parser.add_subparsers(dest="action", metavar="action", required=True)
    new = actions.add_parser(
        "new",
        help="make the keys of a server, and of clients",
        description="Make the keys of a server in DIR/server, if there are none yet, and those of clients in DIR/NAME. "
        "The server knows these clients from then on, also if it runs already. Nobody else can read what is made.",
        epilog="Start the server with --keys DIR/server; copy DIR/NAME to the machine of the client, over a way that "
        "you trust, and give it there as keys='NAME', --keys NAME or ZPROC_KEYS.",
    )
    new.add_argument("directory", metavar="DIR")
    new.add_argument("names", metavar="NAME", nargs="*", help="of clients; by default one, named client")
    add_json(new)
    new.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Make them."""
    from zproc.cli.show import print_json
    from zproc.transport.keys import make_keys

    for made in make_keys(arguments.directory, arguments.names or ["client"]):
        if arguments.json:
            print_json({"made": made})
        else:
            print(made)
    return OK
