"""A state server in memory is one in every respect but its process."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from pydantic import Field, ValidationError

import zproc
from zproc.core.messages import Read
from zproc.testing.clock import FakeClock
from zproc.testing.line import Fault
from zproc.testing.memory import MemoryServer


class Shop(zproc.StateModel):
    cookies: int = Field(default=0, ge=0)
    stock: dict[str, int] = Field(default_factory=dict)

    @zproc.action
    def bake(self, number: int) -> int:
        self.cookies += number
        return self.cookies


@zproc.atomic
def eat(state: Shop) -> int:
    state.cookies -= 1
    return state.cookies


@pytest.fixture
def server() -> Iterator[MemoryServer[Shop]]:
    with MemoryServer(Shop) as made:
        yield made


def test_everything_that_concerns_state_works(server: MemoryServer[Shop]) -> None:
    state = server.state
    state.stock["x"] = 1
    assert state.bake(3) == 3
    assert eat(state) == 2
    assert (state.snapshot(), server.revision) == (Shop(cookies=2, stock={"x": 1}), 3)
    with pytest.raises(zproc.CommitRefused):
        state.cookies = -1


def test_what_takes_longer_than_its_time_is_left_alone() -> None:
    """It may stand at a breakpoint; a server in a process of its own interrupts it."""
    with MemoryServer(Shop, limits=zproc.Limits(compute_time=1e-9)) as server:
        assert server.state.bake(3) == 3
        server.state.cookies = 5
        assert server.state.cookies == 5


def test_p10_a_state_becomes_no_larger_than_it_may() -> None:
    with MemoryServer(Shop, limits=zproc.Limits(state_bytes=500)) as server:
        with pytest.raises(zproc.LimitExceeded, match="state_bytes"):
            server.state.stock.update({str(key): key for key in range(100)})
        assert (server.state.snapshot(), server.revision) == (Shop(), 0)


def test_p10_how_large_a_state_is_counts_from_the_one_to_begin_with() -> None:
    full = Shop(stock={str(key): key for key in range(30)})
    with MemoryServer(Shop, full, limits=zproc.Limits(state_bytes=500)) as server:
        with pytest.raises(zproc.LimitExceeded, match="state_bytes"):
            server.state.stock["x" * 100] = 1
        server.state.stock["x"] = 1


def test_clients_are_different_processes_to_the_server(server: MemoryServer[Shop]) -> None:
    mine, other = server.join(), server.join()
    changes = mine.state.changes("cookies", include_own=False, timeout=5)
    mine.state.cookies = 1
    other.state.cookies = 2
    assert next(changes).new == 2  # type: ignore[union-attr]


def test_code_that_makes_its_own_context_can_join(server: MemoryServer[Shop]) -> None:
    with zproc.Context(Shop, address=server.address, cleanup=False) as ctx:
        ctx.state.cookies = 7
    assert server.state.cookies == 7


def test_the_state_begins_as_the_test_wants_it_without_a_commit() -> None:
    with MemoryServer(Shop, Shop(cookies=5)) as server:
        assert (server.state.cookies, server.revision) == (5, 0)
        assert server.context.state_at(0).cookies == 5


def test_a_state_that_breaks_the_schema_is_no_beginning() -> None:
    with pytest.raises(ValidationError):
        MemoryServer(Shop, Shop.model_construct(cookies=-5, stock={}))


def test_a_turn_ends_when_the_fake_clock_says_so() -> None:
    clock = FakeClock()
    with MemoryServer(Shop, limits=zproc.Limits(lease_time=5), clock=clock) as server:
        with pytest.raises(zproc.LeaseLost), zproc.transaction(server.state) as draft:  # noqa: PT012 - in between
            draft.cookies = 1
            clock.advance(4.9)
            clock.advance(0.2)
        assert server.revision == 0


def test_who_waits_for_a_turn_has_it_when_advance_returns() -> None:
    clock = FakeClock()
    with MemoryServer(Shop, clock=clock) as server:
        other = server.join()
        waiting = threading.Thread(target=lambda: other.state.bake(1))
        with pytest.raises(zproc.LeaseLost), zproc.transaction(server.state) as draft:  # noqa: PT012 - in between
            draft.cookies = 9
            waiting.start()
            server.wait_until(lambda: "Act" in {type(command).__name__ for command in server.core.commands})
            clock.advance(31)
            assert server.revision == 1
        waiting.join(5)
        assert server.state.cookies == 1


def test_commits_are_made_at_the_time_of_the_clock() -> None:
    clock = FakeClock(wall=1000.0)
    with MemoryServer(Shop, clock=clock) as server:
        server.state.cookies = 1
        clock.advance(60)
        server.state.cookies = 2
        assert [commit.time for commit in server.context.history()] == [1000.0, 1060.0]


def test_a_clock_has_no_more_to_do_with_a_server_that_is_closed() -> None:
    clock = FakeClock()
    MemoryServer(Shop, clock=clock).close()
    clock.advance(1)


def test_a_request_that_is_lost_is_made_again(server: MemoryServer[Shop]) -> None:
    server.break_line(Fault.LOST)
    assert server.state.bake(2) == 2
    assert server.revision == 1


def test_a_request_whose_answer_is_lost_has_happened_once(server: MemoryServer[Shop]) -> None:
    server.break_line(Fault.UNANSWERED)
    server.state.cookies = 5
    assert (server.state.cookies, server.revision) == (5, 1)


def test_a_server_that_is_gone_leaves_the_outcome_unknown(server: MemoryServer[Shop]) -> None:
    state = server.state
    server.break_line(Fault.FATAL)
    with pytest.raises((zproc.CommitUnknown, zproc.Unavailable)):
        state.cookies = 5


def test_other_requests_can_be_broken_too(server: MemoryServer[Shop]) -> None:
    state = server.state
    assert state.cookies == 0
    asked = len([command for command in server.core.commands if isinstance(command, Read)])
    server.break_at(Read, Fault.LOST)
    server.join().state.cookies = 3
    assert state.cookies == 3
    assert asked < len([command for command in server.core.commands if isinstance(command, Read)])


def test_what_does_not_happen_is_an_error_with_a_limit(
    server: MemoryServer[Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zproc.testing.memory._PATIENCE", 0.01)
    with pytest.raises(AssertionError, match="not within"):
        server.wait_until(lambda: False)


def test_a_server_that_is_stopped_leaves_its_clients_to_find_out(server: MemoryServer[Shop]) -> None:
    state = server.state
    server.stop()
    with pytest.raises((zproc.Unavailable, zproc.CommitUnknown)):
        state.cookies = 1
