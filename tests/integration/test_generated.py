"""What generated clients are given at run time are the classes that zproc uses anyway."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from pydantic import BaseModel

import zproc
from zproc import generated
from zproc.aio import AsyncState


class Oven(BaseModel):
    temp: float = 20.0


class Shop(zproc.StateModel):
    cookies: int = 3
    oven: Oven = Oven()
    tags: list[str] = ["a"]


ShopHandle = generated.handle(Shop, __name__, "ShopHandle")
OvenHandle = generated.handle(Oven, __name__, "OvenHandle")
ShopContext: Any = generated.context(Shop, __name__, "ShopContext", zproc.schema.Schema.of(Shop).table)


def test_classes_go_by_the_names_of_the_module_that_has_them() -> None:
    for cls, name in ((ShopHandle, "ShopHandle"), (OvenHandle, "OvenHandle"), (ShopContext, "ShopContext")):
        assert (cls.__module__, cls.__qualname__) == (__name__, name)


@pytest.mark.slow
def test_a_context_of_the_model_is_of_the_generated_class_however_it_was_made() -> None:
    with ShopContext() as ctx:
        assert isinstance(ctx, zproc.Context)
        assert isinstance(ctx.state, ShopHandle)
        assert isinstance(ctx.state, Shop)
        assert isinstance(ctx.state.oven, OvenHandle)
        assert not isinstance(ctx.state.oven, ShopHandle)
        assert not isinstance(ctx.state.snapshot(), ShopHandle)
        with zproc.Context(Shop, address=ctx.address) as joined:
            assert isinstance(joined, ShopContext)
            joined.state.cookies += 1
            assert joined.when.cookies.equals(4, timeout=5) == 4
        elsewhere = pickle.loads(pickle.dumps(ctx))
        assert isinstance(elsewhere, ShopContext)
        elsewhere.close()
    with ShopContext(Shop, address=None, wait=True) as again:
        assert again.state.cookies == 3


@pytest.mark.slow
def test_a_context_of_a_stale_client_is_refused_before_anything_starts() -> None:
    class Other(zproc.StateModel):
        cookies: int = 3

    stale = generated.context(Other, "app.client", "OtherContext", {"Other.cookies": "str"})
    with pytest.raises(zproc.SchemaMismatch, match=r"Other\.cookies: the model says int, this client says str"):
        stale(Other)
    with pytest.raises(zproc.SchemaMismatch, match="zproc generate"):
        zproc.Context(Other)


def test_what_tasks_wait_by_is_given_to_who_asks() -> None:
    get = generated.tasks("app.client", "AsyncShop")
    assert get("AsyncShop") is AsyncState
    with pytest.raises(AttributeError, match=r"module 'app\.client' has no attribute 'AsyncShpo'"):
        get("AsyncShpo")


def test_each_name_is_there_and_sorted() -> None:
    assert generated.__all__ == sorted(generated.__all__)
    assert all(hasattr(generated, name) for name in generated.__all__)
