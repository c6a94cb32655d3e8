"""Servers with an address: started, joined, lost and found again; over every transport."""

from __future__ import annotations

import os
import resource
import signal
import time
from pathlib import Path
from typing import Any, Protocol

import psutil
import pytest
from pydantic import Field

import zproc
from tests.ports import free_port
from zproc.transport import fresh_address, runtime_directory
from zproc.transport.keys import make_keys


class State(zproc.StateModel):
    n: int = Field(default=0, ge=0)
    name: str = ""

    @zproc.action
    def add(self, by: int) -> int:
        self.n += by
        return self.n


class Eventually(Protocol):
    def __call__(self, condition: object, within: float = 5.0) -> None: ...


@pytest.fixture(params=["unix", "ipc", "tcp"])
def address(request: pytest.FixtureRequest) -> str:
    if request.param == "tcp":
        return f"tcp://127.0.0.1:{free_port()}"
    return fresh_address().replace("unix", request.param)


@pytest.fixture
def tcp_address() -> str:
    return f"tcp://127.0.0.1:{free_port()}"


class TestStarting:
    def test_a_server_has_an_address_and_a_process(self, address: str, eventually: Eventually) -> None:
        with zproc.start_server(State, address=address) as server:
            assert server.address == address
            assert psutil.pid_exists(server.pid)
            few, most = psutil.Process(server.pid).rlimit(psutil.RLIMIT_NOFILE)
            assert few == most, "each client costs descriptors"
            pulse = zproc.ping(address, timeout=5)
            assert pulse.pid == server.pid
            assert 0 < pulse.latency < 5
        eventually(lambda: not psutil.pid_exists(server.pid))  # the fork server tells of a death just before it reaps
        with pytest.raises(zproc.Unavailable):
            zproc.ping(address)

    @pytest.mark.parametrize("room", [0, 100])
    def test_on_a_full_disk_it_says_so_and_leaves_no_file(self, tmp_path: Path, room: int) -> None:
        """At whichever of its files the space runs out."""
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
        try:
            with pytest.raises(zproc.Unavailable, match="cannot"):
                zproc.start_server(State, address=f"unix://{tmp_path}/s", start_method="spawn")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert os.listdir(tmp_path) == []

    def test_it_is_joined_by_its_address(self, address: str) -> None:
        with (
            zproc.start_server(State, address=address),
            zproc.Context(State, address=address) as one,
            zproc.Context(State, address=address) as two,
        ):
            assert one.state.add(5) == 5
            assert two.state.n == 5
            two.state.n += 1
            assert one.state.get_when_equal("n", 6, timeout=5).n == 6
            assert one.ping().pid == two.ping().pid

    def test_a_context_may_start_it_at_its_address(self, tcp_address: str) -> None:
        with zproc.Context(State, address=tcp_address, start_server=True) as ctx:
            assert ctx.address == tcp_address
            with zproc.Context(State, address=tcp_address, start_server=False) as other:
                other.state.n = 3
            assert ctx.state.n == 3
        with pytest.raises(zproc.Unavailable):
            zproc.ping(tcp_address)

    def test_one_that_is_in_use_is_refused_by_its_holder(self, address: str) -> None:
        with zproc.start_server(State, address=address) as server:
            for start in (
                lambda: zproc.start_server(State, address=address),
                lambda: zproc.Context(State, address=address, start_server=True),
            ):
                with pytest.raises(zproc.UsageError, match=f"address in use by process {server.pid}"):
                    start()
            assert zproc.ping(address).pid == server.pid

    def test_processes_work_on_it(self, tcp_address: str) -> None:
        """The state travels to them as its address."""
        with zproc.Context(State, address=tcp_address, start_server=True) as ctx:

            def work(state: State, times: int) -> int:
                for _ in range(times):
                    state.add(1)
                return state.n

            for process in [ctx.spawn(work, 10) for _ in range(3)]:
                process.wait(20)
            assert ctx.state.n == 30

    def test_atomic_functions_wait_for_each_other(self, tcp_address: str) -> None:
        with zproc.Context(State, address=tcp_address, start_server=True) as ctx:

            @zproc.atomic
            def double(state: State) -> None:
                state.n = state.n + 1

            def work(state: State) -> None:
                for _ in range(20):
                    double(state)

            for process in [ctx.spawn(work) for _ in range(3)]:
                process.wait(20)
            assert ctx.state.n == 60

    def test_without_an_address_it_is_one_that_nobody_uses(self) -> None:
        with zproc.start_server(State) as one, zproc.start_server(State, namespace="other") as two:
            assert one.address != two.address
            with zproc.Context(State, address=two.address, namespace="other") as ctx:
                assert ctx.state.n == 0

    def test_nothing_is_left_of_one_that_was_killed(self, address: str) -> None:
        server = zproc.start_server(State, address=address)
        os.kill(server.pid, signal.SIGKILL)
        server.stop()
        assert not [name for name in os.listdir(runtime_directory()) if "tcp" in name]
        with zproc.start_server(State, address=address) as again:
            assert zproc.ping(address).pid == again.pid


class TestSettings:
    def test_programs_join_where_their_environment_says(
        self, tcp_address: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The same program runs alone or as one of many."""
        with zproc.start_server(State, address=tcp_address) as server:
            monkeypatch.setenv("ZPROC_ADDRESS", tcp_address)
            for start_server in (None, False):
                with zproc.Context(State, start_server=start_server) as ctx:
                    assert ctx.ping().pid == server.pid
            with zproc.Context(State, start_server=True) as alone:
                assert alone.ping().pid != server.pid

    def test_a_join_without_an_address_says_what_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("ZPROC_ADDRESS", raising=False)
        with pytest.raises(zproc.UsageError, match="give address=, or set ZPROC_ADDRESS"):
            zproc.Context(State, start_server=False)
        with pytest.raises(zproc.UsageError, match="keys are for"):
            zproc.Context(State, keys="/nowhere")

    def test_the_secret_key_of_the_original_names_what_took_its_place(self) -> None:
        for call in (
            lambda: zproc.Context(State, secret_key="s"),  # type: ignore[call-overload]  # as in the original
            lambda: zproc.start_server(State, secret_key="s"),  # type: ignore[arg-type]  # as in the original
            lambda: zproc.ping("tcp://127.0.0.1:1", secret_key="s"),  # type: ignore[arg-type]  # as in the original
        ):
            with pytest.raises(zproc.UsageError, match=r"secret_key.*zproc keys new.*keys="):
                call()

    def test_an_address_in_memory_is_of_one_process(self) -> None:
        """A server in another one would listen where nobody can come."""
        for start in (
            lambda: zproc.start_server(State, address="memory://x"),
            lambda: zproc.Context(State, address="memory://x", start_server=True),
        ):
            with pytest.raises(zproc.UsageError, match=r"memory://x: .* of one process.*unix:///path.*MemoryServer"):
                start()

    def test_an_address_that_others_can_reach_needs_keys(self) -> None:
        for start in (
            lambda: zproc.start_server(State, address="tcp://0.0.0.0:0"),
            lambda: zproc.Context(State, address="tcp://0.0.0.0:0", start_server=True),
        ):
            with pytest.raises(zproc.UsageError, match=r"needs keys.*zproc keys new"):
                start()


class TestKeys:
    @pytest.fixture
    def keys(self, tmp_path: Path) -> Path:
        make_keys(str(tmp_path), ["client", "stranger"])
        (tmp_path / "server" / "clients").write_bytes((tmp_path / "client" / "public.key").read_bytes())
        return tmp_path

    def test_who_has_them_joins_and_so_do_his_processes(self, keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        address = f"tcp://0.0.0.0:{free_port()}"
        near = address.replace("0.0.0.0", "127.0.0.1")
        with zproc.start_server(State, address=address, keys=str(keys / "server")) as server:
            with zproc.Context(State, address=near, keys=str(keys / "client")) as ctx:

                def work(state: State) -> int:
                    return state.add(7)

                assert ctx.spawn(work).wait(20) == 7
            with zproc.Context(State, address=server.address) as own:
                assert own.state.n == 7
            monkeypatch.setenv("ZPROC_KEYS", str(keys / "client"))
            assert zproc.ping(near).pid == server.pid

    @pytest.mark.parametrize("who", ["stranger", "nobody"])
    def test_who_has_none_that_are_known_is_refused_within_a_second(self, keys: Path, who: str) -> None:
        address = f"tcp://127.0.0.1:{free_port()}"
        with zproc.start_server(State, address=address, keys=str(keys / "server")):
            used = str(keys / who) if who != "nobody" else None
            for join in (
                lambda: zproc.ping(address, keys=used),
                lambda: zproc.Context(State, address=address, keys=used),
            ):
                begin = time.monotonic()
                with pytest.raises(zproc.AuthenticationError):
                    join()
                assert time.monotonic() - begin < 1


class TestLosing:
    """A server that is lost, and is there again: the same by its address, another by its epoch."""

    def test_who_loses_it_is_told_and_reaches_the_next_one_by_himself(self, address: str) -> None:
        server = zproc.start_server(State, address=address)
        with zproc.Context(State, address=address) as ctx:
            ctx.state.n = 5
            os.kill(server.pid, signal.SIGKILL)
            server.stop()
            begin = time.monotonic()
            with pytest.raises(zproc.Unavailable):
                ctx.state.snapshot()
            with pytest.raises(zproc.Unavailable):
                ctx.state.n = 6
            assert time.monotonic() - begin < 3
            with zproc.start_server(State, address=address):
                assert ctx.state.n == 0, "it is another life, and its state begins anew"
                ctx.state.n = 7
                assert ctx.state.n == 7

    def test_a_watcher_is_told_of_the_next_one(self, address: str) -> None:
        server = zproc.start_server(State, address=address)
        with zproc.Context(State, address=address) as ctx:
            changes: Any = ctx.state.changes("n", timeout=10)
            ctx.state.n = 5
            assert next(changes).new == 5
            os.kill(server.pid, signal.SIGKILL)
            server.stop()
            with pytest.raises(zproc.Unavailable):
                next(changes)
            with zproc.start_server(State, address=address):
                told = next(changes)
                assert isinstance(told, zproc.Resync), "revisions of two lives are not one sequence"
                ctx.state.n = 9
                assert next(changes).new == 9

    def test_who_asks_again_and_again_is_held_back(self, tcp_address: str) -> None:
        """A thousand of them must not keep a server busy that is just coming back."""
        server = zproc.start_server(State, address=tcp_address)
        with zproc.Context(State, address=tcp_address) as ctx:
            server.stop()
            tries = 0
            until = time.monotonic() + 0.5
            while time.monotonic() < until:
                with pytest.raises(zproc.Unavailable):
                    ctx.state.snapshot()
                tries += 1
            assert tries < 10
            with zproc.start_server(State, address=tcp_address):
                begin = time.monotonic()
                assert ctx.state.snapshot().n == 0
                assert time.monotonic() - begin < 2

    def test_several_servers_and_clients_in_one_process_keep_apart(self, tcp_address: str) -> None:
        with (
            zproc.start_server(State, address=tcp_address),
            zproc.start_server(State) as second,
            zproc.Context(State, address=tcp_address) as one,
            zproc.Context(State, address=second.address) as two,
            zproc.Context(State, address=second.address) as three,
        ):
            one.state.n, two.state.n = 1, 2
            assert (one.state.n, two.state.n, three.state.n) == (1, 2, 2)
