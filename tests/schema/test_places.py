"""Places by name, without a server."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, computed_field

from zproc.exceptions import UnknownPath
from zproc.schema import StateModel
from zproc.schema.places import OWN_NAMES, ItemPlace, ModelPlace, Places, names_of
from zproc.schema.selection import Watch


class Oven(BaseModel):
    temp: float = 20.0
    path: str = ""
    path_: str = ""


class Tray(BaseModel):
    weights: list[float] = []


class Shop(StateModel):
    cookies: int = 3
    oven: Oven = Oven()
    spare: Oven | None = None
    either: Oven | Tray = Tray()
    trays: list[Tray] = []
    stock: dict[str, int] = {}

    @computed_field
    def total(self) -> int:
        return self.cookies


when: Any = Places(Shop())


@pytest.mark.parametrize(
    ("place", "path", "kind"),
    [
        (when.cookies, "cookies", Watch),
        (when.total, "total", Watch),
        (when.oven, "oven", ModelPlace),
        (when.oven.temp, "oven.temp", Watch),
        (when.spare.temp, "spare.temp", Watch),
        (when.either.temp, "either.temp", Watch),
        (when.trays, "trays", ItemPlace),
        (when.trays[2].weights[0], "trays[2].weights[0]", Watch),
        (when.stock["flour"], "stock.flour", Watch),
        (when.stock["a.b"], "stock['a.b']", Watch),
    ],
    ids=str,
)
def test_a_place_is_where_attributes_and_items_lead(place: Watch[object], path: str, kind: type) -> None:
    assert place.path == path
    assert isinstance(place, kind)


@pytest.mark.parametrize(
    "lead",
    [lambda: when.cookie, lambda: when.oven.tmp, lambda: when.trays["x"], lambda: when.oven.temp.deeper],
)
def test_what_leads_nowhere_is_refused_at_once(lead: Any) -> None:
    with pytest.raises((UnknownPath, AttributeError)):
        lead()


def test_a_wrong_name_is_told_the_nearest() -> None:
    with pytest.raises(UnknownPath, match="'cookies'"):
        when.cookie  # noqa: B018


def test_a_field_by_the_name_of_what_a_place_can_do_goes_by_it_and_an_underscore() -> None:
    assert when.oven.path == "oven"
    assert when.oven.path__.path == "oven.path"
    assert when.oven.path_.path == "oven.path_"


def test_names_are_told_apart_whatever_the_fields_are_called() -> None:
    fields = ["path", "path_", "get", "temp", "path__"]
    names = names_of(fields)
    assert sorted(names.values()) == sorted(fields)
    assert names["temp"] == "temp"
    assert names["path_"] == "path_"
    assert not names.keys() & OWN_NAMES


def test_what_every_place_can_do_is_reserved() -> None:
    assert {name for name in dir(Watch) if not name.startswith("_")} == OWN_NAMES


def test_places_are_listed_and_shown() -> None:
    assert dir(when) == ["cookies", "either", "oven", "spare", "stock", "total", "trays"]
    assert {"temp", "equals"} <= set(dir(when.oven))
    assert repr(when) == "<Places of Shop>"
    assert repr(when.oven) == "<Watch of Shop.oven>"
