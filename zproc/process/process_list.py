"""Several processes as one: started, stopped and waited for together, and supervised as a group.

The law: a list is a sequence of processes, and adds nothing to them but its strategy: which ones are restarted together
with one that failed. A member that has ended for good stays so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ALL_COMPLETED, FIRST_EXCEPTION, wait as wait_for
from typing import Any, ClassVar, Literal, TypeAlias, TypeVar, overload

from zproc.arguments import PATIENCE, expect
from zproc.core.supervisor import Stage, Strategy, affected
from zproc.exceptions import Error, UsageError
from zproc.process.process import Process, stop_processes

__all__ = ["ProcessList", "StrategyName"]

R = TypeVar("R")

StrategyName: TypeAlias = Strategy | Literal["one_for_one", "one_for_all", "rest_for_one"]

_GRACE = 5.0


class ProcessList(Sequence[Process[R]]):
    """Processes, in the order in which they are started.

    Args:
        processes: the processes.
        strategy: which are restarted when one of them is, by its own policy: that one alone (``"one_for_one"``), all of
            them (``"one_for_all"``), or that one and those after it (``"rest_for_one"``). If one is given up, the same
            are stopped.

    Raises:
        UsageError: there is no such strategy.
    """

    def __init__(
        self,
        processes: Iterable[Process[R]] = (),
        strategy: StrategyName = Strategy.ONE_FOR_ONE,
    ) -> None:
        self._processes = list(processes)
        try:
            chosen = Strategy(strategy)
        except ValueError:
            raise UsageError(f"strategy {strategy!r} is not one of {', '.join(Strategy)}") from None
        if chosen is not Strategy.ONE_FOR_ONE:
            group = _Group(chosen, self._processes)
            for each in self._processes:
                each._group = group  # noqa: SLF001

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._processes!r})"

    def __len__(self) -> int:
        return len(self._processes)

    @overload
    def __getitem__(self, index: int) -> Process[R]: ...
    @overload
    def __getitem__(self, index: slice) -> ProcessList[R]: ...
    def __getitem__(self, index: int | slice) -> Process[R] | ProcessList[R]:
        if isinstance(index, slice):
            return ProcessList(self._processes[index])
        return self._processes[index]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, (ProcessList, list)):
            return self._processes == list(other)
        return NotImplemented

    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # like a list

    def start(self) -> None:
        """Start those that were not started yet, in order.

        Raises:
            UsageError: something cannot be sent to one of them.
            ProcessError: one of them cannot be started.
        """
        for each in self._processes:
            if each.stage is Stage.NEW:
                each.start()

    def stop(self, grace: float = _GRACE) -> None:
        """End all of them for good, the last one first; the grace period is shared.

        Args:
            grace: how long they may take to end by themselves, all together, in seconds.

        Raises:
            ProcessError: one of them cannot be killed. The others have been dealt with.
        """
        stop_processes(self._processes, grace)

    @overload
    def wait(self, timeout: float | None = None, *, safe: Literal[False] = False) -> list[R]: ...
    @overload
    def wait(self, timeout: float | None = None, *, safe: bool) -> list[R | Error]: ...
    def wait(self, timeout: float | None = None, *, safe: bool = False) -> list[R] | list[R | Error]:
        """Wait until all of them have ended for good, or one has failed.

        Args:
            timeout: how long to wait for all of them together, in seconds.
            safe: whether to wait for all in any case, and return errors in place of results.

        Returns:
            What they returned, in their order.

        Raises:
            WaitTimeout: one of them still runs.
            RemoteError: one of them raised; notes mention others that had failed by then.
            ProcessError: one of them died; likewise.
            UsageError: one of them was not started.
        """
        expect("timeout", timeout, PATIENCE)
        for each in self._processes:
            if each.stage is Stage.NEW:
                raise UsageError(f"process {each.name} was not started")
        done = wait_for(self._processes, timeout, ALL_COMPLETED if safe else FIRST_EXCEPTION).done
        if safe:
            outcomes: list[R | Error] = []
            for each in self._processes:
                try:
                    outcomes.append(each.wait(0))
                except Error as error:
                    outcomes.append(error.with_traceback(None))
            return outcomes
        failed = [each for each in self._processes if each in done and each.exception(0) is not None]
        if failed:
            first, *others = [each.exception(0) for each in failed]
            assert first is not None
            for other in others:
                first.add_note(f"so did another: {str(other).partition(chr(10))[0]}")
            raise first
        return [each.wait(0) for each in self._processes]


class _Group:
    """Carries out the strategy of a list.

    Ending processes takes time, so each action has a thread of its own; they run one at a time.
    """

    def __init__(self, strategy: Strategy, members: list[Process[Any]]) -> None:
        self._strategy = strategy
        self._members = members
        self._acting = threading.Lock()

    def failed(self, process: Process[Any], at: float) -> None:
        self._act(self._restart, process, at)

    def gave_up(self, process: Process[Any]) -> None:
        self._act(self._stop, process)

    @staticmethod
    def _act(function: Callable[..., None], *args: object) -> None:
        threading.Thread(target=function, args=args, name="zproc-group", daemon=True).start()

    def _restart(self, process: Process[Any], at: float) -> None:
        with self._acting:
            if process.stage is not Stage.RESTING:  # restarted with another one, or stopped
                return
            concerned = affected(self._strategy, self._members, self._members.index(process))
            for each in reversed(concerned):
                if each is not process and each.stage is Stage.RUNNING:
                    each.pause(_GRACE)
            for each in concerned:
                each.resume_at(at)

    def _stop(self, process: Process[Any]) -> None:
        with self._acting:
            concerned = affected(self._strategy, self._members, self._members.index(process))
            stop_processes([each for each in concerned if each is not process], _GRACE)
