"""``zproc keys new``: what it makes is used by servers and clients as it is."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from zproc.transport.keys import client_keys, server_keys


def test_a_server_and_a_client_are_made(zproc: Any, tmp_path: Path) -> None:
    made = tmp_path / "keys"
    assert zproc("keys", "new", str(made)) == f"{made}/server\n{made}/client\n"
    assert server_keys(str(made / "server")).allowed(client_keys(str(made / "client")).public)
    assert stat.S_IMODE((made / "server" / "secret.key").lstat().st_mode) == 0o600


def test_clients_have_names_and_can_be_added(zproc: Any, tmp_path: Path) -> None:
    made = tmp_path / "keys"
    zproc("keys", "new", str(made), "alice", "bob")
    assert zproc.json("keys", "new", str(made), "carol") == [{"made": f"{made}/carol"}]
    server = server_keys(str(made / "server"))
    assert all(server.allowed(client_keys(str(made / name)).public) for name in ("alice", "bob", "carol"))


def test_nothing_is_overwritten(zproc: Any, tmp_path: Path) -> None:
    zproc("keys", "new", str(tmp_path))
    assert "exists already" in zproc("keys", "new", str(tmp_path), code=1)


def test_keys_alone_says_what_there_is(zproc: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        zproc("keys")
    assert left.value.code == 2
