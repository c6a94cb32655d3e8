"""Where a server and its clients meet on one machine: a private directory, a locked path, a uid told by the kernel.

The law: an address is never stolen, and a dead server's is never lost. Whoever listens at a path holds an exclusive
``flock`` on ``<path>.lock`` for life; the kernel releases it however the process ends, and then the next one may
replace what was left. Only what was created here, and the words beside it, is ever removed, and only by the process
that created it or by one that holds the lock. Connections with other uids than our own and root's are refused, in
either direction.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import socket
import stat
import struct
import sys
import time
from dataclasses import dataclass
from typing import Final

from zproc.exceptions import Error, Unavailable, UsageError
from zproc.transport.base import address_in_use
from zproc.transport.fork import disown_after_fork
from zproc.transport.word import WORDS, retire

__all__ = [
    "LONGEST_PATH",
    "Claim",
    "Credentials",
    "abandoned",
    "check_path",
    "clear_path",
    "fresh_address",
    "left_behind",
    "peer_credentials",
    "runtime_directory",
]

LONGEST_PATH: Final = 103 if sys.platform == "darwin" else 107
"""The longest path in a socket's address (``sun_path``), in bytes, without the terminating NUL."""

_NAME: Final = "/01234567"
_NAME_LENGTH: Final = 8

_LOCK: Final = ".lock"
"""The suffix of the lock file's name."""

_YOUNG: Final = 0.5
"""How long after its creation a lock file without a process id may be just about to be locked, in seconds."""

_PRIVATE: Final = 0o700
_REMEDY: Final = "set ZPROC_RUNTIME_DIR to a directory of yours"


# -- the directory


def runtime_directory() -> str:
    """Return the directory for this user's sockets, created if necessary.

    It is ``$ZPROC_RUNTIME_DIR`` if that is set; else ``$XDG_RUNTIME_DIR/zproc`` if that is usable; else
    ``/tmp/zproc-<uid>``.

    Raises:
        UsageError: it is not a directory that only we can access, or its path is too long for sockets.
    """
    chosen = os.environ.get("ZPROC_RUNTIME_DIR")
    if chosen:
        check_path(chosen + _NAME)
        return _private(chosen)
    desktop = os.environ.get("XDG_RUNTIME_DIR", "")
    inside = os.path.join(desktop, "zproc")
    if _is_ours(desktop) and len(os.fsencode(inside + _NAME)) <= LONGEST_PATH:
        return _private(inside)
    return _private(f"/tmp/zproc-{os.geteuid()}")  # noqa: S108  _private checks what makes a shared directory unsafe


def fresh_address() -> str:
    """Return an unused address in the runtime directory.

    Raises:
        UsageError: there is no runtime directory; see ``runtime_directory``.
    """
    directory = runtime_directory()
    while True:
        path = os.path.join(directory, secrets.token_hex(4))
        if not os.path.lexists(path) and not os.path.lexists(path + _LOCK):
            return f"unix://{path}"


def abandoned() -> list[str]:
    """Return the addresses in the runtime directory that came from `fresh_address`, and may be unused now.

    Raises:
        UsageError: there is no runtime directory; see ``runtime_directory``.
    """
    return [f"unix://{path}" for path in _claimed() if len(os.path.basename(path)) == _NAME_LENGTH]


def left_behind() -> list[str]:
    """Return the paths in the runtime directory that belonged to servers that are dead, whatever their addresses.

    Raises:
        UsageError: there is no runtime directory; see ``runtime_directory``.
    """
    return [path for path in _claimed() if not _lives(_holder(path + _LOCK))]


def _claimed() -> list[str]:
    """Return the paths in the runtime directory that have a lock file that is, or was, locked."""
    directory = runtime_directory()
    locks = [os.path.join(directory, name) for name in sorted(os.listdir(directory)) if name.endswith(_LOCK)]
    return [lock.removesuffix(_LOCK) for lock in locks if _was_locked(lock)]


def clear_path(path: str) -> bool:
    """Remove what a dead server has left at a path; return whether it was dead."""
    try:
        claim = Claim(path)
    except (UsageError, Unavailable):
        return False
    with contextlib.suppress(FileNotFoundError):
        claim.hold()
    retire(path + WORDS)
    claim.release()
    return True


def _holder(lock: str) -> int:
    """Return the process id in a lock file; 0 if there is none."""
    with contextlib.suppress(OSError, ValueError), open(lock, encoding="ascii") as file:
        return int(file.read(20))
    return 0


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid > 0


def _was_locked(path: str) -> bool:
    """Return whether the creator of a lock file has locked it: then it contains a process id."""
    try:
        found = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:  # its server has just ended in order
        return False
    return found.st_size > 0 or time.time() - found.st_mtime > _YOUNG


def _is_ours(directory: str) -> bool:
    # After sudo, the variable may still name the directory of the original user, whom a directory of ours would lock
    # out.
    try:
        found = os.lstat(directory)
    except OSError:
        return False
    return os.path.isabs(directory) and stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


def _private(directory: str) -> str:
    """Make sure that a directory exists, is no link, is ours, and is inaccessible to everybody else."""
    if not os.path.isabs(directory):
        raise UsageError(f"{directory!r} is not an absolute path; set ZPROC_RUNTIME_DIR to one")
    try:
        os.mkdir(directory, _PRIVATE)
    except FileExistsError:
        pass
    except OSError as error:
        raise UsageError(f"cannot make {directory}: {error.strerror}; {_REMEDY}") from error
    else:
        os.chmod(directory, _PRIVATE)  # a umask may have taken bits off that we need
    found = os.lstat(directory)
    if stat.S_ISLNK(found.st_mode) or not stat.S_ISDIR(found.st_mode):
        raise UsageError(f"{directory} is not a directory; remove it, or {_REMEDY}")
    if found.st_uid != os.geteuid():
        raise UsageError(f"{directory} belongs to uid {found.st_uid}; {_REMEDY}")
    if found.st_mode & 0o777 != _PRIVATE:
        raise UsageError(f"{directory} has mode {found.st_mode & 0o777:04o}; make it private: chmod 700 {directory}")
    return directory


def check_path(path: str) -> str:
    """Return a path, checked to be short enough for a socket.

    Raises:
        UsageError: it is too long.
    """
    length = len(os.fsencode(path))
    if length > LONGEST_PATH:
        raise UsageError(f"{path}: {length} bytes, but a socket's path has at most {LONGEST_PATH}; use a shorter one")
    return path


# -- the peer


@dataclass(frozen=True, slots=True)
class Credentials:
    """The process at the other end, according to the kernel, when it connected or began to listen.

    Attributes:
        pid: its process id, if known here.
        uid: its effective user id.
    """

    pid: int | None
    uid: int

    @property
    def trusted(self) -> bool:
        """Whether it belongs to our user, or root."""
        return self.uid in {0, os.geteuid()}


def peer_credentials(connection: socket.socket) -> Credentials:
    """Return the credentials of the process at the other end of a connection."""
    if sys.platform == "darwin":
        told = connection.getsockopt(0, socket.LOCAL_PEERCRED, 76)
        return Credentials(None, struct.unpack_from("=II", told)[1])
    pid, uid, _ = struct.unpack("=iII", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return Credentials(pid or None, uid)  # a pid of 0 is one of another namespace


# -- the path


class Claim:
    """The exclusive right to listen at a path, until released."""

    __slots__ = ("__weakref__", "_held", "_lock", "address", "path")

    def __init__(self, path: str, address: str | None = None) -> None:
        """Claim a path, if nobody else has it.

        Args:
            path: the path, absolute.
            address: its address in messages; ``None`` for the ``unix://`` address.

        Raises:
            UsageError: somebody listens there, the path is too long, or what is there is not a socket.
            Unavailable: the system refuses: no such directory, no permission, no space.
        """
        self.path: str = check_path(path)
        self.address: str = f"unix://{path}" if address is None else address
        self._lock = -1
        self._held: tuple[int, int] | None = None
        disown_after_fork(self)
        try:
            while not self._take_lock():
                self.disown()
        except BaseException as error:
            self.disown()
            raise self._explained(error) from error

    def bind(self) -> socket.socket:
        """Create the socket, in place of one that a dead server has left.

        Raises:
            UsageError, Unavailable: as above. The claim is released.
        """
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._clear()
            bound.bind(self.path)
            # Between bind and listen nobody can connect, so it is never accessible with another mode.
            self.hold()
        except BaseException as error:
            bound.close()
            self.release()
            raise self._explained(error) from error
        return bound

    def make_room(self) -> None:
        """Remove what a dead server has left, so that the socket can be created other than by `bind`.

        Raises:
            UsageError, Unavailable: as above. The claim is released.
        """
        try:
            self._clear()
        except BaseException as error:
            self.release()
            raise self._explained(error) from error

    def hold(self) -> None:
        """Adopt what is at the path now: nobody else may access it, and it is removed at the end."""
        self._held = _identity(self.path)
        os.chmod(self.path, 0o600)

    def release(self) -> None:
        """Remove what is at the path, and the lock file, if they are still ours. Does nothing the second time."""
        if self._lock < 0:
            return
        if self._held is not None and _identity(self.path) == self._held:
            _unlink(self.path)
        # The lock file goes last, while it is locked: whoever has opened it meanwhile gets the lock, finds another file
        # or none under its name, and starts over.
        if _identity(self._lock_path) == _identity(self._lock):
            _unlink(self._lock_path)
        self.disown()

    def disown(self) -> None:
        """Close the lock file, and leave everything as it is."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    @property
    def _lock_path(self) -> str:
        return self.path + _LOCK

    def _take_lock(self) -> bool:
        """Lock the file; return ``False`` if it was unlinked meanwhile, because its last holder was just closing."""
        self._lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._lock, 20, 0).decode("ascii", "replace")
            raise address_in_use(self.address, f"process {holder}" if holder else "another process") from None
        if _identity(self._lock) != _identity(self._lock_path):
            return False
        try:
            os.fchmod(self._lock, 0o600)  # with a umask of 0777, the next one could not open it
            os.truncate(self._lock, 0)
            os.write(self._lock, str(os.getpid()).encode())
        except BaseException:
            _unlink(self._lock_path)  # it is locked, so it is nobody else's
            raise
        return True

    def _clear(self) -> None:
        """Remove a socket on which nobody listens, and the words of its server."""
        self._clear_socket()
        # Before anybody can connect: the old server's revisions must not be taken for the new one's.
        retire(self.path + WORDS)

    def _clear_socket(self) -> None:
        try:
            found = os.lstat(self.path)
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(found.st_mode):
            raise UsageError(f"{self.path} exists and is not a socket; remove it, or listen at another path")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            answer = probe.connect_ex(self.path)
        if answer != errno.ECONNREFUSED:
            # The server is alive: it does not use our locks, or its lock file was removed by hand.
            raise address_in_use(self.address, "a process that holds no lock on it")
        _unlink(self.path)

    def _explained(self, error: BaseException) -> BaseException:
        if isinstance(error, OSError) and not isinstance(error, Error):
            return Unavailable(self.address, f"cannot listen here: {error.strerror or error}")
        return error


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _identity(file: str | int) -> tuple[int, int] | None:
    try:
        found = os.fstat(file) if isinstance(file, int) else os.lstat(file)
    except OSError:
        return None
    return found.st_dev, found.st_ino
