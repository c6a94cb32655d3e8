"""A server is asked by a signal what goes on, and goes on."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

import zproc

if TYPE_CHECKING:
    from tests.integration.conftest import Eventually

pytestmark = pytest.mark.slow


class Shop(zproc.StateModel):
    cookies: int = 0


def wait(state: Shop) -> None:
    state.get_when_equal("cookies", 7)


def test_who_has_the_turn_and_who_waits_for_what(capfd: pytest.CaptureFixture[str], eventually: Eventually) -> None:
    said = ""

    def heard(text: str) -> bool:
        nonlocal said
        os.kill(server, signal.SIGUSR1)
        said += capfd.readouterr().err
        return text in said

    with zproc.Context(Shop) as ctx:
        server = ctx.ping().pid
        waiter = ctx.spawn(name="patience")(wait)
        eventually(lambda: heard(f"patience (pid {waiter.pid}) waits for a change of cookies"))
        with zproc.transaction(ctx.state) as draft:
            draft.cookies = 7
            eventually(lambda: heard(f"(pid {os.getpid()}) has the turn, for another"))
        waiter.wait(10)
