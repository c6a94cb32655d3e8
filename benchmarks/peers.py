"""What zproc is measured against.

The law: every server of a peer is in a session of its own, as zproc's is. Linux shares the processors among sessions
first, so that on a machine with other work a server in the session of its clients would be measured under other
conditions; on one at rest there is no difference.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from multiprocessing.context import SpawnContext
from multiprocessing.managers import BaseManager, SyncManager
from multiprocessing.process import BaseProcess
from typing import Any, cast

import msgpack
from harness import Operation, Subject

from zproc.transport.poller import READABLE, make_poller

_fork = get_context("fork")
Make = Callable[[ExitStack], Operation]


def _serve_echo(path: str) -> None:
    os.setsid()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(100)
    # Not of `selectors`, which take a tenth of an echo's time: nothing that waits in this way can be barer.
    poller, peers = make_poller(), {listener.fileno(): listener}
    poller.register(listener.fileno(), READABLE)
    count = 0
    while True:
        for number, _ in poller.poll(None, 100):
            peer = peers[number]
            if peer is listener:
                client = listener.accept()[0]
                peers[client.fileno()] = client
                poller.register(client.fileno(), READABLE)
                continue
            data = peer.recv(65536)
            if not data:
                poller.unregister(number)
                peers.pop(number).close()
                continue
            msgpack.unpackb(data[4:])
            count += 1
            answer = msgpack.packb([count, 1])
            peer.send(len(answer).to_bytes(4, "big") + answer)


def _ended(process: BaseProcess) -> None:
    process.terminate()
    process.join()


def _echo(stack: ExitStack) -> Make:
    path = os.path.join(stack.enter_context(tempfile.TemporaryDirectory()), "s")
    server = _fork.Process(target=_serve_echo, args=(path,), daemon=True)
    server.start()
    stack.callback(_ended, server)
    while not os.path.exists(path):
        pass

    def make(stack: ExitStack) -> Operation:
        peer = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        peer.connect(path)

        def operation() -> object:
            data = msgpack.packb([1, 2, "cookies", 5])
            peer.send(len(data).to_bytes(4, "big") + data)
            return msgpack.unpackb(peer.recv(65536)[4:])

        return operation

    return make


ECHO = Subject("bare AF_UNIX msgpack echo", _echo)


class _Counter:
    def __init__(self) -> None:
        self.count = 0

    def add(self) -> int:
        self.count += 1
        return self.count


class _Manager(BaseManager):
    pass


_Manager.register("Counter", _Counter)


def _base_manager(stack: ExitStack) -> Make:
    manager = _Manager(ctx=_fork)
    manager.start(initializer=os.setsid)
    stack.callback(manager.shutdown)
    counter = cast("Any", manager).Counter()
    return lambda _stack: counter.add


BASE_MANAGER = Subject("BaseManager method", _base_manager)


def _manager(stack: ExitStack) -> SyncManager:
    manager = SyncManager(ctx=_fork)
    manager.start(initializer=os.setsid)
    stack.callback(manager.shutdown)
    return manager


def _manager_read(stack: ExitStack) -> Make:
    shared = _manager(stack).dict(c=1)
    return lambda _stack: lambda: shared["c"]


MANAGER_READ = Subject("Manager().dict()[k]", _manager_read)


def _manager_locked(stack: ExitStack) -> Make:
    manager = _manager(stack)
    shared, lock = manager.dict(c=0), manager.Lock()

    def operation() -> None:
        with lock:
            shared["c"] = shared["c"] + 1

    return lambda _stack: operation


MANAGER_LOCKED = Subject("Manager: with lock: d[k] = d[k] + 1", _manager_locked)


@contextmanager
def without_main() -> Iterator[None]:
    """Keep multiprocessing from running the main script in its children again: it is the harness, and costs them."""
    main = sys.modules["__main__"]
    path = main.__dict__.pop("__file__", None)
    try:
        yield
    finally:
        if path is not None:
            main.__file__ = path


def until_it_runs(context: SpawnContext) -> float:
    """Start a process of the standard library; return how long it took until it said that it runs, in seconds."""
    here, there = context.Pipe()
    # A method of the pipe as the target, so that the child need import nothing to find it.
    process = context.Process(target=there.send, args=(None,))
    begun = time.perf_counter()
    process.start()
    here.recv()
    elapsed = time.perf_counter() - begun
    process.join()
    return elapsed
