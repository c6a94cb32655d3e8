"""A Ray actor as a peer.

The law: Ray listens on all addresses of the network that it is in, so it is put in one of its own, which has no other
address than the loopback's. Where that is not allowed, Ray is not measured.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection

from harness import Need, Operation, Subject

__all__ = ["RAY_ACTOR"]

_fork = get_context("fork")

_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1
_START = 120.0
"""How long Ray may take to start, in seconds."""


def _own_network() -> None:
    """Move this thread, and what it starts, to a new network of which only the loopback exists.

    Raises:
        OSError: this is not allowed here.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "unshare") or libc.unshare(_CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "no network of its own")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))


def _join_network(pid: int) -> None:
    """Move this thread, and what it starts, to the network of another process."""
    descriptor = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(descriptor, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "the network of Ray cannot be joined")
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class _Network(Need):
    def met(self) -> bool:
        """Whether a process may have a network of its own."""
        process = _fork.Process(target=_own_network)
        process.start()
        process.join()
        return process.exitcode == 0

    def absence(self) -> str:
        """Say why Ray is not measured."""
        return "not measured: Ray listens on every address, and only root can give it a network of its own"


_NEEDS = (Need("ray", "pip install ray"), _Network("a network", ""))


def _environment() -> None:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # it would report to its makers
    os.environ["RAY_AUTH_MODE"] = "disabled"  # nobody else is in this network, and the token would be left in the home


def _serve_ray(parent: Connection, directory: str) -> None:
    """Be the process that has started Ray, until the parent is gone or says so."""
    os.setsid()
    _own_network()
    _environment()
    import ray  # noqa: PLC0415 (it may not be installed)

    class Counter:
        def __init__(self) -> None:
            self.count = 0

        def add(self) -> int:
            self.count += 1
            return self.count

    ray.init(
        address="local",
        num_cpus=1,
        include_dashboard=False,
        log_to_driver=False,
        namespace="bench",
        _temp_dir=directory,
    )
    counter = ray.remote(Counter).options(name="counter", num_cpus=0).remote()
    ray.get(counter.add.remote())
    parent.send(ray.get_runtime_context().gcs_address)
    parent.poll(None)
    ray.shutdown()


def _ray(stack: ExitStack) -> Callable[[ExitStack], Operation]:
    directory = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
    here, there = _fork.Pipe()
    server = _fork.Process(target=_serve_ray, args=(there, directory))
    server.start()
    there.close()
    stack.callback(server.join)
    stack.callback(here.send, "end")
    if not here.poll(_START):
        raise RuntimeError(f"Ray has not started within {_START:g} s")
    address = here.recv()
    pid = server.pid
    assert pid is not None

    def make(stack: ExitStack) -> Operation:
        _join_network(pid)
        _environment()
        import ray  # noqa: PLC0415 (it may not be installed)

        ray.init(address=address, namespace="bench", log_to_driver=False)
        stack.callback(ray.shutdown)
        add = ray.get_actor("counter").add
        return lambda: ray.get(add.remote())

    return make


RAY_ACTOR = Subject("Ray actor", _ray, needs=_NEEDS)
