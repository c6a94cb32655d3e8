"""The fork server: a process that forks the others, and sees them end.

The law: it has one thread and no state of the program, so that forking it is safe. It serves its owner and all that it
has forked for it, each over a channel of its own. Each process that it forked has a logical parent: the process that
requested it. When that one dies, the process is killed with its descendants before the death is reported to anybody;
only one that may linger gets its time. When the owner is gone, everything that descends from here is killed, orphans
included: they are reparented to this process, which is the subreaper of its descendants. Then it exits.

After the first request it keeps one process in reserve, forked already, which is told its task when the next request
comes: forking takes longer than all that most processes have to do. The reserve waits, and holds nothing of anybody's;
signals that reach it before it is assigned (Ctrl-C goes to all processes of a terminal) are discarded. If the last
requested process may linger, as state servers may, the next one is expected to as well, and the reserve rehearses.

Ctrl-C, and whatever ends a terminal or a session, do not end it: its owner decides, and it follows.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NoReturn

from zproc.process import child, descriptor, forkserver, tree
from zproc.process.forkserver import NUMBER, REQUEST, WHO_WAITS

__all__ = ["main"]

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_HELD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_PERIOD = 0.2
"""How often to check the owner where the kernel has no pidfds, in seconds."""

_AGAIN = 0.02
"""How long what was killed has to disappear before the next scan, in seconds."""

_PASSED = 5
"""How many descriptors come with a request, at most."""

_HERE = b"."
"""What a process answers when it has received its request."""

_LEAVING = 5.0
"""How long to keep trying to kill what remains at the end, in seconds."""


@dataclass(slots=True)
class _Process:
    """A process that was forked here for somebody.

    Attributes:
        pid: its process id.
        parent: the process that requested it; 0 for the owner.
        pipe: where to report its process id and exit code.
        channel: where it requests processes of its own.
        linger: how long it may outlive its parent, in seconds.
        deadline: when it is killed, once its parent is gone.
        reported: whether its process id was reported.
    """

    pid: int
    parent: int
    pipe: int
    channel: socket.socket
    linger: float
    deadline: float | None = None
    reported: bool = False


@dataclass(frozen=True, slots=True)
class _Spare:
    """The process in reserve, and the channel over which it will receive its request."""

    pid: int
    channel: socket.socket


def main(channel: int, owner_handle: int, owner: int) -> None:
    """Serve until the owner is gone.

    Args:
        channel: where the owner sends requests.
        owner_handle: a pidfd of the owner; -1 if the kernel has none.
        owner: the owner's process id.
    """
    for number in (channel, owner_handle):
        if number >= 0:
            os.set_inheritable(number, False)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    # A stopped fork server resumes when its owner dies, and then ends as it should. The kernel sends this also when
    # only the thread that started it ends; a running process does not notice.
    _prctl(_PR_SET_PDEATHSIG, signal.SIGCONT)
    # Blocked, not ignored: a signal sent to a new process before it is ready must reach it, and ignored ones are lost.
    signal.pthread_sigmask(signal.SIG_SETMASK, _HELD)
    _load()
    child.remember_environment()
    gc.collect()
    gc.freeze()
    # Only children get past this; below them on the stack there is nothing but this function.
    _become(_ForkServer(channel, owner_handle, owner).serve())


def _become(channel: socket.socket) -> NoReturn:
    """Wait for a request, in a process that was just forked, and carry it out."""
    data, passed, *_ = socket.recv_fds(channel, REQUEST.size, 4)
    if not data:  # the fork server has ended, and the kernel is about to end this process
        os._exit(1)
    while early := signal.sigpending() & set(_HELD):
        signal.sigwait(early)
    linger, _ = REQUEST.unpack(data)
    if linger:
        _prctl(_PR_SET_PDEATHSIG, 0)
    # From here on signals are meant for what this process now is, and stay pending: so its id may be told.
    channel.sendall(_HERE)
    line, out, err, *handle = passed
    forkserver.adopt_channel(channel.detach())
    child.adopt_streams(out, err)
    child.main(line, handle[0] if handle else -1)


def _load() -> None:
    """Import what children will need; the package knows what that is, this module knows nothing of state."""
    with contextlib.suppress(Exception):  # a child would meet the same error, and can report it
        importlib.import_module("zproc")._preload()  # noqa: SLF001 - it is there for this


def _rehearse() -> None:
    """Run through what a process that may linger does first; what that is, the package knows."""
    with contextlib.suppress(Exception):
        importlib.import_module("zproc")._rehearse()  # noqa: SLF001 - it is there for this


class _ForkServer:
    """The loop, and the processes that it has forked."""

    def __init__(self, channel: int, owner_handle: int, owner: int) -> None:
        self._pid = os.getpid()
        self._owner = owner
        self._handle = owner_handle
        self._root = descriptor.socket_of(channel)
        self._channels: dict[int, tuple[socket.socket, int]] = {}
        self._processes: dict[int, _Process] = {}
        self._spare: _Spare | None = None
        self._wanted = False
        self._rehearsing = False
        self._errno = 0
        self._bell, ringing = os.pipe()
        os.set_blocking(self._bell, False)
        os.set_blocking(ringing, False)
        self._ringing = ringing
        self._poller = select.poll()
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(ringing, warn_on_full_buffer=False)
        self._poller.register(self._bell, select.POLLIN)
        if owner_handle >= 0:
            self._poller.register(owner_handle, select.POLLIN)
        self._add_channel(self._root, 0)

    def serve(self) -> socket.socket:
        """Serve requests; returns only in children, each with the channel over which it will receive its request."""
        while True:
            events = [number for number, _ in self._poller.poll(0 if self._wanted else self._patience())]
            if self._handle in events or os.getppid() != self._owner:
                self._close()
            if self._bell in events:
                self._reap()
            if self._wanted and not events and (channel := self._fork_spare()) is not None:
                return channel
            for number in self._channels.keys() & set(events):
                if (process := self._awaited(number)) is not None:
                    self._receive_answer(process)
                # Forked before the request is received, so that it inherits none of the descriptors passed with that.
                elif self._spare is None and (channel := self._fork_spare()) is not None:
                    return channel
                else:
                    self._receive(number)
            self._expire()

    # -------------------------------------------------------------------------------------------------------- requests

    def _add_channel(self, channel: socket.socket, pid: int) -> None:
        self._channels[channel.fileno()] = channel, pid
        self._poller.register(channel.fileno(), select.POLLIN)

    def _remove_channel(self, channel: socket.socket) -> None:
        if self._channels.pop(channel.fileno(), None) is not None:
            self._poller.unregister(channel.fileno())
            channel.close()

    def _fork_spare(self) -> socket.socket | None:
        """Fork the process in reserve; in that, return the channel over which it will receive its request."""
        assert self._spare is None, "one is enough"
        self._wanted = False
        try:
            _ensure_room()
            kept, given = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        except OSError as error:
            self._errno = error.errno or 1
            return None
        for end in (kept, given):
            end.setblocking(True)  # see `descriptor.socket_of`
        try:
            pid = os.fork()
        except OSError as error:
            self._errno = error.errno or 1
            kept.close()
            given.close()
            return None
        if pid == 0:
            self._die_with_server()
            kept.close()
            self._close_inherited()
            if self._rehearsing:
                _rehearse()
            return given
        given.close()
        self._spare = _Spare(pid, kept)
        return None

    def _awaited(self, number: int) -> _Process | None:
        """Return whose channel it is, if that process has not answered its request yet."""
        process = self._processes.get(self._channels[number][1])
        return None if process is None or process.reported else process

    def _receive_answer(self, process: _Process) -> None:
        """Receive a process's answer to its request; if it has died instead, `_reap` will see that."""
        with contextlib.suppress(ConnectionResetError):
            if process.channel.recv(len(_HERE)):
                self._announce(process)
                return
        self._remove_channel(process.channel)

    def _receive(self, number: int) -> None:
        """Receive a request, or the end of a channel."""
        channel, pid = self._channels[number]
        try:
            data, passed, *_ = socket.recv_fds(channel, REQUEST.size, _PASSED)
        except ConnectionResetError:
            data, passed = b"", []
        if data:
            self._deliver(pid, data, passed)
            return
        if channel is self._root:  # the owner has closed it, or has exec'ed another program
            self._close()
        self._remove_channel(channel)

    def _deliver(self, parent: int, request: bytes, passed: list[int]) -> None:
        """Hand a request to the process in reserve."""
        linger, kind = REQUEST.unpack(request)
        if kind == WHO_WAITS:
            self._report(passed[0], 0 if self._spare is None else self._spare.pid)
            descriptor.close(*passed)
            return
        spare, self._spare = self._spare, None
        if spare is None:  # no descriptors are left, possibly not even for the rest of what was passed
            self._report(passed[0], -self._errno)
            descriptor.close(*passed)
            return
        pipe, line, out, err, *handle = passed
        assert len(handle) == kind
        with contextlib.suppress(OSError):  # it was killed, which is reported like any other death
            socket.send_fds(spare.channel, [request], [line, out, err, *handle])
        descriptor.close(line, out, err, *handle)
        self._rehearsing = linger > 0
        self._processes[spare.pid] = _Process(spare.pid, parent, pipe, spare.channel, linger)
        self._add_channel(spare.channel, spare.pid)

    def _announce(self, process: _Process) -> None:
        """Report a process to whoever requested it."""
        process.reported = True
        self._report(process.pipe, process.pid)
        self._wanted = self._spare is None

    def _die_with_server(self) -> None:
        """Have the kernel kill this process when the fork server dies.

        A fork server that exits has killed what it forked before. So this is for one that is killed, after which nobody
        would supervise this process. One that may linger watches its parent itself.
        """
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != self._pid:  # it had died before
            os._exit(1)

    def _close_inherited(self) -> None:
        """Close, in a child, what belongs to the fork server."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for channel, _ in self._channels.values():
            channel.close()
        descriptor.close(
            self._bell, self._ringing, self._handle, *(process.pipe for process in self._processes.values())
        )

    # ---------------------------------------------------------------------------------------------------------- deaths

    def _reap(self) -> None:
        """Reap what has ended: processes forked here, and orphans reparented to this process."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._bell, 4096)
        with contextlib.suppress(ChildProcessError):
            while (ended := _next_exit()) is not None:
                pid, code = ended
                process = self._processes.pop(pid, None)
                if process is not None:
                    self._finish(process, code)
                elif self._spare is not None and self._spare.pid == pid:
                    self._spare.channel.close()
                    self._spare = None
                # The process id becomes free only now that its end has been reported.
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)

    def _finish(self, process: _Process, code: int) -> None:
        self._remove_channel(process.channel)
        if not process.reported:  # it was killed before it could answer
            self._announce(process)
        self._kill_or_linger(self._forked_for({process.pid}))
        self._report(process.pipe, code)
        os.close(process.pipe)

    def _forked_for(self, parents: set[int]) -> list[_Process]:
        """Return what was forked for these processes, for those in turn, and so on; not beyond one that may linger."""
        found: list[_Process] = []
        while fresh := [each for each in self._processes.values() if each.parent in parents and each not in found]:
            found += fresh
            parents = {each.pid for each in fresh if not each.linger}
        return found

    def _kill_or_linger(self, processes: Iterable[_Process]) -> None:
        """Kill processes whose parent is gone: at once, or when they have lingered long enough."""
        now = time.monotonic()
        at_once = []
        for process in processes:
            if process.linger:
                process.deadline = process.deadline or now + process.linger
            else:
                at_once.append(process.pid)
        if at_once:
            tree.kill_tree(*at_once)

    def _expire(self) -> None:
        now = time.monotonic()
        for process in [
            each for each in self._processes.values() if each.deadline is not None and each.deadline <= now
        ]:
            process.deadline = None
            tree.kill_tree(process.pid)

    def _patience(self) -> float | None:
        waits = [each.deadline - time.monotonic() for each in self._processes.values() if each.deadline is not None]
        if self._handle < 0:
            waits.append(_PERIOD)
        return max(0.0, min(waits)) * 1000 + 1 if waits else None

    def _close(self) -> NoReturn:
        """Exit when everything else has.

        One scan is not enough. Meanwhile a process may be killed by others, by its own watch for example, and its
        children have no parent for a moment; then they are reparented to this process, and found by the next scan.
        """
        self._kill_or_linger(self._lingering())
        poller = select.poll()
        poller.register(self._bell, select.POLLIN)
        end = time.monotonic() + _LEAVING
        while not _childless() and (self._lingering() or time.monotonic() < end):
            found = tree.kill_descendants(self._pid, spare=[each.pid for each in self._lingering()])
            poller.poll(_AGAIN * 1000 if found else self._patience())
            self._reap()
            self._expire()
        os._exit(0)

    def _lingering(self) -> list[_Process]:
        return [each for each in self._processes.values() if each.linger]

    @staticmethod
    def _report(pipe: int, number: int) -> None:
        with contextlib.suppress(OSError):  # whoever requested it is gone
            os.write(pipe, NUMBER.pack(number))


def _ensure_room() -> None:
    """Check that the next request can be received once a process is there for it.

    Raises:
        OSError: too many descriptors are open.
    """
    taken: list[int] = []
    try:
        while len(taken) < _PASSED + 2:  # and the ends of that process's channel
            taken.append(os.dup(0))
    finally:
        descriptor.close(*taken)


def _childless() -> bool:
    try:
        # Without `waitid` this reaps; by now nobody needs exit codes any more.
        _next_exit()
    except ChildProcessError:
        return True
    return False


def _next_exit() -> tuple[int, int] | None:
    """Return the process id and exit code of a process that has ended, without reaping it; ``None`` if none has."""
    if not hasattr(os, "waitid"):  # macOS before Python 3.13
        pid, status = os.waitpid(-1, os.WNOHANG)
        return (pid, os.waitstatus_to_exitcode(status)) if pid else None
    info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if info is None:
        return None
    return info.si_pid, info.si_status if info.si_code == os.CLD_EXITED else -info.si_status


def _find_prctl() -> Callable[..., int] | None:
    return ctypes.CDLL(None, use_errno=True).prctl if sys.platform.startswith("linux") else None


_found_prctl = _find_prctl()
"""Looked up once: in each child that would be a tenth of the cost of a start."""


def _prctl(option: int, value: int) -> None:
    if _found_prctl is not None:
        _found_prctl(option, value, 0, 0, 0)
