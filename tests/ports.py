"""Ports for servers of tests.

The law: no port is given out twice in a run, whichever of its test processes asks.
"""

from __future__ import annotations

import itertools
import os
import random
import socket
from typing import Final

# Below those that the system gives to whoever asks for any.
_FIRST: Final = 20_000
_LAST: Final = 32_000

_worker: Final = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_workers: Final = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_own: Final = range(_FIRST + _worker, _LAST, _workers)
# From a random one on, for another run may go on beside this one.
_next: Final = itertools.islice(itertools.cycle(_own), random.SystemRandom().randrange(len(_own)), None)


def free_port() -> int:
    """Return a port of this machine that nobody listens at, or is about to."""
    while True:
        port = next(_next)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
