"""``zproc ps``: the processes of a server's contexts, as they were told of."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, cast

from zproc.cli.command import OK, Commands
from zproc.cli.reach import add_reach, address_of

if TYPE_CHECKING:
    from zproc.record import ProcessRow
    from zproc.schema.model import StateModel

__all__ = ["add_to", "run"]

_COLUMNS = ("name", "pid", "state", "restarts", "exit", "function", "error")


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "ps",
        help="print the processes of a server's contexts",
        description="Print the processes that the contexts of a server have made, nested ones included: those that "
        "live, and with --all those that have ended, as far as they are kept.",
    )
    add_reach(parser)
    parser.add_argument("--all", action="store_true", help="those that have ended, too")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print them."""
    from zproc.cli.show import print_json, table
    from zproc.client.guest import Guest
    from zproc.record import NAMESPACE, ProcessTable
    from zproc.schema.model import Schema

    with Guest(
        address_of(arguments), NAMESPACE, "zproc ps", cast("Schema[StateModel]", Schema.of(ProcessTable))
    ) as guest:
        state = ProcessTable.model_validate(guest.state())
    ended = set(state.ended)
    rows = {key: row for key, row in state.rows.items() if arguments.all or key not in ended}
    if arguments.json:
        for key, row in rows.items():
            print_json({"key": key, **row.model_dump(mode="json")})
    else:
        print(table(_COLUMNS, [_cells(key, row) for key, row in rows.items()]))
    return OK


def _cells(key: str, row: ProcessRow) -> tuple[object, ...]:
    exit_ = row.signal or row.exitcode
    return key, row.pid, row.state.value, row.restarts, exit_, row.function, row.error
