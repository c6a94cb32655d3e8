"""What a generated client promises to a type checker: lines marked ``# E`` must be rejected, all others accepted."""

from __future__ import annotations

from typing import assert_type

import zproc
from cookie.client import CookieContext, CookieStateHandle, CookieStatePath
from cookie.state import CookieState

ctx = CookieContext(wait=True)
assert_type(ctx.state, CookieStateHandle)
assert_type(ctx.state.cookies, int)
ctx.state.cookies += 1
ctx.state.cookies = "five"  # E
ctx.state.cookie  # E
ctx.state.cookie = 1  # E
assert_type(ctx.state.restock(3), int)
ctx.state.restock("3")  # E
assert_type(ctx.state.snapshot(), CookieState)
CookieContext(wait="yes")  # E
CookieContext(adress="tcp://...")  # E
CookieContext(int)  # E

assert_type(ctx.state.get_when_equal("cookies", 5, timeout=1), CookieState)
ctx.state.get_when_equal("cookies", "five")  # E
ctx.state.get_when_equal("cookie", 5)  # E
ctx.state.get_when_not_equal("cookies", None)  # E
ctx.state.get_when_change("cookie")  # E
assert_type(ctx.state.when_change("cookies", live=True), zproc.Stream[CookieState])
ctx.when.cookies.equals(5)
ctx.when.cookies.equals("five")  # E
ctx.when.cookie  # E
ctx.state.update(cookies=5)
ctx.state.update(cookies="5")  # E
ctx.state.update(cookie=5)  # E


@zproc.atomic
def eat_cookie(state: CookieState) -> None:
    state.cookies -= 1


eat_cookie(ctx.state)
eat_cookie(ctx.state.cookies)  # E


@ctx.call_when_change("cookies", count=5)
def cookie_eater(snapshot: CookieState, state: CookieState) -> None:
    eat_cookie(state)


assert_type(cookie_eater, zproc.Process[None])
ctx.call_when_change("cookie")  # E
ctx.call_when_equal("cookies", "five")  # E

path: CookieStatePath = "cookies"
ctx.state.get_when_truthy(path)
wrong: CookieStatePath = "cookie"  # E
