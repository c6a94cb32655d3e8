"""What runs in a worker.

The law: a worker processes the chunks that it is sent, one after the other, and reports the outcome of each item,
whatever is raised; only its death prevents that. It knows nothing of other workers, of order, or of retries. It keeps
nothing of an item once the next has come, except what the function keeps.
"""

from __future__ import annotations

import functools
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from zproc.process import (
    Cargo,
    FunctionShelf,
    Loan,
    PackedFunction,
    Packer,
    Segment,
    descriptor,
    parcel,
    take_descriptors,
    unpack_cargo,
)
from zproc.swarm.channel import (
    ANCILLARY,
    MESSAGE,
    Flag,
    Frame,
    Kind,
    Reader,
    Task,
    adopt,
    attached,
    locate,
    located,
    rights,
)

__all__ = ["UNREADABLE", "UNSENDABLE", "bound", "call_item", "work"]

UNREADABLE: Final = "its arguments cannot be read there"
UNSENDABLE: Final = "returned what cannot be sent"

_STRIDE: Final = 256
"""How many items are processed between two looks at the clock, at most."""

_SEGMENTS: Final = 8
"""How many of the parent's segments stay mapped."""


def call_item(shelf: FunctionShelf, item: tuple[PackedFunction, Sequence[Any], dict[str, Any]]) -> object:
    """Process an item that is a whole call."""
    function, args, kwargs = item
    return shelf.function(function)(*args, **kwargs)


def bound(
    function: Callable[..., Any], first: Sequence[Any], args: Sequence[Any], kwargs: dict[str, Any], *, spread: bool
) -> Callable[[Any], Any]:
    """Return what is called with each item.

    Args:
        function: the program's function.
        first: the arguments before an item.
        args: the positional arguments after it.
        kwargs: the keyword arguments.
        spread: whether an item is a pair of positional and keyword arguments rather than one argument.
    """
    if spread:
        return lambda item: function(*first, *item[0], *args, **{**item[1], **kwargs})
    if args or kwargs:
        return lambda item: function(*first, item, *args, **kwargs)
    return functools.partial(function, *first) if first else function


def work() -> None:
    """Be a worker until told to exit."""
    # Ctrl-C is for the parent, which ends its workers if it ends. Handled rather than ignored, because programs started
    # here would inherit the latter.
    signal.signal(signal.SIGINT, lambda *_: None)
    global _here  # noqa: PLW0603 - its sockets stay open until the process has ended, which the parent takes for its end
    tasks, line = take_descriptors(2)
    _here = _Worker(tasks, line)
    _here.serve()


class _Worker:
    def __init__(self, tasks: int, line: int) -> None:
        self._tasks = adopt(tasks, socket.SOCK_SEQPACKET)
        self._line = adopt(line, socket.SOCK_STREAM)
        self._reader = Reader(self._line)
        self._packer = Packer(names=True)
        self._functions: dict[int, Callable[[Any], Any]] = {0: functools.partial(call_item, FunctionShelf())}
        self._segments: dict[int, Segment] = {}

    def serve(self) -> None:
        self._say(Kind.HELLO, 0)
        while (message := self._next()) is not None:
            self._do(*message)
            del message

    def _next(self) -> tuple[Task, list[int]] | None:
        try:
            data, ancillary, _, _ = self._tasks.recvmsg(MESSAGE, ANCILLARY, socket.MSG_DONTWAIT)
        except BlockingIOError:
            for stream in (sys.stdout, sys.stderr):  # while idle, so that output does not wait for the end
                if stream is not None:
                    stream.flush()
            data, ancillary, _, _ = self._tasks.recvmsg(MESSAGE, ANCILLARY)
        return (Task.read(data), rights(ancillary)) if data else None

    # ----------------------------------------------------------------------------------------------------- what it has

    def _function(self, number: int) -> Callable[[Any], Any]:
        while number not in self._functions:
            frames = self._reader.read()
            if frames is None:
                sys.exit(0)
            for frame in frames:
                if frame.kind == Kind.FORGET:
                    self._functions.pop(frame.chunk, None)
                else:
                    self._functions[frame.chunk] = self._loaded(frame)
        return self._functions[number]

    def _loaded(self, frame: Frame) -> Callable[[Any], Any]:
        try:
            if frame.flags & Flag.SEGMENT:
                _, size, layout = located(frame.body)
                loan = Loan(Segment(size, self._reader.descriptors.popleft()), layout)
                call = loan.read()
            else:
                call = unpack_cargo(frame.body)
            function: Callable[[Any], Any] = call.perform()
        except BaseException as error:  # noqa: BLE001 - whatever the import of a module of the program raises
            packed = error

            def function(_item: object) -> object:
                raise packed

        return function

    def _loan(self, task: Task, descriptors: list[int]) -> Loan:
        number, size, layout = located(task.body)
        segment = self._segments.get(number)
        if segment is None:
            segment = Segment(size, descriptors.pop())
            segment.close_descriptor()
            self._segments[number] = segment
            if len(self._segments) > _SEGMENTS:
                del self._segments[next(iter(self._segments))]
        descriptor.close(*descriptors)
        return Loan(segment, layout)

    # ----------------------------------------------------------------------------------------------------- what it does

    def _do(self, task: Task, descriptors: list[int]) -> None:
        loan = self._loan(task, descriptors) if task.flags & Flag.SEGMENT else None
        function = self._function(task.function)
        if task.flags & Flag.ALONE:
            self._do_one(task, loan, function)
        elif task.flags & Flag.CAREFUL:
            self._do_carefully(task, loan, function)
        else:
            self._do_together(task, loan, function)

    def _do_one(self, task: Task, loan: Loan | None, function: Callable[[Any], Any]) -> None:
        began = time.perf_counter()
        answer, flags = self._outcome(function, loan.read if loan is not None else lambda: unpack_cargo(task.body))
        self._answer(task, 1, answer, Flag.ALONE | flags, time.perf_counter() - began, loan)

    def _do_carefully(self, task: Task, loan: Loan | None, function: Callable[[Any], Any]) -> None:
        items = loan.read() if loan is not None else unpack_cargo(task.body)
        read = unpack_cargo if task.flags & Flag.PACKED else _as_it_is
        began = before = time.perf_counter()
        for place, each in enumerate(items, 1):
            answer, flags = self._outcome(function, functools.partial(read, each))
            now = time.perf_counter()
            self._answer(task, 1, answer, Flag.ALONE | flags, now - before)
            if task.budget and now - began > task.budget and place < task.items:
                self._say(Kind.REST, task.chunk)
                break
            before = now
        if loan is not None:
            self._forget(located(task.body)[0])

    def _outcome(self, function: Callable[[Any], Any], read: Callable[[], Any]) -> tuple[Cargo | bytes, int]:
        """Process one item, and return its outcome, pickled."""
        doing = UNREADABLE
        try:
            item = read()
            doing = "raised"
            result = function(item)
            doing = f"{UNSENDABLE}: {type(result).__qualname__}"
            return self._packer.pack(result), 0
        except BaseException as error:  # noqa: BLE001 - SystemExit, too: a worker goes on
            return parcel.pack_error(doing, _shortened(error)), Flag.FAILED

    def _do_together(self, task: Task, loan: Loan | None, function: Callable[[Any], Any]) -> None:
        began = time.perf_counter()
        try:
            items = loan.read() if loan is not None else unpack_cargo(task.body)
        except BaseException:  # noqa: BLE001 - one of them cannot be unpickled; which one shows when each comes alone
            self._say(Kind.REST, task.chunk, flags=Flag.CAREFUL)
            return
        values: list[Any] = []
        errors: dict[int, bytes] = {}
        for _ in _strides(function, items, values, errors):
            if task.budget and time.perf_counter() - began > task.budget:
                break
        del items
        done = len(values)
        answer: Cargo
        try:
            answer = self._packer.pack((values, errors) if errors else values)
        except BaseException:  # noqa: BLE001 - one of them cannot be pickled
            for place, value in enumerate(values):
                self._check(place, value, values, errors)
            answer = self._packer.pack((values, errors))
        del values
        self._answer(task, done, answer, Flag.MIXED if errors else 0, time.perf_counter() - began, loan)
        if done < task.items:
            self._say(Kind.REST, task.chunk)

    def _check(self, place: int, value: object, values: list[Any], errors: dict[int, bytes]) -> None:
        try:
            self._packer.pack(value)
        except BaseException as error:  # noqa: BLE001 - whatever `__reduce__` raises
            values[place] = None
            errors[place] = parcel.pack_error(f"{UNSENDABLE}: {type(value).__qualname__}", error)

    # ----------------------------------------------------------------------------------------------------- what it says

    def _answer(
        self, task: Task, count: int, answer: Cargo | bytes, flags: int, seconds: float, loan: Loan | None = None
    ) -> None:
        segment = None
        if isinstance(answer, bytes):
            answer = Cargo((answer,), (), len(answer))
        if answer.is_short:
            body = answer.joined()
        else:
            try:
                segment = Segment.room_for(answer)
                body = locate(0, segment, segment.fill(answer))
                flags |= Flag.SEGMENT
            except (OSError, MemoryError, ValueError) as error:
                segment = None
                if count > 1:
                    self._say(Kind.REST, task.chunk, flags=Flag.CAREFUL)
                    return
                body = parcel.pack_error(f"{UNSENDABLE}: it has {answer.nbytes} bytes", error)
                flags |= Flag.FAILED
        del answer
        if loan is not None:
            if loan.give_back():
                flags |= Flag.RETURNED
            else:
                self._forget(located(task.body)[0])
        self._say(Kind.DONE, task.chunk, count, flags, seconds, body, segment)

    def _forget(self, number: int) -> None:
        """Drop a segment in which something lies that the function has kept; the parent does the same."""
        self._segments.pop(number, None)

    def _say(
        self,
        kind: Kind,
        chunk: int,
        count: int = 0,
        flags: int = 0,
        seconds: float = 0.0,
        body: bytes = b"",
        segment: Segment | None = None,
    ) -> None:
        data = Frame(kind, chunk, count, flags, seconds, body).packed()
        sent = self._line.send(data) if segment is None else self._line.sendmsg([data], attached([segment.descriptor]))
        if sent < len(data):
            self._line.sendall(data[sent:])


def _as_it_is(item: Any) -> Any:
    return item


_here: _Worker | None = None


def _strides(
    function: Callable[[Any], Any], items: Sequence[Any], values: list[Any], errors: dict[int, bytes]
) -> Iterator[None]:
    """Process items, yielding now and then for a look at the clock.

    A list that is being extended keeps what came before an exception, so its length tells which item raised.
    """
    rest = iter(items)
    stride = 1
    while len(values) < len(items):
        end = min(len(items), len(values) + stride)
        while len(values) < end:
            try:
                values.extend(map(function, islice(rest, end - len(values))))
            except BaseException as error:  # noqa: BLE001 - SystemExit, too: a worker goes on
                errors[len(values)] = parcel.pack_error("raised", _shortened(error))
                values.append(None)
            else:
                if len(values) < end:  # the function raised StopIteration, which `extend` takes for the end
                    errors[len(values)] = parcel.pack_error("raised", StopIteration())
                    values.append(None)
        stride = min(2 * stride, _STRIDE)
        yield


def _shortened(error: BaseException) -> BaseException:
    """Remove the frames of this module from a traceback: they say nothing about the program."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return error.with_traceback(trace or error.__traceback__)
