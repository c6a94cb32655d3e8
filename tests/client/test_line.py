"""One connection for many that wait, without a cursor around it."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from zproc.client import line
from zproc.client.client import Client
from zproc.client.line import run
from zproc.client.watch import Closed, Question, Steps
from zproc.core.messages import Read, Values
from zproc.exceptions import Unavailable, UnknownPath, UsageError
from zproc.schema import StateModel
from zproc.transport import fresh_address

if TYPE_CHECKING:
    from tests.client.conftest import Serve, Served


class Shop(StateModel):
    cookies: int = 0


@pytest.fixture(params=["unix", "ipc"])
def served(request: pytest.FixtureRequest, serving: Serve) -> Served[Shop]:
    return serving(Shop, address=fresh_address().replace("unix", request.param))


def reading(served: Served[Shop], field: str = "cookies") -> Steps[bytes]:
    revision = served.client.revision()
    _, reply = yield Question(lambda request: Read(request, (field,), None, None, None), None, revision)
    assert isinstance(reply, Values)
    return reply.values


def test_steps_come_to_their_result(served: Served[Shop]) -> None:
    async def main() -> bytes:
        stop = asyncio.get_running_loop().create_future()
        return await run(served.client, reading(served), None, stop)

    assert served.client.schema.codec.decode(asyncio.run(main())) == {"cookies": 0}
    assert not line._lines
    assert served.state.cookies == 0, "the connection was given back in step"


def test_a_server_that_takes_long_to_be_lost_is_asked_once_more(
    served: Served[Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was not, if the connection broke only after the second for which a server may be gone."""
    make, tried = line._line, [0]

    def cut_at_first(client: Client) -> line._Line:
        tried[0] += 1
        if tried[0] == 1:
            late[0] = 100.0
            raise Unavailable(client.address, "the line was cut in the middle of the greeting")
        return make(client)

    late = [0.0]
    now = time.monotonic
    monkeypatch.setattr(line, "_line", cut_at_first)
    monkeypatch.setattr(line, "time", SimpleNamespace(monotonic=lambda: now() + late[0]))

    async def main() -> bytes:
        stop = asyncio.get_running_loop().create_future()
        return await run(served.client, reading(served), None, stop)

    assert served.client.schema.codec.decode(asyncio.run(main())) == {"cookies": 0}
    assert tried == [2]


def test_a_refusal_is_raised_and_leaves_the_connection_in_step(served: Served[Shop]) -> None:
    async def main() -> None:
        stop = asyncio.get_running_loop().create_future()
        with pytest.raises(UnknownPath):
            await run(served.client, reading(served, "cookie"), None, stop)

    asyncio.run(main())
    assert not line._lines
    assert served.state.cookies == 0


def test_one_that_is_stopped_asks_nothing_any_more(served: Served[Shop]) -> None:
    async def main() -> None:
        stop = asyncio.get_running_loop().create_future()
        stop.set_result(None)
        with pytest.raises(Closed):
            await run(served.client, reading(served), None, stop)

    asyncio.run(main())
    assert not line._lines


def test_a_loop_that_cannot_wait_for_a_descriptor_is_refused(
    served: Served[Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()

        def add_reader(*_: object) -> None:
            raise NotImplementedError

        monkeypatch.setattr(loop, "add_reader", add_reader)
        with pytest.raises(UsageError, match="use a selector loop"):
            await run(served.client, reading(served), None, loop.create_future())
        monkeypatch.undo()

    asyncio.run(main())
    assert not line._lines
    assert served.state.cookies == 0
