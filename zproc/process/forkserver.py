"""Making a child through the fork server: the asking side.

The law: a process has at most one fork server, makes it when it first needs one, and makes another when that one is
dead. A child of the fork server asks the very same one, over a channel of its own. An answer does not come over the
channel but over a pipe that went with the question, so that no thread has to sort answers: first the process id, then,
when the process has ended, its exit code. A pipe that ends before that says that the fork server is dead, and what it
had made with it. One that was stopped, by Ctrl-Z or by hand, is told to go on when it is needed: it is nobody's but
this program's, and while it stands still nothing is made and no end is told.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
import subprocess
import threading
import time
from dataclasses import dataclass

from zproc.exceptions import ProcessError, WaitTimeout
from zproc.process import birth, descriptor, wire
from zproc.process.watch import Watch, handle_of_self, watch_process

__all__ = [
    "NUMBER",
    "REQUEST",
    "WHO_WAITS",
    "ServedChild",
    "ServerDied",
    "adopt_channel",
    "fork_server_pid",
    "request",
    "shut_down",
    "spare_pid",
]

NUMBER = struct.Struct("!q")
"""What comes over the pipe: a process id (or, negative, why there is none), and later an exit code."""

REQUEST = struct.Struct("!dB")
"""What is asked: how long the child may outlive its parent, in seconds, and whether a handle of the parent is sent
along.

With it go the writing end of the pipe, the child's end of its line, standard output and error, and that handle. The
pipe is the first, so that a server short of descriptors can say so.
"""

WHO_WAITS = 2
"""What stands in the place of that "whether" in the question who is kept in readiness; only the pipe goes with it."""

_PATIENCE = 5.0
"""How long the answer to that may take, in seconds."""


_SLOW = 0.5
"""After how long, in seconds, a fork server that does not answer may have been stopped."""


@dataclass(frozen=True, slots=True)
class _Server:
    """The fork server that this process asks: made here, or inherited if ``pid`` is `None`, and then its parent."""

    channel: int
    pid: int | None
    parent: int = 0


_lock = threading.Lock()
_server: _Server | None = None


class ServedChild:
    """A process that the fork server has made for this one."""

    def __init__(self, pid: int, pipe: int) -> None:
        self.pid = pid
        self._pipe = pipe
        os.set_blocking(pipe, False)
        self._exitcode: int | None = None
        self.orphaned: bool = False
        # Opened before the pipe is looked at: the fork server reports an exit before it gives the number back.
        try:
            self._watch: Watch | None = watch_process(pid)
        except BaseException:  # short of descriptors
            if not self._is_reported():
                os.kill(pid, signal.SIGKILL)
            raise

    def fileno(self) -> int:
        """Give a descriptor that tells of the end: the pipe, and the process itself when nobody else can tell."""
        return self._watch.fileno() if self._watch is not None and self.orphaned else self._pipe

    def poll(self) -> int | None:
        """Give the exit code that the fork server has reported, or guess it if that one is dead."""
        if self._exitcode is None and not self.orphaned and self._is_reported():
            with contextlib.suppress(BlockingIOError):  # another thread was first
                answer = os.read(self._pipe, NUMBER.size)
                self.orphaned = not answer
                self._exitcode = NUMBER.unpack(answer)[0] if answer else None
        if self._exitcode is None and self.orphaned and self._watch is not None and self._watch.gone():
            # Nobody else could wait for it. It dies with its maker, unless it may outlive its parent.
            self._exitcode = -signal.SIGKILL
        return self._exitcode

    def _is_reported(self) -> bool:
        # Asked instead of read and refused: Ctrl-C mostly comes while somebody waits here, and whoever reads its
        # traceback should not be told of an exception that was none.
        waiting = select.poll()
        waiting.register(self._pipe, select.POLLIN)
        return bool(waiting.poll(0))

    def send_signal(self, signum: int) -> None:
        """Send a signal, by a handle that means this process even if its number was given away."""
        if self.poll() is None and self._watch is not None:
            self._watch.send_signal(signum)

    def rouse(self) -> None:
        """See that the fork server tells of its end."""
        rouse()

    def close(self) -> None:
        """Let go of the pipe and the handle."""
        pipe, self._pipe = self._pipe, -1
        descriptor.close(pipe)
        if self._watch is not None:
            self._watch.close()
            self._watch = None


class ServerDied(ProcessError):
    """The fork server died while it was asked; the next request goes to a new one."""


def request(line: int, linger: float, deadline: float) -> ServedChild:
    """Have a child made.

    Args:
        line: the child's end of its line.
        linger: how long it may outlive this process, in seconds.
        deadline: until when to wait for it to exist, as `time.monotonic` counts.

    Raises:
        ServerDied: the line must not be used again, because somebody may hold its other end.
        ProcessError: the fork server cannot make a process.
        WaitTimeout: it did not before the deadline.
    """
    reading, writing = map(descriptor.keep, os.pipe())
    try:
        try:
            server = _ask(line, writing, linger)
        finally:
            descriptor.close(writing)  # so that the fork server is the only one who could write
        return ServedChild(_answer(server, reading, deadline), reading)
    except BaseException:
        descriptor.close(reading)
        raise


def fork_server_pid() -> int | None:
    """Give the process id of the fork server that this process made, if there is one."""
    return _server.pid if _server is not None else None


def spare_pid() -> int | None:
    """Give the process id of the process that the fork server keeps in readiness for the next request, if it does."""
    with _lock:
        server = _server
    if server is None:
        return None
    reading, writing = map(descriptor.keep, os.pipe())
    try:
        try:
            with _lock:
                _send(server, REQUEST.pack(0.0, WHO_WAITS), [writing])
        finally:
            descriptor.close(writing)
        return _answer(server, reading, time.monotonic() + _PATIENCE) or None
    except ProcessError:
        return None  # with a fork server that is dead; there is no other to ask
    finally:
        descriptor.close(reading)


def adopt_channel(channel: int) -> None:
    """Ask over this channel from now on: the fork server that made this process gave it to it."""
    global _server  # noqa: PLW0603
    _server = _Server(descriptor.keep(channel), None, os.getppid())


def rouse() -> None:
    """Have the fork server go on, if it was stopped; one that runs does not notice."""
    server = _server
    if server is None:
        return
    # Not reaped yet, or our parent at this moment: so the number is its own.
    pid = server.pid or (server.parent if os.getppid() == server.parent else 0)
    if pid:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGCONT)


def shut_down(timeout: float = 5.0) -> None:
    """End the fork server that this process made, with all that it has made; the next start makes a new one.

    Args:
        timeout: how long to wait, in seconds, before it is killed.
    """
    global _server
    with _lock:
        server, _server = _server, None
        if server is not None:
            _end(server, timeout)


def _ask(line: int, pipe: int, linger: float) -> _Server:
    """Send the request, and return whom to."""
    handle = handle_of_self()
    out, err = _standard(1), _standard(2)
    passed = [pipe, line, out, err, *([handle] if handle >= 0 else [])]
    try:
        with _lock:
            server = _ensure()
            _send(server, REQUEST.pack(linger, handle >= 0), passed)
            return server
    finally:
        descriptor.close(*(each for each in (out, err) if each > 2))  # noqa: PLR2004


def _send(server: _Server, data: bytes, passed: list[int]) -> None:
    """Say something to the fork server. Requires `_lock`."""
    assert _lock.locked()
    stream = descriptor.socket_of(server.channel)
    try:
        socket.send_fds(stream, [data], passed)
    except (BrokenPipeError, ConnectionResetError) as error:
        _drop(server)
        raise ServerDied("the fork server is dead") from error
    finally:
        stream.detach()


def _standard(number: int) -> int:
    """Give a standard stream's descriptor, or one of ``/dev/null`` if the program has closed it."""
    try:
        os.fstat(number)
    except OSError:
        return os.open(os.devnull, os.O_RDWR)
    return number


def _answer(server: _Server, pipe: int, deadline: float) -> int:
    """Wait for the process id."""
    began = time.monotonic()
    while not wire.poll({pipe: select.POLLIN}, min(deadline, time.monotonic() + _SLOW)):
        if time.monotonic() >= deadline:
            raise WaitTimeout("the fork server makes a process", deadline - began)
        rouse()
    answer = os.read(pipe, NUMBER.size)
    if not answer:
        with _lock:
            _drop(server)
        raise ServerDied("the fork server died while it was asked")
    (pid,) = NUMBER.unpack(answer)
    if pid < 0:
        raise birth.refusal(OSError(-pid, os.strerror(-pid)))
    return int(pid)


def _ensure() -> _Server:
    """Give the fork server, and make it first if there is none. Requires `_lock`."""
    global _server  # noqa: PLW0603
    assert _lock.locked()
    if _server is None:
        near, far = descriptor.pair()
        try:
            arguments = birth.command("nursery", far, handle_of_self(), os.getpid())
            _server = _Server(near, birth.execute(arguments, far, handle_of_self(), stdout=subprocess.DEVNULL))
        except BaseException:
            descriptor.close(near)
            raise
        finally:
            descriptor.close(far)
    return _server


def _drop(server: _Server) -> None:
    """Part with a fork server that is dead. Requires `_lock`."""
    global _server  # noqa: PLW0603
    assert _lock.locked()
    if _server is server:
        _server = None
        _end(server, timeout=0)


def _end(server: _Server, timeout: float) -> None:
    descriptor.close(server.channel)
    if server.pid is None:
        return
    child = birth.OwnChild(server.pid)
    try:
        if not wire.poll({child.fileno(): select.POLLIN}, time.monotonic() + timeout):
            child.send_signal(signal.SIGKILL)
            wire.poll({child.fileno(): select.POLLIN}, None)
        child.poll()
    finally:
        child.close()


def _after_fork_in_child() -> None:
    global _lock, _server  # the channel is the parent's; two would talk at once
    _lock, _server = threading.Lock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
