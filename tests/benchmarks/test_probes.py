from __future__ import annotations

import os
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from probes import Event, Probes, own_times


class Worker:
    def work(self, seconds: float = 0) -> str:
        self.inner()
        time.sleep(seconds)
        return "done"

    def inner(self) -> None:
        pass

    def fail(self) -> None:
        raise ValueError("as planned")


POINTS: dict[str, tuple[object, str]] = {"work": (Worker, "work"), "inner": (Worker, "inner"), "fail": (Worker, "fail")}


@pytest.fixture
def probes() -> Iterator[Probes]:
    probes = Probes(POINTS, ["here", "there"])
    with probes.set():
        yield probes


def test_a_probe_notes_when_a_call_was_entered_and_left_and_changes_nothing_of_it(probes: Probes) -> None:
    begin = time.monotonic_ns()
    assert Worker().work() == "done"
    end = time.monotonic_ns()
    outer, inner = probes.events("here")
    assert (outer.name, inner.name) == ("work", "inner")
    assert begin <= outer.begin <= inner.begin <= inner.end <= outer.end <= end


def test_probes_are_taken_away_as_they_were_set() -> None:
    before = dict(Worker.__dict__)
    with Probes(POINTS, ["here"]).set():
        assert Worker.work is not before["work"]
    assert dict(Worker.__dict__) == before


def test_a_call_that_raises_is_not_noted(probes: Probes) -> None:
    with pytest.raises(ValueError, match="as planned"):
        Worker().fail()
    assert probes.events("here") == []


def test_a_process_that_is_forked_notes_in_a_region_of_its_own(probes: Probes) -> None:
    with probes.within("there"):
        pid = os.fork()
        if not pid:
            Worker().inner()
            os._exit(0)
    os.waitpid(pid, 0)
    assert [event.name for event in probes.events("there")] == ["inner"]
    assert probes.events("here") == []


def test_a_function_that_is_no_more_is_an_error_and_not_a_stage_of_no_time() -> None:
    with (
        pytest.raises(AttributeError, match="has no 'gone' to be probed any more"),
        Probes({"gone": (SimpleNamespace(), "gone")}, ["here"]).set(),
    ):
        pass


def test_a_call_is_charged_without_what_it_called() -> None:
    events = [
        Event("before", 0, 9),
        Event("outer", 10, 50),
        Event("inner", 12, 20),
        Event("innermost", 13, 15),
        Event("inner", 30, 34),
        Event("next", 50, 60),
        Event("outlasts", 70, 101),
    ]
    assert own_times(events, 10, 100) == {"outer": 28, "inner": 10, "innermost": 2, "next": 10}
