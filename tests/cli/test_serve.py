"""``zproc serve``: real processes, which end in order and leave nothing."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

import zproc as library
from zproc.transport import fresh_address, runtime_directory


class Serve(Protocol):
    def __call__(self, *arguments: str) -> tuple[subprocess.Popen[str], str]: ...


@pytest.fixture
def serve(project: Path) -> Iterator[Serve]:
    """Starts ``zproc serve`` and returns it with the first line that it prints."""
    running: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> tuple[subprocess.Popen[str], str]:
        command = [sys.executable, "-m", "zproc", "serve", "appstate:AppState", *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=project)
        running.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline().strip()

    yield start
    for process in running:
        process.kill()
        process.communicate()


def tcp_address() -> str:
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return f"tcp://127.0.0.1:{port}"


@pytest.mark.slow
def test_it_serves_until_it_is_told_to_end(serve: Serve, zproc: Any, project: Path) -> None:
    """And is a server like any other: read, written, watched and logged by commands; then nothing of it is left."""
    address = tcp_address()
    process, line = serve("--address", address, "--pidfile", "zproc.pid")
    assert line == address
    assert (project / "zproc.pid").read_text() == f"{process.pid}\n"
    reach = ("--address", address)
    assert zproc.json("ping", *reach)[0]["pid"] == process.pid
    assert zproc("set", "cookies", "5", *reach) == "revision 1\n"
    assert zproc("get", "cookies", *reach) == "5\n"
    assert zproc("watch", "cookies", "--since", "0", "--count", "1", *reach) == "1  cookies: set 0 -> 5\n"
    assert len(zproc.json("log", *reach)) == 1
    assert zproc.json("ps", *reach) == []
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert not (project / "zproc.pid").exists()
    assert not [name for name in os.listdir(runtime_directory()) if name.startswith("tcp-")]
    assert "nobody listens here" in zproc("ping", *reach, code=1)


@pytest.mark.slow
def test_with_keys_it_is_reached_by_who_has_some(serve: Serve, zproc: Any, project: Path) -> None:
    zproc("keys", "new", "keys")
    address = tcp_address().replace("127.0.0.1", "0.0.0.0")
    process, line = serve("--address", address, "--keys", "keys/server")
    assert line == address
    near = address.replace("0.0.0.0", "127.0.0.1")
    assert zproc.json("ping", "--address", near, "--keys", "keys/client")[0]["pid"] == process.pid
    assert "left no token" in zproc("ping", "--address", near, code=1)


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGHUP], ids=["ctrl-c", "a terminal that is closed"])
def test_it_ends_in_order_and_clients_are_told(serve: Serve, project: Path, signum: signal.Signals) -> None:
    process, line = serve("--json", "--address", fresh_address(), "--namespace", "shop")
    told = json.loads(line)
    assert told["pid"] == process.pid
    from zproc.cli.reach import schema_of

    model = schema_of("appstate:AppState").model
    with library.Context(model, address=told["address"], namespace="shop") as ctx:
        assert ctx.ping().pid == process.pid
        process.send_signal(signum)
        assert process.wait(10) == 0
        begin = time.monotonic()
        with pytest.raises(library.Unavailable):
            ctx.state.snapshot()
        assert time.monotonic() - begin < 2
    assert os.listdir(runtime_directory()) == []


@pytest.mark.slow
def test_one_that_is_to_outlive_its_terminal_does(project: Path) -> None:
    command = ["nohup", sys.executable, "-m", "zproc", "serve", "appstate:AppState", "--address", fresh_address()]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, text=True, cwd=project, **pipes)  # type: ignore[call-overload]  # they are pipes
    try:
        address = process.stdout.readline().strip()
        process.send_signal(signal.SIGHUP)
        assert library.ping(address, timeout=10).pid == process.pid
    finally:
        process.terminate()
        process.communicate(timeout=10)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--address", "tcp://0.0.0.0:5000"), "needs keys"),
        (("--address", "nowhere"), "is not an address"),
        (("--pidfile", "/no/such/directory/pid"), "cannot write /no/such/directory/pid"),
    ],
)
def test_what_is_in_the_way_is_told_before_it_serves(serve: Serve, arguments: tuple[str, ...], reason: str) -> None:
    process, line = serve(*arguments)
    assert line == ""
    _, err = process.communicate(timeout=10)
    assert process.returncode == 1
    assert reason in err
    assert "Traceback" not in err


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["unix", "ipc", "tcp"])
def test_one_that_was_killed_is_replaced_at_its_address_and_its_files_can_be_removed(
    serve: Serve, zproc: Any, project: Path, kind: str
) -> None:
    """Whatever it has left there: socket, token, lock, revisions, process id."""
    directory = Path(runtime_directory())
    address = tcp_address() if kind == "tcp" else f"{kind}://{directory}/shop"
    arguments = ("--address", address, "--pidfile", "zproc.pid")
    for _ in range(2):
        process, line = serve(*arguments)
        assert line == address
        assert (project / "zproc.pid").read_text() == f"{process.pid}\n"
        assert zproc("set", "cookies", "5", "--address", address) == "revision 1\n", "its state is a new one"
        process.kill()
        process.wait(10)
    place = next(name.removesuffix(".lock") for name in os.listdir(directory) if name.endswith(".lock"))
    left = {each["what"]: each for each in zproc.json("doctor")}["left behind"]
    assert left["ok"]
    assert left["value"] == f"files of servers that were killed: {place}; `zproc doctor --clean` removes them"
    alive, _ = serve("--address", f"unix://{directory}/alive")
    left = {each["what"]: each for each in zproc.json("doctor", "--clean")}["left behind"]
    assert left["value"] == f"removed the files of servers that were killed: {place}"
    assert {name.partition(".")[0] for name in os.listdir(directory)} == {"alive"}
    alive.terminate()
    assert alive.wait(10) == 0
    assert {each["what"]: each for each in zproc.json("doctor")}["left behind"]["value"] == "nothing"
