"""Waiting for a state, and hearing of what happens to it."""

import asyncio

import zproc
import zproc.aio


class Bakery(zproc.StateModel):
    cookies: int = 0
    stock: dict[str, int] = {}
    baker: str | None = None


def bake(state: Bakery) -> None:
    for _ in range(3):
        state.cookies += 1
    state.baker = "Ada"


with zproc.Context(Bakery) as ctx:
    ctx.spawn(bake)

    assert ctx.state.get_when_equal("cookies", 3, timeout=10).cookies == 3  # once
    assert ctx.state.get_when_not_none("baker", timeout=10).baker == "Ada"

    with ctx.state.when_change("cookies", since=0, count=3) as states:  # again and again: a zproc.Stream
        assert [bakery.cookies for bakery in states] == [1, 2, 3]

    event = next(ctx.state.changes("cookies", since=0, timeout=10))  # events
    assert isinstance(event, zproc.Change)
    assert (event.path, event.kind, event.old, event.new) == ("cookies", "set", 0, 1)

    commit = next(ctx.state.commits(since=3, timeout=10))
    if isinstance(commit, zproc.Resync):  # the history no longer held what was asked for: go on from here
        print(commit.snapshot)
    else:
        assert commit.changes[0].path == "baker"

    @ctx.call_when_change("stock.*", count=2)  # a process: called for each
    def seller(snapshot: Bakery, state: Bakery) -> None:
        state.cookies -= 1

    ctx.state.stock["nuts"] = 1
    ctx.state.stock["plain"] = 2
    ctx.state.get_when_equal("cookies", 1, timeout=10)
    seller.wait(timeout=10)

    async def look() -> int:  # by tasks of an event loop
        state = zproc.aio.AsyncState(ctx.state)
        return (await state.get_when_equal("cookies", 1)).cookies

    assert asyncio.run(look()) == 1
