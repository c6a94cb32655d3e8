"""Redis as a peer: a server of ours for each comparison, on a socket file in a private directory, and on no port.

The law: every client is redis-py with hiredis on a connection of its own, which is the fastest that a Python program
gets; nothing is kept on disk. That the server has a session of its own is explained in `peers`.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from harness import Need, Operation, Subject

__all__ = ["REDIS_INCR", "REDIS_LUA", "REDIS_READ", "REDIS_WATCH"]

_NEEDS = (
    Need("redis-server", "apt-get install redis-server"),
    Need("redis", "pip install redis hiredis"),
    Need("hiredis", "pip install redis hiredis"),
)

_READY = 10.0
"""How long the server may take to listen, in seconds."""

_ADD = "local v = redis.call('get', KEYS[1]) + 1; redis.call('set', KEYS[1], v); return v"


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    server.wait()


def _serve(stack: ExitStack) -> str:
    """Start a server; return the path of its socket."""
    directory = stack.enter_context(tempfile.TemporaryDirectory())
    path = os.path.join(directory, "s")
    settings = ["--port", "0", "--unixsocket", path, "--unixsocketperm", "700"]
    unkept = ["--save", "", "--appendonly", "no", "--daemonize", "no", "--dir", directory]
    server = subprocess.Popen(["redis-server", *settings, *unkept], stdout=subprocess.DEVNULL, start_new_session=True)
    stack.callback(_stop, server)
    deadline = time.monotonic() + _READY
    while not os.path.exists(path):
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"redis-server does not listen; exit code {server.poll()}")
        time.sleep(0.01)
    return path


def _subject(name: str, operation: Callable[[Any], Operation]) -> Subject:
    def prepare(stack: ExitStack) -> Callable[[ExitStack], Operation]:
        path = _serve(stack)

        def make(stack: ExitStack) -> Operation:
            import redis  # noqa: PLC0415 (it may not be installed)

            client = redis.Redis(unix_socket_path=path)
            stack.callback(client.close)
            client.setnx("c", 0)
            return operation(client)

        return make

    return Subject(name, prepare, needs=_NEEDS)


def _optimistic(client: Any) -> Operation:
    """Read, add and write unless somebody else wrote in between; else again, as the documentation of redis-py does."""
    import redis  # noqa: PLC0415 (it may not be installed)

    def operation() -> None:
        with client.pipeline() as pipe:
            while True:
                try:
                    pipe.watch("c")
                    value = int(pipe.get("c"))
                    pipe.multi()
                    pipe.set("c", value + 1)
                    pipe.execute()
                except redis.WatchError:
                    continue
                return

    return operation


def _script(client: Any) -> Operation:
    script = client.register_script(_ADD)
    return lambda: script(keys=["c"])


REDIS_READ = _subject("Redis GET", lambda client: lambda: client.get("c"))
REDIS_INCR = _subject("Redis INCR", lambda client: lambda: client.incr("c"))
REDIS_LUA = _subject("Redis Lua", _script)
REDIS_WATCH = _subject("Redis WATCH/MULTI", _optimistic)
