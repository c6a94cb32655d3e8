from collections.abc import Callable
from typing import Any

import pytest
import zproc
from zproc.testing import Contexts, Fault, Interleaving, MemoryServer


class Counter(zproc.StateModel):
    n: int = 0


def increase(state: Counter) -> None:
    state.n = state.n + 1  # reads, then writes: wrong


def test_two_careless_clients_lose_an_update() -> None:
    with Interleaving(Counter, clients=2) as counter:
        counter.start(0, increase)
        counter.start(1, increase)
        counter.step(0)  # both read ...
        counter.step(1)
        counter.finish()  # ... before either writes
        assert counter.state.n == 1


@pytest.fixture
def server(zproc_server: Callable[..., MemoryServer[Any]]) -> MemoryServer[Counter]:
    return zproc_server(Counter)


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.UNANSWERED])
def test_a_connection_that_breaks_costs_nothing(server: MemoryServer[Counter], fault: Fault) -> None:
    server.break_line(fault)
    server.state.n += 1
    assert (server.state.n, server.revision) == (1, 1)


def test_a_server_that_is_gone_is_told(server: MemoryServer[Counter]) -> None:
    state = server.state
    server.break_line(Fault.FATAL)
    with pytest.raises((zproc.CommitUnknown, zproc.Unavailable)):
        state.n += 1


def test_code_that_makes_its_own_context(server: MemoryServer[Counter]) -> None:
    with zproc.Context(Counter, address=server.address) as ctx:
        ctx.state.n = 5
    assert server.state.n == 5


@pytest.mark.zproc(start_method="spawn")
def test_another_start_method(zproc_context: Contexts) -> None:
    ctx = zproc_context(Counter)
    ctx.spawn(increase).wait(timeout=20)
    assert ctx.state.n == 1
