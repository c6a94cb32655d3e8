"""Where a server and its clients meet on one machine: a directory of ours, a path that is held, a uid the kernel tells.

The law: an address is never stolen, and a dead server's is never lost. Who listens at a path holds an exclusive
``flock`` on ``<path>.lock`` for life; the kernel gives it back however the process ends, and then the next one may
replace what was left. Only what was made here and the words beside it are ever removed, and only by the process that
made them or by one that holds the lock. Nobody but our own uid and root is talked to, in either direction.
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
"""What a socket's address holds (``sun_path``), in bytes, without the NUL at its end."""

_NAME: Final = "/01234567"
_NAME_LENGTH: Final = 8

_LOCK: Final = ".lock"
"""What the name of the lock file has more than that of the path."""

_YOUNG: Final = 0.5
"""For how long, in seconds, a lock file that names no process may be one that its maker is just about to lock."""

_PRIVATE: Final = 0o700
_REMEDY: Final = "set ZPROC_RUNTIME_DIR to a directory of yours"


# -- the directory


def runtime_directory() -> str:
    """Return the directory that this user's sockets are made in, and make it where it is missing.

    It is ``$ZPROC_RUNTIME_DIR`` where that is set; else ``$XDG_RUNTIME_DIR/zproc`` where that is usable; else
    ``/tmp/zproc-<uid>``.

    Raises:
        UsageError: it is not a directory that only we can use, or its path is too long for a socket's.
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
    """Return an address in the runtime directory that nobody uses.

    Raises:
        UsageError: there is no runtime directory; see ``runtime_directory``.
    """
    directory = runtime_directory()
    while True:
        path = os.path.join(directory, secrets.token_hex(4))
        if not os.path.lexists(path) and not os.path.lexists(path + ".lock"):
            return f"unix://{path}"


def abandoned() -> list[str]:
    """List the addresses in the runtime directory that were taken by `fresh_address` and are perhaps nobody's now.

    Raises:
        UsageError: there is no runtime directory; see ``runtime_directory``.
    """
    directory = runtime_directory()
    found = []
    for name in os.listdir(directory):
        place, ending = os.path.splitext(name)
        if ending == ".lock" and len(place) == _NAME_LENGTH and _was_locked(os.path.join(directory, name)):
            found.append(f"unix://{os.path.join(directory, place)}")
    return found


def left_behind() -> list[str]:
    """List the paths in the runtime directory that servers held that are dead, whatever their addresses.

    Raises:
        UsageError: there is no runtime directory; see ``runtime_directory``.
    """
    directory = runtime_directory()
    locks = (os.path.join(directory, name) for name in sorted(os.listdir(directory)) if name.endswith(_LOCK))
    return [lock.removesuffix(_LOCK) for lock in locks if _was_locked(lock) and not _lives(_holder(lock))]


def clear_path(path: str) -> bool:
    """Remove what a dead server has left at a path, and tell whether it was dead."""
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
    """Tell whether the maker of a lock file had come to lock it: then he wrote his process id into it."""
    try:
        found = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:  # its server has just ended in order
        return False
    return found.st_size > 0 or time.time() - found.st_mtime > _YOUNG


def _is_ours(directory: str) -> bool:
    # After sudo the variable may still name the directory of the user that we were; ours in it would lock them out.
    try:
        found = os.lstat(directory)
    except OSError:
        return False
    return os.path.isabs(directory) and stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


def _private(directory: str) -> str:
    """Make sure that a directory is there, is no link, is ours, and is closed to everybody else."""
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
    """Return a path that a socket can have.

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
    """Who is at the other end, as the kernel has noted when it connected or listened.

    Attributes:
        pid: its process id, if known here.
        uid: its effective user id.
    """

    pid: int | None
    uid: int

    @property
    def trusted(self) -> bool:
        """Whether it is one of ours, or root."""
        return self.uid in {0, os.geteuid()}


def peer_credentials(connection: socket.socket) -> Credentials:
    """Ask the kernel who is at the other end of a connection."""
    if sys.platform == "darwin":
        told = connection.getsockopt(0, socket.LOCAL_PEERCRED, 76)
        return Credentials(None, struct.unpack_from("=II", told)[1])
    pid, uid, _ = struct.unpack("=iII", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return Credentials(pid or None, uid)  # a pid of 0 is one of another namespace


# -- the path


class Claim:
    """The right to listen at a path, held by this process until released."""

    __slots__ = ("__weakref__", "_held", "_lock", "address", "path")

    def __init__(self, path: str, address: str | None = None) -> None:
        """Take the path, if nobody has it.

        Args:
            path: which, absolute.
            address: what it is called by users; ``None`` for the ``unix://`` address.

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
        """Make the socket, in place of one that a dead server has left.

        Raises:
            UsageError, Unavailable: as above. The claim is released.
        """
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._clear()
            bound.bind(self.path)
            # Between bind and listen nobody can connect, so there is no moment with another mode, whatever the umask.
            self.hold()
        except BaseException as error:
            bound.close()
            self.release()
            raise self._explained(error) from error
        return bound

    def make_room(self) -> None:
        """Remove what a dead server has left, so that somebody else than `bind` can make the socket.

        Raises:
            UsageError, Unavailable: as above. The claim is released.
        """
        try:
            self._clear()
        except BaseException as error:
            self.release()
            raise self._explained(error) from error

    def hold(self) -> None:
        """Take what is at the path now for ours: nobody else may use it, and it is removed at the end."""
        self._held = _identity(self.path)
        os.chmod(self.path, 0o600)

    def release(self) -> None:
        """Remove what is at the path, and the lock, as far as they are still ours. Does nothing the second time."""
        if self._lock < 0:
            return
        if self._held is not None and _identity(self.path) == self._held:
            _unlink(self.path)
        # The lock goes last, and while it is held: whoever opened the old file meanwhile gets its lock, finds another
        # file or none under its name, and starts over.
        if _identity(self._lock_path) == _identity(self._lock):
            _unlink(self._lock_path)
        self.disown()

    def disown(self) -> None:
        """Let go of the lock, and leave everything as it is."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    @property
    def _lock_path(self) -> str:
        return self.path + _LOCK

    def _take_lock(self) -> bool:
        """Lock the file; ``False`` when its name was taken away meanwhile, because the last holder was just closing."""
        self._lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._lock, 20, 0).decode("ascii", "replace")
            raise address_in_use(self.address, f"process {holder}" if holder else "another process") from None
        if _identity(self._lock) != _identity(self._lock_path):
            return False
        try:
            os.fchmod(self._lock, 0o600)  # a umask of 0777 would keep the next one out
            os.truncate(self._lock, 0)
            os.write(self._lock, str(os.getpid()).encode())
        except BaseException:
            _unlink(self._lock_path)  # it is locked, so it is nobody else's
            raise
        return True

    def _clear(self) -> None:
        """Remove a socket that nobody listens at, and the words of its server."""
        self._clear_socket()
        # Before anybody can connect: who still sees the old server's revisions must not take them for the new one's.
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
            # It is alive, and does not know our lock; or its lock file was removed by hand.
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
