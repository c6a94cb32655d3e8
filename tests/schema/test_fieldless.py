"""What is easily taken for a state: its fields are refused, with where they are."""

from __future__ import annotations

from typing import Any

import pytest

from zproc.exceptions import UnknownPath, UsageError
from zproc.schema.fieldless import Fieldless


class Beside(Fieldless):
    __slots__ = ("_own", "open")

    def _where(self, name: str) -> str | None:
        return "it is over there" if name == "cookies" else None


@pytest.fixture
def beside() -> Any:
    return Beside()


def test_a_field_is_refused_with_where_it_is(beside: Any) -> None:
    with pytest.raises(UsageError, match="cookies = 3 would be lost: it is over there"):
        beside.cookies = 3
    with pytest.raises(UnknownPath, match="cookies: it is over there"):
        _ = beside.cookies


def test_other_names_are_answered_as_python_does(beside: Any) -> None:
    with pytest.raises(AttributeError, match="'Beside' object has no attribute 'bakery'") as found:
        _ = beside.bakery
    assert (found.value.name, found.value.obj) == ("bakery", beside)
    with pytest.raises(AttributeError):
        beside.bakery = 3
    assert not hasattr(beside, "__deepcopy__")


def test_its_own_attributes_are_its_own(beside: Any) -> None:
    beside._own = beside.open = 3
    assert (beside._own, beside.open) == (3, 3)


def test_each_kind_says_where(beside: Any) -> None:
    with pytest.raises(NotImplementedError):
        Fieldless()._where("cookies")
