"""Items are taken when they are needed, and made no further ahead than is allowed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from zproc.exceptions import UsageError
from zproc.swarm.source import Feeder, Ready, Tray, item_source


class Consumer:
    """Takes what a feeder makes."""

    def __init__(self, feeder: Feeder, limit: int) -> None:
        self.feeder = feeder
        self.told = threading.Event()
        feeder.allow(limit)
        feeder.start(self.told.set)

    def collect(self, items: int) -> list[Any]:
        """Wait for so many."""
        got: list[Any] = []
        while len(got) < items:
            got += self.feeder.take(self.feeder.arrived())
            if len(got) < items:
                assert self.told.wait(10)
                self.told.clear()
        return got

    def wait_for_end(self) -> None:
        while not self.feeder.ended:
            self.feeder.arrived()
            assert self.told.wait(10)
            self.told.clear()


@pytest.mark.parametrize("items", [[1, 2, 3], (1, 2, 3), range(1, 4), {1: "a", 2: "b", 3: "c"}])
def test_what_is_there_is_taken_from_where_it_is(items: Any) -> None:
    source, spread = item_source(items, None, None)
    assert isinstance(source, Ready)
    assert not spread
    assert (source.ended, source.length, source.arrived(), source.arrived()) == (True, 3, 3, 0)
    assert [source.take(2), source.take(5)] == [[1, 2], [3]]


def test_whatever_is_yet_to_be_made_is_made_by_a_thread() -> None:
    class Sneaky(list[int]):
        def __iter__(self) -> Iterator[int]:
            raise AssertionError("somebody iterates where it may block")

    for items in (iter([1]), (x for x in [1]), count(), Sneaky()):
        assert isinstance(item_source(items, None, None)[0], Feeder)


def test_the_three_iterables_are_cut_at_the_shortest() -> None:
    source, spread = item_source(["a", "b", "c"], [(1, 2), (3,)], [{"k": 1}, {"k": 2}, {}, {}])
    assert isinstance(source, Feeder)
    assert spread
    assert Consumer(source, 5).collect(2) == [(("a", 1, 2), {"k": 1}), (("b", 3), {"k": 2})]


def test_arguments_that_cannot_be_spread_are_an_error_of_the_map() -> None:
    source, _ = item_source([1, 2], [(3,), 4], None)  # type: ignore[list-item]  # wrong on purpose
    assert isinstance(source, Feeder)
    consumer = Consumer(source, 5)
    assert consumer.collect(1) == [((1, 3), {})]
    consumer.wait_for_end()
    assert isinstance(source.error, UsageError)
    assert str(source.error) == "what map_args gives for a call is an iterable, not 4"


def test_a_map_needs_something_to_map() -> None:
    with pytest.raises(UsageError, match="needs map_iter"):
        item_source(None, None, None)


def test_no_more_is_made_than_is_allowed() -> None:
    made = []

    def items() -> Iterator[int]:
        for number in count():
            made.append(number)
            yield number

    feeder = Feeder(items())
    consumer = Consumer(feeder, 3)
    assert consumer.collect(3) == [0, 1, 2]
    assert made == [0, 1, 2]
    feeder.allow(5)
    assert consumer.collect(2) == [3, 4]
    assert made == [0, 1, 2, 3, 4]
    feeder.close()


def test_an_exception_takes_the_place_of_the_next_item() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    feeder = Feeder(items())
    consumer = Consumer(feeder, 10)
    assert consumer.collect(1) == [1]
    consumer.wait_for_end()
    assert isinstance(feeder.error, ValueError)


def test_a_feeder_that_is_closed_lets_go_of_its_iterator() -> None:
    gone = threading.Event()

    def items() -> Iterator[int]:
        try:
            yield from count()
        finally:
            gone.set()

    feeder = Feeder(items())
    Consumer(feeder, 2).collect(2)
    feeder.close()
    assert gone.wait(10)


def test_a_tray_gives_places_in_the_order_in_which_things_were_put_there() -> None:
    entered: list[tuple[int, str]] = []
    refused: list[str] = []

    def enter(place: int, what: str) -> str:
        entered.append((place, what))
        return what.upper()

    tray = Tray(enter, refused.append)
    tray.put("a")
    tray.put("b")
    assert (tray.arrived(), tray.arrived()) == (2, 0)
    tray.put("c")
    assert tray.arrived() == 1
    assert tray.take(3) == ["A", "B", "C"]
    assert entered == [(0, "a"), (1, "b"), (2, "c")]
    assert not tray.ended
    tray.put("d")
    tray.close()
    assert tray.ended
    assert refused == ["d"]
