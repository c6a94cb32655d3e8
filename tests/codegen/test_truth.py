"""What a generated client says is what is there: of every field that is read, in any state."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

import zproc
from tests.codegen.truth import Client
from zproc.testing import MemoryServer, strategies

PROJECT = Path(__file__).parent.parent / "typing"


@pytest.fixture(scope="module", autouse=True)
def models() -> Iterator[None]:
    """The models of the project by which the types are checked."""
    sys.path.insert(0, str(PROJECT))
    yield
    sys.path.remove(str(PROJECT))


@functools.cache  # it takes as long as an example does
def states(model: type[zproc.StateModel]) -> st.SearchStrategy[zproc.StateModel]:
    return strategies(model).states()


@pytest.mark.parametrize("name", ["cookie", "shop", "nasty"])
@settings(max_examples=8, suppress_health_check=list(HealthCheck))  # a state of forty fields is much to draw
@given(data=st.data())
def test_what_is_read_is_what_is_declared(name: str, data: st.DataObject) -> None:
    module = importlib.import_module(f"{name}.client")
    model: type[zproc.StateModel] = getattr(importlib.import_module(f"{name}.state"), f"{name.title()}State")
    client = Client(module)
    with MemoryServer(model, data.draw(states(model))) as server:
        state: Any = server.state
        assert isinstance(state, getattr(module, f"{name.title()}StateHandle"))
        assert isinstance(state, model)
        assert isinstance(server.context, getattr(module, f"{name.title()}Context"))
        assert client.complaints(state, f"{name.title()}StateHandle") == []
        snapshot = state.snapshot()
        assert isinstance(snapshot, model)
        assert not isinstance(snapshot, getattr(module, f"{name.title()}StateHandle"))
        context: Any = server.context
        assert client.complaints_of_places(context.when, f"{name.title()}Places") == []
