"""The fork server: a process that makes the others, and is there when they end.

The law: it has one thread, no state of the program's and nothing to lose, so that a fork of it is safe. It serves its
owner and all that it has made for it, each over a channel of its own. Every process it made has a logical parent: who
asked for it. When that one dies, the process is killed with its descendants before anybody hears of the death; only who
may linger gets its time. When the owner is gone, everything that descends from here goes, orphans too: they come back
to this process, because it is the subreaper of its descendants. Then it leaves.

Ctrl-C, and what ends a terminal or a session, are not for it: its owner decides, and it follows.
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
from zproc.process.forkserver import NUMBER, REQUEST

__all__ = ["main"]

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_HELD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_PERIOD = 0.2
"""How often, in seconds, to look after the owner where the kernel does not tell."""


_AGAIN = 0.02
"""How long, in seconds, what was killed has to be gone before the next look."""

_LEAVING = 5.0
"""How long, in seconds, to look for what cannot be killed."""


@dataclass(slots=True)
class _Ward:
    """A process that was made here.

    Attributes:
        pid: its process id.
        parent: who asked for it; 0 for the owner.
        pipe: where to report.
        channel: where it asks for processes of its own.
        linger: how long it may outlive its parent, in seconds.
        deadline: when it has to be gone, once its parent is.
    """

    pid: int
    parent: int
    pipe: int
    channel: socket.socket
    linger: float
    deadline: float | None = None


@dataclass(frozen=True, slots=True)
class _Delivery:
    """What a new process finds in its hands."""

    line: int
    out: int
    err: int
    parent_handle: int
    channel: int


def main(channel: int, owner_handle: int, owner: int) -> None:
    """Serve until the owner is gone.

    Args:
        channel: where the owner asks.
        owner_handle: a handle of the owner; -1 if the kernel has none.
        owner: the owner's process id.
    """
    for number in (channel, owner_handle):
        if number >= 0:
            os.set_inheritable(number, False)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    # Held back, not ignored: what a new process gets before it is ready must reach it, and what is ignored is lost.
    signal.pthread_sigmask(signal.SIG_SETMASK, _HELD)
    _load()
    child.remember_environment()
    gc.collect()
    gc.freeze()
    delivery = _Nursery(channel, owner_handle, owner).serve()
    # Only children come here: all that is below on their stacks is this function.
    forkserver.adopt_channel(delivery.channel)
    child.adopt_streams(delivery.out, delivery.err)
    child.main(delivery.line, delivery.parent_handle)


def _load() -> None:
    """Load what children will need; the package knows what that is, and this module not even what a state is."""
    with contextlib.suppress(Exception):  # a child would meet the same error, and can report it
        importlib.import_module("zproc")._preload()  # noqa: SLF001 - it is there for this


class _Nursery:
    """The loop, and what it has made."""

    def __init__(self, channel: int, owner_handle: int, owner: int) -> None:
        self._pid = os.getpid()
        self._owner = owner
        self._handle = owner_handle
        self._root = socket.socket(fileno=channel)
        self._channels: dict[int, tuple[socket.socket, int]] = {}
        self._wards: dict[int, _Ward] = {}
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
        self._listen(self._root, 0)

    def serve(self) -> _Delivery:
        """Do what is asked; it returns in the children alone."""
        while True:
            events = [number for number, _ in self._poller.poll(self._patience())]
            if self._handle in events or os.getppid() != self._owner:
                self._close()
            if self._bell in events:
                self._reap()
            for number in events:
                if number in self._channels and (delivery := self._receive(number)) is not None:
                    return delivery
            self._expire()

    # -------------------------------------------------------------------------------------------------------- requests

    def _listen(self, channel: socket.socket, pid: int) -> None:
        self._channels[channel.fileno()] = channel, pid
        self._poller.register(channel.fileno(), select.POLLIN)

    def _deafen(self, channel: socket.socket) -> None:
        if self._channels.pop(channel.fileno(), None) is not None:
            self._poller.unregister(channel.fileno())
            channel.close()

    def _receive(self, number: int) -> _Delivery | None:
        channel, pid = self._channels[number]
        try:
            data, passed, *_ = socket.recv_fds(channel, REQUEST.size, 5)
        except ConnectionResetError:
            data, passed = b"", []
        if data:
            linger, with_handle = REQUEST.unpack(data)
            line, pipe, out, err, *rest = passed
            assert len(rest) == with_handle
            return self._deliver(pid, linger, line, pipe, out, err, rest[0] if rest else -1)
        if channel is self._root:  # the owner has closed it, or become another program: either way it asks no more
            self._close()
        self._deafen(channel)
        return None

    def _deliver(
        self, parent: int, linger: float, line: int, pipe: int, out: int, err: int, handle: int
    ) -> _Delivery | None:
        kept, given = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            pid = os.fork()
        except OSError as error:
            kept.close()
            given.close()
            self._report(pipe, -(error.errno or 1))
            descriptor.close(line, pipe, out, err, handle)
            return None
        if pid == 0:
            if not linger:
                self._die_with_server()
            kept.close()
            os.close(pipe)
            self._part()
            return _Delivery(line, out, err, handle, given.detach())
        given.close()
        descriptor.close(line, out, err, handle)
        self._report(pipe, pid)
        self._wards[pid] = _Ward(pid, parent, pipe, kept, linger)
        self._listen(kept, pid)
        return None

    def _die_with_server(self) -> None:
        """Have the kernel end this process when the fork server ends.

        It never ends alone: before it leaves it has killed what it made. So this is for the fork server being killed,
        after which nobody would look after this process. Who may linger looks after itself.
        """
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != self._pid:  # it was too late
            os._exit(1)

    def _part(self) -> None:
        """Let go, in a child, of all that is the fork server's."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for channel, _ in self._channels.values():
            channel.close()
        descriptor.close(self._bell, self._ringing, self._handle, *(ward.pipe for ward in self._wards.values()))

    # ---------------------------------------------------------------------------------------------------------- deaths

    def _reap(self) -> None:
        """Collect whoever has ended: what was made here, and orphans that came back."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._bell, 4096)
        with contextlib.suppress(ChildProcessError):
            while (ended := _next_exit()) is not None:
                pid, code = ended
                ward = self._wards.pop(pid, None)
                if ward is not None:
                    self._bury(ward, code)
                # The number is given back only now, when everybody has heard that it means nobody any more.
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)

    def _bury(self, ward: _Ward, code: int) -> None:
        self._deafen(ward.channel)
        self._doom(self._children({ward.pid}))
        self._report(ward.pipe, code)
        os.close(ward.pipe)

    def _children(self, parents: set[int]) -> list[_Ward]:
        """Find who was made for one of these, or for one of those, and so on; not beyond who may linger."""
        found: list[_Ward] = []
        while fresh := [each for each in self._wards.values() if each.parent in parents and each not in found]:
            found += fresh
            parents = {each.pid for each in fresh if not each.linger}
        return found

    def _doom(self, wards: Iterable[_Ward]) -> None:
        """End processes whose parent is gone: at once, or when they have lingered long enough."""
        now = time.monotonic()
        at_once = []
        for ward in wards:
            if ward.linger:
                ward.deadline = ward.deadline or now + ward.linger
            else:
                at_once.append(ward.pid)
        if at_once:
            tree.kill_tree(*at_once)

    def _expire(self) -> None:
        now = time.monotonic()
        for ward in [each for each in self._wards.values() if each.deadline is not None and each.deadline <= now]:
            ward.deadline = None
            tree.kill_tree(ward.pid)

    def _patience(self) -> float | None:
        waits = [each.deadline - time.monotonic() for each in self._wards.values() if each.deadline is not None]
        if self._handle < 0:
            waits.append(_PERIOD)
        return max(0.0, min(waits)) * 1000 + 1 if waits else None

    def _close(self) -> NoReturn:
        """Leave when everybody else has.

        One look is not enough. While it is taken, a process may die by another hand, that of its own watch for one, and
        its children are nobody's for that moment; then they come back to here, and are found by the next look.
        """
        self._doom(self._lingering())
        poller = select.poll()
        poller.register(self._bell, select.POLLIN)
        end = time.monotonic() + _LEAVING
        while not _childless() and (self._lingering() or time.monotonic() < end):
            found = tree.kill_descendants(self._pid, spare=[each.pid for each in self._lingering()])
            poller.poll(_AGAIN * 1000 if found else self._patience())
            self._reap()
            self._expire()
        os._exit(0)

    def _lingering(self) -> list[_Ward]:
        return [each for each in self._wards.values() if each.linger]

    @staticmethod
    def _report(pipe: int, number: int) -> None:
        with contextlib.suppress(OSError):  # who asked is gone
            os.write(pipe, NUMBER.pack(number))


def _childless() -> bool:
    try:
        # Without `waitid` this reaps; by now nobody asks any more how somebody ended.
        _next_exit()
    except ChildProcessError:
        return True
    return False


def _next_exit() -> tuple[int, int] | None:
    """Tell who has ended, and how, without giving its number back; ``None`` if nobody has."""
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
"""Looked up once: in each child it would be a tenth of what a start costs."""


def _prctl(option: int, value: int) -> None:
    if _found_prctl is not None:
        _found_prctl(option, value, 0, 0, 0)
