"""Signals as exceptions, and exit codes of one's own."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

import zproc.process as zp
from zproc.exceptions import ProcessError, UsageError

SIGNAL = signal.SIGUSR2


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = signal.getsignal(SIGNAL)
    yield
    signal.signal(SIGNAL, before)


def test_a_signal_is_raised_where_the_main_thread_is() -> None:
    zp.signal_to_exception(SIGNAL)
    with pytest.raises(zp.SignalException, match="SIGUSR2") as caught:
        zp.send_signal(SIGNAL)
    assert caught.value.signum == SIGNAL


@pytest.mark.parametrize("by", [int, zp.SignalException])
def test_afterwards_it_does_what_it_did_before(by: type) -> None:
    heard: list[int] = []
    signal.signal(SIGNAL, lambda number, _: heard.append(number))
    zp.signal_to_exception(SIGNAL)
    zp.signal_to_exception(SIGNAL)  # the second time changes nothing of that
    zp.exception_to_signal(by(SIGNAL))
    zp.send_signal(SIGNAL)
    assert heard == [SIGNAL]


def test_what_was_never_made_an_exception_stays_as_it_is() -> None:
    before = signal.getsignal(SIGNAL)
    zp.exception_to_signal(SIGNAL)
    assert signal.getsignal(SIGNAL) is before


def test_a_signal_that_cannot_be_caught_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot be handled"):
        zp.signal_to_exception(signal.SIGKILL)


def test_another_thread_than_the_main_one_is_refused() -> None:
    refused: list[UsageError] = []

    def attempt() -> None:
        try:
            zp.signal_to_exception(SIGNAL)
        except UsageError as error:
            refused.append(error)

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join(10)
    assert len(refused) == 1


def test_a_real_time_signal_has_a_name_too() -> None:
    assert str(zp.SignalException(signal.SIGRTMIN + 1)) == f"signal {signal.SIGRTMIN + 1}"


def test_a_signal_is_sent_to_whom_it_is_meant_for() -> None:
    process = zp.start(signal.pause)
    zp.send_signal(signal.SIGTERM, process.pid)
    with pytest.raises(ProcessError, match="SIGTERM"):
        process.wait(20)


def leave(code: int) -> None:
    try:
        raise zp.ProcessExit(code)
    finally:
        os.write(1, b"")  # what a program does at its end is done


def test_a_process_ends_itself_with_a_code(method: zp.StartMethod) -> None:
    process = zp.start(leave, (7,), method=method)
    with pytest.raises(ProcessError, match="exit code 7"):
        process.wait(20)
    assert process.exitcode == 7


def test_to_end_oneself_with_0_is_no_failure(method: zp.StartMethod) -> None:
    assert zp.start(leave, (0,), method=method).wait(20) is None
