"""``zproc doctor``: what zproc finds here, and what would be in its way.

The law: a finding is a fact, and it is bad only if something that zproc promises would not work; then it says what to
do. Nothing is changed by looking; what was left behind is removed if that is asked for, and only if it is nobody's.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from zproc.cli.command import FAILED, OK, Commands
from zproc.cli.reach import add_reach
from zproc.exceptions import Error

__all__ = ["Finding", "add_to", "run"]

_FEW_DESCRIPTORS = 1024
_PACKAGES = ("zproc", "pydantic", "pydantic-core", "msgpack", "cloudpickle", "psutil", "tblib", "pyzmq")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that was found.

    Attributes:
        what: its name.
        value: what it is.
        trouble: what does not work because of it, and what to do; empty if nothing.
    """

    what: str
    value: str
    trouble: str = ""


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "doctor",
        help="look what is here, and what would be in the way",
        description="Print versions, limits, settings and, if there is an address, whether the server there answers. "
        "Exits with 1 if something would be in the way.",
    )
    add_reach(parser)
    parser.add_argument(
        "--clean", action="store_true", help="remove the files that servers that were killed have left behind"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Look."""
    from zproc.cli.show import print_json

    found = list(_findings(arguments))
    for each in found:
        if arguments.json:
            print_json({"what": each.what, "value": each.value, "ok": not each.trouble, "trouble": each.trouble})
        else:
            print(f"{'!!' if each.trouble else 'ok'}  {each.what}: {each.value}")
            if each.trouble:
                print(f"    {each.trouble}")
    return FAILED if any(each.trouble for each in found) else OK


def _findings(arguments: argparse.Namespace) -> Iterator[Finding]:
    yield Finding("python", f"{platform.python_implementation()} {platform.python_version()}, {sys.executable}")
    yield Finding("platform", f"{platform.system()} {platform.release()} {platform.machine()}, {os.cpu_count()} cores")
    for package in _PACKAGES:
        yield _package(package)
    for look in (_zeromq, _start_method, _runtime_directory, _descriptors, _processes):
        yield _tried(look)
    yield _tried(lambda: _left_behind(clean=arguments.clean))
    for name in sorted(os.environ):
        if name.startswith("ZPROC_"):
            yield Finding(name, os.environ[name])
    if arguments.address or os.environ.get("ZPROC_ADDRESS"):
        yield _tried(lambda: _server(arguments))


def _tried(look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except Error as error:
        return Finding(look.__name__.strip("_<>").replace("_", " "), "in the way", str(error))


def _package(name: str) -> Finding:
    from importlib import metadata

    try:
        return Finding(name, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding(name, "not installed", f"install it: pip install {name}")


def _zeromq() -> Finding:
    from zproc.transport.zmq import libzmq_version, new_context

    new_context().term()  # raises where there is no CURVE
    return Finding("libzmq", f"{libzmq_version()}, with CURVE")


def _start_method() -> Finding:
    from zproc.process import choose

    return Finding("start method", choose().value)


def _runtime_directory() -> Finding:
    from zproc.transport import runtime_directory

    directory = runtime_directory()
    left = sum(1 for name in os.listdir(directory) if not name.endswith((".lock", ".rev", ".mark")))
    return Finding("runtime directory", f"{directory}, {left} sockets and tokens")


def _left_behind(*, clean: bool) -> Finding:
    from zproc.client import Bookmark
    from zproc.transport import clear_path, left_behind

    found = left_behind()
    if clean:
        found = [path for path in found if clear_path(path)]
        for path in found:
            Bookmark.sweep(f"unix://{path}")
    if not found:
        return Finding("left behind", "nothing")
    whose = f"files of servers that were killed: {', '.join(map(os.path.basename, found))}"
    return Finding("left behind", f"removed the {whose}" if clean else f"{whose}; `zproc doctor --clean` removes them")


def _descriptors() -> Finding:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    value = f"{soft} open files, {hard} at most"
    if soft != resource.RLIM_INFINITY and soft < _FEW_DESCRIPTORS:
        return Finding(
            "limits", value, f"a server takes one for each connection; raise it: ulimit -n {_FEW_DESCRIPTORS}"
        )
    return Finding("limits", value)


def _processes() -> Finding:
    how = "a handle from the kernel (pidfd)" if hasattr(os, "pidfd_open") else "asking again and again"
    return Finding("death of processes", f"noticed by {how}")


def _server(arguments: argparse.Namespace) -> Finding:
    from zproc.cli.reach import address_of
    from zproc.client.ping import pulse

    address = address_of(arguments)
    try:
        pid, latency = pulse(address, 5.0)
    except Error as error:
        return Finding("server", address, str(error))
    return Finding("server", f"{address}: process {pid} answers in {latency * 1000:.2f} ms")
