"""``zproc set``: put a value at a path of the state, as one validated commit."""

from __future__ import annotations

import argparse
import json

from zproc.cli.command import OK, Commands
from zproc.cli.reach import add_state, guest_of
from zproc.exceptions import UsageError

__all__ = ["add_to", "run"]

_FUNCTION = "zproc set"


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "set",
        help="put a value at a path",
        description="Put a value at a path of the state, as one commit, which the server validates. Exits with 1, and "
        "says which rule is broken, if it is refused; nothing is changed then.",
        epilog="Dates, enums and other values that JSON has no form for need --model.",
    )
    parser.add_argument("path", help="like cookies, stock.flour or users[3].age")
    parser.add_argument("value", help="as JSON; what is no JSON is a text")
    add_state(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Put it there."""
    from pydantic import ValidationError

    from zproc.cli.show import print_json

    text = _as_json(arguments.value)
    with guest_of(arguments) as guest:
        if arguments.model is None:
            revision = guest.set(arguments.path, json.loads(text), _FUNCTION)
        else:
            try:
                revision = guest.set_json(arguments.path, text, _FUNCTION)
            except ValidationError as error:
                reasons = "; ".join(fault["msg"] for fault in error.errors(include_url=False))
                raise UsageError(f"{arguments.path}: {arguments.value!r} cannot be there: {reasons}") from None
    if arguments.json:
        print_json({"revision": revision})
    else:
        print(f"revision {revision}")
    return OK


def _as_json(text: str) -> str:
    try:
        json.loads(text)
    except ValueError:
        return json.dumps(text)
    return text
