"""Asking a server whether it is there, without joining any of its states."""

from __future__ import annotations

import time
from typing import NamedTuple

from zproc.arguments import SECONDS, expect
from zproc.core.messages import Ping, Pong, decode_reply, encode
from zproc.exceptions import ProtocolError, Unavailable, WaitTimeout
from zproc.transport import connect
from zproc.typing import RequestId

__all__ = ["Pulse", "is_alive", "pulse"]


class Pulse(NamedTuple):
    """That a server is there.

    Attributes:
        pid: its process id, on its machine.
        latency: how long one question and its answer took, in seconds, the connection made.
    """

    pid: int
    latency: float


def pulse(address: str, timeout: float) -> Pulse:
    """Ask a server whether it is there.

    Args:
        address: where it listens.
        timeout: how long to wait for it, in seconds.

    Raises:
        UsageError: this is no address, or no timeout.
        Unavailable: nobody answers there in time.
        AuthenticationError: it does not know us, or is not the one that we know.
        ProtocolError: what answers there is no zproc server.
    """
    expect("timeout", timeout, SECONDS)
    deadline = time.monotonic() + timeout
    channel = connect(address, timeout)
    try:
        begin = time.monotonic()
        channel.send(encode(Ping(RequestId(0))), max(0.0, deadline - begin))
        reply = decode_reply(channel.recv(max(0.0, deadline - time.monotonic())))
        latency = time.monotonic() - begin
    except WaitTimeout:
        raise Unavailable(address, f"the server has not answered within {timeout:g} s") from None
    finally:
        channel.close()
    if not isinstance(reply, Pong):
        raise ProtocolError(f"the server answers a Ping with {type(reply).__name__}")
    return Pulse(reply.pid, latency)


def is_alive(address: str, timeout: float) -> bool:
    """Whether a server answers at an address.

    Args:
        address: where.
        timeout: how long to wait for it, in seconds.
    """
    try:
        pulse(address, timeout)
    except (Unavailable, ProtocolError):
        return False
    return True
