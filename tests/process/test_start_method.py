"""Which start method applies."""

from __future__ import annotations

import os

import pytest

from zproc.exceptions import UsageError
from zproc.process.start_method import VARIABLE, StartMethod, choose


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


def test_the_fork_server_is_the_default() -> None:
    assert choose() is StartMethod.FORKSERVER


def test_the_environment_overrides_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "spawn")
    assert choose() is StartMethod.SPAWN


def test_the_program_overrides_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "spawn")
    assert choose("fork") is choose(StartMethod.FORK) is StartMethod.FORK


def test_an_unknown_method_lists_the_choices() -> None:
    with pytest.raises(UsageError, match="start method 'thread' is not one of forkserver, spawn, fork"):
        choose("thread")


@pytest.mark.parametrize("value", ["FORK", "", "thread"])
def test_an_unknown_method_in_the_environment_names_the_variable(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, value)
    with pytest.raises(UsageError, match=VARIABLE):
        choose()


def test_where_nothing_forks_spawn_is_the_only_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "fork")
    assert choose() is StartMethod.SPAWN
    with pytest.raises(UsageError, match="'fork' is not one of spawn"):
        choose("fork")
