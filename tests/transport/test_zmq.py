"""What ZeroMQ is told, and what its monitor says."""

from __future__ import annotations

import os

import pytest
import zmq

from zproc.exceptions import UsageError
from zproc.transport.keys import client_keys_of_token, server_keys_of_token
from zproc.transport.zmq import (
    DOMAIN,
    Event,
    Monitor,
    new_context,
    open_dealer,
    open_router,
    release_context,
    shared_context,
)


def test_every_option_is_set_before_there_is_a_connection() -> None:
    """By name, so that one that is left out by mistake is missed."""
    context = new_context()
    server, client = server_keys_of_token(b"t"), client_keys_of_token(b"t")
    router, dealer = open_router(context, server, 512), open_dealer(context, client)
    common = {
        zmq.LINGER: 0,
        zmq.HANDSHAKE_IVL: 3000,
        zmq.HEARTBEAT_IVL: 2000,
        zmq.HEARTBEAT_TIMEOUT: 6000,
        zmq.HEARTBEAT_TTL: 6000,
        zmq.TCP_KEEPALIVE: 1,
        zmq.SNDTIMEO: 0,
    }
    for socket in (router, dealer):
        assert {option: socket.get(option) for option in common} == common
        assert 65_573 < int(socket.get(zmq.MAXMSGSIZE)) < 66_000
    told = {zmq.BACKLOG: 512, zmq.CURVE_SERVER: 1, zmq.ZAP_DOMAIN: DOMAIN, zmq.RCVHWM: 64, zmq.ZAP_ENFORCE_DOMAIN: 1}
    assert {option: router.get(option) for option in told} == told
    told = {zmq.IMMEDIATE: 1, zmq.RECONNECT_IVL: -1, zmq.CONNECT_TIMEOUT: 3000, zmq.MECHANISM: zmq.CURVE}
    assert {option: dealer.get(option) for option in told} == told
    for socket in (router, dealer):
        socket.close()
    context.term()


def test_where_the_kernel_tells_who_connects_there_are_no_keys() -> None:
    context = new_context()
    for socket in (open_router(context, None, 512), open_dealer(context, None)):
        assert socket.get(zmq.MECHANISM) == zmq.NULL
        socket.close()
    context.term()


def test_without_curve_nothing_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zmq, "has", lambda _: False)
    with pytest.raises(UsageError, match="no CURVE"):
        new_context()


def test_the_channels_of_a_process_share_a_context_and_the_last_one_ends_it() -> None:
    first = shared_context()
    assert shared_context() is first
    release_context(os.getpid())
    assert not first.closed
    release_context(os.getpid())
    assert first.closed
    assert shared_context() is not first
    release_context(os.getpid())


def test_what_another_process_began_is_not_ended_here() -> None:
    context = shared_context()
    release_context(os.getpid() + 1)
    assert not context.closed
    release_context(os.getpid())


def test_a_monitor_tells_what_happens_in_order() -> None:
    context = new_context()
    router, dealer = open_router(context, None, 512), open_dealer(context, None)
    server, client = Monitor(context, router), Monitor(context, dealer)
    router.bind("tcp://127.0.0.1:*")
    assert not client.wait(0)
    dealer.connect(router.get_string(zmq.LAST_ENDPOINT))
    assert client.wait(10)
    assert list(client.events()) == [Event(zmq.EVENT_HANDSHAKE_SUCCEEDED, 0)]
    dealer.close()
    seen: list[int] = []
    while zmq.EVENT_DISCONNECTED not in seen:
        assert server.wait(10)
        seen += [event.kind for event in server.events()]
    assert seen == [zmq.EVENT_ACCEPTED, zmq.EVENT_HANDSHAKE_SUCCEEDED, zmq.EVENT_DISCONNECTED]
    assert server.fileno() != client.fileno()
    for each in (server, client):
        each.close()
    router.close()
    context.term()
