"""What a client holds of the state is the newest, or is asked for: across processes, threads, forks and servers."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

import zproc
from zproc.client import handle
from zproc.transport import fresh_address

if TYPE_CHECKING:
    from tests.integration.conftest import Eventually


class Shop(zproc.StateModel):
    cookies: int = 0
    seen: int = 0
    stock: dict[str, int] = {}

    @zproc.action
    def bake(self, n: int) -> int:
        self.cookies += n
        return self.cookies


def another_shop() -> type[zproc.StateModel]:
    """A model of the same name, of a program that has moved on."""

    class Shop(zproc.StateModel):
        biscuits: int = 0
        seen: str = ""
        stock: dict[str, int] = {}

        @zproc.action
        def bake(self, n: float) -> int:
            return 0

    return Shop


def answer_each(state: Shop, times: int) -> int:
    """Wait for each number without asking the server twice, by reading alone, and say that it was seen."""
    read = 0
    for number in range(1, times + 1):
        while state.cookies != number:
            read += 1
        state.seen = number
    return read


class TestReading:
    def test_p2_what_one_process_was_acknowledged_every_other_reads(self, method: str) -> None:
        """Ping-pong by nothing but reads and writes: whoever reads a stale value forever hangs."""
        with zproc.Context(Shop, start_method=method) as ctx:
            other = ctx.spawn(answer_each, 50)
            for number in range(1, 51):
                ctx.state.cookies = number
                while ctx.state.seen != number:
                    pass
            assert other.wait(20) >= 0

    def test_p7_a_client_never_reads_an_older_state_than_before(self) -> None:
        with zproc.Context(Shop) as ctx:
            stop = threading.Event()
            went_back: list[tuple[int, int]] = []

            def read() -> None:
                last = 0
                while not stop.is_set():
                    now = ctx.state.cookies
                    if now < last:
                        went_back.append((last, now))
                    last = now

            threads = [threading.Thread(target=read) for _ in range(2)]
            for thread in threads:
                thread.start()
            for number in range(1, 100):
                ctx.state.cookies = number
                assert ctx.state.cookies == number, "P7: its own write"
            stop.set()
            for thread in threads:
                thread.join(10)
            assert went_back == []

    @pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a fork beside threads, on later Pythons
    def test_p2_p7_a_forked_child_reads_on_and_is_a_client_of_its_own(self) -> None:
        with zproc.Context(Shop) as ctx:
            ctx.state.cookies = 1
            assert ctx.state.cookies == 1
            reading, writing = os.pipe()
            pid = os.fork()
            if pid == 0:
                seen = [ctx.state.cookies]
                ctx.state.cookies += 1
                seen.append(ctx.state.cookies)
                while ctx.state.cookies != 3:
                    pass
                os.write(writing, repr(seen).encode())
                os._exit(0)
            while ctx.state.cookies != 2:
                pass
            ctx.state.cookies += 1
            assert os.waitpid(pid, 0)[1] == 0
            assert os.read(reading, 100) == b"[1, 2]"
            os.close(reading)
            os.close(writing)

    def test_a_replica_is_held_once_for_all_handles_of_a_process(self) -> None:
        with zproc.Context(Shop) as ctx:
            ctx.state.stock = {str(number): number for number in range(500)}
            handles = [ctx.state for _ in range(50)]
            assert all(each.stock["7"] == 7 for each in handles)
            clients = {id(handle.address_of(each)[0]) for each in handles}  # type: ignore[arg-type]  # what it is
            assert len(clients) == 1


@pytest.fixture(params=["stopped", "killed"])
def end(request: pytest.FixtureRequest) -> Callable[[zproc.Server], None]:
    def kill(server: zproc.Server) -> None:
        os.kill(server.pid, signal.SIGKILL)
        server.stop()

    return kill if request.param == "killed" else zproc.Server.stop


class TestAnotherServer:
    """One that was started anew at the same address has another epoch: its revisions are not those of the old one."""

    def test_p2_nothing_is_read_of_the_old_state(self, end: Callable[[zproc.Server], None]) -> None:
        address = fresh_address()
        server = zproc.start_server(Shop, address=address)
        with zproc.Context(Shop, address=address) as ctx:
            state = ctx.state
            state.cookies = 41
            assert state.cookies == 41, "held now, with the revision word"
            end(server)
            server = zproc.start_server(Shop, address=address)
            try:
                with zproc.Context(Shop, address=address) as another:
                    another.state.seen = 1  # the new server has the old one's revision now: 1
                assert (state.cookies, state.seen) == (0, 1)
                state.cookies += 1
                assert state.cookies == 1
                assert [commit.revision for commit in ctx.history()] == [1, 2]
            finally:
                server.stop()

    def test_p12_a_reader_learns_soon_that_the_server_was_killed(self) -> None:
        """Its revision word stays as it was, so that nothing held would ever look old."""
        server = zproc.start_server(Shop, address=fresh_address())
        with zproc.Context(Shop, address=server.address) as ctx:
            ctx.state.cookies = 1
            assert ctx.state.cookies == 1
            os.kill(server.pid, signal.SIGKILL)
            end = time.monotonic() + 5  # of these, one in which it may come back, and the rest for a busy machine

            def read_on() -> None:
                while time.monotonic() < end:
                    assert ctx.state.cookies == 1

            with pytest.raises(zproc.Unavailable):
                read_on()
            server.stop()

    def test_whoever_was_told_a_revision_is_told_of_the_new_life(self, end: Callable[[zproc.Server], None]) -> None:
        address = fresh_address()
        server = zproc.start_server(Shop, address=address)
        with zproc.Context(Shop, address=address) as ctx:
            for number in range(5):
                ctx.state.cookies = number
            (epoch,) = {commit.epoch for commit in ctx.history()}
            end(server)
            server = zproc.start_server(Shop, address=address)
            try:
                with pytest.raises(zproc.HistoryGone):
                    ctx.state_at(5)
                ctx.state.cookies = 7
                assert {commit.epoch for commit in ctx.history()}.isdisjoint({epoch})
            finally:
                server.stop()

    def test_p5_12_a_commit_that_the_old_one_may_have_applied_is_unknown(self, eventually: Eventually) -> None:
        """Row 12 and 24: asked again of the new one, it would be applied to another state."""
        address = fresh_address()
        server = zproc.start_server(Shop, address=address)
        told: list[BaseException] = []
        with zproc.Context(Shop, address=address) as ctx:
            ctx.state.cookies = 1
            os.kill(server.pid, signal.SIGSTOP)

            def write() -> None:
                try:
                    ctx.state.cookies = 2
                except zproc.Error as error:
                    told.append(error)

            writing = threading.Thread(target=write)
            writing.start()
            eventually(lambda: _has_unread_bytes(ctx))
            os.kill(server.pid, signal.SIGKILL)
            os.kill(server.pid, signal.SIGCONT)
            server.stop()
            server = zproc.start_server(Shop, address=address)
            try:
                writing.join(10)
                assert isinstance(told[0], zproc.CommitUnknown)
                assert ctx.state.cookies == 0
            finally:
                server.stop()

    def test_another_schema_at_the_address_is_told_field_by_field(self) -> None:
        address = fresh_address()
        server = zproc.start_server(Shop, address=address)
        with zproc.Context(Shop, address=address) as ctx:
            ctx.state.cookies = 1
            server.stop()
            server = zproc.start_server(another_shop(), address=address)
            try:
                with pytest.raises(zproc.SchemaMismatch) as caught:
                    ctx.state.cookies += 1
                text = str(caught.value)
                for name in ("cookies", "biscuits", "seen", "bake()"):
                    assert name in text
                assert "stock" not in text, "what is alike is not named"
            finally:
                server.stop()


def _has_unread_bytes(ctx: zproc.Context[Shop]) -> bool:
    return not ctx._client._idle
