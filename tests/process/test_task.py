"""What is to be done, how often, and for which failures again."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from zproc.core.supervisor import Restart
from zproc.exceptions import ProcessError, RemoteError, UsageError
from zproc.process.signals import SignalException
from zproc.process.task import Task, listed


def make(target: Any = int, **options: Any) -> Task[Any]:
    return Task.of(target, (1, 2), {"base": 3}, ("state",), options)


def test_the_first_arguments_come_in_each_try_and_the_others_may_change() -> None:
    task = make(retry_args=(9,), retry_kwargs={})
    assert task.call(1) == (("state", 1, 2), {"base": 3})
    assert task.call(2) == task.call(3) == (("state", 9), {})


def test_without_arguments_of_its_own_a_retry_has_those_of_the_first() -> None:
    assert make().call(2) == make().call(1)


def test_a_process_is_called_what_its_function_is() -> None:
    assert make().name == "int"
    assert make(name="baker").name == "baker"


def test_a_number_of_retries_takes_the_place_of_the_limit_by_time() -> None:
    assert make(max_retries=100).policy.intensity is None
    assert make().policy.intensity is not None
    assert make(max_retries=100, intensity=(3, 1.0)).policy.intensity == (3, 1.0)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"retrys": 3}, "max_retries"),
        ({"restart": "sometimes"}, "on_failure"),
        ({"retry_for": (ValueError, "SIGTERM")}, "SIGTERM"),
        ({"retry_for": int}, "int"),
        ({"retry_delay": -1}, "retry_delay"),
        ({"start_method": "thread"}, "fork"),
        ({"retry_for": 11}, "11 is neither"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_would(options: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        make(**options)


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(UsageError, match="is a function"):
        make(3)


def test_a_policy_may_be_given_by_its_name() -> None:
    assert make(restart="always").policy.restart is Restart.ALWAYS


def died(signum: int | None, cause: BaseException | None = None, kinds: tuple[str, ...] | None = None) -> ProcessError:
    exitcode = 1 if signum is None else -signum
    error = (
        ProcessError("died", name="p", pid=1, exitcode=exitcode)
        if kinds is None
        else RemoteError("raised", name="p", pid=1, exitcode=1, error="", traceback="", kinds=kinds)
    )
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "reason", "expected"),
    [
        (died(signal.SIGSEGV), signal.SIGSEGV, True),
        (died(signal.SIGSEGV), signal.SIGKILL, False),
        (died(signal.SIGSEGV), ProcessError, True),
        (died(None, ValueError(), ("builtins.ValueError",)), ValueError, True),
        (died(None, UnicodeError(), ("builtins.UnicodeError",)), ValueError, True),
        (died(None, ValueError(), ("builtins.ValueError",)), KeyError, False),
        (died(None, None, ("builtins.KeyError", "builtins.LookupError")), LookupError, True),
        (died(None, None, ("builtins.KeyError", "builtins.LookupError")), ValueError, False),
        (died(None, SignalException(signal.SIGUSR1), ()), signal.SIGUSR1, True),
        (died(None, SignalException(signal.SIGUSR1), ()), signal.SIGUSR2, False),
    ],
)
def test_a_failure_is_listed_by_its_signal_or_by_any_of_its_classes(
    error: ProcessError, reason: Any, expected: bool
) -> None:
    assert listed(error, (reason,)) is expected
    assert not listed(error, ())


def test_what_does_not_make_sense_is_refused_before_anything_is_started() -> None:
    async def coroutine() -> None: ...

    with pytest.raises(UsageError, match=r"coroutine function; .*asyncio\.run"):
        make(coroutine)
    with pytest.raises(UsageError, match="retry_delay is a number of seconds, 0 or more, not '1'"):
        make(retry_delay="1")
    with pytest.raises(UsageError, match="intensity is a pair of a number of failures"):
        make(intensity=5)
    with pytest.raises(UsageError, match="tuple or list"):
        Task.of(int, 5, None, (), {})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="mapping"):
        Task.of(int, (), [5], (), {})  # type: ignore[arg-type]


def test_a_task_is_about_the_function_that_the_program_has_given() -> None:
    assert Task.of(int, (), None, (), {}).function == "builtins.int"
    assert Task.of(int, (), None, (), {}, make).function == f"{__name__}.make"
