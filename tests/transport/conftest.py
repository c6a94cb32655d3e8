"""What tests of transports need: a server and its clients that are closed, and waits that have an end."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.ports import free_port
from zproc.exceptions import Error
from zproc.transport import (
    Arrival,
    Channel,
    Closed,
    Limits,
    Listener,
    Opened,
    Received,
    channel,
    connect,
    fresh_address,
    listen,
    local,
    poller,
)
from zproc.transport.spin import Spin
from zproc.typing import PeerId

PATIENCE = 20.0
"""How long a test waits for what must come, in seconds. It is never waited for what must not."""

_names = itertools.count()


class Wire:
    """A listener at one address and clients of it, all closed at the end of the test."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.pid = None if address.startswith("tcp://") else os.getpid()
        """What `Opened` tells of clients in this process."""
        self.relayed = address.startswith(("tcp://", "ipc://"))
        """Whether a thread of another library stands between what is sent and what arrives."""
        self._stack = contextlib.ExitStack()

    def listen(self, limits: Limits | None = None, address: str | None = None) -> Listener:
        listener = listen(address or self.address, limits)
        self._stack.callback(listener.close)
        return listener

    def connect(self, limit: int = 16 << 20) -> Channel:
        channel = connect(self.address, limit=limit)
        self._stack.callback(channel.close)
        return channel

    def pair(self, limits: Limits | None = None) -> tuple[Listener, Channel, PeerId]:
        """A listener and one client, which may send frames of every length that the limits allow."""
        listener = self.listen(limits)
        return (listener, *self.join(listener))

    def join(self, listener: Listener, max_frame: int = 16 << 20) -> tuple[Channel, PeerId]:
        """One more client."""
        channel = self.connect()
        (opened,) = self.gather(listener, lambda arrivals: any(isinstance(each, Opened) for each in arrivals))
        listener.allow(opened.peer, max_frame)
        return channel, opened.peer

    def gather(self, listener: Listener, enough: Callable[[list[Arrival]], bool]) -> list[Arrival]:
        """Poll until what has arrived is enough."""
        arrivals: list[Arrival] = []
        deadline = time.monotonic() + PATIENCE
        while not enough(arrivals):
            assert time.monotonic() < deadline, f"not enough: {str(arrivals)[:2000]}"
            arrivals += listener.poll(deadline - time.monotonic())
        return arrivals

    def arrivals(self, listener: Listener, count: int) -> list[Arrival]:
        """Poll until so many have arrived."""
        return self.gather(listener, lambda arrivals: len(arrivals) >= count)

    def frames(self, listener: Listener, count: int) -> list[bytes]:
        """Poll until so many frames have arrived."""
        arrivals = self.gather(listener, lambda all_: sum(isinstance(each, Received) for each in all_) >= count)
        return [each.frame for each in arrivals if isinstance(each, Received)]

    def closed(self, listener: Listener, peer: PeerId) -> str:
        """Poll until a peer is gone, and tell why."""
        arrivals = self.gather(listener, lambda all_: any(isinstance(e, Closed) and e.peer == peer for e in all_))
        return next(each.reason for each in arrivals if isinstance(each, Closed) and each.peer == peer)

    def close(self) -> None:
        self._stack.close()


class Helper(threading.Thread):
    """A thread that hands back what its function returned or raised."""

    def __init__(self, function: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._function = function
        self.error: BaseException | None = None
        self.result: Any = None
        self.start()

    def run(self) -> None:
        try:
            self.result = self._function()
        except BaseException as error:  # noqa: BLE001  `outcome` raises it again
            self.error = error

    def outcome(self) -> Any:
        """Wait for the end; return what it returned, or raise what it raised."""
        self.join(PATIENCE)
        assert not self.is_alive(), "the thread hangs"
        if self.error is not None:
            raise self.error
        return self.result

    def wait_until_asleep(self) -> None:
        """Wait until the kernel has the thread wait for something."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with open(f"/proc/self/task/{self.native_id}/stat") as stat:
                if stat.read().rsplit(")", 1)[1].split()[0] == "S":
                    return
        raise AssertionError("the thread never waits")


@pytest.fixture
def interrupted() -> Callable[[Callable[[], object]], None]:
    """Calls something that waits, and has Ctrl-C pressed until that ends it."""

    def call(waiting: Callable[[], object]) -> None:
        begun, ended = threading.Event(), threading.Event()

        def once(_signum: int, _frame: object) -> None:
            if not ended.is_set():
                ended.set()
                raise KeyboardInterrupt

        def press() -> None:
            begun.wait(PATIENCE)
            # A signal that comes just before a call that blocks interrupts nothing; that is Python's, and rare in life.
            while not ended.wait(0.02):
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

        def wait() -> None:
            begun.set()
            waiting()

        before = signal.signal(signal.SIGINT, once)
        thread = threading.Thread(target=press)
        thread.start()
        try:
            with pytest.raises(KeyboardInterrupt):  # none may come outside of it: it would end the test run
                wait()
        finally:
            ended.set()
            thread.join()
            signal.signal(signal.SIGINT, before)

    return call


@pytest.fixture
def unix() -> Iterator[Wire]:
    """A wire over a socket."""
    wire = Wire(fresh_address())
    yield wire
    wire.close()


@pytest.fixture
def memory() -> Iterator[Wire]:
    """A wire over queues."""
    wire = Wire(f"memory://test-{next(_names)}")
    yield wire
    wire.close()


@pytest.fixture
def ipc() -> Iterator[Wire]:
    """A wire over ZeroMQ, by a path."""
    wire = Wire(fresh_address().replace("unix://", "ipc://"))
    yield wire
    wire.close()


@pytest.fixture
def tcp() -> Iterator[Wire]:
    """A wire over ZeroMQ, by a port that nobody uses."""
    wire = Wire(f"tcp://127.0.0.1:{free_port()}")
    yield wire
    wire.close()


class Restless(Spin):
    """It is always worth a look."""

    def __init__(self) -> None:
        super().__init__()
        self.worth = True

    def looked(self, *, found: bool) -> None:
        """Whatever it brings."""


@pytest.fixture
def restless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has both sides of ``unix`` look before each sleep."""
    monkeypatch.setattr(local, "Spin", Restless)
    monkeypatch.setattr(channel, "Spin", Restless)


@pytest.fixture(params=["unix", "restless", "selectors", "memory", "ipc", "tcp"])
def wire(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Wire:
    """A wire over each transport in turn; ``selectors`` is ``unix`` as on a system without epoll."""
    if request.param == "selectors":
        monkeypatch.setattr(local, "make_poller", poller.SelectorPoller)
    if request.param == "restless":
        request.getfixturevalue("restless")
    wire: Wire = request.getfixturevalue("unix" if request.param in ("restless", "selectors") else request.param)
    return wire


@pytest.fixture
def helper() -> Callable[[Callable[[], Any]], Helper]:
    """Starts a function in a thread."""
    return Helper


@pytest.fixture
def in_fork() -> Callable[[Callable[[], object]], str]:
    """Calls a function in a forked child; returns the error it raised, in words, or what it returned."""

    def call(function: Callable[[], object]) -> str:
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:  # pragma: no cover  the parent measures
            try:
                result = str(function())
            except Error as error:
                result = f"{type(error).__name__}: {error}"
            except BaseException as error:  # noqa: BLE001  the parent compares
                result = f"unexpected {error!r}"
            os.write(write, result.encode())
            os._exit(0)
        os.close(write)
        with open(read, encoding="utf-8") as pipe:
            told = pipe.read()
        os.waitpid(pid, 0)
        return told

    return call


@pytest.fixture
def program() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a Python program and waits for its first line, which must be ``ready``."""
    with contextlib.ExitStack() as stack:

        def start(source: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [sys.executable, "-c", source, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                **options,
            )
            stack.callback(_end, process)
            assert process.stdout is not None
            assert process.stdout.readline().strip() == "ready"
            return process

        yield start


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()
