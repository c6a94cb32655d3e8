"""A connection that is cut at every byte, on its way there and on its way back: nothing lost, nothing twice.

In full, at each byte, these are soak tests; a smaller form, at every 23rd byte, is part of every run.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import zproc
from tests.ports import free_port
from zproc.transport import fresh_address
from zproc.transport.token import claim_address, publish_token, read_token

STRIDES = [pytest.param(23, id="sample"), pytest.param(1, id="every", marks=pytest.mark.soak)]


class State(zproc.StateModel):
    n: int = 0
    name: str = ""

    @zproc.action
    def add(self, by: int) -> int:
        self.n += by
        return self.n


class Proxy:
    """Stands between clients and a server, and cuts the connection that it is told to at a byte.

    Args:
        inside: connects to the server.
        outside: where clients come in, listening.
    """

    def __init__(self, inside: Any, outside: socket.socket) -> None:
        self._inside = inside
        self._outside = outside
        self._selector = selectors.DefaultSelector()
        self._selector.register(outside, selectors.EVENT_READ)
        self._peers: dict[socket.socket, socket.socket] = {}
        self._from_server: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._left: int | None = None
        self._of_server = False
        self.was_cut = False
        self._stop, self._stopped = socket.socketpair()
        self._selector.register(self._stopped, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="proxy")
        self._thread.start()

    def cut_after(self, count: int, *, of_server: bool) -> None:
        """Cut, once, after so many bytes more from the server, or else from a client."""
        with self._lock:
            self._left, self._of_server, self.was_cut = count, of_server, False

    def do_not_cut(self) -> None:
        with self._lock:
            self._left = None

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._stopped:
                    return
                if key.fileobj is self._outside:
                    self._accept()
                elif key.fileobj in self._peers:
                    self._pass(key.fileobj)

    def _accept(self) -> None:
        client, _ = self._outside.accept()
        server = self._inside()
        self._peers[client], self._peers[server] = server, client
        self._from_server.add(server)
        for each in (client, server):
            self._selector.register(each, selectors.EVENT_READ)

    def _pass(self, origin: socket.socket) -> None:
        try:
            data = origin.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._end(origin)
            return
        cut = False
        with self._lock:
            if self._left is not None and (origin in self._from_server) == self._of_server:
                cut = self._left < len(data)
                data, self._left = data[: self._left], None if cut else self._left - len(data)
            self.was_cut |= cut
        with contextlib.suppress(OSError):
            self._peers[origin].sendall(data)
        if cut:
            self._end(origin)

    def _end(self, one: socket.socket) -> None:
        for each in (one, self._peers[one]):
            self._selector.unregister(each)
            self._from_server.discard(each)
            del self._peers[each]
            each.close()

    def close(self) -> None:
        self._stop.send(b"!")
        self._thread.join(10)
        for each in list(self._peers):
            each.close()
        self._selector.close()
        for each in (self._outside, self._stop, self._stopped):
            each.close()


@pytest.fixture(params=["unix", "tcp"])
def line(request: pytest.FixtureRequest, serving: Any) -> Iterator[tuple[Any, Proxy, str]]:
    """A server, a proxy before it, and the address of that."""
    with contextlib.ExitStack() as stack:
        if request.param == "unix":
            served = serving(State, address=fresh_address())
            path = fresh_address().removeprefix("unix://")
            outside = socket.socket(socket.AF_UNIX)
            outside.bind(path)
            stack.callback(lambda: os.unlink(path))

            def inside() -> socket.socket:
                connection = socket.socket(socket.AF_UNIX)
                connection.connect(served.address.removeprefix("unix://"))
                return connection

            address = f"unix://{path}"
        else:
            ports = [free_port(), free_port()]
            served = serving(State, address=f"tcp://127.0.0.1:{ports[0]}")
            outside = socket.socket()
            outside.bind(("127.0.0.1", ports[1]))
            claim = claim_address("127.0.0.1", ports[1])
            token = read_token("127.0.0.1", ports[0])
            assert token is not None
            publish_token(claim, token)
            stack.callback(claim.release)

            def inside() -> socket.socket:
                return socket.create_connection(("127.0.0.1", ports[0]))

            address = f"tcp://127.0.0.1:{ports[1]}"
        outside.listen(100)
        proxy = Proxy(inside, outside)
        stack.callback(proxy.close)
        yield served, proxy, address


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("stride", STRIDES)
def test_37_a_watch_batch_that_is_cut_anywhere_is_told_whole_once_and_in_order(line: Any, stride: int) -> None:
    served, proxy, address = line
    for number in range(1, 21):
        served.state.update(n=number, name=f"commit {number}")
    expected = list(range(1, 21))
    with zproc.Context(State, address=address) as ctx:
        cuts = 0
        for count in range(0, 100_000, stride):
            assert ctx.state.n == 20  # by a connection that is there
            stream = ctx.state.commits(since=0, count=20, timeout=20)
            proxy.cut_after(count, of_server=True)
            assert [commit.revision for commit in stream if isinstance(commit, zproc.Commit)] == expected
            stream.close()
            proxy.do_not_cut()
            if not proxy.was_cut:
                break
            cuts += 1
        assert cuts > 1000 // stride, "the batch has more bytes than that"


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("of_server", [False, True], ids=["there", "back"])
def test_a_commit_that_is_cut_anywhere_has_one_effect(line: Any, stride: int, of_server: bool) -> None:
    """On its way there it is sent once more; on the way back its answer is asked for."""
    served, proxy, address = line
    with zproc.Context(State, address=address) as ctx:
        commits = 0
        for count in range(0, 100_000, stride):
            ctx.state.snapshot()
            proxy.cut_after(count, of_server=of_server)
            commits += 1
            assert ctx.state.add(1) == commits
            proxy.do_not_cut()
            assert served.value.n == commits
            if not proxy.was_cut:
                break
        assert commits > 10 // stride
        assert served.revision == commits
