"""Creating a child through the fork server: the client's side.

The law: a process has at most one fork server, starts it when it first needs one, and starts another when that one is
dead. A child forked by it uses the same fork server, over a channel of its own. Answers come not over the channel but
over a pipe passed with the request, so that no thread has to dispatch them: first the process id, later the exit code.
If the pipe is closed before that, the fork server is dead, and what it had forked with it. One that was stopped, by
Ctrl-Z or by hand, is continued when it is needed: it belongs to this program alone, and while it is stopped nothing is
forked and no exit is reported.
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
"""What comes over the pipe: a process id (or a negative errno), and later an exit code."""

REQUEST = struct.Struct("!dB")
"""A request: how long the child may outlive its parent, in seconds, and whether a pidfd of the parent is passed.

With it are passed the writing end of the pipe, the child's end of its line, standard output and error, and that pidfd.
The pipe comes first, so that a fork server short of descriptors can still say so.
"""

WHO_WAITS = 2
"""In place of that flag: the question which process is kept in reserve; only the pipe is passed with it."""

_PATIENCE = 5.0
"""How long the answer to that may take, in seconds."""

_SLOW = 0.5
"""After how long without an answer the fork server is taken to be stopped, in seconds."""


@dataclass(frozen=True, slots=True)
class _Server:
    """The fork server of this process: started here, or inherited if ``pid`` is `None`; then it is the parent."""

    channel: int
    pid: int | None
    parent: int = 0


_lock = threading.Lock()
_server: _Server | None = None


class ServedChild:
    """A process that the fork server has forked for this one."""

    def __init__(self, pid: int, pipe: int) -> None:
        self.pid = pid
        self._pipe = pipe
        os.set_blocking(pipe, False)
        self._exitcode: int | None = None
        self.orphaned: bool = False
        # Opened before the pipe is read: the fork server reports an exit before it reaps, which frees the process id.
        try:
            self._watch: Watch | None = watch_process(pid)
        except BaseException:  # short of descriptors
            if not self._is_reported():
                os.kill(pid, signal.SIGKILL)
            raise

    def fileno(self) -> int:
        """Return the descriptor that becomes readable at the end: the pipe, or the watch if the fork server is dead."""
        return self._watch.fileno() if self._watch is not None and self.orphaned else self._pipe

    def poll(self) -> int | None:
        """Return the exit code that the fork server has reported; guess it if the fork server is dead."""
        if self._exitcode is None and not self.orphaned and self._is_reported():
            with contextlib.suppress(BlockingIOError):  # another thread was first
                answer = os.read(self._pipe, NUMBER.size)
                self.orphaned = not answer
                self._exitcode = NUMBER.unpack(answer)[0] if answer else None
        if self._exitcode is None and self.orphaned and self._watch is not None and self._watch.gone():
            # Nobody can wait for it any more. It was killed with the fork server, unless it may outlive its parent.
            self._exitcode = -signal.SIGKILL
        return self._exitcode

    def _is_reported(self) -> bool:
        # Polled, rather than read and refused: Ctrl-C mostly comes while somebody waits here, and its traceback should
        # not mention a BlockingIOError as its context.
        waiting = select.poll()
        waiting.register(self._pipe, select.POLLIN)
        return bool(waiting.poll(0))

    def send_signal(self, signum: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None and self._watch is not None:
            self._watch.send_signal(signum)

    def rouse(self) -> None:
        """Make sure that the fork server runs, to report the end."""
        rouse()

    def close(self) -> None:
        """Close the pipe and the watch."""
        pipe, self._pipe = self._pipe, -1
        descriptor.close(pipe)
        if self._watch is not None:
            self._watch.close()
            self._watch = None


class ServerDied(ProcessError):
    """The fork server died while it was asked; the next request goes to a new one."""


def request(line: int, linger: float, deadline: float) -> ServedChild:
    """Request a child.

    Args:
        line: the child's end of its line.
        linger: how long it may outlive this process, in seconds.
        deadline: until when to wait for it to exist, by `time.monotonic`.

    Raises:
        ServerDied: the fork server died. The line must not be used again: somebody may hold its other end.
        ProcessError: the fork server cannot create a process.
        WaitTimeout: there was no answer before the deadline.
    """
    reading, writing = map(descriptor.keep, os.pipe())
    try:
        try:
            server = _ask(line, writing, linger)
        finally:
            descriptor.close(writing)  # so that the pipe ends with the fork server
        return ServedChild(_answer(server, reading, deadline), reading)
    except BaseException:
        descriptor.close(reading)
        raise


def fork_server_pid() -> int | None:
    """Return the process id of the fork server that this process started, if there is one."""
    return _server.pid if _server is not None else None


def spare_pid() -> int | None:
    """Return the process id of the process that the fork server keeps in reserve for the next request, if any."""
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
        return None  # the fork server is dead
    finally:
        descriptor.close(reading)


def adopt_channel(channel: int) -> None:
    """Use a channel that the fork server gave to this process when it forked it."""
    global _server  # noqa: PLW0603
    _server = _Server(descriptor.keep(channel), None, os.getppid())


def rouse() -> None:
    """Continue the fork server if it was stopped; a running one does not notice."""
    server = _server
    if server is None:
        return
    # Not reaped yet, or our parent at this moment: so the process id is still its own.
    pid = server.pid or (server.parent if os.getppid() == server.parent else 0)
    if pid:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGCONT)


def shut_down(timeout: float = 5.0) -> None:
    """End the fork server that this process started, with all that it has forked; the next start begins a new one.

    Args:
        timeout: how long to wait before it is killed, in seconds.
    """
    global _server
    with _lock:
        server, _server = _server, None
        if server is not None:
            _end(server, timeout)


def _ask(line: int, pipe: int, linger: float) -> _Server:
    """Send a request; return the fork server that has it."""
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
    """Send a message to the fork server. Requires `_lock`."""
    assert _lock.locked()
    try:
        with descriptor.lend(server.channel) as stream:
            socket.send_fds(stream, [data], passed)
    except (BrokenPipeError, ConnectionResetError) as error:
        _drop(server)
        raise ServerDied("the fork server is dead") from error


def _standard(number: int) -> int:
    """Return a standard stream's descriptor, or one of ``/dev/null`` if the program has closed it."""
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
    """Return the fork server, started now if there is none. Requires `_lock`."""
    global _server  # noqa: PLW0603
    assert _lock.locked()
    if _server is None:
        near, far = descriptor.pair()
        try:
            arguments = birth.command("forkserver_main", far, handle_of_self(), os.getpid())
            _server = _Server(near, birth.execute(arguments, far, handle_of_self(), stdout=subprocess.DEVNULL))
        except BaseException:
            descriptor.close(near)
            raise
        finally:
            descriptor.close(far)
    return _server


def _drop(server: _Server) -> None:
    """Dispose of a fork server that is dead. Requires `_lock`."""
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
    global _lock, _server  # the channel is the parent's, and must not have two users
    _lock, _server = threading.Lock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
