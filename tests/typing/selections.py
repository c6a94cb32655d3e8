"""What a selection promises to a type checker. Lines marked ``# E`` must be rejected, all others accepted.

Checked by ``tests/test_typing.py`` under mypy and pyright, never run, and left out of the project's own run of mypy.
"""

from __future__ import annotations

from typing import assert_type

from pydantic import BaseModel

import zproc


class Oven(BaseModel):
    temp: float = 20.0
    on: bool = False


class AppState(zproc.StateModel):
    cookies: int = 0
    name: str = ""
    oven: Oven = Oven()
    tags: list[str] = []
    stock: dict[str, int] = {}
    maybe: int | None = None


ctx = zproc.Context(AppState)
temp = ctx.select(lambda s: s.oven.temp)
assert_type(temp, zproc.Watch[float])
assert_type(ctx.select(lambda s: s.cookies), zproc.Watch[int])
assert_type(ctx.select(lambda s: s.stock["flour"]), zproc.Watch[int])
assert_type(ctx.select(lambda s: s.maybe), zproc.Watch[int | None])
ctx.select(lambda s: s.cookie)  # E
ctx.select(lambda s: s.oven.tmp)  # E
ctx.select(lambda s: s.stock[3])  # E
ctx.select("cookies")  # E

assert_type(temp.get(), float)
assert_type(temp.equals(180.0, timeout=5), float)
temp.equals("hot")  # E
temp.equals(None)  # E
temp.equals(180.0, timeout="5")  # E
temp.equals(180.0, count=3)  # E
ctx.select(lambda s: s.cookies).equals("x")  # E
ctx.select(lambda s: s.maybe).equals(None)
ctx.select(lambda s: s.maybe).equals("x")  # E

assert_type(temp.when(lambda found: found > 180, live=True), float)
temp.when(lambda found: found.upper())  # E
temp.when(180.0)  # E


def long(text: str) -> bool:
    return len(text) > 3


ctx.select(lambda s: s.name).when(long)
ctx.select(lambda s: s.cookies).when(long)  # E

for change in temp.changes(count=3, since=0):
    assert_type(change, zproc.Change[float] | zproc.Resync[float | None])
    if isinstance(change, zproc.Change):
        assert_type(change.new, float | None)
    else:
        assert_type(change.snapshot, float | None)

for event in ctx.state.changes("oven"):
    if isinstance(event, zproc.Change):
        anything: object = event.new
    else:
        assert_type(event.snapshot, AppState)

assert_type(temp.path, str)
by_path: zproc.Watch[float] = zproc.Watch(ctx.state, "oven.temp")
