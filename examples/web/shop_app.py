"""A web application whose workers share one state. It is plain ASGI; with a framework it looks the same."""

import json
import os
from collections.abc import Awaitable, Callable
from typing import Any

import zproc
import zproc.aio
from shop_state import Shop

Message = dict[str, Any]


# Each worker joins the state by its address: to the state server, a client like any other.
ctx = zproc.Context(Shop, address=os.environ["SHOP_STATE"])


async def app(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    path = scope["path"].strip("/").split("/")
    status, answer = 200, {"worker": os.getpid()}
    match path:
        case ["stock"]:
            answer["stock"] = ctx.state.stock  # costs what an attribute costs, unless it has changed
        case ["buy", customer]:
            try:
                answer["left"] = ctx.state.buy(customer)  # one round trip, some 50 microseconds
            except zproc.ValidationRefused:
                status = 409  # there is none left; whatever the other workers do at this moment
        case ["sold-out"]:
            await zproc.aio.AsyncState(ctx.state).get_when_equal("stock", 0)  # a task waits, not the worker
        case _:
            status = 404
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


async def lifespan(receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.shutdown":
            ctx.close()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
