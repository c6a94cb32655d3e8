"""A worker as its parent sees it: its process, its two sockets, and what it has been sent.

The law: nothing here blocks, and nothing here decides. Messages that the kernel does not accept yet are queued, and
sent in order when it does.
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from zproc.exceptions import Error, ProcessError
from zproc.process import LOG, Process, descriptor, kills_for_memory
from zproc.swarm.channel import ANCILLARY, MESSAGE, Frame, Reader, Task, adopt, attached, pairs, rights
from zproc.typing import ChunkId, WorkerId

__all__ = ["Link"]


class _SendQueue:
    """Sends what can be sent, and queues the rest."""

    def __init__(self, stream: socket.socket, *, whole: bool) -> None:
        self.waiting: deque[tuple[bytes, Sequence[int]]] = deque()
        self._stream = stream
        self._whole = whole

    def put(self, data: bytes, descriptors: Sequence[int]) -> None:
        self.waiting.append((data, descriptors))
        self.flush()

    def flush(self) -> None:
        while self.waiting:
            data, descriptors = self.waiting[0]
            try:
                sent = self._stream.sendmsg([data], attached(descriptors), socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    return
                self.waiting.clear()  # the worker is dead, which shows elsewhere
                return
            if self._whole or sent == len(data):
                self.waiting.popleft()
            else:
                self.waiting[0] = data[sent:], ()


class Link:
    """One worker.

    Attributes:
        functions: the numbers of the functions that it was sent.
        eof: whether its end of the line is closed.
        kills_before: the kernel's count of out-of-memory kills when it began.

    Args:
        worker: its id.
        process: its process, which waits for its sockets.

    Raises:
        ProcessError: it has ended.
    """

    def __init__(self, worker: WorkerId, process: Process[Any]) -> None:
        self.worker = worker
        self.process = process
        self.functions: set[int] = set()
        self.eof: bool = False
        self.kills_before: int = kills_for_memory()
        (self._tasks, far_tasks), (self._line, far_line) = pairs()
        self._far = adopt(far_tasks, self._tasks.type)
        self._reader = Reader(self._line)
        self._messages = _SendQueue(self._tasks, whole=True)
        self._frames = _SendQueue(self._line, whole=False)
        try:
            process.hand_over([far_tasks, far_line])
        except Error:
            self.close()
            raise
        finally:
            descriptor.close(far_line)
        self._line.setblocking(False)

    def polled(self) -> dict[int, int]:
        """Return what to poll, and for which events."""
        line = 0 if self.eof else select.POLLIN
        found = {self._line.fileno(): line | (select.POLLOUT if self._frames.waiting else 0)}
        if self._messages.waiting:
            found[self._tasks.fileno()] = select.POLLOUT
        return {number: events for number, events in found.items() if events}

    def flush(self) -> None:
        """Send what is queued."""
        self._frames.flush()
        self._messages.flush()

    def tell(self, frame: Frame, descriptors: Sequence[int] = ()) -> None:
        """Send a frame over the line."""
        self._frames.put(frame.packed(), descriptors)

    def give(self, task: Task, descriptors: Sequence[int] = ()) -> None:
        """Send a chunk."""
        self._messages.put(task.packed(), descriptors)

    def hear(self) -> Iterator[Frame]:
        """Receive frames from the worker, a few at most."""
        if self.eof:
            return
        with contextlib.suppress(BlockingIOError):
            frames = self._reader.read()
            if frames is None:
                self.eof = True
            else:
                yield from frames

    def next_descriptor(self) -> int:
        """Return the descriptor passed with the frame that was just received."""
        return self._reader.descriptors.popleft()

    def recall(self) -> Sequence[ChunkId]:
        """Take back the chunks that the worker has not received."""
        back = []
        with contextlib.suppress(BlockingIOError):
            while True:
                data, ancillary, _, _ = self._far.recvmsg(MESSAGE, ANCILLARY, socket.MSG_DONTWAIT)
                descriptor.close(*rights(ancillary))
                if not data:
                    break
                back.append(ChunkId(Task.read(data).chunk))
        back += [ChunkId(Task.read(data).chunk) for data, _ in self._messages.waiting]
        self._messages.waiting.clear()
        return back

    def dismiss(self) -> None:
        """Tell the worker to exit when it has done what it has."""
        self._messages.waiting.clear()
        self._tasks.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close all sockets."""
        self._reader.close()
        self._tasks.close()
        self._line.close()
        self._far.close()

    # The end of its process

    def death(self) -> ProcessError:
        """Return the error of the worker's end."""
        error = self.process.exception(0)
        if isinstance(error, ProcessError):
            return error
        process = self.process
        return ProcessError("ended before it was asked to", process.name, process.pid, process.exitcode)

    def kill(self) -> None:
        """Kill the worker and its descendants, and wait until they are gone."""
        try:
            self.process.kill()
        except Error:
            LOG.exception("a worker cannot be killed")

    def kill_soon(self) -> None:
        """Kill it in another thread."""
        threading.Thread(target=self.kill, name="zproc-kill", daemon=True).start()

    def end(self, deadline: float) -> None:
        """Wait until the worker has exited, and kill it after the deadline."""
        try:
            self.process.exception(max(0.0, deadline - time.monotonic()))
        except Error:
            self.kill()
