"""``zproc ping``: whether a server is there."""

from __future__ import annotations

import argparse

from zproc.cli.command import OK, Commands
from zproc.cli.reach import add_reach, address_of

__all__ = ["add_to", "run"]


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "ping",
        help="ask whether a server is there",
        description="Ask whether a server is there: its process id, and how long the question took. Exits with 1 if "
        "none is, or if it does not know us.",
    )
    add_reach(parser)
    parser.add_argument("--timeout", type=float, default=5.0, metavar="seconds", help="how long to wait; by default 5")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Ask."""
    from zproc.cli.show import print_json
    from zproc.client.ping import pulse

    address = address_of(arguments)
    pid, latency = pulse(address, arguments.timeout)
    if arguments.json:
        print_json({"address": address, "pid": pid, "latency": latency})
    else:
        print(f"process {pid} answers in {latency * 1000:.2f} ms")
    return OK
