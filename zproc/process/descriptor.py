"""The descriptors that belong to this process alone.

The law: whoever opens a descriptor that must not be shared by a fork enters it here before anything else can fork, and
closes it here. In a child that was forked, by zproc or by anybody, all of them are closed before other code runs: a
line to a process must not be read by two. Nothing here is a file object, because a file object that a child inherits
closes its number when it is collected, whatever the number means by then.
"""

from __future__ import annotations

import contextlib
import os
import socket

from zproc.exceptions import UsageError

__all__ = ["close", "inherited", "keep", "pair", "park", "silence", "socket_of"]

_private: set[int] = set()


def keep(descriptor: int) -> int:
    """Enter a descriptor as this process's own, and return it."""
    _private.add(descriptor)
    return descriptor


def close(*descriptors: int) -> None:
    """Close descriptors, those that were entered and others; a negative number stands for none.

    Once each: by the second time, the number may be another thread's.
    """
    for descriptor in descriptors:
        _private.discard(descriptor)
        if descriptor >= 0:
            os.close(descriptor)


def pair() -> tuple[int, int]:
    """Make a two-way line, and return its two ends; both are this process's own until they are closed.

    Raises:
        UsageError: this platform has nothing to make it of.
    """
    if not hasattr(socket, "AF_UNIX"):
        raise UsageError("zproc starts processes on POSIX systems only, so far")
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    for end in (near, far):
        end.setblocking(True)  # see `socket_of`
    return keep(near.detach()), keep(far.detach())


def socket_of(number: int) -> socket.socket:
    """Return a socket object for a descriptor, which blocks if and only if the descriptor does.

    Every new socket object takes on what the program, or any library in it, gave to ``socket.setdefaulttimeout``: it
    makes the descriptor non-blocking, and raises where others would wait, or would say that there is nothing.
    """
    blocking = os.get_blocking(number)
    made = socket.socket(fileno=number)
    made.setblocking(blocking)
    return made


def silence(descriptor: int) -> None:
    """Let a number stand for ``/dev/null``."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, descriptor, inheritable=descriptor <= 2)  # noqa: PLR2004 - 0, 1, 2 are the standard streams
    if null != descriptor:
        os.close(null)


def inherited(*, spare: frozenset[int]) -> list[int]:
    """List what this process has open, apart from the standard streams and what is spared."""
    folder = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"
    numbers = sorted(int(name) for name in os.listdir(folder))
    return [number for number in numbers if number > 2 and number not in spare]  # noqa: PLR2004


def park(*, spare: frozenset[int]) -> None:
    """Let go of everything that was inherited, apart from the standard streams and what is spared.

    The numbers are not closed but point to ``/dev/null`` from now on. The objects that believe to own them came along,
    too, and each will close its number some day: were it free, it would be somebody else's by then.
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
