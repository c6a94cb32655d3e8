"""The peers work, and nothing of them is left. One that is not installed is skipped, with the command to get it."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import peers
import psutil
import pytest
import redis_peers
import shared_memory_peers
from harness import Subject, clients, lacking

SUBJECTS = [
    peers.ECHO,
    peers.BASE_MANAGER,
    peers.MANAGER_READ,
    peers.MANAGER_LOCKED,
    redis_peers.REDIS_READ,
    redis_peers.REDIS_INCR,
    redis_peers.REDIS_LUA,
    redis_peers.REDIS_WATCH,
    shared_memory_peers.ULTRADICT_READ,
    shared_memory_peers.ULTRADICT_LOCKED,
]


def descendants() -> set[int]:
    """Return those of this process, but for the one that multiprocessing keeps for shared memory."""
    alive = psutil.Process().children(recursive=True)
    return {child.pid for child in alive if "resource_tracker" not in " ".join(child.cmdline())}


def listening(process: psutil.Process) -> list[object]:
    return [each for each in process.net_connections("inet") if each.status == psutil.CONN_LISTEN]


@pytest.mark.slow
@pytest.mark.parametrize("peer", SUBJECTS, ids=lambda peer: peer.name)
def test_a_peer_serves_two_clients_on_no_port_and_is_gone_afterwards(peer: Subject) -> None:
    if lacking(peer):
        pytest.skip(lacking(peer))
    before = descendants()
    with ExitStack() as stack:
        make = peer.prepare(stack)
        started = [psutil.Process(pid) for pid in descendants() - before]
        assert clients(make, 2, 0.01) > 0
        assert [listening(process) for process in started] == [[] for _ in started]
    assert descendants() == before


def test_a_port_would_be_seen() -> None:
    """The check above can fail."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        assert len(listening(psutil.Process())) >= 1
