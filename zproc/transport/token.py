"""The token of a server on a loopback address, which gives its own user access to it, and nobody else.

The law: a server on a loopback address creates a new token whenever it starts, and admits whoever has it. The token is
in a file in the runtime directory, which no other user can enter, named after the address: so the address itself is no
secret. Whoever listens at an address holds the lock beside its token for life.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import secrets
import socket

from zproc.exceptions import UsageError
from zproc.transport.keys import write_secret
from zproc.transport.rendezvous import Claim, runtime_directory

__all__ = ["is_loopback", "publish_token", "read_token"]

_LENGTH = 32  # bytes


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a host: all addresses of that name are loopback addresses.

    Raises:
        UsageError: there is no such host.
    """
    try:
        found = {str(each[4][0]) for each in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError as error:
        raise UsageError(f"there is no host {host!r}: {error.strerror}") from error
    return all(ipaddress.ip_address(address.partition("%")[0]).is_loopback for address in found)


def claim_address(host: str, port: int) -> Claim:
    """Claim a loopback address, if no other process of this user has it.

    Raises:
        UsageError: another process has it.
    """
    return Claim(_path(host, port), f"tcp://{host}:{port}")


def publish_token(claim: Claim, token: bytes) -> None:
    """Publish a token to this user's processes, until the claim is released."""
    # Written to another file first: readers get a whole one, and a file that a killed server left is replaced.
    aside = f"{claim.path}.{secrets.token_hex(4)}"
    write_secret(aside, token.hex().encode())
    os.rename(aside, claim.path)
    claim.hold()


def new_token() -> bytes:
    """Return a new random token."""
    return secrets.token_bytes(_LENGTH)


def read_token(host: str, port: int) -> bytes | None:
    """Return the token of the server at a loopback address; ``None`` if there is none for us.

    Raises:
        UsageError: there is no runtime directory.
    """
    with contextlib.suppress(OSError, ValueError):
        with open(_path(host, port), encoding="ascii") as file:
            token = bytes.fromhex(file.read(4096))
        return token if len(token) == _LENGTH else None
    return None


def _path(host: str, port: int) -> str:
    # One name for addresses that are mostly interchangeable: a server on 127.0.0.1 is found as localhost.
    plain = "localhost" if host in {"127.0.0.1", "::1", "localhost"} else host.replace(":", "-")
    return os.path.join(runtime_directory(), f"tcp-{plain}-{port}")
