"""What runs in a child process, whatever the start method.

The law: a child calls what its parent asked for, reports the outcome, and exits. It never runs the main script. It
starts with default signal dispositions, with ``/dev/null`` as standard input, and with a thread that watches its
parent: when the process that requested it is gone, it kills its descendants and itself.

It exits like a program: non-daemon threads are joined, `atexit` functions registered *in it* are run, and the standard
streams are flushed. What its parent registered before a fork is left to the parent. The exit code is 0 if the target
returned, 1 if it raised, or what ``sys.exit`` says; Ctrl-C ends it by SIGINT, silently.
"""

from __future__ import annotations

import _thread
import atexit
import contextlib
import importlib
import io
import os
import pickle
import signal
import socket
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NoReturn

from zproc.exceptions import UsageError
from zproc.process import descriptor, parcel, run, tree, wire
from zproc.process.watch import Watch, adopt, watch_process
from zproc.process.wire import Frame, Kind, Setup, Surroundings

__all__ = ["Orders", "announce_ready", "current_name", "main", "parent_watch", "take_descriptors", "take_over"]


@dataclass(slots=True)
class _Life:
    """What this process has from its parent."""

    line: int
    parent: Watch
    name: str = ""
    linger: float = 0.0
    announced: bool = False
    pid: int = field(default_factory=os.getpid)
    speaking: threading.Lock = field(default_factory=threading.Lock)

    def say(self, kind: Kind, body: bytes) -> bool:
        """Send a frame to the parent; return whether it could be sent. If not, the watch ends this process."""
        try:
            with self.speaking:
                wire.send(self.line, Frame(kind, body))
        except OSError:
            return False
        return True


_life: _Life | None = None
_inherited: dict[str, str] | None = None
"""The environment inherited from the fork server, if that forked this process."""

_SIGNALS = signal.valid_signals()


def announce_ready(value: object = None) -> None:
    """Tell the parent, which may be waiting in ``start(..., ready=True)``, that this process is ready.

    Args:
        value: becomes ``Incarnation.ready_value`` in the parent.

    Raises:
        UsageError: this process was not started by zproc, or has announced itself before.
    """
    life = _this_life("announce_ready")
    if life.announced:
        raise UsageError("announce_ready was called before in this process")
    body = parcel.pack_value(value)
    life.announced = True
    life.say(Kind.READY, body)


def current_name() -> str | None:
    """Return the name of this process, or ``None`` if zproc did not start it."""
    return _life.name if _life is not None and _life.pid == os.getpid() else None


def parent_watch() -> Watch:
    """Return the watch on the process that started this one, for a loop that ends in its own way.

    Raises:
        UsageError: this process was not started by zproc.
    """
    return _this_life("parent_watch").parent


def take_descriptors(count: int) -> list[int]:
    """Wait for descriptors from the parent, and return them; this process owns them.

    Raises:
        UsageError: this process was not started by zproc.
        EOFError: the parent is gone.
    """
    return [descriptor.keep(number) for number in wire.take_over(_this_life("take_descriptors").line, count)]


class Orders:
    """Requests that the parent sends to this process while it runs.

    Created once, by a process whose loop polls for them; each is answered, in order.

    Raises:
        UsageError: this process was not started by zproc.
    """

    def __init__(self) -> None:
        self._life = _this_life("Orders")
        self._stream = descriptor.socket_of(os.dup(self._life.line))
        self._decoder = wire.Decoder()
        self._arrived: deque[parcel.Call] = deque()

    def fileno(self) -> int:
        """Return the descriptor that is readable when `take` may have something."""
        return self._stream.fileno()

    def take(self) -> parcel.Call | None:
        """Return the next request, or ``None`` if none has arrived; never wait."""
        with contextlib.suppress(BlockingIOError, ConnectionResetError):
            for frame in self._decoder.feed(self._stream.recv(1 << 18, socket.MSG_DONTWAIT)):
                self._arrived.append(parcel.unpack(frame.body))
        return self._arrived.popleft() if self._arrived else None

    def answer(self, value: object) -> None:
        """Answer the oldest request that was taken; an exception is raised in the parent."""
        self._life.say(Kind.ANSWER, parcel.pack_value(value))

    def close(self) -> None:
        """Take no more requests."""
        self._stream.close()


def _this_life(asked: str) -> _Life:
    if _life is None or _life.pid != os.getpid():
        raise UsageError(f"{asked} is for processes that zproc started, and this is none")
    return _life


# ---------------------------------------------------------------------------------------------------------------- birth


def main(line: int, parent_handle: int) -> NoReturn:
    """Run as a child in a process that shares no memory with its parent.

    Args:
        line: the child's end of the line.
        parent_handle: a pidfd of the process that requested the child; -1 if the kernel has none.
    """
    for number in (line, parent_handle):
        if number >= 0:
            os.set_inheritable(number, False)  # it had to be inheritable, for the exec that led here
    parent = adopt(0, parent_handle) if parent_handle >= 0 else None
    # Watched from the first moment: nothing else would tell if the parent died before sending anything.
    life = _begin(line, parent) if parent is not None else None

    def load() -> parcel.Call:
        body = wire.receive(line, Kind.CALL)
        if wire.is_abandoned(line):  # the parent has given up, and raised
            os._exit(1)
        call = parcel.unpack(body)
        assert isinstance(call, parcel.Call)
        return call

    try:
        setup = pickle.loads(wire.receive(line, Kind.SETUP))
    except (EOFError, OSError):
        os._exit(1)
    if life is None:
        life = _begin(line, watch_process(setup.parent, setup.parent_born))
    _live(life, setup, load)


def take_over(setup: Setup, call: parcel.Call, line: int, parent_handle: int = -1) -> NoReturn:
    """Run as a child in a process that was just forked from its parent.

    The caller's frames stay below this one on the stack, and are never returned to.
    """
    try:
        life = _part_from_parent(setup, line, parent_handle)
    except BaseException:  # noqa: BLE001 - raised to the caller, it would resume the parent's program in the child
        traceback.print_exc()
        _flush()
        os._exit(1)
    _live(life, setup, lambda: call)


def _part_from_parent(setup: Setup, line: int, parent_handle: int) -> _Life:
    """Drop what a fork inherits and must not use, and start watching the parent."""
    atexit._clear()  # noqa: SLF001 - multiprocessing does not, and so runs none of the child's own
    descriptor.silence(0)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - it replaces one that is never closed either
    if setup.detached:
        descriptor.park(spare=frozenset({line, parent_handle}))
    run.join()
    if parent_handle >= 0:
        return _begin(line, adopt(setup.parent, parent_handle))
    return _begin(line, watch_process(setup.parent, setup.parent_born))


def _begin(line: int, parent: Watch) -> _Life:
    global _life  # noqa: PLW0603 - a process has one life
    _life = _Life(descriptor.keep(line), parent)
    # A thread inherits the signal mask of its creator; with signals unblocked, it could receive one that the program
    # waits for. `_reset_signals` unblocks them for the main thread.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    # Not a `threading.Thread`: the program should not see it, and starting one of those waits until it runs.
    _thread.start_new_thread(_watch, (_life,))
    return _life


def _watch(life: _Life) -> None:
    """End this process when its parent has ended.

    A parent-death signal of the kernel is no substitute: it would kill this process before it could end its
    descendants.
    """
    life.parent.wait()
    if life.linger:
        threading.Event().wait(life.linger)
    tree.end_self()


# ----------------------------------------------------------------------------------------------------------------- life


def _live(life: _Life, setup: Setup, load: Callable[[], parcel.Call]) -> NoReturn:
    code = 1
    try:
        life.name, life.linger, life.parent.pid = setup.name, setup.linger, setup.parent
        code = _perform(life, setup, load)
    except KeyboardInterrupt:
        code = -signal.SIGINT
    except BaseException:  # noqa: BLE001 - a bug of ours, and still not to be raised into the caller's frames
        traceback.print_exc()
    finally:
        _leave(code)


def _perform(life: _Life, setup: Setup, load: Callable[[], parcel.Call]) -> int:
    doing = "was not begun"
    try:
        _settle_in(setup)
        doing = "its instructions cannot be read here"
        call = load()
        doing = "raised"
        result = call.perform()
        doing = f"returned what cannot be sent: {type(result).__qualname__}"
        body = parcel.pack_value(result)
    except SystemExit as stop:
        return _exit_code(stop)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - GeneratorExit, and whatever else somebody derived
        life.say(Kind.RAISED, parcel.pack_error(doing, _shortened(error)))
        return 1
    return 0 if life.say(Kind.RETURNED, body) else 1  # 0 without a result would say that it was `None`


def _shortened(error: BaseException) -> BaseException:
    """Remove the frames of this module from a traceback: they say nothing about the program."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename in (__file__, parcel.__file__):
        trace = trace.tb_next
    return error.with_traceback(trace or error.__traceback__)


def _settle_in(setup: Setup) -> None:
    if setup.detached:
        os.setsid()
    if setup.surroundings is not None:
        _take(setup.surroundings)
    _reset_signals(setup.handled, interruptible=setup.interruptible)


def remember_environment() -> None:
    """Let children forked from here compare their environment with the one they inherit, which is mostly the same."""
    global _inherited  # noqa: PLW0603 - a process has one environment
    _inherited = dict(os.environ)


def _take(surroundings: Surroundings) -> None:
    if surroundings.directory is not None:
        with contextlib.suppress(OSError):  # removed meanwhile; the parent would not fare better
            os.chdir(surroundings.directory)
    if surroundings.environ != _inherited:
        _take_environment(surroundings.environ)
    sys.argv[:] = surroundings.argv
    if sys.path != list(surroundings.path):  # invalidating the caches is a fifth of the cost of a start
        sys.path[:] = surroundings.path
        importlib.invalidate_caches()


def _take_environment(environ: dict[str, str]) -> None:
    for name in os.environ.keys() - environ.keys():
        del os.environ[name]
    for name, value in environ.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


def _reset_signals(handled: Iterable[int], *, interruptible: bool) -> None:
    """Reset signals as an exec would: the parent's handlers act on the parent's resources.

    Signals that were blocked since the fork are delivered at the end of this.
    """
    with contextlib.suppress(ValueError):
        signal.set_wakeup_fd(-1)
    for signum in handled:
        signal.signal(signum, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler if interruptible else signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


# ---------------------------------------------------------------------------------------------------------------- death


def _exit_code(stop: SystemExit) -> int:
    """Return the exit code that ``python`` derives from a SystemExit."""
    if stop.code is None:
        return 0
    if isinstance(stop.code, int):
        return stop.code & 0xFF
    with contextlib.suppress(Exception):
        print(stop.code, file=sys.stderr)  # noqa: T201 - as the interpreter does
    return 1


def _leave(code: int) -> NoReturn:
    """Finalize like an interpreter, and exit.

    By ``os._exit``, because the frames below on the stack of a forked child are the parent's.
    """
    try:
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - as multiprocessing does
        atexit._run_exitfuncs()  # noqa: SLF001
    except KeyboardInterrupt:
        code = -signal.SIGINT
    except BaseException:  # noqa: BLE001 - the outcome has been reported already
        traceback.print_exc()
    finally:
        _flush()
        if code == -signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        os._exit(code & 0xFF)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # closed, replaced by anything, or nobody reads any more
            stream.flush()


def adopt_streams(out: int, err: int) -> None:
    """Replace the standard streams: the parent may have redirected its own since the fork server began."""
    for number, target, stream in ((1, out, sys.stdout), (2, err, sys.stderr)):
        os.dup2(target, number)
        descriptor.close(target)
        if isinstance(stream, io.TextIOWrapper):
            # Or because whoever runs this interpreter has set it so.
            by_line = number == 2 or os.isatty(number) or stream.line_buffering  # noqa: PLR2004
            stream.reconfigure(line_buffering=by_line)
