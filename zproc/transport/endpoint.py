"""Where ZeroMQ listens and connects, and with which keys.

The law: whoever can reach an endpoint has to prove that it may use it. A path is in a directory of ours, and the kernel
tells the user id of whoever connects. On a loopback address every user of the machine can connect, so ours have a
token. Everywhere else there are keys, and a server without them does not start.
"""

from __future__ import annotations

import contextlib
import os
import socket
from dataclasses import dataclass
from typing import Final, Protocol

import zmq

from zproc.exceptions import AuthenticationError, Unavailable, UsageError
from zproc.transport.base import Address, address_in_use
from zproc.transport.keys import (
    ClientKeys,
    ServerKeys,
    client_keys,
    client_keys_of_token,
    server_keys,
    server_keys_of_token,
)
from zproc.transport.rendezvous import Claim
from zproc.transport.token import claim_address, is_loopback, new_token, publish_token, read_token

__all__ = ["Endpoint", "IpcPlace", "Place", "TcpPlace", "endpoint_of", "forget", "place_of"]

_HIGHEST_PORT: Final = 65_535
_ANY: Final = {"0.0.0.0", "*", "::"}  # noqa: S104 - a server that listens there needs keys
_REMEDY: Final = (
    "make keys with `zproc keys new DIR`, start the server with keys='DIR/server' (or --keys, or ZPROC_KEYS), copy "
    "DIR/client to whoever is to connect, and give it there as keys='client'"
)


class Place(Protocol):
    """Where a server listens.

    Attributes:
        keys: the server's keys; ``None`` where the kernel identifies clients.
    """

    keys: ServerKeys | None

    def bind(self, router: zmq.Socket[bytes]) -> str:
        """Bind a socket here.

        Returns:
            The address.

        Raises:
            UsageError: somebody else listens here, or it is not an address of this machine.
            Unavailable: the system refuses.
        """
        ...

    def release(self) -> None:
        """Release it."""
        ...


class IpcPlace:
    """A path of this machine."""

    def __init__(self, path: str) -> None:
        """Claim it.

        Raises:
            UsageError: somebody listens there, or there is something other than a socket.
            Unavailable: the system refuses.
        """
        self.keys: ServerKeys | None = None
        self._claim = Claim(path, f"ipc://{path}")

    def bind(self, router: zmq.Socket[bytes]) -> str:
        """Bind a socket here."""
        self._claim.make_room()
        try:
            router.bind(f"ipc://{self._claim.path}")
        except zmq.ZMQError as error:
            raise Unavailable(self._claim.address, f"cannot listen here: {error.strerror}") from error
        self._claim.hold()
        return self._claim.address

    def release(self) -> None:
        """Release it."""
        self._claim.release()


class TcpPlace:
    """A host and a port of this machine; port 0 is one that is free."""

    def __init__(self, address: Address) -> None:
        """Claim it.

        Raises:
            UsageError: a server listens there, there is no such host, or it needs keys and there are none.
        """
        self._address = address
        self._host, self._port = _split(address)
        self._token: bytes | None = None
        self._claim: Claim | None = None
        if address.keys:
            self.keys: ServerKeys | None = server_keys(address.keys)
        elif self._host not in _ANY and is_loopback(self._host):
            self._token = new_token()
            self.keys = server_keys_of_token(self._token)
            self._take(self._port)
        else:
            raise UsageError(f"{address}: other machines can reach this address, so it needs keys; {_REMEDY}")

    def _take(self, port: int) -> None:
        if port:
            self._claim = claim_address(self._host, port)

    def bind(self, router: zmq.Socket[bytes]) -> str:
        """Bind a socket here."""
        port = self._port or "*"
        try:
            router.bind(f"tcp://{_numeric(self._host, self._address)}:{port}")
        except zmq.ZMQError as error:
            if error.errno == zmq.EADDRINUSE:
                raise address_in_use(str(self._address), "another process") from error
            raise UsageError(f"{self._address}: cannot listen here: {error.strerror}") from error
        bound = router.get_string(zmq.LAST_ENDPOINT)
        port = int(bound.rsplit(":", 1)[1])
        if self._token is not None:
            if self._claim is None:
                self._take(port)
            assert self._claim is not None, "it was taken, now that the port is known"
            publish_token(self._claim, self._token)
        return str(Address("tcp", _joined(self._host, port), self._address.keys))

    def release(self) -> None:
        """Release it."""
        if self._claim is not None:
            self._claim.release()


def place_of(address: Address) -> Place:
    """Claim the place of an address.

    Raises:
        UsageError: see `IpcPlace` and `TcpPlace`.
        Unavailable: the system refuses.
    """
    return IpcPlace(address.place) if address.scheme == "ipc" else TcpPlace(address)


def forget(address: Address) -> None:
    """Remove the token that a killed server has left for an address.

    Raises:
        UsageError: a server has the address.
    """
    host, port = _split(address)
    if not address.keys and host not in _ANY and is_loopback(host):
        claim = claim_address(host, port)
        with contextlib.suppress(FileNotFoundError):
            claim.hold()
        claim.release()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a client connects.

    Attributes:
        place: the endpoint in ZeroMQ's form.
        keys: the client's keys; ``None`` where the kernel identifies it.
    """

    place: str
    keys: ClientKeys | None


def endpoint_of(address: Address, timeout: float) -> Endpoint:
    """Find out how to connect to an address.

    Args:
        address: where the server listens.
        timeout: how long to try to find out why, in seconds, if there is no token for us.

    Raises:
        UsageError: it is no address, or there are no keys where they should be.
        AuthenticationError: a server listens there, and there is no token for us.
        Unavailable: nobody listens there, or somebody with another user id.
    """
    if address.scheme == "ipc":
        return Endpoint(f"ipc://{_ours(address)}", None)
    host, port = _split(address)
    if not port:
        raise UsageError(f"{address}: to connect, a port is needed")
    numeric = _numeric("127.0.0.1" if host in _ANY else host, address)
    place = f"tcp://{numeric}:{port}"
    if address.keys:
        return Endpoint(place, client_keys(address.keys))
    if not (host in _ANY or is_loopback(host)):
        raise UsageError(f"{address}: a server on another machine is known by its key; {_REMEDY}")
    token = read_token(host, port)
    if token is None:
        _explain_without_token(address, Endpoint(place, None), timeout)
    else:
        return Endpoint(place, client_keys_of_token(token))
    raise AssertionError("the explanation is an exception")


def is_deserted(endpoint: Endpoint, timeout: float) -> bool:
    """Return whether nobody listens at a ``tcp://`` endpoint now.

    Args:
        endpoint: the endpoint.
        timeout: how long to wait for a connection, in seconds.
    """
    host, _, port = endpoint.place.removeprefix("tcp://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout).close()
    except OSError:
        return True
    return False


def _explain_without_token(address: Address, endpoint: Endpoint, timeout: float) -> None:
    if is_deserted(endpoint, timeout):
        raise nobody(address)
    raise AuthenticationError(
        str(address),
        "somebody listens here, and has left no token for this user: another user's server, one that has "
        "keys (then give keys=), one with another ZPROC_RUNTIME_DIR, or no zproc server at all",
    )


def nobody(address: Address) -> Unavailable:
    """Return the error for an address where nobody listens."""
    return Unavailable(str(address), "nobody listens here; is the server running, and is this its address?")


def _ours(address: Address) -> str:
    with contextlib.suppress(OSError):
        owner = os.lstat(address.place).st_uid
        if owner not in {0, os.geteuid()}:
            raise Unavailable(str(address), f"the server is of uid {owner}, which is neither ours nor root")
        return address.place
    raise nobody(address)


def _split(address: Address) -> tuple[str, int]:
    host, separator, port = address.place.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not separator or not host or not port.isascii() or not port.isdecimal() or int(port) > _HIGHEST_PORT:
        raise UsageError(f"{str(address)!r} is not of the form tcp://host:port")
    return host, int(port)


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _numeric(host: str, address: Address) -> str:
    """Return a host as a numeric address, so that ZeroMQ uses the very one that was checked."""
    if host in _ANY:
        return "0.0.0.0" if host != "::" else "[::]"  # noqa: S104 - only with keys
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise UsageError(f"{address}: there is no host {host!r}: {error.strerror}") from error
    # IPv4 first: if a name stands for both, a server is more likely to listen there.
    numbers = sorted((str(each[4][0]) for each in found), key=lambda number: ":" in number)
    return f"[{numbers[0]}]" if ":" in numbers[0] else numbers[0]
