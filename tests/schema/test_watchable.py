"""One table of conditions, in every form."""

from __future__ import annotations

import inspect
import re

import pytest

from zproc.exceptions import UsageError
from zproc.schema import StateModel
from zproc.schema.condition import CONDITIONS
from zproc.schema.model import RESERVED
from zproc.schema.watchable import EventOptions, Options, StreamOptions, Watchable, check

FORMS = sorted(name for name in vars(Watchable) if not name.startswith("_"))


class Shop(StateModel):
    cookies: int = 0


def test_every_condition_is_there_in_every_form() -> None:
    names = {"", "_change", *(f"_{name}" for name in CONDITIONS)}
    assert {*FORMS} == {f"{form}{name}" for form in ("get_when", "when") for name in names} | {
        "changes",
        "commits",
        "go_live",
    }


def test_every_name_is_reserved() -> None:
    assert {*FORMS} <= RESERVED


@pytest.mark.parametrize("name", FORMS)
def test_what_is_not_live_cannot_be_waited_for(name: str) -> None:
    arguments = {"field": "cookies", "value": 3, "test": bool}
    wanted = [each for each in inspect.signature(getattr(Watchable, name)).parameters if each in arguments]
    for state in (Shop(), Shop().snapshot()):
        with pytest.raises(UsageError, match=f"^{name} waits for others"):
            getattr(state, name)(*[arguments[each] for each in wanted])


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (Options, {"timout": 3}, "no such option: timout; did you mean 'timeout'?"),
        (Options, {"count": 3}, "no such option: count; there are duplicate_okay, include_own, live, since, timeout"),
        (StreamOptions, {"exclude": ["x"]}, "no such option: exclude"),
        (
            Options,
            {"timeout": "3"},
            "'timeout' is a number of seconds, 0 or more, or None for as long as it takes, not",
        ),
        (Options, {"timeout": -1}, "'timeout' is"),
        (Options, {"timeout": float("nan")}, "'timeout' is"),
        (Options, {"since": -1}, "'since' is the number of a revision, 0 or more, or None for now, not -1"),
        (Options, {"since": True}, "'since' is"),
        (Options, {"since": 1.5}, "'since' is"),
        (EventOptions, {"count": -1}, "'count' is a number of results, 0 or more, or None for any number, not -1"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(kind: type, options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        check(options, kind)


def test_what_makes_sense_is_not() -> None:
    check({"timeout": None, "live": True, "since": 0, "include_own": False, "duplicate_okay": True}, Options)
    check({"timeout": 0.5, "count": 0, "exclude": ["x"]}, EventOptions)
