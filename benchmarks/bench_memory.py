"""What memory the server needs for whom it serves.

The law: the server's resident memory is looked at from outside, before and after; it is asked for its process by the
kernel, at the socket.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from contextlib import ExitStack

import psutil
from harness import Timed, cost

import zproc

CLIENTS = 200
READS = 400
MEGABYTE = 1_000_000


class Blob(zproc.StateModel):
    n: int = 0
    blob: bytes = b""


def _server(address: str) -> psutil.Process:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        peer.connect(address.removeprefix("unix://"))
        credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return psutil.Process(struct.unpack("3i", credentials)[0])


def _resident(server: psutil.Process) -> float:
    return float(server.memory_info().rss) / 1024


def _once(grow: Callable[[ExitStack, zproc.Context[Blob]], float]) -> Callable[[ExitStack], Callable[[], float]]:
    """Measure by how many KiB a new server grows, over the number that is returned."""

    def measure() -> float:
        with ExitStack() as stack:
            ctx = stack.enter_context(zproc.Context(Blob))
            server = _server(ctx.address)
            ctx.state.blob = b"x" * MEGABYTE
            # One of each first: what the server sets up once is no cost of a client.
            stack.enter_context(zproc.Context(Blob, address=ctx.address)).state.snapshot()
            before = _resident(server)
            number = grow(stack, ctx)
            return (_resident(server) - before) / number

    return lambda _stack: measure


def _idle_clients(stack: ExitStack, ctx: zproc.Context[Blob]) -> float:
    for _ in range(CLIENTS):
        assert stack.enter_context(zproc.Context(Blob, address=ctx.address)).state.n == 0
    return CLIENTS


def _reads(_stack: ExitStack, ctx: zproc.Context[Blob]) -> float:
    for _ in range(READS):
        assert len(ctx.state.blob) == MEGABYTE
    return 1


CASES = [
    cost(
        "memory.idle-client",
        "memory of the server",
        Timed(f"each of {CLIENTS} idle clients", _once(_idle_clients)),
        unit="KiB",
        at_most=64,
    ),
    # "Unchanged", to what an allocator keeps of one message more or less.
    cost(
        "memory.reads",
        "growth of the server",
        Timed(f"{READS} reads of a field of 1 MB", _once(_reads)),
        unit="KiB",
        at_most=2048,
    ),
]
