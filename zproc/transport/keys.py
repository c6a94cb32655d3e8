"""Keys: how a server and its clients authenticate each other, and where their keys are kept.

The law: a secret is in a file that only its owner can read, and in no address, message or error. A client authenticates
the server before it sends anything, and a server admits the clients whose public keys it was given; nothing is trusted
by default.

``zproc keys new DIR`` makes a directory for the server, ``DIR/server``, and one for each client, by default
``DIR/client``. In each, ``secret.key`` and ``public.key`` are the key pair. A client's ``server.key`` is the public key
of the server; a server's ``clients`` lists the public keys of admitted clients, one per line, and is read again when it
changes. The keys of a server also work for a client of it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

import zmq
from zmq.utils import z85

from zproc.exceptions import UsageError

__all__ = [
    "AllowList",
    "ClientKeys",
    "ServerKeys",
    "client_keys",
    "client_keys_of_token",
    "make_keys",
    "server_keys",
    "server_keys_of_token",
    "to_text",
    "write_secret",
]

_LENGTH: Final = 40  # characters of a key as text
_PRIVATE: Final = 0o600

_COMMENT: Final = b"#"  # no key begins with it: its first character stands for 82 at most, and this one for 84

_SECRET_KEY: Final = "secret.key"  # noqa: S105 - the name of a file
_PUBLIC_KEY: Final = "public.key"
_SERVER_KEY: Final = "server.key"
_CLIENTS: Final = "clients"

SERVER: Final = "server"
"""The name of a server's directory among those that are made."""


@dataclass(frozen=True, slots=True)
class ServerKeys:
    """The keys of a server, and of the clients that it admits.

    Attributes:
        secret: its secret key, as text.
        allowed: returns whether a public key, as text, is admitted.
    """

    secret: bytes = field(repr=False)
    allowed: Callable[[bytes], bool]


@dataclass(frozen=True, slots=True)
class ClientKeys:
    """The keys of a client, and of the server that it expects.

    Attributes:
        secret: its secret key, as text.
        public: its public key, as text.
        server: the public key of the server.
    """

    secret: bytes = field(repr=False)
    public: bytes
    server: bytes


def to_text(key: bytes) -> bytes:
    """Return the text form of a key of 32 bytes."""
    return z85.encode(key)


def _public_of(secret: bytes) -> bytes:
    return zmq.curve_public(secret)


# -- by token


def _derived(token: bytes, role: bytes) -> bytes:
    # Whoever has the token can be both, which is the point of sharing one; the two key pairs still differ.
    return to_text(blake2b(token, digest_size=32, person=role).digest())


def server_keys_of_token(token: bytes) -> ServerKeys:
    """Return the keys of a server that admits whoever has its token."""
    client = _public_of(_derived(token, b"zproc client"))
    return ServerKeys(_derived(token, b"zproc server"), lambda key: key == client)


def client_keys_of_token(token: bytes) -> ClientKeys:
    """Return the keys of a client that has a server's token."""
    secret = _derived(token, b"zproc client")
    return ClientKeys(secret, _public_of(secret), _public_of(_derived(token, b"zproc server")))


# -- by directory


class AllowList:
    """The public keys in a file, which is read again when it changes.

    Args:
        path: the file: one key per line, followed by anything for people to read; ``#`` begins a comment.
        own: a key that is always admitted.
    """

    def __init__(self, path: str, own: bytes) -> None:
        self._path = path
        self._own = own
        self._seen: tuple[int, int, int] | None = None
        self._keys: frozenset[bytes] = frozenset()
        self._read()

    def __call__(self, key: bytes) -> bool:
        """Return whether a key, as text, is admitted."""
        self._read()
        return key == self._own or key in self._keys

    def _read(self) -> None:
        try:
            found = os.stat(self._path)
            seen = (found.st_mtime_ns, found.st_size, found.st_ino)
            if seen == self._seen:
                return
            with open(self._path, "rb") as file:
                keys = frozenset(_listed(self._path, file.read().splitlines()))
        except OSError as error:
            raise UsageError(f"cannot read the list of clients {self._path}: {error.strerror}") from error
        self._seen, self._keys = seen, keys


def _listed(path: str, lines: Iterable[bytes]) -> Iterator[bytes]:
    for number, line in enumerate(lines, 1):
        key = line.split(None, 1)[0] if line.strip() else _COMMENT
        if not key.startswith(_COMMENT):
            yield _checked(f"{path}, line {number}", key)


def server_keys(directory: str) -> ServerKeys:
    """Read the keys of a server.

    Raises:
        UsageError: there are none in this directory, or others can read them.
    """
    secret = _read_secret(directory)
    path = os.path.join(directory, _CLIENTS)
    if not os.path.exists(path):
        raise UsageError(
            f"{directory} has no list of clients ({_CLIENTS}), so nobody could be let in: a server needs the directory "
            f"{SERVER!r} of `zproc keys new DIR`"
        )
    return ServerKeys(secret, AllowList(path, _public_of(secret)))


def client_keys(directory: str) -> ClientKeys:
    """Read the keys of a client; those of a server work for a client of it.

    Raises:
        UsageError: there are none in this directory, or others can read them.
    """
    secret = _read_secret(directory)
    known = os.path.join(directory, _SERVER_KEY)
    is_server = not os.path.exists(known) and os.path.exists(os.path.join(directory, _CLIENTS))
    public = _public_of(secret)
    return ClientKeys(secret, public, public if is_server else _read_key(known))


def make_keys(directory: str, names: Iterable[str]) -> list[str]:
    """Make a server's keys, if there are none yet, and those of clients, which the server admits from now on.

    Args:
        directory: where; created if necessary.
        names: the names of the clients' directories.

    Returns:
        The directories that were made.

    Raises:
        UsageError: there are keys with such a name already, or nothing can be written there.
    """
    try:
        return list(_make(directory, list(names)))
    except OSError as error:
        raise UsageError(f"cannot make keys in {directory}: {error.strerror}: {error.filename}") from error


def _make(directory: str, names: list[str]) -> Iterator[str]:
    for name in names:
        if name in {"", ".", "..", SERVER} or not name.isprintable() or {"/", "\0"} & set(name):
            raise UsageError(f"{name!r} cannot be the name of a client")
        if os.path.lexists(os.path.join(directory, name)):
            raise UsageError(f"{os.path.join(directory, name)} exists already; choose another name")
    os.makedirs(directory, 0o700, exist_ok=True)
    server = os.path.join(directory, SERVER)
    if not os.path.lexists(server):
        _write_pair(server)
        _write(os.path.join(server, _CLIENTS), b"# public keys that are let in, one a line\n", _PRIVATE)
        yield server
    known = _public_of(_read_secret(server))
    for name in names:
        client = os.path.join(directory, name)
        public = _write_pair(client)
        _write(os.path.join(client, _SERVER_KEY), known + b"\n", _PRIVATE)
        with open(os.path.join(server, _CLIENTS), "ab") as file:
            file.write(public + b" " + name.encode() + b"\n")
        yield client


def _write_pair(directory: str) -> bytes:
    os.mkdir(directory, 0o700)
    public, secret = zmq.curve_keypair()
    write_secret(os.path.join(directory, _SECRET_KEY), secret + b"\n")
    _write(os.path.join(directory, _PUBLIC_KEY), public + b"\n", _PRIVATE)
    return public


def write_secret(path: str, content: bytes) -> None:
    """Write a new file that is never readable by anybody else; there must be none with its name."""
    _write(path, content, _PRIVATE)


def _write(path: str, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with open(descriptor, "wb") as file:
        file.write(content)


def _read_secret(directory: str) -> bytes:
    path = os.path.join(directory, _SECRET_KEY)
    try:
        found = os.stat(path)
    except OSError as error:
        raise UsageError(f"no keys in {directory}: {error.strerror}: {path}; make some: zproc keys new DIR") from error
    if stat.S_IMODE(found.st_mode) & 0o077 and os.name == "posix":
        raise UsageError(f"others can read {path}; if nobody has, keep it so: chmod 600 {path}")
    return _read_key(path)


def _read_key(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return _checked(path, file.read(4096).strip())
    except OSError as error:
        raise UsageError(f"cannot read the key {path}: {error.strerror}") from error


def _checked(where: str, key: bytes) -> bytes:
    try:
        decoded = z85.decode(key) if len(key) == _LENGTH else b""
    except Exception:  # noqa: BLE001 - a table of characters, indexed
        decoded = b""
    if len(decoded) != 32:  # noqa: PLR2004 - the length of a key
        raise UsageError(f"{where}: this is no key, which has {_LENGTH} characters")
    return key
