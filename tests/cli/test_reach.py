"""The options that commands share, and the environment behind them."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from zproc.cli.reach import add_state, address_of, schema_of
from zproc.exceptions import UsageError


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_state(parser)
    return parser.parse_args(arguments)


def test_what_is_said_counts_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZPROC_ADDRESS", "tcp://10.0.0.1:1")
    monkeypatch.setenv("ZPROC_KEYS", "/keys")
    monkeypatch.setenv("ZPROC_NAMESPACE", "shop")
    monkeypatch.setenv("ZPROC_MODEL", "app:State")
    told = parsed()
    assert (address_of(told), told.namespace, told.model) == ("tcp://10.0.0.1:1?keys=/keys", "shop", "app:State")
    told = parsed("--address", "unix:///s", "--namespace", "n", "--model", "a:B")
    assert (address_of(told), told.namespace, told.model) == ("unix:///s", "n", "a:B")
    assert address_of(parsed("--keys", "/other")) == "tcp://10.0.0.1:1?keys=/other"


def test_without_both_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ZPROC_ADDRESS", "ZPROC_NAMESPACE", "ZPROC_MODEL"):
        monkeypatch.delenv(name, raising=False)
    told = parsed()
    assert (told.namespace, told.model, told.json) == ("default", None, False)
    with pytest.raises(UsageError, match="no address is given"):
        address_of(told)


def test_a_model_is_imported_from_the_project(project: Path) -> None:
    assert schema_of("appstate:AppState").model.__name__ == "AppState"
