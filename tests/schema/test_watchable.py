"""One table of conditions, in every form."""

from __future__ import annotations

import inspect

import pytest

from zproc.exceptions import UsageError
from zproc.schema import StateModel
from zproc.schema.condition import CONDITIONS
from zproc.schema.model import RESERVED
from zproc.schema.watchable import Watchable

FORMS = sorted(name for name in vars(Watchable) if not name.startswith("_"))


class Shop(StateModel):
    cookies: int = 0


def test_every_condition_is_there_in_every_form() -> None:
    names = {"", "_change", *(f"_{name}" for name in CONDITIONS)}
    assert {*FORMS} == {f"{form}{name}" for form in ("get_when", "when") for name in names} | {"changes", "commits"}


def test_every_name_is_reserved() -> None:
    assert {*FORMS} <= RESERVED


@pytest.mark.parametrize("name", FORMS)
def test_what_is_not_live_cannot_be_waited_for(name: str) -> None:
    arguments = {"field": "cookies", "value": 3, "test": bool}
    wanted = [each for each in inspect.signature(getattr(Watchable, name)).parameters if each in arguments]
    for state in (Shop(), Shop().snapshot()):
        with pytest.raises(UsageError, match=f"^{name} waits for others"):
            getattr(state, name)(*[arguments[each] for each in wanted])
