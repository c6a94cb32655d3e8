"""Connections that the tasks of an event loop share while they wait.

The law: a waiting task has no thread and no connection of its own. As many as the server lets wait on one connection
share it, for as long as any of them waits; then it is returned. A cancelled task leaves nothing waiting at the server,
and nothing on the connection that another could take for its answer.

Connecting alone is synchronous, in the loop's thread.
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from typing import Any, Final, TypeVar, cast

from zproc.client.backoff import RETRY, SETTLING
from zproc.client.client import Client
from zproc.client.connection import HELLO_TIMEOUT, PATIENCE, Connection, Losses
from zproc.client.watch import Closed, Question, Steps, check_epoch
from zproc.core.messages import Cancel, Ping, Reply
from zproc.exceptions import Error, Unavailable, UsageError, WaitTimeout
from zproc.typing import Epoch, RequestId

__all__ = ["run"]

T = TypeVar("T")

_MOST: Final = 512
"""How many share a connection; a server lets a thousand wait on one, unless its limits say otherwise."""


async def run(client: Client, steps: Steps[T], deadline: float | None, stop: asyncio.Future[None]) -> T:
    """Take the steps of a cursor, as `Cursor.run` does in a thread.

    Args:
        client: whom the cursor asks.
        steps: the steps.
        deadline: until when to wait where that lasts, in the monotonic time of this process, in seconds.
        stop: done when nobody is to wait any longer.

    Raises:
        WaitTimeout: what was waited for did not happen in time.
        Unavailable: no server answers.
        Closed: it was stopped.
    """
    try:
        question = next(steps)
        while True:
            try:
                answer = await _ask(client, question, deadline if question.lasts else None, stop)
            except BaseException as error:  # noqa: BLE001 - it is the steps' to raise
                question = steps.throw(error)
            else:
                question = steps.send(answer)
    except StopIteration as done:
        return cast("T", done.value)


async def _ask(
    client: Client, question: Question, deadline: float | None, stop: asyncio.Future[None]
) -> tuple[Epoch, Reply]:
    """Ask, and again if the connection breaks, as `Client.ask` does."""
    losses = Losses()
    while True:
        line = await _line_again(client, stop)
        try:
            return await line.ask(question, deadline, stop)
        except Unavailable as error:
            losses.add(line.connection, error)
            client.drop_idle()


async def _line_again(client: Client, stop: asyncio.Future[None]) -> _Line:
    """Return a line; for a second the server, which was asked before, may be gone."""
    deadline: float | None = None
    while not stop.done():
        try:
            return _line(client)
        except Unavailable:
            # A second from the first failure on: to find out that a connection broke may itself take longer.
            now = time.monotonic()
            deadline = now + SETTLING if deadline is None else deadline
            if now >= deadline:
                raise
        await asyncio.wait({stop}, timeout=RETRY)
    raise Closed("this watcher is closed")


_lines: dict[tuple[Client, asyncio.AbstractEventLoop], list[_Line]] = {}
"""Those on which anybody waits."""


def _line(client: Client) -> _Line:
    """Return a line with room for one more; a new one is closed unless it is asked by."""
    loop = asyncio.get_running_loop()
    for line in _lines.get((client, loop), ()):
        if line.has_room():
            return line
    return _Line(client, loop)


class _Line:
    """A connection, while anybody waits on it.

    Args:
        client: whose connection it is.
        loop: whose tasks wait.

    Attributes:
        connection: the connection.

    Raises:
        Unavailable: no server answers.
        UsageError: the transport, or the loop, has no descriptors to wait for.
    """

    def __init__(self, client: Client, loop: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self._loop = loop
        self._waiting: dict[RequestId, asyncio.Future[Reply]] = {}
        self._withdrawn: dict[RequestId, RequestId] = {}
        """What may still be answered and is nobody's, by the request whose answer comes after that."""
        self._heard = time.monotonic()
        self.connection: Connection = client.lend()
        try:
            self._fd = os.dup(self.connection.fileno())  # its own, for whoever closes the connection closes the other
        except BaseException:
            client.take_back(self.connection)
            raise
        try:
            loop.add_reader(self._fd, self._read)
        except BaseException as error:
            os.close(self._fd)
            client.take_back(self.connection)
            if isinstance(error, NotImplementedError):
                raise UsageError(f"{type(loop).__name__} cannot wait for a descriptor; use a selector loop") from error
            raise
        _lines.setdefault((client, loop), []).append(self)

    @property
    def closed(self) -> bool:
        """Whether it can be used no longer."""
        return self.connection.closed

    def has_room(self) -> bool:
        """Whether one more may wait here."""
        return not self.closed and len(self._waiting) < _MOST

    async def ask(self, question: Question, deadline: float | None, stop: asyncio.Future[None]) -> tuple[Epoch, Reply]:
        """Ask, and wait for the answer; the parameters are those of `run`."""
        request = self._client.next_request()
        answer: asyncio.Future[Reply] = self._loop.create_future()
        self._waiting[request] = answer
        posted = False
        try:
            check_epoch(self.connection, question)
            self.connection.post(question.ask(request))
            posted = True
            return self.connection.welcome.epoch, await self._answer(answer, deadline, stop)
        finally:
            del self._waiting[request]
            if posted and not answer.done():
                self._withdraw(request)
            _seen(answer)
            if not self._waiting:
                self._end()

    async def _answer(self, answer: asyncio.Future[Reply], deadline: float | None, stop: asyncio.Future[None]) -> Reply:
        waited: set[asyncio.Future[Any]] = {answer, stop}
        while True:
            left = PATIENCE if deadline is None else min(PATIENCE, deadline - time.monotonic())
            await asyncio.wait(waited, timeout=max(left, 0.0), return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
            if stop.done():
                raise Closed("this watcher is closed")
            if deadline is not None and time.monotonic() >= deadline:
                raise WaitTimeout("an answer", left)
            if time.monotonic() - self._heard >= PATIENCE:
                await self._check()

    async def _check(self) -> None:
        """Make sure that the server still answers, after a long silence."""
        request = self._client.next_request()
        pong: asyncio.Future[Reply] = self._loop.create_future()
        self._waiting[request] = pong
        self._heard = time.monotonic()  # so that the others leave it to this one
        try:
            self.connection.post(Ping(request))
            await asyncio.wait({pong}, timeout=HELLO_TIMEOUT)
            if not pong.done():
                self._fail(Unavailable(self._client.address, "the server no longer answers"))
        finally:
            del self._waiting[request]
            if not pong.done():
                self._withdrawn[request] = request
            _seen(pong)

    def _withdraw(self, request: RequestId) -> None:
        """Withdraw a request that was not answered."""
        if not self._waiting:
            self.connection.close()  # by which the server forgets it, too
        elif not self.closed:
            cancel = self._client.next_request()
            self._withdrawn[cancel] = request
            # Whoever else waits here is told if the connection is lost.
            with suppress(Error):
                self.connection.post(Cancel(cancel, request))

    def _read(self) -> None:
        self._heard = time.monotonic()
        try:
            for request, reply in self.connection.arrived():
                self._take(request, reply)
        except Error as error:
            self._fail(error)

    def _take(self, request: RequestId, reply: Reply | BaseException) -> None:
        answer = self._waiting.get(request)
        if answer is None:
            self._withdrawn.pop(request, None)
        elif answer.done():
            return
        elif isinstance(reply, BaseException):
            answer.set_exception(reply)
        else:
            answer.set_result(reply)

    def _fail(self, error: Error) -> None:
        """Tell everybody that the connection is lost."""
        self.connection.close()
        self._loop.remove_reader(self._fd)
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(error)

    def _end(self) -> None:
        """Give the connection back, or, if more may come by it, close it."""
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
        lines = _lines[self._client, self._loop]
        lines.remove(self)
        if not lines:
            del _lines[self._client, self._loop]
        if self._withdrawn:
            self.connection.close()
        self._client.take_back(self.connection)


def _seen(answer: asyncio.Future[Reply]) -> None:
    """Mark an error as retrieved, because nobody wants it any more."""
    if answer.done() and not answer.cancelled():
        answer.exception()
