"""Results that are kept until some process asks for them by the id of their map.

The law: another process receives data only, as with the state: values that `zproc.schema.codec` can encode, and errors
in words, over a socket that only this user can reach. Neither pickles nor code leave the process this way (P9). Results
are handed out once, or dropped when their time is over.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import traceback
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, cast

from zproc.arguments import PATIENCE, TEXT, expect
from zproc.exceptions import LimitExceeded, ProtocolError, RemoteError, SchemaError, UsageError, WaitTimeout
from zproc.process import parcel
from zproc.schema.codec import Codec
from zproc.transport import (
    MAX_FRAME,
    Arrival,
    Channel,
    Listener,
    Opened,
    Received,
    clear,
    connect,
    fresh_address,
    listen,
)
from zproc.typing import PeerId

__all__ = ["Outbox", "fetch", "outbox"]

_PART: Final = 1 << 20
"""The length of a part of the results, in bytes, unless a single result is longer."""

_PERIOD: Final = 0.5
"""How often a process that waits for results asks again, in seconds."""


@dataclass(slots=True)
class _Parcel:
    """The results of one map.

    Attributes:
        keep: how long to keep them once complete, in seconds.
        values: the results so far.
        error: what was raised in place of the next.
        complete: set when that is all.
        expires: when they are dropped.
        encoded: the values as another process receives them.
    """

    keep: float
    values: list[Any] = field(default_factory=list)
    error: BaseException | None = None
    complete: threading.Event = field(default_factory=threading.Event)
    expires: float | None = None
    encoded: list[bytes] | None = None


class Outbox:
    """Keeps the results of maps of this process."""

    def __init__(self) -> None:
        self.owner: int = os.getpid()
        self._lock = threading.Lock()
        self._parcels: dict[str, _Parcel] = {}
        self._codec = Codec()
        self._listener: Listener | None = None
        self._thread: threading.Thread | None = None
        self._addresses: set[str] = set()
        self._peers: set[PeerId] = set()
        self._closed = False

    def keep(self, results: Iterable[Any], seconds: float) -> str:
        """Collect results, keep them for so many seconds, and return the id by which they are asked for."""
        number = uuid.uuid4().hex
        entry = _Parcel(seconds)
        with self._lock:
            self._parcels[number] = entry
            address = self._serve()
        threading.Thread(target=_collect, args=(results, entry), name="zproc-outbox-collect", daemon=True).start()
        return f"{address}#{number}"

    def take(self, number: str, timeout: float | None) -> list[Any]:
        """Hand results out to this process.

        Raises:
            WaitTimeout: the map is not done in time.
            UsageError: there are none with this id.
        """
        with self._lock:
            self._expire()
            entry = self._parcels.get(number)
        if entry is None:
            raise _unknown()
        if not entry.complete.wait(timeout):
            raise WaitTimeout("the results of a map", timeout or 0.0)
        with self._lock:
            if self._parcels.pop(number, None) is None:
                raise _unknown()
        if entry.error is not None:
            raise entry.error
        return entry.values

    def has_address(self, address: str) -> bool:
        """Return whether this is, or was, its address."""
        return address in self._addresses

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def holds(self) -> int:
        """Return how many maps have results here, or will have."""
        with self._lock:
            self._expire()
            return len(self._parcels)

    def close(self) -> None:
        """Drop everything, and hand nothing out any more."""
        if self.owner != os.getpid():  # a fork exits; its copy of the lock may be held by a thread that it lacks
            return
        with self._lock:
            self._closed = True
            thread, listener = self._thread, self._listener
            self._parcels.clear()
            if listener is not None:
                listener.wake()
        atexit.unregister(self.close)
        if thread is not None:
            thread.join()

    def _serve(self) -> str:
        """Listen for other processes, if not yet, and return the address. Requires the lock."""
        if self._listener is None:
            self._listener = listen(fresh_address())
            self._addresses.add(self._listener.address)
            self._thread = threading.Thread(target=self._run, name="zproc-outbox", daemon=True)
            self._thread.start()
            atexit.register(self.close)
        return self._listener.address

    def _run(self) -> None:
        """Answer as long as anything is kept, and until the last client has disconnected."""
        listener = self._listener
        assert listener is not None, "it was made before this thread"
        try:
            while self._has_something():
                for arrival in listener.poll(_PERIOD):
                    self._answer(listener, arrival)
                if self._closed:
                    break
        finally:
            listener.close()
            clear(listener.address)

    def _has_something(self) -> bool:
        with self._lock:
            self._expire()
            if not self._parcels and not self._peers:
                self._listener = None
            return self._listener is not None

    def _answer(self, listener: Listener, arrival: Arrival) -> None:
        if not isinstance(arrival, Received):
            (self._peers.add if isinstance(arrival, Opened) else self._peers.discard)(arrival.peer)
            return
        try:
            number, start = cast("tuple[str, int]", tuple(cast("list[Any]", self._codec.decode(arrival.frame))))
            answer = self._part(number, start)
        except (ProtocolError, LimitExceeded, ValueError, TypeError):
            listener.disconnect(arrival.peer, "this is not a request for results")
            return
        listener.allow(arrival.peer, 1 << 12)
        listener.send(arrival.peer, self._codec.encode(answer))

    def _part(self, number: str, start: int) -> list[Any]:
        """Return the answer with a part of some results; with the last part they are dropped."""
        with self._lock:
            self._expire()
            entry = self._parcels.get(number)
        if entry is None:
            return ["unknown"]
        if not entry.complete.is_set():
            return ["wait"]
        if entry.error is not None:
            self._forget(number)
            trace = "".join(traceback.format_exception(entry.error))
            return ["error", _words(parcel.describe(entry.error)), _words(trace)]
        try:
            if entry.encoded is None:
                entry.encoded = [self._encoded(place, value) for place, value in enumerate(entry.values)]
        except SchemaError as error:
            return ["refused", _words(str(error))]
        part: list[bytes] = []
        length = 0
        for data in entry.encoded[start:]:
            if part and length + len(data) > _PART:
                break
            part.append(data)
            length += len(data)
        last = start + len(part) >= len(entry.encoded)
        if last:
            self._forget(number)
        return ["part", part, last]

    def _encoded(self, place: int, value: object) -> bytes:
        data = self._codec.encode(value)
        if len(data) > MAX_FRAME - 1024:
            raise SchemaError(f"result {place}", f"is too long to be given to another process: {len(data)} bytes")
        return data

    def _forget(self, number: str) -> None:
        with self._lock:
            self._parcels.pop(number, None)

    def _expire(self) -> None:
        """Drop what nobody has asked for in time. Requires the lock."""
        now = time.monotonic()
        for number, entry in list(self._parcels.items()):
            if entry.complete.is_set() and entry.expires is None:
                entry.expires = now + entry.keep
            if entry.expires is not None and now >= entry.expires:
                del self._parcels[number]


def _words(text: str) -> str:
    """Make any text one that can be sent; of a long one, return the end.

    Lone surrogates cannot be encoded; file names that are not UTF-8 contain some.
    """
    return text[-_PART:].encode("utf-8", "backslashreplace").decode("utf-8")


def _collect(results: Iterable[Any], entry: _Parcel) -> None:
    try:
        entry.values.extend(results)
    except BaseException as error:  # noqa: BLE001 - it is told to who asks
        entry.error = error
    entry.expires = time.monotonic() + entry.keep
    entry.complete.set()


def fetch(task_id: str, timeout: float | None) -> list[Any]:
    """Get the results of a map by its id, from the process that has them.

    Args:
        task_id: the id.
        timeout: how long to wait until the map is done, in seconds; ``None`` for no limit.

    Raises:
        WaitTimeout: the map is not done in time.
        RemoteError: an item has raised, and errors were neither returned nor skipped.
        SchemaError: a result is not a value that a state could hold.
        Unavailable: the process that has them is gone, or keeps no results any more.
        UsageError: there are none with this id: it is no id, they were handed out before, or their time is over.
    """
    expect("the id of a map", task_id, TEXT)
    expect("timeout", timeout, PATIENCE)
    address, _, number = task_id.partition("#")
    if not number:
        raise UsageError(f"{task_id!r} is not the id of a map")
    mine = _outbox
    if mine is not None and mine.owner == os.getpid() and mine.has_address(address):
        return mine.take(number, timeout)
    deadline = None if timeout is None else time.monotonic() + timeout
    channel = connect(address)
    try:
        return _fetched(channel, number, deadline, timeout)
    finally:
        channel.close()


def _fetched(channel: Channel, number: str, deadline: float | None, timeout: float | None) -> list[Any]:
    codec = Codec()
    values: list[Any] = []
    pause = threading.Event()
    while True:
        channel.send(codec.encode([number, len(values)]))
        kind, *rest = cast("list[Any]", codec.decode(channel.recv(30.0)))
        if kind == "part":
            values += [codec.decode(data) for data in rest[0]]
            if rest[1]:
                return values
        elif kind == "wait":
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise WaitTimeout("the results of a map", timeout or 0.0)
            pause.wait(_PERIOD if left is None else min(_PERIOD, left))
        elif kind == "error":
            raise RemoteError("an item of the map raised", error=rest[0], traceback=rest[1])
        elif kind == "refused":
            raise SchemaError("a result of the map", rest[0])
        else:
            raise _unknown()


def _unknown() -> UsageError:
    return UsageError("there are no results of this id: never were, were asked for before, or their time is over")


_outbox: Outbox | None = None
_making = threading.Lock()


def outbox() -> Outbox:
    """Return the outbox of this process."""
    global _outbox  # noqa: PLW0603 - there is one
    with _making:
        if _outbox is None or _outbox.owner != os.getpid() or _outbox.is_closed:
            _outbox = Outbox()
        return _outbox


def _after_fork_in_child() -> None:
    global _making  # noqa: PLW0603
    _making = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
