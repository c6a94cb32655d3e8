"""The token of a server that listens on this machine only, by which its own user finds it and others do not.

The law: a server on a loopback address makes a new token whenever it starts, and lets in whoever has it. It lies in a
file in the runtime directory, which no other user can enter, under the name of the address: so an address stays what
it is, and is no secret. Who listens at an address holds the lock beside its token for life.
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
    """Whether only this machine can reach a host: every address that its name stands for is a loopback address.

    Raises:
        UsageError: there is no such host.
    """
    try:
        found = {str(each[4][0]) for each in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError as error:
        raise UsageError(f"there is no host {host!r}: {error.strerror}") from error
    return all(ipaddress.ip_address(address.partition("%")[0]).is_loopback for address in found)


def claim_address(host: str, port: int) -> Claim:
    """Take an address of this machine for this process, if no other process of ours has it.

    Raises:
        UsageError: one has.
    """
    return Claim(_path(host, port), f"tcp://{host}:{port}")


def publish_token(claim: Claim, token: bytes) -> None:
    """Let this user's processes read a token, until the claim is released."""
    # Written aside first: whoever reads gets a whole one, and a file that a killed server left is replaced.
    aside = f"{claim.path}.{secrets.token_hex(4)}"
    write_secret(aside, token.hex().encode())
    os.rename(aside, claim.path)
    claim.hold()


def new_token() -> bytes:
    """Return a token that nobody can guess."""
    return secrets.token_bytes(_LENGTH)


def read_token(host: str, port: int) -> bytes | None:
    """Return the token of the server at an address of this machine; ``None`` if it has left none for us.

    Raises:
        UsageError: there is no runtime directory.
    """
    with contextlib.suppress(OSError, ValueError):
        with open(_path(host, port), encoding="ascii") as file:
            token = bytes.fromhex(file.read(4096))
        return token if len(token) == _LENGTH else None
    return None


def _path(host: str, port: int) -> str:
    # One name for the addresses that mean the same to most: a server on 127.0.0.1 is found by localhost.
    plain = "localhost" if host in {"127.0.0.1", "::1", "localhost"} else host.replace(":", "-")
    return os.path.join(runtime_directory(), f"tcp-{plain}-{port}")
