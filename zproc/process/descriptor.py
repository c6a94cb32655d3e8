"""The file descriptors that belong to this process alone.

The law: a descriptor that must not be shared with a fork is registered here as soon as it is opened, and closed here.
In every forked child, whoever forked it, all of them are closed before other code runs: a line to a process must not
have two readers. Nothing here is a file object: one that a child inherits would close its number when it is collected,
whatever that number means by then.
"""

from __future__ import annotations

import _socket
import contextlib
import functools
import os
import socket
from collections.abc import Iterator
from typing import cast

from zproc.exceptions import UsageError

__all__ = ["close", "inherited", "keep", "lend", "occupy", "pair", "park", "silence", "socket_of"]

_private: set[int] = set()


def keep(descriptor: int) -> int:
    """Register a descriptor as this process's own, and return it."""
    _private.add(descriptor)
    return descriptor


def close(*descriptors: int) -> None:
    """Close descriptors, registered or not; negative numbers are skipped.

    Never twice: by then, the number may belong to another thread.
    """
    for descriptor in descriptors:
        _private.discard(descriptor)
        if descriptor >= 0:
            os.close(descriptor)


def pair() -> tuple[int, int]:
    """Open a bidirectional line, and return its two ends, both registered.

    Raises:
        UsageError: this platform has no Unix sockets.
    """
    if not hasattr(socket, "AF_UNIX"):
        raise UsageError("zproc starts processes on POSIX systems only, so far")
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    for end in (near, far):
        end.setblocking(True)  # see `socket_of`
    return keep(near.detach()), keep(far.detach())


def socket_of(number: int) -> socket.socket:
    """Return a socket object for a descriptor that blocks if and only if the descriptor does.

    A new socket object obeys ``socket.setdefaulttimeout``, which the program or a library may have called: it would
    make the descriptor non-blocking, and raise TimeoutError where it should block, or raise BlockingIOError.
    """
    blocking = os.get_blocking(number)
    made = socket.socket(fileno=number)
    made.setblocking(blocking)
    return made


@contextlib.contextmanager
def lend(number: int) -> Iterator[socket.socket]:
    """Use a descriptor as a socket that does not own it.

    Not at any moment: a signal handler may raise anywhere, that of Ctrl-C for one, and a socket object that is
    collected closes its descriptor. The fork server takes that for the end of this process. So the object is made and
    noted in one step of the interpreter; within ``socket.socket.__init__``, something could come between.
    """
    blocking = os.get_blocking(number)
    lent: list[_socket.socket] = []
    try:
        lent.extend(map(functools.partial(_socket.socket, socket.AF_UNIX, socket.SOCK_STREAM, 0), (number,)))
        lent[0].setblocking(blocking)  # see `socket_of`
        yield cast("socket.socket", lent[0])  # which has more methods, but none that is of use here
    finally:
        for each in lent:
            each.detach()


def silence(descriptor: int) -> None:
    """Point a descriptor to ``/dev/null``."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, descriptor, inheritable=descriptor <= 2)  # noqa: PLR2004 - 0, 1, 2 are the standard streams
    if null != descriptor:
        os.close(null)


def occupy() -> None:
    """Open ``/dev/null`` where a standard stream is closed.

    Otherwise the next thing that is opened gets its number. A child loses it, because it is given standard streams, or
    prints into it.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            silence(number)
            os.set_inheritable(number, True)


def inherited(*, spare: frozenset[int]) -> list[int]:
    """Return all open descriptors except the standard streams and those spared."""
    folder = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"
    numbers = sorted(int(name) for name in os.listdir(folder))
    return [number for number in numbers if number > 2 and number not in spare]  # noqa: PLR2004


def park(*, spare: frozenset[int]) -> None:
    """Point every inherited descriptor to ``/dev/null``, except the standard streams and those spared.

    They are not closed: the objects that own them were inherited as well, and each will close its number some day,
    which must not have become somebody else's by then.
    """
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in inherited(spare=spare | {null}):
        with contextlib.suppress(OSError):  # the descriptor of that very listing
            os.fstat(descriptor)
            os.dup2(null, descriptor, inheritable=False)
    os.close(null)


def _after_fork_in_child() -> None:
    for descriptor in tuple(_private):
        with contextlib.suppress(OSError):  # another thread was just about to close it, or had just done it
            close(descriptor)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
