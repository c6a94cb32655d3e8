"""``zproc ping``: for scripts that wait for a server."""

from __future__ import annotations

import re
from typing import Any

import pytest

from zproc.transport import fresh_address


def test_a_server_that_is_there_tells_its_process(zproc: Any, served: Any) -> None:
    assert re.fullmatch(r"process 0 answers in \d+\.\d\d ms\n", zproc("ping"))
    (told,) = zproc.json("ping")
    assert (told["address"], told["pid"]) == (served.address, 0)
    assert told["latency"] > 0


def test_one_that_is_not_is_exit_code_1(zproc: Any) -> None:
    assert "nobody listens here" in zproc("ping", "--address", fresh_address(), code=1)


def test_without_an_address_it_is_said_how_to_give_one(zproc: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZPROC_ADDRESS", raising=False)
    assert "by --address or by ZPROC_ADDRESS" in zproc("ping", code=1)
