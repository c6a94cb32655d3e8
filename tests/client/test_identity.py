"""A process goes by a name that people know, and by a token that nobody else has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from zproc.client import Client, commits_since, new_session
from zproc.schema import StateModel
from zproc.schema.ops import Set

if TYPE_CHECKING:
    from tests.client.conftest import Serve


class Shop(StateModel):
    cookies: int = 0


def test_a_process_is_named_by_who_knows_or_by_its_program(serving: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    served = serving(Shop)
    known: list[str | None] = [None, "baker"]
    monkeypatch.setattr("zproc.client.identity._naming", [known.pop])
    monkeypatch.setattr("sys.argv", ["/somewhere/program.py"])
    for _ in range(2):
        client = Client(served.client.schema, served.address, "default")
        client.commit([Set(("cookies",), 1)], "")
        client.close()
    commits = list(commits_since(served.client, None))
    assert [commit.author.process for commit in commits] == ["baker", "program.py"]


def test_no_two_processes_are_one_session() -> None:
    assert len({new_session() for _ in range(100)}) == 100
