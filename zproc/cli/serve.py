"""``zproc serve``: a state server in the foreground, for programs that are started on their own.

The law: it serves until SIGTERM or Ctrl-C, ends in order then, and leaves no socket and no file behind. What it prints
first is the address, when it can be reached there.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
from collections.abc import Callable, Iterator

from zproc.cli.command import OK, Commands

__all__ = ["add_to", "run"]


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "serve",
        help="serve a state until ended",
        description="Serve a state in the foreground, until SIGTERM or Ctrl-C. The first line printed is the address.",
        epilog="tcp:// addresses that other machines can reach need keys: see `zproc keys new --help`.",
    )
    parser.add_argument("model", help="what the state is declared as, like app.state:AppState")
    parser.add_argument(
        "--address",
        metavar="address",
        help="where to listen: unix:///path, ipc:///path or tcp://host:port; by default $ZPROC_ADDRESS, or a path that "
        "nobody uses",
    )
    parser.add_argument("--keys", metavar="dir", help="the directory of the server's keys; by default $ZPROC_KEYS")
    parser.add_argument("--namespace", metavar="name", default="default", help="the name of the state")
    parser.add_argument("--pidfile", metavar="file", help="where to write the process id, for as long as it serves")
    parser.add_argument("--json", action="store_true", help="print the first line as JSON: address and pid")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serve."""
    from zproc.cli.reach import schema_of
    from zproc.cli.show import print_json
    from zproc.core.limits import Limits
    from zproc.core.server import ServerCore
    from zproc.host import place, serve_here
    from zproc.transport import Listener, fresh_address, parse_address

    schema = schema_of(arguments.model)
    schema.initial()
    address = place(arguments.address or os.environ.get("ZPROC_ADDRESS") or fresh_address(), arguments.keys)

    with contextlib.ExitStack() as stack:

        def begin(_core: ServerCore, listener: Listener) -> Callable[[], bool]:
            if arguments.pidfile:
                stack.enter_context(_pidfile(arguments.pidfile))
            told = parse_address(listener.address).public  # where our keys are is nobody's business
            if arguments.json:
                print_json({"address": told, "pid": os.getpid()})
            else:
                print(told, flush=True)
            return bool  # nothing but a signal ends it

        models = {arguments.namespace: schema.model}
        serve_here(models, address, Limits(), begin, stopping=(signal.SIGTERM, signal.SIGINT))
    return OK


@contextlib.contextmanager
def _pidfile(path: str) -> Iterator[None]:
    from zproc.exceptions import UsageError

    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(f"{os.getpid()}\n")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
