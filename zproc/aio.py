"""Watching a state from asyncio.

The law: everything means here what it means for a live state, word for word; the difference is that a task waits
instead of a thread. A cancelled task has lost no event: what it was waiting for is the next result of the next call.

A watcher is registered when the call returns, as everywhere; that is one synchronous round trip to the server. Reading
and writing the state are synchronous, too, and need no twin: ``ctx.state.cookies += 1``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar, Unpack, cast, overload

from zproc.client import Client, ClientWatchers, model_handle
from zproc.client.line import run
from zproc.client.stream import Following, Over
from zproc.client.watch import Closed, Steps
from zproc.exceptions import UsageError, WaitTimeout
from zproc.schema import condition
from zproc.schema.condition import Condition
from zproc.schema.event import Change, Commit, Resync
from zproc.schema.fieldless import Fieldless
from zproc.schema.model import StateModel
from zproc.schema.watchable import EventOptions, Options, StreamOptions, watchers_of
from zproc.typing import Live

__all__ = ["AsyncState", "AsyncStream"]

M = TypeVar("M", bound=StateModel)
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
R = TypeVar("R")


class AsyncStream(Generic[T_co]):
    """Results as they come: an asynchronous iterator, to be closed, or used in ``async with``, if left early.

    Tasks may share it: each result is given to one of them.
    """

    def __init__(self, client: Client, following: Following[T_co]) -> None:
        self._client: Final = client
        self._following: Final = following
        self._turn = asyncio.Lock()
        self._stop: asyncio.Future[None] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T_co:
        """Wait for the next result.

        Raises:
            StopAsyncIteration: there were ``count`` of them, or it was closed.
            WaitTimeout: none came in time; the next call waits again.
            HistoryGone: what was asked for by ``since`` is no longer held.
            Unavailable: no server answers.
        """
        deadline = self._following.deadline()
        async with self._turn:
            try:
                return await self._run(self._following.to_result(), deadline)
            except (Over, Closed):
                raise StopAsyncIteration from None
            except WaitTimeout:
                raise self._following.too_late() from None

    async def go_live(self) -> None:
        """Skip whatever has come and was not looked at yet."""
        async with self._turn:
            await self._run(self._following.to_live(), None)

    async def aclose(self) -> None:
        """End it; a task that waits for a result gets none."""
        self._following.close()
        if self._stop is not None and not self._stop.done():
            self._stop.set_result(None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _run(self, steps: Steps[R], deadline: float | None) -> R:
        if self._stop is None:
            self._stop = asyncio.get_running_loop().create_future()
        return await run(self._client, steps, deadline, self._stop)


class AsyncState(Fieldless, Generic[M]):
    """What a live state has to wait for it by, for tasks: the same methods with the same parameters.

    The forms ``get_when_…`` are awaited, the others give an `AsyncStream`::

        state = zproc.aio.AsyncState(ctx.state)
        await state.get_when_equal("oven.temp", 180.0, timeout=5)
        async for change in state.changes("stock.*"):
            print(change)

    Every form raises what that of the live state does.

    Args:
        state: the live state, ``ctx.state``.

    Raises:
        UsageError: it is none, or a part of one.
    """

    __slots__ = ("_model", "_watchers")

    @overload
    def __init__(self, state: Live[M]) -> None: ...
    @overload
    def __init__(self, state: M) -> None: ...
    def __init__(self, state: Any) -> None:
        watchers = watchers_of(state, "AsyncState")
        if not isinstance(watchers, ClientWatchers):
            raise UsageError("this state is not one that tasks can wait for")
        self._watchers: Final = watchers
        self._model: Final = state.__class__

    def _where(self, name: str) -> str:
        return f"an AsyncState has no fields, it waits for those of the live state: ctx.state.{name}"

    def __reduce__(self) -> tuple[object, ...]:
        return AsyncState, (model_handle(self._watchers.client, (), self._model),)

    def __repr__(self) -> str:
        return f"<AsyncState of {self._model.__name__} at {self._watchers.client.address}>"

    def go_live(self) -> int:
        """Return the number of the newest commit: what happens from here on is waited for by ``since``."""
        return self._watchers.here()

    # Once

    async def get_when_change(
        self, *fields: str, exclude: tuple[str, ...] | list[str] = (), **options: Unpack[Options]
    ) -> M:
        """Wait for the next commit that changes any of some fields; see `StateModel.get_when_change`."""
        return await self._get(condition.change(self._model, fields, exclude), options)

    async def get_when(self, test: Callable[[M], object], **options: Unpack[Options]) -> M:
        """Wait until the state passes a test; see `StateModel.get_when`."""
        return await self._get(condition.passing(self._model, test), options)

    async def get_when_equal(self, field: str, value: object, **options: Unpack[Options]) -> M:
        """Wait until a field has a value; see `StateModel.get_when_equal`."""
        return await self._get(condition.on_field(self._model, "equal", field, value), options)

    async def get_when_not_equal(self, field: str, value: object, **options: Unpack[Options]) -> M:
        """Wait until a field has another value than this; see `StateModel.get_when_equal`."""
        return await self._get(condition.on_field(self._model, "not_equal", field, value), options)

    async def get_when_none(self, field: str, **options: Unpack[Options]) -> M:
        """Wait until a field is ``None``; see `StateModel.get_when_equal`."""
        return await self._get(condition.on_field(self._model, "none", field), options)

    async def get_when_not_none(self, field: str, **options: Unpack[Options]) -> M:
        """Wait until a field is not ``None``; see `StateModel.get_when_equal`."""
        return await self._get(condition.on_field(self._model, "not_none", field), options)

    async def get_when_truthy(self, field: str, **options: Unpack[Options]) -> M:
        """Wait until a field is true; see `StateModel.get_when_equal`."""
        return await self._get(condition.on_field(self._model, "truthy", field), options)

    async def get_when_falsy(self, field: str, **options: Unpack[Options]) -> M:
        """Wait until a field is false; see `StateModel.get_when_equal`."""
        return await self._get(condition.on_field(self._model, "falsy", field), options)

    async def get_when_available(self, field: str, **options: Unpack[Options]) -> M:
        """Wait until something but ``None`` stands at a field; see `StateModel.get_when_equal`."""
        return await self._get(condition.on_field(self._model, "available", field), options)

    # One after the other

    def when_change(self, *fields: str, **options: Unpack[EventOptions]) -> AsyncStream[M]:
        """Return the state after each commit that changes any of some fields; see `StateModel.when_change`."""
        return self._states(condition.change(self._model, fields, options.get("exclude", ())), options)

    def when(self, test: Callable[[M], object], **options: Unpack[StreamOptions]) -> AsyncStream[M]:
        """Return each state that passes a test; see `StateModel.when`."""
        return self._states(condition.passing(self._model, test), options)

    def when_equal(self, field: str, value: object, **options: Unpack[StreamOptions]) -> AsyncStream[M]:
        """Return each state in which a field has a value; see `StateModel.when_equal`."""
        return self._states(condition.on_field(self._model, "equal", field, value), options)

    def when_not_equal(self, field: str, value: object, **options: Unpack[StreamOptions]) -> AsyncStream[M]:
        """Return each state in which a field has another value than this; see `StateModel.when_equal`."""
        return self._states(condition.on_field(self._model, "not_equal", field, value), options)

    def when_none(self, field: str, **options: Unpack[StreamOptions]) -> AsyncStream[M]:
        """Return each state in which a field is ``None``; see `StateModel.when_equal`."""
        return self._states(condition.on_field(self._model, "none", field), options)

    def when_not_none(self, field: str, **options: Unpack[StreamOptions]) -> AsyncStream[M]:
        """Return each state in which a field is not ``None``; see `StateModel.when_equal`."""
        return self._states(condition.on_field(self._model, "not_none", field), options)

    def when_truthy(self, field: str, **options: Unpack[StreamOptions]) -> AsyncStream[M]:
        """Return each state in which a field is true; see `StateModel.when_equal`."""
        return self._states(condition.on_field(self._model, "truthy", field), options)

    def when_falsy(self, field: str, **options: Unpack[StreamOptions]) -> AsyncStream[M]:
        """Return each state in which a field is false; see `StateModel.when_equal`."""
        return self._states(condition.on_field(self._model, "falsy", field), options)

    def when_available(self, field: str, **options: Unpack[StreamOptions]) -> AsyncStream[M]:
        """Return each state in which something but ``None`` stands at a field; see `StateModel.when_equal`."""
        return self._states(condition.on_field(self._model, "available", field), options)

    # Events

    def changes(self, *fields: str, **options: Unpack[EventOptions]) -> AsyncStream[Change | Resync[M]]:
        """Return the changes of some fields, as they come; see `StateModel.changes`."""
        found = self._watchers.changes(fields, options)
        return AsyncStream(self._watchers.client, cast("Following[Change | Resync[M]]", found))

    def commits(self, *fields: str, **options: Unpack[EventOptions]) -> AsyncStream[Commit | Resync[M]]:
        """Return the commits that change any of some fields, whole, as they come; see `StateModel.commits`."""
        found = self._watchers.commits(fields, options)
        return AsyncStream(self._watchers.client, cast("Following[Commit | Resync[M]]", found))

    async def _get(self, wanted: Condition[M], options: Options) -> M:
        return await anext(AsyncStream(self._watchers.client, self._watchers.once(wanted, options)))

    def _states(self, wanted: Condition[M], options: StreamOptions) -> AsyncStream[M]:
        return AsyncStream(self._watchers.client, self._watchers.states(wanted, options))
