"""A state server in a thread of this process: the real rules and the real loop, over ``memory://``.

The law: its state cannot be told from that of a server process, but for two things: other processes do not reach it,
and what a validator or an action computes is not interrupted when it takes too long.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Generic, Self, TypeVar, cast

from zproc.context import Context
from zproc.core.limits import Limits
from zproc.core.messages import Acquire, Act, Command, Commit
from zproc.core.server import ServerCore
from zproc.schema.model import Schema, StateModel
from zproc.schema.values import plain
from zproc.server import Clock, SystemClock, serve
from zproc.testing.clock import FakeClock
from zproc.testing.line import BreakingListener, Fault
from zproc.transport import listen
from zproc.typing import Epoch, PeerId

__all__ = ["MemoryServer", "ObservedCore"]

M = TypeVar("M", bound=StateModel)

_NAMESPACE: Final = "default"
_PATIENCE: Final = 10.0
_numbers = itertools.count(1)


class ObservedCore(ServerCore):
    """The rules, with a memory of what they were told."""

    def __init__(self, schema: Schema[StateModel], limits: Limits | None) -> None:
        super().__init__({_NAMESPACE: schema}, epoch=Epoch(f"epoch {next(_numbers)}"), limits=limits)
        self.commands: list[Command] = []
        self.changed: threading.Condition = threading.Condition()
        """Notified of every command, and of every tick."""

    def receive(self, peer: PeerId, command: Command, *, now: float, wall: float = 0.0) -> None:
        """Take a command, and remember it."""
        super().receive(peer, command, now=now, wall=wall)
        with self.changed:
            self.commands.append(command)
            self.changed.notify_all()

    def tick(self, *, now: float) -> None:
        """Let time pass."""
        super().tick(now=now)
        with self.changed:
            self.changed.notify_all()


class MemoryServer(Generic[M]):
    """A state server for unit tests, without any process: made in well under a millisecond, and gone as fast.

    Everything that concerns state works as in a program: live handles, atomic functions, actions, watchers, history.
    Processes of the contexts do not, since they could not reach it; for those use a real `zproc.Context`. Each call of
    `join` gives another client: to the server, another process. Actions and validators may take any time, so that
    they can be stopped at a breakpoint: the limit ``compute_time`` is for servers in processes of their own, and an
    action that never ends is to be tested with one of those.

    Args:
        model: what the state is declared as.
        state: the state to begin with; the defaults if it is not given.
        limits: what the server bounds, and by how much.
        clock: the server's time; that of the system if it is not given.
        address: the name in memory to listen at; one of its own if it is not given.

    Attributes:
        address: where it listens; code of this process can join it by ``Context(Model, address=server.address)``.

    Raises:
        SchemaError: the model cannot be shared, and why.
        pydantic.ValidationError: the state to begin with breaks the schema.
    """

    def __init__(
        self,
        model: type[M],
        state: M | None = None,
        *,
        limits: Limits | None = None,
        clock: Clock | None = None,
        address: str | None = None,
    ) -> None:
        self._model = model
        self._core = ObservedCore(cast("Schema[StateModel]", Schema.of(model)), limits)
        if state is not None:
            valid = Schema.of(model).shape.validate(plain(state))
            self._core.namespace(_NAMESPACE).begin(cast("M", valid))
        self.address: str = address or f"memory://zproc-testing-{next(_numbers)}"
        self._listener = BreakingListener(listen(self.address))
        self._stopping = threading.Event()
        self._contexts: list[Context[M]] = []
        self._unfollow = clock.follow(self._wait_for_clock) if isinstance(clock, FakeClock) else lambda: None
        self._clock = clock or SystemClock()
        self._thread = threading.Thread(
            target=serve,
            args=(self._core, self._listener, lambda: self._stopping.is_set() or self._listener.dead),
            kwargs={"clock": self._clock},
            name=f"server at {self.address}",
            daemon=True,
        )
        self._thread.start()

    @property
    def context(self) -> Context[M]:
        """The first client's context."""
        return self._contexts[0] if self._contexts else self.join()

    @property
    def state(self) -> M:
        """The live state, by the first client."""
        return self.context.state

    @property
    def revision(self) -> int:
        """How many commits there have been."""
        return self._core.namespace(_NAMESPACE).revision

    @property
    def core(self) -> ObservedCore:
        """The rules themselves, for tests that look inside."""
        return self._core

    def join(self) -> Context[M]:
        """Return the context of another client."""
        context = Context(self._model, address=self.address, cleanup=False)
        self._contexts.append(context)
        return context

    def break_line(self, fault: Fault = Fault.LOST, *, times: int = 1) -> None:
        """Inject a fault into the next request that changes the state or asks for a turn.

        Args:
            fault: what.
            times: with how many of these requests.
        """
        self.break_at((Commit, Act, Acquire) if fault is not Fault.UNANSWERED else (Commit, Act), fault, times=times)

    def break_at(self, kinds: type[Command] | tuple[type[Command], ...], fault: Fault, *, times: int = 1) -> None:
        """Inject a fault into the next requests of some kinds.

        Args:
            kinds: classes of messages.
            fault: what.
            times: with how many of them.
        """
        self._listener.plan(fault, lambda command: isinstance(command, kinds), times)

    def wait_until(self, condition: Callable[[], object]) -> None:
        """Wait until something is true that the server's work makes true.

        Args:
            condition: a function without arguments that tells whether it is.

        Raises:
            AssertionError: it is not within ten seconds.
        """
        with self._core.changed:
            assert self._core.changed.wait_for(condition, _PATIENCE), f"not within {_PATIENCE:g} s"

    def _wait_for_clock(self) -> None:
        self._listener.wake()
        if threading.current_thread() is not self._thread and self._thread.is_alive():
            self.wait_until(lambda: not self._is_late() or not self._thread.is_alive())

    def _is_late(self) -> bool:
        deadline = self._core.next_deadline()
        return deadline is not None and deadline <= self._clock.now()

    def stop(self) -> None:
        """Stop only the server; its clients find out by themselves."""
        self._stopping.set()
        if not self._listener.dead:
            self._listener.wake()
        self._thread.join(_PATIENCE)
        assert not self._thread.is_alive(), "the server does not stop: a validator or an action does not end"
        self._listener.close()

    def close(self) -> None:
        """End its clients, and the server."""
        self._unfollow()
        self._unfollow = lambda: None
        for context in self._contexts:
            context.close()
        self.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
