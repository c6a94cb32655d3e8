"""Limits let something through, and agree with each other."""

from __future__ import annotations

import dataclasses
import inspect

import pytest

from zproc.core.limits import LARGEST_ERROR, Limits
from zproc.core.messages import MAX_LIST
from zproc.exceptions import UsageError
from zproc.schema.codec import MAX_DEPTH

NAMES = [field.name for field in dataclasses.fields(Limits)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_a_limit_that_lets_nothing_through_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"'{name}'"):
        Limits(**{name: value})  # type: ignore[arg-type]  # a float is not what all of them are


@pytest.mark.parametrize("name", NAMES)
def test_every_limit_is_documented(name: str) -> None:
    assert f"\n    {name}: " in (inspect.getdoc(Limits) or "")


def test_a_message_has_room_for_every_error() -> None:
    assert Limits(message_bytes=2 * LARGEST_ERROR).message_bytes == 2 * LARGEST_ERROR
    with pytest.raises(UsageError, match="message_bytes"):
        Limits(message_bytes=2 * LARGEST_ERROR - 1)


def test_a_reply_carries_no_more_commits_than_a_list_may_have_elements() -> None:
    assert Limits(batch_commits=MAX_LIST).batch_commits == MAX_LIST
    with pytest.raises(UsageError, match="batch_commits"):
        Limits(batch_commits=MAX_LIST + 1)


def test_a_stranger_is_not_allowed_more_than_a_client() -> None:
    with pytest.raises(UsageError, match="hello_bytes"):
        Limits(message_bytes=1 << 20, hello_bytes=2 << 20)


def test_a_message_has_a_length_that_travels() -> None:
    with pytest.raises(UsageError, match="message_bytes"):
        Limits(message_bytes=1 << 31)


def test_nothing_is_taken_that_is_deeper_than_what_can_be_sent() -> None:
    assert Limits(nesting=MAX_DEPTH).nesting == MAX_DEPTH
    with pytest.raises(UsageError, match="nesting"):
        Limits(nesting=MAX_DEPTH + 1)


def test_limits_do_not_change_while_a_server_lives() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Limits().waiting = 1  # type: ignore[misc]  # that is the point
