"""A server is asked by a signal what goes on, and goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
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


INTERRUPTED = """
import signal, sys
import zproc
from zproc.core.limits import Limits
from zproc.host import serve_here
from zproc.transport import fresh_address

class Shop(zproc.StateModel):
    cookies: int = 0

def again(frame, event, _):  # in the middle of what a signal does, there is another one
    if event == "line":
        signal.raise_signal(which)
    return again

def begin(core, listener):
    global which
    sys.settrace(again)
    for which in (signal.SIGUSR1, signal.SIGTERM):
        signal.raise_signal(which)
    sys.settrace(None)
    return bool

serve_here({"default": Shop}, fresh_address(), Limits(), begin)
"""


def test_one_signal_more_in_the_middle_of_another_is_no_harm() -> None:
    """A lock that the first one has taken would never be given back."""
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("asked what goes on") == 1
