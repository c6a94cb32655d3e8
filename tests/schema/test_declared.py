from __future__ import annotations

import pickle

import pytest

from zproc.exceptions import SchemaMismatch
from zproc.schema import StateModel
from zproc.schema.declared import Declared
from zproc.schema.model import Schema


class Shop(StateModel):
    cookies: int = 3
    name: str = ""


def test_a_file_that_says_what_the_model_says_is_taken() -> None:
    Declared(Shop, "app.client", Schema.of(Shop).table).check()


def test_a_stale_file_is_told_the_fields_and_the_command() -> None:
    table = {**Schema.of(Shop).table, "Shop.cookies": "str", "Shop.tags": "list[str]"}
    del table["Shop.name"]
    with pytest.raises(SchemaMismatch) as refused:
        Declared(Shop, "app.client", table).check()
    assert str(refused.value) == (
        "app.client: Shop has changed since this client was generated from it; run `zproc generate`\n"
        "  Shop.cookies: the model says int, this client says str\n"
        "  Shop.name: only the model has it (str)\n"
        "  Shop.tags: the model does not have it (list[str])"
    )
    assert str(pickle.loads(pickle.dumps(refused.value))) == str(refused.value)
