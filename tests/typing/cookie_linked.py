"""What the link of a model to its client promises: ``zproc.Context`` of it is the client's context."""

from __future__ import annotations

from typing import assert_type

import zproc
from cookie.client import CookieContext, CookieStateHandle
from cookie.state import CookieState


class Plain(zproc.StateModel):
    x: int = 0


ctx = zproc.Context(CookieState, wait=True)
assert_type(ctx, CookieContext)
assert_type(ctx.state, CookieStateHandle)
ctx.state.cookies = "five"  # E
ctx.state.get_when_equal("cookies", "five")  # E
ctx.state.get_when_equal("cookie", 5)  # E
ctx.when.cookies.equals("five")  # E
zproc.Context(CookieState, wait="yes")  # E
zproc.Context(CookieState, adress="tcp://...")  # E
zproc.Context(int)  # E
zproc.Context()  # E
assert_type(ctx.namespace("other", CookieState), CookieContext)

plain = zproc.Context(Plain)
assert_type(plain, zproc.Context[Plain])
assert_type(ctx.namespace("plain", Plain), zproc.Context[Plain])
plain.state.x = "x"  # E
plain.state.get_when_equal("x", 3)


def by_model(context: zproc.Context[CookieState]) -> int:
    return context.state.cookies


def by_plain(context: zproc.Context[Plain]) -> int:
    return context.state.x


by_model(ctx)
by_plain(plain)
by_plain(ctx)  # E
ctx.spawn(pass_context=True)(by_model)
ctx.spawn(pass_context=True)(by_plain)  # E


# The program of the README, as it is without the link.
@zproc.atomic
def eat_cookie(state: CookieState) -> None:
    state.cookies -= 1


@ctx.call_when_change("cookies", count=5)
def cookie_eater(snapshot: CookieState, state: CookieState) -> None:
    eat_cookie(state)


def baker(state: CookieState, n: int) -> int:
    state.cookies += n
    return state.cookies


assert_type(ctx.spawn(baker, 5), zproc.Process[int])
ctx.spawn(baker, "5")  # E
