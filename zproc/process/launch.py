"""Starting a process, the same way for every start method.

The law: a child has one line to its parent, over which it receives its identity and its task, and reports the outcome.
A start that fails leaves no process behind; one that succeeds returns as soon as the process exists.
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
from zproc.process.incarnation import Incarnation, await_end, await_ready, reap_ended
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

    The process ends when this one does, however this one ends. It gets the environment, the working directory,
    ``sys.path`` and ``sys.argv`` as they are here and now; the main script is not run again.

    Args:
        target: what to call. Lambdas, closures and functions of ``__main__`` are allowed.
        args: its positional arguments.
        kwargs: its keyword arguments.
        name: the name of the process in messages.
        method: the start method; `choose` says what ``None`` means.
        ready: whether to wait until the process calls `announce_ready`.
        timeout: how long it may take to exist, or with ``ready`` to be ready, in seconds. One that takes longer is
            killed.
        detached: whether it has a session of its own, ignores Ctrl-C, and inherits no open descriptors but standard
            output and error.
        linger: how long it may outlive this process to clean up, in seconds; then it is killed.

    Raises:
        UsageError: no such start method, or something cannot be sent to the process.
        RemoteError: with ``ready``: it raised before it was ready.
        ProcessError: it cannot be made, or died at once; with ``ready``: it ended before it was ready.
        WaitTimeout: it took longer than the timeout.
    """
    deadline = time.monotonic() + timeout
    chosen = choose(method)
    descriptor.occupy()
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
    """Create the process, and send it its instructions."""
    instructions = wire.packed()
    if method is not StartMethod.FORK:
        instructions = wire.packed(Frame(Kind.SETUP, pickle.dumps(setup)), Frame(Kind.CALL, parcel.pack_call(call)))
    try:
        return _create(method, setup, call, instructions, deadline)
    except forkserver.ServerDied:  # killed since the last start; the next request starts another
        return _create(method, setup, call, instructions, deadline)


def _create(method: StartMethod, setup: Setup, call: Call, instructions: memoryview, deadline: float) -> Incarnation[R]:
    near, far = descriptor.pair()
    try:
        os.set_blocking(near, False)
        # Before the process exists, so that it need not wait until we have heard of it.
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
        await_end(process)  # it has died already
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
