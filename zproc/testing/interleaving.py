"""Clients of one state that move one at a time, in an order that the test decides.

The law: concurrency is a list of decisions. Each client runs its function in a thread of its own, and is held at every
request to the server until the test lets it arrive. Nothing moves meanwhile; so the same decisions lead to the same end
each time, and a failure can be reproduced.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Generic, Self, TypeVar, assert_never, cast

from zproc.context import Context
from zproc.core.limits import Limits
from zproc.core.messages import Command, Hello, Ping, decode_command
from zproc.core.server import Send, ServerCore
from zproc.schema.model import Schema, StateModel
from zproc.server import perform
from zproc.transport import Closed, Listener, Opened, Received, listen
from zproc.typing import Epoch, PeerId, RequestId, SessionId

__all__ = ["Interleaving"]

M = TypeVar("M", bound=StateModel)

_NAMESPACE: Final = "default"
_PATIENCE: Final = 10.0
_numbers = itertools.count(1)


@dataclass
class _Runner(Generic[M]):
    """One client: what it runs, and what of it has not arrived yet."""

    context: Context[M]
    thread: threading.Thread | None = None
    ended: bool = True
    pending: deque[tuple[PeerId, Command]] = field(default_factory=deque)
    awaited: RequestId | None = None
    """The request that has arrived and was not answered."""
    result: object = None
    error: BaseException | None = None

    @property
    def computes(self) -> bool:
        """Whether it is on its way to its next request, or to its end."""
        return not self.ended and not self.pending and self.awaited is None


class Interleaving(Generic[M]):
    """A state, and clients that use it in an order that is decided step by step.

    Args:
        model: what the state is declared as.
        clients: how many.
        limits: what the server bounds, and by how much.

    Example:
        >>> with Interleaving(Bank) as bank:
        ...     bank.start(0, lambda state: pay(state, 3))
        ...     bank.start(1, lambda state: pay(state, 4))
        ...     bank.step(1)  # the first request of client 1 arrives
        ...     bank.finish()
    """

    def __init__(self, model: type[M], *, clients: int = 2, limits: Limits | None = None) -> None:
        schema = cast("Schema[StateModel]", Schema.of(model))
        self._model = model
        self._core = ServerCore({_NAMESPACE: schema}, epoch=Epoch("interleaving"), limits=limits)
        self._listener: Listener = listen(f"memory://zproc-interleaving-{next(_numbers)}")
        self._now = 0.0
        self._sessions: dict[PeerId, SessionId] = {}
        self._of_session: dict[SessionId, _Runner[M]] = {}
        self._runners = [self._join() for _ in range(clients)]

    def _join(self) -> _Runner[M]:
        """Let a client in; what it says in greeting is not held."""
        made: list[Context[M]] = []
        thread = threading.Thread(
            target=lambda: made.append(Context(self._model, address=self._listener.address, cleanup=False))
        )
        thread.start()
        before = set(self._sessions.values())
        while thread.is_alive():
            self._take(0.001)
        assert made, "a client cannot join"
        runner = _Runner(made[0])
        (session,) = set(self._sessions.values()) - before
        self._of_session[session] = runner
        return runner

    # What is there to decide

    @property
    def state(self) -> M:
        """The state as it is now, frozen."""
        return cast("M", self._core.namespace(_NAMESPACE).state.snapshot())

    @property
    def revision(self) -> int:
        """How many commits there have been."""
        return self._core.namespace(_NAMESPACE).revision

    @property
    def free(self) -> list[int]:
        """The clients that run nothing."""
        return [number for number, runner in enumerate(self._runners) if runner.ended]

    @property
    def ready(self) -> list[int]:
        """The clients that have made a request which has not arrived."""
        return [number for number, runner in enumerate(self._runners) if runner.pending]

    # Decisions

    def start(self, client: int, function: Callable[[M], object]) -> None:
        """Make a client run a function, up to its first request.

        Args:
            client: its number, from 0.
            function: is given the live state.

        Raises:
            ValueError: the client runs something.
        """
        runner = self._runners[client]
        if not runner.ended:
            raise ValueError(f"client {client} has not finished what it runs")
        runner.ended, runner.result, runner.error = False, None, None

        def run() -> None:
            try:
                runner.result = function(runner.context.state)
            except BaseException as error:  # noqa: BLE001 - it is the client's outcome, whatever it is
                runner.error = error
            finally:
                runner.ended = True
                self._listener.wake()

        runner.thread = threading.Thread(target=run, name=f"client {client}", daemon=True)
        runner.thread.start()
        self._settle()

    def step(self, client: int) -> None:
        """Deliver the next request of a client, and let it run up to the one after.

        Args:
            client: its number.

        Raises:
            ValueError: it has made none.
        """
        runner = self._runners[client]
        if not runner.pending:
            raise ValueError(f"client {client} has no request on its way")
        peer, command = runner.pending.popleft()
        runner.awaited = command.request
        self._deliver(peer, command)
        self._settle()

    def crash(self, client: int) -> None:
        """Kill a client where it is; its requests on the way are lost. Another client takes its number.

        Args:
            client: its number.
        """
        runner = self._runners[client]
        runner.context.close()
        if runner.thread is not None:
            runner.thread.join(_PATIENCE)
            assert not runner.thread.is_alive(), f"client {client} goes on after its connection was lost"
        runner.pending.clear()
        self._settle()
        self._runners[client] = self._join()

    def pass_time(self, seconds: float) -> None:
        """Let time pass at the server: turns that are over end.

        Args:
            seconds: how much.
        """
        self._now += seconds
        self._core.tick(now=self._now)
        self._perform()
        self._settle()

    def finish(self) -> None:
        """Deliver everything, client by client, until nothing moves any more."""
        while ready := self.ready:
            self.step(ready[0])

    def outcome(self, client: int) -> object:
        """Return what the function of a client has returned.

        Args:
            client: its number.

        Raises:
            ValueError: it has not ended.
            BaseException: what it raised.
        """
        runner = self._runners[client]
        if not runner.ended:
            raise ValueError(f"client {client} has not finished what it runs")
        if runner.error is not None:
            raise runner.error
        return runner.result

    # How it is done

    def _settle(self) -> None:
        """Wait until every client has made a request, waits for an answer, or has ended."""
        self._take(0.0)
        deadline = time.monotonic() + _PATIENCE
        while any(runner.computes for runner in self._runners):
            assert time.monotonic() < deadline, f"a client computes for more than {_PATIENCE:g} s"
            self._take(_PATIENCE)

    def _take(self, timeout: float) -> None:
        """Take what has come."""
        for arrival in self._listener.poll(timeout):
            match arrival:
                case Received(peer, frame):
                    self._hold(peer, decode_command(frame))
                case Closed(peer):
                    self._core.disconnected(peer, now=self._now)
                    self._perform()
                    if (runner := self._runner_of(peer)) is not None:
                        runner.awaited = None  # it is told that the connection is lost
                    self._sessions.pop(peer, None)
                case Opened():
                    pass
                case _:
                    assert_never(arrival)

    def _hold(self, peer: PeerId, command: Command) -> None:
        runner = self._runner_of(peer)
        if runner is None or isinstance(command, (Hello, Ping)):
            self._deliver(peer, command)
        else:
            runner.pending.append((peer, command))

    def _runner_of(self, peer: PeerId) -> _Runner[M] | None:
        session = self._sessions.get(peer)
        return None if session is None else self._of_session.get(session)

    def _deliver(self, peer: PeerId, command: Command) -> None:
        if isinstance(command, Hello):
            self._sessions[peer] = command.session
        self._core.receive(peer, command, now=self._now, wall=self._now)
        self._perform()

    def _perform(self) -> None:
        effects = self._core.effects()
        for effect in effects:
            if isinstance(effect, Send):
                runner = self._runner_of(effect.peer)
                if runner is not None and runner.awaited == effect.reply.request:
                    runner.awaited = None
        perform(effects, self._listener, None, self._core.limits.message_bytes)

    def close(self) -> None:
        """End the clients, wherever they are, and the server."""
        for runner in self._runners:
            runner.context.close()
        for runner in self._runners:
            if runner.thread is not None:
                runner.thread.join(_PATIENCE)
        self._listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
