"""Whether a server is there, and what else may be at an address."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

import zproc
from zproc.client.ping import is_alive, pulse
from zproc.exceptions import ProtocolError, Unavailable
from zproc.transport import Received, fresh_address, listen


class State(zproc.StateModel):
    n: int = 0


def test_a_server_tells_its_process_and_how_far_it_is(serving: Any) -> None:
    served = serving(State)
    pid, latency = pulse(served.address, 10)
    assert pid == 0  # the rules of these tests are given no process
    assert 0 < latency < 5


def test_where_nobody_is_it_is_said_at_once() -> None:
    begin = time.monotonic()
    with pytest.raises(Unavailable, match="nobody listens here"):
        pulse(fresh_address(), 10)
    assert time.monotonic() - begin < 1


def test_a_server_that_does_not_answer_is_waited_for_no_longer_than_asked() -> None:
    listener = listen(fresh_address())
    begin = time.monotonic()
    with pytest.raises(Unavailable, match="has not answered within"):
        pulse(listener.address, 0.05)
    assert time.monotonic() - begin < 1
    listener.close()


def test_what_is_no_server_is_told_from_one() -> None:
    listener = listen(fresh_address())

    def answer() -> None:
        while True:
            for arrival in listener.poll(10):
                if isinstance(arrival, Received):
                    listener.send(arrival.peer, b"\x92\x47\x00")  # Answered
                    return

    thread = threading.Thread(target=answer)
    thread.start()
    with pytest.raises(ProtocolError, match="answers a Ping with"):
        pulse(listener.address, 10)
    thread.join(10)
    listener.close()


def test_a_server_that_answers_is_alive(serving: Any, either_address: str) -> None:
    served = serving(State, address=either_address)
    assert is_alive(served.address, 10)
    served.stop()
    assert not is_alive(served.address, 10)


def test_one_that_is_silent_or_hangs_up_is_not_alive() -> None:
    listener = listen(fresh_address())
    assert not is_alive(listener.address, 0.02)

    def hang_up() -> None:
        while True:
            for arrival in listener.poll(10):
                if isinstance(arrival, Received):
                    listener.disconnect(arrival.peer, "enough")
                    return

    for _ in listener.poll(0):  # what the first has left
        pass
    thread = threading.Thread(target=hang_up)
    thread.start()
    assert not is_alive(listener.address, 10)
    thread.join(10)
    listener.close()
