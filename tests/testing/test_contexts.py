"""Contexts of tests, with real servers."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

import zproc
from zproc import process
from zproc.testing import leaks
from zproc.testing.contexts import Contexts
from zproc.testing.leaks import LeakError

pytestmark = pytest.mark.slow


class Shop(zproc.StateModel):
    cookies: int = 0


@pytest.fixture(scope="module", autouse=True)
def _settled() -> Iterator[None]:
    leaks.settle()  # what zproc keeps is no leak of the first test
    yield
    process.shut_down()


def test_a_context_is_real_and_ends_with_the_block() -> None:
    with Contexts() as make:
        ctx = make(Shop)
        other = make(Shop, address=ctx.address)
        ctx.state.cookies = 3
        assert other.state.cookies == 3
    with pytest.raises(zproc.UsageError, match="closed"):
        ctx.state  # noqa: B018


def test_a_server_of_the_environment_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with Contexts() as make:
        real = make(Shop)
        real.state.cookies = 3
        monkeypatch.setenv("ZPROC_ADDRESS", real.address)
        assert make(Shop).state.cookies == 0


def test_options_go_to_every_context_that_does_not_say_otherwise() -> None:
    with Contexts(limits=zproc.Limits(lease_time=1), namespace="one") as make:
        make(Shop)
        with pytest.raises(zproc.UsageError):
            make(Shop, limits=zproc.Limits(), address="unix:///nowhere")


def test_what_the_block_leaves_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaks.wait_for_nothing, "__kwdefaults__", {"grace": 0.2, "kept": None})
    monkeypatch.setattr(leaks.leak_check.__wrapped__, "__kwdefaults__", {"grace": 0.2})  # type: ignore[attr-defined]
    with pytest.raises(LeakError, match="sleep"), Contexts() as make:  # noqa: PT012 - what is left, and the block
        make(Shop)
        left = subprocess.Popen(["sleep", "60"])
    left.wait()


def test_an_error_in_the_block_is_not_hidden_by_what_it_leaves() -> None:
    with pytest.raises(ZeroDivisionError), Contexts() as make:  # noqa: PT012 - the error and what it leaves
        make(Shop)
        left = subprocess.Popen(["sleep", "60"])
        1 / 0  # noqa: B018
    left.kill()
    left.wait()


def test_nobody_looks_who_was_told_not_to() -> None:
    with Contexts(leak_check=False) as make:
        make(Shop)
        left = subprocess.Popen(["sleep", "60"])
    left.kill()
    left.wait()
