"""What the project has promised of its speed: every goal has its row, and no goal is lowered in passing."""

from __future__ import annotations

import pytest
from runner import discover

GOALS = {
    "read.cost": "<= 0.3 us",
    "read.manager": ">= 100 x",
    "read.ultradict": ">= 2 x",
    "commit.echo.1": ">= 0.5 x",
    "commit.echo.8": ">= 0.5 x",
    "action.echo.1": ">= 0.5 x",
    "action.echo.8": ">= 0.5 x",
    "action.manager.1": ">= 1.3 x",
    "action.manager.8": ">= 1.3 x",
    "action.redis-incr.1": ">= 1.2 x",
    "action.redis-incr.8": ">= 1.2 x",
    "action.redis-lua.1": ">= 2 x",
    "action.redis-lua.8": ">= 2 x",
    "atomic.echo.1": ">= 0.2 x",
    "atomic.echo.8": ">= 0.2 x",
    "atomic.manager.1": ">= 2.5 x",
    "atomic.manager.8": ">= 4 x",
    "atomic.redis-watch.1": ">= 4 x",
    "atomic.redis-watch.8": ">= 4 x",
    "size.field.table.1000000": "<= 1.3 x",
    "size.field.row.1000000": "<= 1.3 x",
    "size.action.1000000": "<= 1.3 x",
    "size.atomic.1000000": "<= 1.3 x",
    "size.atomic-key.1000000": "<= 1.3 x",
    "size.append.1000000": "<= 1.3 x",
    "size.element.1000000": "<= 1.3 x",
    "size.key.1000000": "<= 2 x",
    "memory.idle-client": "<= 64 KiB",
    "memory.reads": "<= 2048 KiB",
    "import.pydantic": "<= 1.3 x",
    "context.forkserver": "<= 1.5 x",
    "context.fork": "<= 1.5 x",
    "context.spawn": "<= 1.5 x",
    "map.tiny": ">= 1 x",
    "map.single": ">= 1.5 x",
    "map.submit": ">= 4 x",
    "map.arrays": ">= 1.5 x",
    "map.uneven": "<= 1.1 x",
    "map.idle": "<= 20 ms",
    "map.first": "<= 100 ms",
    "process.running.forkserver": "<= 1.5 x",
    "process.running.fork": "<= 1.5 x",
    "process.running.spawn": "<= 1.5 x",
    "process.joined.forkserver": "<= 1.5 x",
    "process.joined.fork": "<= 1.5 x",
    "process.joined.spawn": "<= 1.5 x",
    "process.many": "<= 1.5 x",
    "process.idle": "<= 200 ms",
    "process.wait": "<= 30 ms",
    "watch.latency": "<= 3 x",
    "watch.parked.fields": "<= 1.2 x",
    "watch.parked.keys": "<= 1.2 x",
    "watch.woken": "<= 1.2 x",
    "watch.bulk.changes": "<= 2 x",
    "watch.bulk.commits": "<= 2 x",
    "watch.bulk.states": "<= 2 x",
    "watch.memory.count": "<= 1.2 x",
    "watch.memory.history": "<= 1.2 x",
}

PEERS = {
    "action.echo.1": "bare AF_UNIX msgpack echo",
    "read.manager": "Manager().dict()[k]",
    "atomic.manager.8": "Manager: with lock: d[k] = d[k] + 1",
    "action.manager.8": "BaseManager method",
    "read.ultradict": "UltraDict[k]",
    "atomic.ultradict.8": "UltraDict: with lock: d[k] += 1",
    "read.redis": "Redis GET",
    "action.redis-incr.8": "Redis INCR",
    "action.redis-lua.8": "Redis Lua",
    "atomic.redis-watch.8": "Redis WATCH/MULTI",
    "action.ray.8": "Ray actor",
    "original.unix.atomic": "zproc 0.9.5 atomic increment",
    "map.tiny": "Pool.map",
    "map.single": "Pool.imap(chunksize=1)",
    "map.submit": "ProcessPoolExecutor.submit",
    "map.submit.loky": "loky, submit",
}


@pytest.mark.parametrize("key", PEERS)
def test_a_peer_has_its_row_whether_it_is_installed_or_not(key: str) -> None:
    case = discover()[key]
    assert case is not None
    assert case.unmeasured().peer_name == PEERS[key]


@pytest.mark.parametrize("key", GOALS)
def test_a_goal_has_its_row(key: str) -> None:
    case = discover()[key]
    assert case is not None
    assert case.unmeasured().aim == GOALS[key]
