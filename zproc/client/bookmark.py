"""A position in a sequence of commits, kept where the successor of a process that died finds it.

The law: it is the last position that was finished, written whole or not at all, so a successor continues after it: it
misses nothing, and repeats at most what its predecessor was in the middle of.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import tempfile
from dataclasses import dataclass
from typing import Final

from zproc.exceptions import UsageError
from zproc.transport import runtime_directory
from zproc.typing import Epoch, Revision

__all__ = ["Bookmark", "Place"]

_FORM: Final = struct.Struct("!64sQQ?Q")
_SUFFIX: Final = ".mark"


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a sequence of commits.

    Attributes:
        epoch: the life of the server.
        revision: the newest commit that was finished.
        results: how many results were finished.
        begun: whether the state at the beginning was looked at.
        lives: how many predecessors there were.
    """

    epoch: Epoch
    revision: Revision
    results: int = 0
    begun: bool = False
    lives: int = 0


class Bookmark:
    """A file with a place in it.

    Args:
        path: its name; see `make`.
        start: the place where there is no such file, or not any longer.
    """

    def __init__(self, path: str, start: Place) -> None:
        self._path = path
        self._start = start

    @classmethod
    def make(cls, place: Place, address: str) -> Bookmark:
        """Make one in the runtime directory, by a name that nobody uses.

        Args:
            place: the place where to start.
            address: of the server.

        Raises:
            UsageError: there is no runtime directory.
        """
        number, path = tempfile.mkstemp(prefix=_prefix(address), suffix=_SUFFIX, dir=runtime_directory())
        os.close(number)
        bookmark = cls(path, place)
        bookmark.move(place)
        return bookmark

    def place(self) -> Place:
        """Return the place."""
        try:
            with open(self._path, "rb") as file:
                epoch, revision, results, begun, lives = _FORM.unpack(file.read(_FORM.size))
        except FileNotFoundError:
            return self._start
        return Place(Epoch(epoch.rstrip(b"\0").decode("ascii")), Revision(revision), results, begun, lives)

    def move(self, place: Place) -> None:
        """Write a place."""
        # By one call: a process that is killed has made all of it, or none.
        data = _FORM.pack(place.epoch.encode("ascii"), place.revision, place.results, place.begun, place.lives)
        number = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(number, data, 0)
        finally:
            os.close(number)

    def remove(self) -> None:
        """Remove it, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)

    @staticmethod
    def sweep(address: str) -> None:
        """Remove all whose server was at an address and is gone, because who made them may have been killed."""
        with contextlib.suppress(OSError, UsageError):
            directory = runtime_directory()
            for name in os.listdir(directory):
                if name.startswith(_prefix(address)) and name.endswith(_SUFFIX):
                    Bookmark(os.path.join(directory, name), Place(Epoch(""), Revision(0))).remove()


def _prefix(address: str) -> str:
    return hashlib.sha256(address.encode()).hexdigest()[:16] + "-"
