"""What is promised without a generated client, of the same model: a context that is only known by the model."""

from __future__ import annotations

from typing import Any, assert_type

import zproc
from cookie.state import CookieState


def uses(ctx: zproc.Context[CookieState]) -> None:
    assert_type(ctx.state, CookieState)
    assert_type(ctx.state.cookies, int)
    ctx.state.cookies += 1
    ctx.state.cookies = "five"  # E
    ctx.state.cookie  # E
    assert_type(ctx.state["cookies"], Any)
    ctx.state["cookies"] = 3
    ctx.state[3]  # E
    assert_type(ctx.state.restock(3), int)
    ctx.state.restock("3")  # E
    assert_type(ctx.state.get_when_equal("cookies", 5, timeout=1), CookieState)
    ctx.state.get_when_equal("cookies", 5, timout=1)  # E
    ctx.select(lambda state: state.cookies).equals(5)
    ctx.select(lambda state: state.cookies).equals("five")  # E
    ctx.select(lambda state: state.cookie)  # E
    ctx.when  # E
