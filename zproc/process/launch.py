"""Starting a process: whatever the method, the same thing happens.

The law: a child gets one line to its parent, over which it hears who it is and what to do, and says what came of it. A
start that fails leaves no process behind, and one that succeeds returns as soon as the process exists.
"""

from __future__ import annotations

import itertools
import os
import pickle
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from zproc.exceptions import Error
from zproc.process import birth, descriptor, forkserver, parcel, run, wire
from zproc.process.birth import Offspring
from zproc.process.incarnation import Incarnation, await_ready, lay_to_rest, reap_ended
from zproc.process.parcel import Call
from zproc.process.start_method import StartMethod, choose
from zproc.process.watch import identity_of_self
from zproc.process.wire import Frame, Kind, Setup, Surroundings

__all__ = ["start"]

R = TypeVar("R")

_numbers = itertools.count(1)


def start(
    target: Callable[..., R],
    args: Sequence[object] = (),
    kwargs: Mapping[str, object] | None = None,
    *,
    name: str | None = None,
    method: StartMethod | str | None = None,
    ready: bool = False,
    timeout: float = 30.0,
    detached: bool = False,
    linger: float = 0.0,
) -> Incarnation[R]:
    """Start a process that calls a function, and return as soon as it exists.

    The process ends when this one does, however this one ends. It sees the environment, the working directory,
    ``sys.path`` and ``sys.argv`` as they are here and now; the main script is not run again.

    Args:
        target: what to call. Lambdas, closures and functions of ``__main__`` will do.
        args: its positional arguments.
        kwargs: its keyword arguments.
        name: what to call the process in messages.
        method: how to make it; `choose` tells what ``None`` means.
        ready: whether to wait until the process calls `announce_ready`.
        timeout: how long, in seconds, it may take until it exists, or, with ``ready``, until it is ready. One that
            takes longer is killed.
        detached: whether it gets a session of its own, ignores Ctrl-C, and keeps nothing open that this process has
            open, apart from standard output and error.
        linger: how long, in seconds, it may outlive this process, to clean up. It has its own watch then; at the end of
            that time it is killed.

    Raises:
        UsageError: no such start method, or something cannot be sent to the process.
        RemoteError: with ``ready``: it raised before it was ready.
        ProcessError: it cannot be made, or died at once; with ``ready``: it ended before it was ready.
        WaitTimeout: it took longer than the timeout.
    """
    deadline = time.monotonic() + timeout
    chosen = choose(method)
    reap_ended()
    setup = Setup(
        name=name or f"{getattr(target, '__name__', type(target).__name__)}-{next(_numbers)}",
        parent=os.getpid(),
        parent_born=identity_of_self(),
        surroundings=None if chosen is StartMethod.FORK else _surroundings(),
        interruptible=not detached and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN,
        detached=detached,
        linger=linger,
    )
    try:
        process: Incarnation[R] = _make(chosen, setup, Call(target, args, kwargs), deadline)
    except Error:
        raise
    except OSError as error:
        raise birth.refusal(error) from error
    if ready:
        await_ready(process, timeout, deadline)
    return process


def _make(method: StartMethod, setup: Setup, call: Call, deadline: float) -> Incarnation[R]:
    """Make the process, and give it its instructions."""
    instructions = wire.packed()
    if method is not StartMethod.FORK:
        instructions = wire.packed(Frame(Kind.SETUP, pickle.dumps(setup)), Frame(Kind.CALL, parcel.pack_call(call)))
    try:
        return _bear(method, setup, call, instructions, deadline)
    except forkserver.ServerDied:  # killed since the last time; now there is a new one
        return _bear(method, setup, call, instructions, deadline)


def _bear(method: StartMethod, setup: Setup, call: Call, instructions: memoryview, deadline: float) -> Incarnation[R]:
    near, far = descriptor.pair()
    try:
        os.set_blocking(near, False)
        # Before there is anybody to take them, so that he need not wait until we have heard of him.
        rest = wire.send_now(near, instructions)
        offspring = _offspring(method, far, setup, call, deadline)
    except BaseException:
        descriptor.close(near)
        raise
    finally:
        descriptor.close(far)
    process: Incarnation[R] = Incarnation(setup.name, method, offspring, near)
    try:
        wire.send_before(deadline, near, rest)
    except OSError:
        lay_to_rest(process)  # it died at once
    except BaseException:
        process.kill()
        raise
    return process


def _offspring(method: StartMethod, line: int, setup: Setup, call: Call, deadline: float) -> Offspring:
    match method:
        case StartMethod.FORK:
            return birth.fork(line, setup, call)
        case StartMethod.SPAWN:
            return birth.spawn(line)
        case StartMethod.FORKSERVER:
            return forkserver.request(line, setup.linger, deadline)


def _surroundings() -> Surroundings:
    try:
        directory: str | None = os.getcwd()
    except FileNotFoundError:
        directory = None
    return Surroundings(tuple(sys.path), tuple(sys.argv), directory, run.environment())
