"""Who may listen where, and who may connect: keys, tokens, users. The matrix of keys, over real sockets."""

from __future__ import annotations

import logging
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zmq

from zproc.exceptions import AuthenticationError, Unavailable, UsageError
from zproc.transport import Limits, connect, dealer, listen, parse_address, router, token, with_keys
from zproc.transport.dealer import DealerChannel
from zproc.transport.endpoint import Endpoint, endpoint_of
from zproc.transport.keys import ClientKeys, client_keys, make_keys
from zproc.transport.rendezvous import Credentials
from zproc.transport.router import RouterListener
from zproc.transport.token import claim_address, new_token, publish_token

Wire = Any  # the fixtures of conftest.py, which cannot be imported from


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    make_keys(str(tmp_path / "keys"), ["client"])
    return tmp_path / "keys"


@pytest.fixture
def keyed(keys: Path, tcp: Wire) -> RouterListener:
    """A server with keys."""
    listener = tcp.listen(address=with_keys(tcp.address, str(keys / "server")))
    assert isinstance(listener, RouterListener)
    return listener


@contextmanager
def connecting_with(keys: ClientKeys | None) -> Iterator[None]:
    """Have clients connect with other keys than they should."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dealer, "endpoint_of", lambda address, _: Endpoint(f"tcp://{address.place}", keys))
        yield


def refused(wire: Wire, within: float = 1.0) -> str:
    """Connect, and return why not; it must not take long."""
    begin = time.monotonic()
    with pytest.raises(AuthenticationError) as caught:
        DealerChannel(parse_address(wire.address))
    assert time.monotonic() - begin < within
    return caught.value.reason


class TestKeys:
    def test_who_has_the_right_ones_is_let_in(self, keys: Path, tcp: Wire, keyed: RouterListener) -> None:
        for name in ("client", "server"):
            channel = connect(with_keys(tcp.address, str(keys / name)))
            (opened,) = tcp.arrivals(keyed, 1)
            channel.send(b"hello")
            assert tcp.frames(keyed, 1) == [b"hello"]
            keyed.send(opened.peer, b"welcome")
            assert channel.recv(20) == b"welcome"
            channel.close()
            tcp.closed(keyed, opened.peer)

    def test_a_client_that_expects_another_server_is_told_so(
        self, keys: Path, tcp: Wire, keyed: RouterListener
    ) -> None:
        right = client_keys(str(keys / "client"))
        with connecting_with(ClientKeys(right.secret, right.public, zmq.curve_keypair()[0])):
            assert "not the one whose key this client has" in refused(tcp)
        self._and_the_right_one_still_is_let_in(keys, tcp, keyed)

    def test_a_client_that_the_server_does_not_know_is_told_so(
        self, keys: Path, tcp: Wire, keyed: RouterListener, caplog: pytest.LogCaptureFixture
    ) -> None:
        right = client_keys(str(keys / "client"))
        public, secret = zmq.curve_keypair()
        with caplog.at_level(logging.WARNING), connecting_with(ClientKeys(secret, public, right.server)):
            assert "does not know this client's key" in refused(tcp)
        assert "127.0.0.1 was not let in" in caplog.text
        self._and_the_right_one_still_is_let_in(keys, tcp, keyed)

    def test_a_client_without_keys_is_told_so(self, keys: Path, tcp: Wire, keyed: RouterListener) -> None:
        """By ZeroMQ's word for it, or by the connection's end, whichever comes first."""
        with connecting_with(None):
            assert refused(tcp)
        self._and_the_right_one_still_is_let_in(keys, tcp, keyed)

    def test_a_client_that_was_given_none_is_told_what_to_give(self, tcp: Wire, keyed: RouterListener) -> None:
        assert "keys=" in refused(tcp)

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
    def test_when_the_thread_that_checks_is_dead_nobody_is_let_in(
        self, keys: Path, tcp: Wire, keyed: RouterListener
    ) -> None:
        """Fail closed: not even who has the right keys."""
        assert keyed._check is not None

        def die(_: bytes) -> bool:
            raise GeneratorExit

        keyed._check._allowed = die
        with pytest.raises((AuthenticationError, Unavailable)):
            connect(with_keys(tcp.address, str(keys / "client")))
        keyed._check.join()
        begin = time.monotonic()
        with pytest.raises((AuthenticationError, Unavailable)):
            connect(with_keys(tcp.address, str(keys / "client")))
        assert time.monotonic() - begin < 1.5
        assert keyed.poll(0) == []

    def test_a_list_that_cannot_be_read_lets_nobody_in(self, keys: Path, tcp: Wire, keyed: RouterListener) -> None:
        (keys / "server" / "clients").unlink()
        with pytest.raises(AuthenticationError):
            connect(with_keys(tcp.address, str(keys / "client")))

    def _and_the_right_one_still_is_let_in(self, keys: Path, tcp: Wire, keyed: RouterListener) -> None:
        channel = connect(with_keys(tcp.address, str(keys / "client")))
        channel.send(b"still")
        assert tcp.frames(keyed, 1) == [b"still"]
        channel.close()


class TestWhereServersStart:
    @pytest.mark.parametrize("host", ["0.0.0.0", "*", "[::]", "192.0.2.7"])
    def test_an_address_that_others_can_reach_needs_keys(self, host: str) -> None:
        """The error says how to get and how to give them."""
        with pytest.raises(UsageError, match=r"needs keys.*zproc keys new DIR.*--keys") as caught:
            listen(f"tcp://{host}:5000")
        assert host in str(caught.value)

    def test_with_keys_it_is_listened_at(self, keys: Path, tcp: Wire) -> None:
        port = tcp.address.rsplit(":", 1)[1]
        listener = tcp.listen(address=with_keys(f"tcp://0.0.0.0:{port}", str(keys / "server")))
        assert listener.address == f"tcp://0.0.0.0:{port}?keys={keys}/server"
        channel = connect(with_keys(tcp.address, str(keys / "client")))
        tcp.arrivals(listener, 1)
        channel.close()

    def test_port_0_is_one_that_is_free(self, tcp: Wire) -> None:
        """And is told, and found with its token."""
        listener = tcp.listen(address="tcp://127.0.0.1:0")
        assert not listener.address.endswith(":0")
        channel = connect(listener.address)
        tcp.arrivals(listener, 1)
        channel.close()

    def test_a_name_of_this_machine_is_found_by_its_number_too(self, tcp: Wire) -> None:
        port = tcp.address.rsplit(":", 1)[1]
        listener = tcp.listen(address=f"tcp://localhost:{port}")
        for host in ("localhost", "127.0.0.1"):
            channel = connect(f"tcp://{host}:{port}")
            tcp.arrivals(listener, 1)
            channel.close()

    def test_a_port_that_another_program_has_is_in_use(self, tcp: Wire) -> None:
        host, port = tcp.address.removeprefix("tcp://").split(":")
        with (
            socket.create_server((host, int(port))),
            pytest.raises(UsageError, match="address in use by another process"),
        ):
            tcp.listen()
        tcp.listen()

    @pytest.mark.parametrize("place", ["127.0.0.1", "127.0.0.1:x", ":5000", "127.0.0.1:99999", "127.0.0.1:-1"])
    def test_what_is_no_host_and_port_is_refused(self, place: str) -> None:
        for call in (listen, connect):
            with pytest.raises(UsageError, match="is not of the form tcp://host:port"):
                call(f"tcp://{place}")

    @pytest.mark.parametrize("address", ["tcp://no.such.host.invalid:5000"])
    def test_a_host_that_is_none_is_refused(self, address: str) -> None:
        for call in (listen, connect):
            with pytest.raises(UsageError, match="there is no host"):
                call(address)

    def test_a_path_is_private(self, ipc: Wire) -> None:
        before = os.umask(0)
        try:
            ipc.listen()
        finally:
            os.umask(before)
        assert stat.S_IMODE(os.lstat(ipc.address.removeprefix("ipc://")).st_mode) == 0o600

    def test_a_socket_that_a_killed_server_left_is_replaced(self, ipc: Wire) -> None:
        path = ipc.address.removeprefix("ipc://")
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(path)
        ipc.pair()

    def test_a_path_that_another_transport_listens_at_is_in_use(self, ipc: Wire) -> None:
        """And the other way round: one lock for both."""
        unix = ipc.address.replace("ipc://", "unix://")
        listener = listen(unix)
        with pytest.raises(UsageError, match="address in use"):
            ipc.listen()
        listener.close()
        ipc.listen()
        with pytest.raises(UsageError, match="address in use"):
            listen(unix)

    def test_a_file_that_is_no_socket_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("precious")
        with pytest.raises(UsageError, match="is not a socket"):
            listen(f"ipc://{tmp_path}/file")
        assert (tmp_path / "file").read_text() == "precious"


class TestWhereClientsConnect:
    def test_to_another_machine_they_need_keys(self) -> None:
        with pytest.raises(UsageError, match=r"is known by its key.*zproc keys new"):
            connect("tcp://192.0.2.7:5000")

    def test_a_port_is_needed(self) -> None:
        with pytest.raises(UsageError, match="a port is needed"):
            connect("tcp://127.0.0.1:0")

    def test_a_token_of_a_server_that_is_gone_is_of_no_use(self, tcp: Wire) -> None:
        host, port = tcp.address.removeprefix("tcp://").split(":")
        claim = claim_address(host, int(port))
        publish_token(claim, new_token())
        with pytest.raises(Unavailable, match="nobody listens here"):
            connect(tcp.address)
        claim.release()

    def test_somebody_else_s_program_is_told_from_a_server(self, tcp: Wire) -> None:
        """A port that is listened at by who knows whom, with and without a token of ours for it."""
        host, port = tcp.address.removeprefix("tcp://").split(":")
        with socket.create_server((host, int(port))) as server:
            with pytest.raises(AuthenticationError, match="left no token"):
                connect(tcp.address)
            server.accept()[0].close()
            claim = claim_address(host, int(port))
            publish_token(claim, new_token())
            begin = time.monotonic()
            with pytest.raises(Unavailable, match="no answer"):
                connect(tcp.address, timeout=0.2)
            assert time.monotonic() - begin < 1
            claim.release()

    def test_a_server_that_is_killed_while_it_is_asked_is_told_from_a_wrong_one(self, tcp: Wire, helper: Any) -> None:
        host, port = tcp.address.removeprefix("tcp://").split(":")
        claim = claim_address(host, int(port))
        publish_token(claim, new_token())
        with socket.create_server((host, int(port))) as server:
            server.settimeout(10)
            connecting = helper(lambda: connect(tcp.address))
            peer, _ = server.accept()
        peer.close()
        with pytest.raises(Unavailable, match="has ended before it has answered"):
            connecting.outcome()
        claim.release()

    def test_a_token_that_is_old_is_told_from_a_server_that_is_gone(self, tcp: Wire) -> None:
        tcp.listen()
        endpoint = endpoint_of(parse_address(tcp.address), 1)
        assert endpoint.keys is not None
        host, port = tcp.address.removeprefix("tcp://").split(":")
        with open(token._path(host, int(port)), "w") as file:
            file.write(new_token().hex())
        assert "not the one whose key" in refused(tcp)

    def test_a_socket_of_another_user_is_not_connected_to(self, ipc: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
        ipc.listen()
        uid = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
        if uid == 0:
            pytest.skip("root is trusted by everybody, so there is no other user to be")
        with pytest.raises(Unavailable, match="neither ours nor root"):
            connect(ipc.address)

    def test_a_peer_of_another_user_is_refused(self, ipc: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
        """The kernel says who it is, whatever it says itself."""
        listener = ipc.listen(Limits())
        monkeypatch.setattr(router, "_credentials", lambda _: Credentials(1, os.geteuid() + 1))
        channel = ipc.connect()
        told: list[str] = []
        while not told:
            assert listener.poll(0.01) == []
            try:
                channel.recv(0)
            except Unavailable as error:
                told.append(error.reason)
            except TimeoutError:
                pass
        assert "may not connect here" in told[0]


def test_importing_zproc_does_not_load_zeromq() -> None:
    uses = "zproc.Context; zproc.transport.fresh_address()"
    program = f"import sys, zproc.transport; {uses}; sys.exit('zmq' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
