"""Revision words: the newest revision of each state of a server, in memory that every process of the machine can read.

The law: the server writes a word before anybody can know of the commit that it stands for. So a client that finds there
the revision that it holds has the newest state, and need not ask; one that finds another number asks. The word of a
server that has shut down, or has been replaced, never again equals a revision; that a server was killed shows by its
connections only.

The words are in a file beside the server's socket, which each process maps. One word is eight bytes, aligned, and
CPython copies an item of a ``memoryview`` of native format with one ``memcpy`` of its size, which compiles to one
instruction: nobody reads half of one.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
from typing import Final

from zproc.exceptions import Unavailable
from zproc.transport.base import parse_address
from zproc.typing import Epoch, Revision

__all__ = ["NOWHERE", "NO_REVISION", "WORDS", "Words", "publish", "retire", "word"]

NO_REVISION: Final = (1 << 64) - 1
"""The value of a word that stands for no revision."""

NOWHERE: Final = memoryview(NO_REVISION.to_bytes(8, "little")).cast("Q")
"""The word of a server whose words cannot be read from here: every read asks the server."""

WORDS: Final = ".rev"
"""The suffix of the file's name."""

_HEAD: Final = 256
_SIZE: Final = 4096
_WORDS: Final = (_SIZE - _HEAD) // 8


class Words:
    """The words of a server, for writing.

    Args:
        path: where the file is created.
        epoch: the server's epoch, by which readers recognize the file as this server's.
    """

    def __init__(self, path: str, epoch: Epoch) -> None:
        self._path = path
        self._pid = os.getpid()
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            # Written, rather than left sparse: on a full disk, the first store into a hole would raise SIGBUS.
            if os.write(descriptor, epoch.encode("ascii").ljust(_SIZE, b"\0")) < _SIZE:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._words = memoryview(mmap.mmap(descriptor, _SIZE))[_HEAD:].cast("Q")
        except BaseException:
            os.unlink(path)
            raise
        finally:
            os.close(descriptor)

    def write(self, index: int, revision: Revision) -> None:
        """Publish the newest revision of a state, unless the server has more states than there are words.

        Args:
            index: which of the server's states.
            revision: its newest revision.
        """
        if index < _WORDS:
            self._words[index] = revision

    def close(self) -> None:
        """Invalidate the words and remove the file. Does nothing in a fork of the server."""
        if self._pid == os.getpid():
            retire(self._path)


def publish(address: str, epoch: Epoch) -> Words | None:
    """Create the words of a server that has begun to listen.

    Args:
        address: where it listens.
        epoch: its epoch.

    Returns:
        The words, to be closed by the caller; ``None`` if clients at such an address cannot read them.

    Raises:
        Unavailable: the system refuses: no space, for example.
    """
    path = _path(address)
    try:
        return None if path is None else Words(path, epoch)
    except OSError as error:
        raise Unavailable(address, f"cannot make {path}: {error.strerror}") from error


def word(address: str, index: int, epoch: Epoch) -> memoryview:
    """Return the word of one state, for reading.

    Args:
        address: where its server listens.
        index: which of the server's states.
        epoch: the epoch of that server.

    Returns:
        A view of one integer; `NOWHERE` if this server's words cannot be read.
    """
    path = _path(address)
    if path is None or index >= _WORDS:
        return NOWHERE
    mapped = _map(path)
    name = epoch.encode("ascii")
    if mapped is None or mapped[: len(name) + 1] != name + b"\0":
        return NOWHERE
    return memoryview(mapped)[_HEAD + 8 * index : _HEAD + 8 * (index + 1)].cast("Q")


def retire(path: str) -> None:
    """Invalidate words for whoever has mapped them, and remove the file, if there is one."""
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if os.fstat(descriptor).st_size == _SIZE:
                with mmap.mmap(descriptor, _SIZE) as old:
                    old[_HEAD:] = b"\xff" * (_SIZE - _HEAD)
        finally:
            os.close(descriptor)
        os.unlink(path)


def _path(address: str) -> str | None:
    parsed = parse_address(address)
    return parsed.place + WORDS if parsed.scheme == "unix" else None


def _map(path: str) -> mmap.mmap | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        whole = os.fstat(descriptor).st_size == _SIZE
        return mmap.mmap(descriptor, _SIZE, access=mmap.ACCESS_READ) if whole else None
    finally:
        os.close(descriptor)
