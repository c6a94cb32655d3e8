"""The promises that only real processes can show, by their numbers."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from pydantic import Field, model_validator

import zproc

if TYPE_CHECKING:
    from tests.integration.conftest import Eventually


class Counter(zproc.StateModel):
    n: int = Field(default=0, ge=0)
    low: int = 0
    high: int = 10
    holder: int = 0

    @model_validator(mode="after")
    def in_order(self) -> Counter:
        if self.low > self.high:
            raise ValueError("low is above high")
        return self

    @zproc.action
    def add(self, by: int) -> int:
        self.n += by
        return self.n


@zproc.atomic
def increment(state: Counter) -> None:
    state.n += 1


@zproc.atomic
def hold_for_ever(state: Counter, marker: str) -> None:
    state.n += 100
    Path(marker).write_text(str(os.getpid()))
    while True:
        time.sleep(10)


@zproc.atomic
def hold_until(state: Counter, marker: str, release: str) -> None:
    state.n += 100
    Path(marker).write_text(str(os.getpid()))
    while not Path(release).exists():
        time.sleep(0.005)


def add_often(state: Counter, times: int) -> None:
    for _ in range(times):
        state.n += 1


def increment_often(state: Counter, times: int, log: str) -> int:
    """Increment, and note each time that it was acknowledged."""
    with open(log, "ab", buffering=0) as acknowledged:
        for _ in range(times):
            increment(state)
            acknowledged.write(b".")
    return times


class TestP4Turns:
    def test_p4_a_holder_that_is_killed_frees_the_turn_at_once_and_nothing_of_it_is_applied(
        self, method: str, tmp_path: Path, eventually: Eventually
    ) -> None:
        marker = tmp_path / "holds"
        with zproc.Context(Counter, start_method=method) as ctx:
            holder = ctx.spawn(hold_for_ever, str(marker))
            eventually(lambda: marker.exists() and marker.read_text())
            os.kill(int(marker.read_text()), signal.SIGKILL)
            began = time.monotonic()
            increment(ctx.state)
            assert time.monotonic() - began < 1.0
            assert ctx.state.n == 1
            with pytest.raises(zproc.ProcessError) as caught:
                holder.wait(5)
            assert caught.value.signal is signal.SIGKILL

    def test_p4_p8_a_holder_that_is_stopped_past_the_limit_delays_others_by_the_limit_only_and_is_refused(
        self, method: str, tmp_path: Path, eventually: Eventually
    ) -> None:
        marker, release = tmp_path / "holds", tmp_path / "release"
        with zproc.Context(Counter, start_method=method, limits=zproc.Limits(lease_time=1.0)) as ctx:
            holder = ctx.spawn(hold_until, str(marker), str(release))
            eventually(lambda: marker.exists() and marker.read_text())
            pid = int(marker.read_text())
            os.kill(pid, signal.SIGSTOP)
            began = time.monotonic()
            assert ctx.state.n == 0, "readers do not wait"
            assert time.monotonic() - began < 0.9
            increment(ctx.state)
            assert time.monotonic() - began < 3.0
            release.touch()
            os.kill(pid, signal.SIGCONT)
            with pytest.raises(zproc.RemoteError) as caught:
                holder.wait(5)
            assert isinstance(caught.value.__cause__, zproc.LeaseLost)
            assert ctx.state.n == 1

    @pytest.mark.parametrize("end", [ValueError("mine"), KeyboardInterrupt(), SystemExit(3)], ids=repr)
    def test_p4_an_exception_in_an_atomic_frees_the_turn_and_is_the_callers(self, end: BaseException) -> None:
        @zproc.atomic
        def fail(state: Counter) -> None:
            state.n = 7
            raise end

        with zproc.Context(Counter) as ctx:
            with pytest.raises(type(end)) as caught:
                fail(ctx.state)
            assert caught.value is end
            increment(ctx.state)
            assert ctx.state.n == 1

    def test_p4_the_live_state_inside_of_its_own_atomic_is_an_error_at_once(self) -> None:
        with zproc.Context(Counter) as ctx:

            @zproc.atomic
            def wrong(state: Counter) -> None:
                ctx.state.n += 1

            with pytest.raises(zproc.UsageError, match="the draft"):
                wrong(ctx.state)
            assert ctx.state.n == 0


class TestP8Others:
    def test_p8_clients_that_send_rubbish_or_nothing_disturb_nobody(self) -> None:
        with zproc.Context(Counter) as ctx:
            path = ctx.address.removeprefix("unix://")
            rude = [socket.socket(socket.AF_UNIX) for _ in range(50)]
            for number, one in enumerate(rude):
                one.connect(path)
                if number % 2:
                    one.sendall(bytes([number % 256]) * 1000)
            for _ in range(20):
                increment(ctx.state)
            assert ctx.state.n == 20
            for one in rude:
                one.close()


class Boom:
    """Runs code wherever it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("/nonexistent/p9",)


class TestP9Data:
    def test_p9_pickle_bytes_on_the_wire_are_refused_and_never_run(self) -> None:
        with zproc.Context(Counter) as ctx:
            payload = pickle.dumps(Boom())
            with socket.socket(socket.AF_UNIX) as one:
                one.connect(ctx.address.removeprefix("unix://"))
                one.sendall(len(payload).to_bytes(4, "big") + payload)
                one.settimeout(5)
                while one.recv(65536):
                    pass
            increment(ctx.state)
            assert ctx.state.n == 1


class TestP11Survivors:
    # Who survives whom is told by test_survivors.py.
    def test_p11_the_server_ignores_ctrl_c_and_goes_with_its_owner(self, method: str, eventually: Eventually) -> None:
        with zproc.Context(Counter, start_method=method) as ctx:
            assert ctx._host is not None
            os.kill(ctx._host.pid, signal.SIGINT)
            increment(ctx.state)
            assert ctx.state.n == 1
            server = psutil.Process(ctx._host.pid)
        assert not server.is_running()


class TestP12Hangs:
    def test_p12_no_server_at_the_address_is_an_error_within_a_second(self, runtime_directory: str) -> None:
        began = time.monotonic()
        with pytest.raises(zproc.Unavailable, match="nobody"):
            zproc.Context(Counter, address=f"unix://{runtime_directory}/nobody")
        assert time.monotonic() - began < 1.0

    def test_p12_another_schema_is_refused_with_the_difference_in_words(self) -> None:
        class Other(zproc.StateModel):
            n: str = ""
            extra: int = 0

        with zproc.Context(Counter) as ctx, pytest.raises(zproc.SchemaMismatch) as caught:
            zproc.Context(Other, address=ctx.address)
        assert any("extra" in line for line in caught.value.differences)

    def test_p12_a_server_that_dies_is_an_error_for_whoever_waits(self, eventually: Eventually) -> None:
        with zproc.Context(Counter) as ctx:
            assert ctx._host is not None
            raised: list[BaseException] = []

            def wait() -> None:
                try:
                    ctx.state.get_when_equal("n", 5)
                except zproc.Error as error:
                    raised.append(error)

            thread = threading.Thread(target=wait)
            thread.start()
            increment(ctx.state)
            os.kill(ctx._host.pid, signal.SIGKILL)
            began = time.monotonic()
            thread.join(5)
            assert time.monotonic() - began < 1.5
            assert isinstance(raised[0], zproc.Unavailable)
            with pytest.raises(zproc.Unavailable):
                increment(ctx.state)

    def test_p12_a_closed_context_says_so(self) -> None:
        ctx = zproc.Context(Counter)
        state = ctx.state
        ctx.close()
        ctx.close()
        for use in (lambda: ctx.state, lambda: state.n, lambda: increment(state), lambda: ctx.spawn(increment)):
            with pytest.raises(zproc.UsageError, match="closed"):
                use()

    def test_p12_a_child_that_cannot_begin_is_an_error_and_no_hang(self, method: str) -> None:
        def fail(snapshot: Counter, state: Counter) -> None:
            raise ValueError("no")

        with zproc.Context(Counter, start_method=method) as ctx:
            process = ctx.call_when_change("n")(fail)
            increment(ctx.state)
            with pytest.raises(zproc.RemoteError) as caught:
                process.wait(5)
            assert isinstance(caught.value.__cause__, ValueError)


class TestCount:
    @pytest.mark.timeout(120)
    def test_8_processes_of_1000_increments_give_exactly_8000(self) -> None:
        """By the operator on the live number, which reads and writes in one step at the server."""
        with zproc.Context(Counter) as ctx:
            processes = [ctx.spawn(add_often, 1_000) for _ in range(8)]
            for process in processes:
                process.wait(100)
            assert ctx.state.n == 8_000

    @pytest.mark.timeout(120)
    def test_8_processes_of_500_increments_lose_none(self, method: str, tmp_path: Path) -> None:
        """The final count is what was acknowledged, some of the processes being killed on the way."""
        logs = [tmp_path / f"log{number}" for number in range(8)]
        for log in logs:
            log.touch()  # who is killed early may not have come to it
        with zproc.Context(Counter, start_method=method) as ctx:
            victims = [ctx.spawn(increment_often, sys.maxsize, str(log)) for log in logs[:3]]
            others = [ctx.spawn(increment_often, 500, str(log)) for log in logs[3:]]
            for victim, at in zip([psutil.Process(each.pid) for each in victims], (200, 600, 900), strict=True):
                while ctx.state.n < at:
                    ctx.state.get_when_change("n")
                victim.kill()
            for process in others:
                assert process.wait(100) == 500
            for process in victims:
                with pytest.raises(zproc.ProcessError):
                    process.wait(5)
            acknowledged = [log.stat().st_size for log in logs]
            assert acknowledged[3:] == [500] * 5
            assert sum(acknowledged) <= ctx.state.n <= sum(acknowledged) + 3, "one each may be unacknowledged"
