"""The web workers of the documentation, under uvicorn, as a user starts them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="uvicorn is not installed: pip install 'zproc[dev]'")
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("processes")]

WEB = Path(__file__).parent.parent.parent / "examples" / "web"
WITHIN = 30.0


class Site:
    def __init__(self, port: int) -> None:
        self.port = port

    def get(self, path: str, timeout: float = WITHIN) -> tuple[int, dict[str, Any]]:
        """Ask by a connection of its own, which any worker may get."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{path}", timeout=timeout) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, json.load(refused)


@pytest.fixture
def site() -> Iterator[Site]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "serve.py", str(port)], cwd=WEB, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        deadline = time.monotonic() + WITHIN
        while True:
            try:
                Site(port).get("stock", timeout=5)
                break
            except OSError:
                assert server.poll() is None, server.stderr and server.stderr.read()
                assert time.monotonic() < deadline, "the workers do not come up"
                time.sleep(0.05)
        yield Site(port)
        server.send_signal(signal.SIGINT)
        assert server.wait(WITHIN) in (0, -signal.SIGINT, 130)
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
        if server.stderr is not None:
            server.stderr.close()


def workers_of(site: Site) -> set[int]:
    """Ask until both workers have answered, or the time is over."""
    found: set[int] = set()
    deadline = time.monotonic() + WITHIN
    with ThreadPoolExecutor(8) as pool:
        while len(found) < 2 and time.monotonic() < deadline:
            found |= {answer["worker"] for _, answer in pool.map(site.get, ["stock"] * 16)}
    return found


@pytest.mark.timeout(120)
def test_all_workers_see_one_state_and_nothing_is_sold_twice(site: Site) -> None:
    assert len(workers_of(site)) == 2
    with ThreadPoolExecutor(9) as pool:
        waiting = pool.submit(site.get, "sold-out")
        bought = list(pool.map(site.get, [f"buy/customer{number}" for number in range(8)]))
        assert waiting.result(WITHIN)[0] == 200
    assert sorted(status for status, _ in bought) == [200] * 5 + [409] * 3
    assert sorted(answer["left"] for status, answer in bought if status == 200) == [0, 1, 2, 3, 4]
    assert {site.get("stock")[1]["stock"] for _ in range(16)} == {0}
    assert site.get("nowhere")[0] == 404
