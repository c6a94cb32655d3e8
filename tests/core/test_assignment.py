"""Terms make sense, or are not."""

from __future__ import annotations

import math
from typing import Any

import pytest

from zproc.core.assignment import Terms
from zproc.exceptions import UsageError


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"chunksize": 0}, "chunksize is a number of items"),
        ({"timeout": 0.0}, "timeout is a number of seconds above 0"),
        ({"timeout": -1.0}, "timeout is a number of seconds above 0"),
        ({"timeout": math.inf}, "timeout is a number of seconds above 0"),
        ({"retries": -1}, "retries is a number"),
        ({"ahead": 0}, "look_ahead is a number"),
    ],
)
def test_terms_that_make_no_sense_cannot_be_built(wrong: dict[str, Any], rule: str) -> None:
    with pytest.raises(UsageError, match=rule):
        Terms(**wrong)


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(UsageError, match=r"chunksize .*; retries "):
        Terms(chunksize=0, retries=-1)


def test_terms_are_values() -> None:
    assert Terms(chunksize=1) == Terms(chunksize=1)
    assert len({Terms(retries=1), Terms(retries=1), Terms()}) == 2
