"""The peers work, and nothing of them is left. One that is not installed is skipped, with the command to get it."""

from __future__ import annotations

import socket
import venv
from contextlib import ExitStack
from pathlib import Path

import original_peers
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


@pytest.mark.slow
def test_the_original_is_found_though_benchmarks_run_where_ours_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By an environment that has something of its name and version in it."""
    venv.create(tmp_path, symlinks=True)
    (packages,) = tmp_path.glob("lib/python*/site-packages")
    (packages / "zproc.py").write_text("__version__ = '0.9.5'\n")
    monkeypatch.setenv("ZPROC_ORIGINAL_PYTHON", str(tmp_path / "bin" / "python"))
    monkeypatch.chdir(Path(__file__).parent.parent.parent)
    assert not lacking(original_peers.ORIGINAL_GET)
    (packages / "zproc.py").write_text("__version__ = '0.10'\n")
    assert "zproc==0.9.5" in lacking(original_peers.ORIGINAL_GET)
