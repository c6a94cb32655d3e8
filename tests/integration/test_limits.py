"""Every limit, reached by a real client of a real server: an error that names it, and everybody else goes on."""

from __future__ import annotations

import dataclasses
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

import zproc

if TYPE_CHECKING:
    from tests.integration.conftest import Eventually


class Shop(zproc.StateModel):
    cookies: int = 0
    text: str = ""
    row: list[int] = []
    table: dict[str, int] = {}
    deep: dict[str, dict[str, dict[str, dict[str, int]]]] = {}

    @zproc.action
    def spin(self) -> None:
        while True:
            pass

    @zproc.action
    def long(self, size: int) -> str:
        return "x" * size


@zproc.atomic
def add_often(state: Shop, times: int) -> None:
    for number in range(times):
        state.row.append(number)


@zproc.atomic
def fill(state: Shop, table: dict[str, int]) -> None:
    state.table = table


@contextmanager
def shop(**limits: float) -> Iterator[zproc.Context[Shop]]:
    with zproc.Context(Shop, limits=zproc.Limits(**limits)) as ctx:  # type: ignore[arg-type]  # some are int
        yield ctx
        ctx.state.cookies = 4
        assert ctx.state.cookies == 4


def set_deep(ctx: zproc.Context[Shop]) -> None:
    ctx.state.deep = {"a": {"b": {"c": {"d": 1}}}}


ERRORS: dict[str, tuple[float, Callable[[zproc.Context[Shop]], Any]]] = {
    "compute_time": (0.1, lambda ctx: ctx.state.spin()),
    "message_bytes": (1 << 17, lambda ctx: setattr(ctx.state, "text", "x" * (1 << 17))),
    "nesting": (5, set_deep),
    "commit_ops": (10, lambda ctx: add_often(ctx.state, 11)),
    "state_bytes": (1 << 10, lambda ctx: add_often(ctx.state, 200)),
}


@pytest.mark.parametrize("name", ERRORS)
def test_p10_who_goes_beyond_a_limit_is_told_its_name(name: str) -> None:
    value, use = ERRORS[name]
    with shop(**{name: value}) as ctx:
        with pytest.raises(zproc.LimitExceeded) as caught:
            use(ctx)
        assert caught.value.limit == name
        assert caught.value.allowed == value
        assert ctx.state.snapshot() == Shop()


def set_table(ctx: zproc.Context[Shop], size: int) -> None:
    ctx.state.table = {str(key): key for key in range(size)}


def fill_table(ctx: zproc.Context[Shop], size: int) -> None:
    fill(ctx.state, {str(key): key for key in range(size)})


@pytest.mark.parametrize("write", [set_table, fill_table])
def test_p5_p10_a_commit_that_takes_too_long_is_refused_by_name(
    write: Callable[[zproc.Context[Shop], int], None],
) -> None:
    """Not unknown, and nothing of it stays; the soak test below is this with a million items."""
    with shop(compute_time=0.001) as ctx:
        with pytest.raises(zproc.LimitExceeded) as caught:
            write(ctx, 20_000)
        assert caught.value.limit == "compute_time"
        assert ctx.state.snapshot() == Shop()


@pytest.mark.soak
@pytest.mark.parametrize("write", [set_table, fill_table])
@pytest.mark.parametrize("time", [0.1, 60.0])
def test_p5_p10_a_million_items_are_refused_by_name_or_committed(
    write: Callable[[zproc.Context[Shop], int], None], time: float
) -> None:
    """Seconds of work for the server, and on a busy machine more than it takes to suspect that it is lost."""
    with shop(compute_time=time) as ctx:
        if time < 1:
            with pytest.raises(zproc.LimitExceeded, match="compute_time"):
                write(ctx, 1_000_000)
        else:
            write(ctx, 1_000_000)
        assert len(ctx.state.table) == (0 if time < 1 else 1_000_000)


def test_p10_a_message_may_be_larger_than_by_default_if_that_was_agreed() -> None:
    """Up and down, above the 16 MiB that are the default."""
    with zproc.Context(Shop, limits=zproc.Limits(message_bytes=40 << 20, history_bytes=64 << 20)) as ctx:
        ctx.state.text = "x" * (17 << 20)
        assert len(ctx.state.text) == 17 << 20
        assert len(ctx.state.long(20 << 20)) == 20 << 20


def test_p10_a_stranger_is_cut_off_at_his_own_limit() -> None:
    with shop(hello_bytes=512) as ctx, socket.socket(socket.AF_UNIX) as stranger:
        stranger.settimeout(5)
        stranger.connect(ctx.address.removeprefix("unix://"))
        stranger.sendall((513).to_bytes(4, "big"))
        said = b""
        while part := stranger.recv(1000):
            said += part
        assert b"513 bytes is over the limit of 512" in said


def test_p10_one_connection_too_many_is_told_so() -> None:
    """The context itself has one; each that joins has another."""
    with shop(peers=3) as ctx, ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(zproc.Context(Shop, address=ctx.address))
        with pytest.raises(zproc.Unavailable, match="limit of 3 peers"):
            zproc.Context(Shop, address=ctx.address)


def test_p10_one_process_too_many_is_told_so() -> None:
    with shop(sessions=2) as ctx, zproc.Context(Shop, address=ctx.address):
        with pytest.raises(zproc.LimitExceeded) as caught:
            zproc.Context(Shop, address=ctx.address)
        assert caught.value.limit == "sessions"


def test_p10_one_watcher_too_many_is_told_so(eventually: Eventually) -> None:
    with shop(watchers=2) as ctx:
        told: list[BaseException] = []

        def wait() -> None:
            try:
                ctx.state.get_when_equal("cookies", 4)
            except zproc.LimitExceeded as error:
                told.append(error)

        threads = [threading.Thread(target=wait) for _ in range(3)]
        for thread in threads:
            thread.start()
        eventually(lambda: told)
        assert "watchers" in str(told[0])
        ctx.state.cookies = 4
        for thread in threads:
            thread.join(10)
        assert len(told) == 1


@pytest.mark.parametrize(("name", "value"), [("history_commits", 3), ("history_bytes", 600)])
def test_p10_history_that_was_dropped_is_gone(name: str, value: int) -> None:
    with shop(**{name: value}) as ctx:
        for number in range(20):
            ctx.state.cookies = number
        with pytest.raises(zproc.HistoryGone) as caught:
            ctx.state_at(1)
        assert caught.value.asked == 1
        assert caught.value.oldest > 1
        assert len(list(ctx.history())) == 20 - caught.value.oldest


def test_p10_a_turn_ends_at_its_limit() -> None:
    with shop(lease_time=0.2) as ctx:
        done = threading.Event()

        @zproc.atomic
        def hold(state: Shop) -> None:
            state.cookies = 1
            assert done.wait(10)

        def hold_too_long() -> None:
            with pytest.raises(zproc.LeaseLost, match=r"lease_time, 0\.2 s"):
                hold(ctx.state)

        holding = threading.Thread(target=hold_too_long)
        holding.start()
        while not ctx.state.text:
            with zproc.transaction(ctx.state) as draft:  # it waits for the turn, or comes before it
                draft.text = "x" if draft.row else ""
                draft.row.append(1)
        done.set()
        holding.join(10)
        assert ctx.state.cookies == 0


def test_every_limit_has_a_test_here_or_with_the_rules() -> None:
    here = {"hello_bytes", "peers", "sessions", "watchers", "history_commits", "history_bytes", "lease_time", *ERRORS}
    with_the_rules = {"outcomes", "outcome_bytes", "waiting", "waiting_bytes", "pattern_bytes", "batch_commits"}
    assert {field.name for field in dataclasses.fields(zproc.Limits)} == here | with_the_rules
