"""What is left behind is found, and what is not is not; the guard of this suite tests the same in whole test runs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from zproc import process
from zproc.testing import leaks
from zproc.testing.leaks import Belongings, LeakError, leak_check, runtime_directory, wait_for_nothing


@pytest.fixture(scope="module", autouse=True)
def _settled() -> Iterator[None]:
    leaks.settle()  # what zproc keeps is no leak of the first test
    yield
    process.shut_down()


def a_process(undo: list[Callable[[], object]]) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.DEVNULL, start_new_session=True)
    undo.append(process.wait)


def a_thread(undo: list[Callable[[], object]]) -> None:
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="left over")
    thread.start()
    undo += [end.set, thread.join]


def a_descriptor(undo: list[Callable[[], object]]) -> None:
    undo += [each.close for each in socket.socketpair()]


@pytest.mark.parametrize("leave", [a_process, a_thread, a_descriptor])
def test_what_is_left_is_named(leave: Callable[[list[Callable[[], object]]], None]) -> None:
    undo: list[Callable[[], object]] = []
    with pytest.raises(LeakError) as caught, leak_check(grace=0):
        leave(undo)
    assert str(caught.value).startswith("left behind:\n  ")
    assert caught.value.left
    for step in undo:
        step()


def test_a_file_in_the_runtime_directory_is_found() -> None:
    with (
        runtime_directory() as directory,
        pytest.raises(LeakError, match=r"file .*socket"),
        leak_check(directory, grace=0),
    ):
        Path(directory, "socket").touch()


def test_nothing_left_is_nothing_said() -> None:
    with leak_check(grace=0):
        for end in socket.socketpair():
            end.close()


def test_what_was_there_before_is_no_leak() -> None:
    undo: list[Callable[[], object]] = []
    a_thread(undo)
    with leak_check(grace=0):
        pass
    for step in undo:
        step()


def test_who_is_about_to_end_is_waited_for() -> None:
    with leak_check():
        thread = threading.Thread(target=threading.Event().wait, args=(0.05,))
        thread.start()


def test_who_ended_during_a_look_that_took_long_is_not_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine the last look took seconds, and what it had found was reported as ``gone``."""
    ending = Belongings(frozenset({1}), frozenset(), frozenset(), frozenset())
    looks, clock = [ending, Belongings.none()], [0.0]

    def slowly(_runtime: str | None) -> Belongings:
        clock[0] += 100
        return looks.pop(0)

    monkeypatch.setattr(Belongings, "now", staticmethod(slowly))
    monkeypatch.setattr(leaks, "time", SimpleNamespace(monotonic=lambda: clock[0], sleep=lambda _: None))
    wait_for_nothing(Belongings.none(), None)
    assert looks == []


def test_a_cycle_that_the_collector_breaks_is_no_leak() -> None:
    class Holder:
        def __init__(self) -> None:
            self.me = self
            self.end, self.other = os.pipe()

        def __del__(self) -> None:
            os.close(self.end)
            os.close(self.other)

    with leak_check(grace=1):
        Holder()


def test_what_may_stay_may_stay() -> None:
    undo: list[Callable[[], object]] = []
    before = Belongings.now()
    a_descriptor(undo)
    leaks.wait_for_nothing(before, None, grace=0, kept=Belongings.now() - before)
    for step in undo:
        step()


def test_the_runtime_directory_is_there_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZPROC_RUNTIME_DIR", raising=False)
    with runtime_directory() as directory:
        assert os.environ["ZPROC_RUNTIME_DIR"] == directory
        with runtime_directory() as inner:
            assert os.environ["ZPROC_RUNTIME_DIR"] == inner
        assert os.environ["ZPROC_RUNTIME_DIR"] == directory
    assert not os.path.exists(directory)
    assert "ZPROC_RUNTIME_DIR" not in os.environ


def test_belongings_of_none_are_nothing() -> None:
    assert not Belongings.none()
    assert str(Belongings.none()) == ""
