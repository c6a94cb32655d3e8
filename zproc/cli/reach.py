"""How commands reach a server: the options that all of them share.

The law: what is not said on the command line is taken from the environment, and from nowhere else: the address from
``ZPROC_ADDRESS``, the keys from ``ZPROC_KEYS``, the namespace from ``ZPROC_NAMESPACE``, the model from ``ZPROC_MODEL``.
"""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from zproc.exceptions import UsageError

if TYPE_CHECKING:
    from zproc.client.guest import Guest
    from zproc.schema.model import Schema, StateModel

__all__ = ["add_json", "add_reach", "add_state", "address_of", "guest_of", "schema_of"]


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add the option for output that programs read."""
    parser.add_argument("--json", action="store_true", help="print JSON, one value a line")


def add_reach(parser: argparse.ArgumentParser) -> None:
    """Add the options by which a server is reached."""
    parser.add_argument("--address", metavar="address", help="where the server listens; by default $ZPROC_ADDRESS")
    parser.add_argument("--keys", metavar="dir", help="the directory of our keys; by default $ZPROC_KEYS")
    add_json(parser)


def add_state(parser: argparse.ArgumentParser) -> None:
    """Add the options by which one state of a server is reached."""
    add_reach(parser)
    parser.add_argument(
        "--namespace",
        metavar="name",
        default=os.environ.get("ZPROC_NAMESPACE", "default"),
        help="which of its states; by default $ZPROC_NAMESPACE, or 'default'",
    )
    parser.add_argument(
        "--model",
        metavar="model",
        default=os.environ.get("ZPROC_MODEL"),
        help="what the state is declared as, like app.state:AppState; without it, values are plain data",
    )


def address_of(arguments: argparse.Namespace) -> str:
    """Return where the server listens.

    Raises:
        UsageError: nothing says so.
    """
    from zproc.host import place

    address: str | None = arguments.address or os.environ.get("ZPROC_ADDRESS")
    if not address:
        raise UsageError("no address is given, by --address or by ZPROC_ADDRESS; `zproc serve` prints that of a server")
    return place(address, arguments.keys)


def schema_of(address: str) -> Schema[StateModel]:
    """Import a model, and return what it declares."""
    from typing import cast

    from zproc.cli.project import Project, model_at
    from zproc.schema.model import Schema

    Project.found(os.getcwd()).importing()
    return cast("Schema[StateModel]", Schema.of(model_at(address)))


def guest_of(arguments: argparse.Namespace) -> Guest:
    """Return a connection to the state that the arguments mean."""
    from zproc.client.guest import Guest

    schema = None if arguments.model is None else schema_of(arguments.model)
    return Guest(address_of(arguments), arguments.namespace, f"zproc {arguments.command}", schema)
