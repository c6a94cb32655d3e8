from collections.abc import Callable
from typing import Any

import pytest
import zproc
from bakery import Bakery, Trays, bake, baker
from hypothesis import given, settings
from zproc.testing import Contexts, FakeClock, History, MemoryServer, Operation, state_machine, strategies


def test_a_rule_needs_no_server() -> None:
    bakery = Bakery(flour=2)
    assert bake(bakery, 2) == 24
    with pytest.raises(zproc.CommitRefused):
        bake(bakery, 1)
    assert (bakery.cookies, bakery.flour) == (24, 0)  # all or nothing, here too


def test_who_watches_needs_no_process(zproc_server: Callable[..., MemoryServer[Bakery]]) -> None:
    server = zproc_server(Bakery, Bakery(cookies=5))
    changes = server.state.changes("cookies", timeout=5)
    server.join().state.sell("Ada", 2)  # another client: to the server, another process
    assert next(changes).new == 3  # type: ignore[union-attr]


def test_a_slow_baker_loses_the_turn(zproc_server: Callable[..., MemoryServer[Bakery]], zproc_clock: FakeClock) -> None:
    state = zproc_server(Bakery).state
    with pytest.raises(zproc.LeaseLost), zproc.transaction(state) as draft:
        draft.cookies = 1
        zproc_clock.advance(31)  # nobody waits for half a minute
    assert state.cookies == 0


def test_the_baker_waits_for_the_oven(zproc_context: Contexts, zproc_history: Callable[[Any], History[Bakery]]) -> None:
    ctx = zproc_context(Bakery)  # real processes; whatever is left of them afterwards fails the test
    history = zproc_history(ctx)
    process = ctx.spawn(baker)
    ctx.state.oven.temperature = 180
    process.wait(timeout=10)
    assert history.functions() == ["", "bake", "bake", "bake"]
    assert history.values("cookies") == [0, 12, 24, 36]


@settings(max_examples=25, deadline=None)
@given(strategies(Bakery).operations())
def test_any_sequence_of_operations_leaves_a_valid_bakery(operations: list[Operation]) -> None:
    bakery = Bakery()
    for operation in operations:
        with zproc.transaction(bakery) as draft:
            operation(draft)
    assert bakery.cookies >= 0


def bake_and_note(state: Bakery, trays: Trays) -> None:
    """Two steps: whoever dies between them leaves cookies that nobody knows of. Make it atomic, and it is right."""
    with zproc.transaction(state) as draft:
        bake(draft, trays)
        draft.orders.append(f"{12 * trays} cookies")


def every_cookie_is_noted(bakery: Bakery) -> None:
    assert bakery.cookies == sum(int(order.split()[0]) for order in bakery.orders)


# Several clients at once, in every order that Hypothesis can think of; some of them die half-way.
TestBaking = state_machine(Bakery, every_cookie_is_noted, bake_and_note, clients=2).TestCase
TestBaking.settings = settings(max_examples=15, stateful_step_count=15, deadline=None)
