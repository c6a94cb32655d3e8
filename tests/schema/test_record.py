"""Records are values."""

from __future__ import annotations

import dataclasses

from zproc.schema.record import record


@record
class Point:
    x: int
    y: int = 0


def test_records_are_equal_by_their_fields_and_hashed_by_them() -> None:
    assert Point(1) == Point(1, 0) != Point(1, 2)
    assert len({Point(1), Point(1), Point(2)}) == 2
    assert dataclasses.replace(Point(1), y=5) == Point(1, 5)


def test_records_have_no_room_for_anything_else() -> None:
    assert not hasattr(Point(1), "__dict__")


def test_a_record_is_frozen_for_the_type_checker() -> None:
    point = Point(1)
    point.x = 2  # type: ignore[misc]  # this comment is unused, and mypy fails, if it is not


def test_the_parts_of_a_record_can_be_matched() -> None:
    match Point(1, 2):
        case Point(x, y):
            assert (x, y) == (1, 2)
