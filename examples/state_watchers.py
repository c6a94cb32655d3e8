"""Every way to wait for a state: once, one after the other, by a process, by type, and in asynchronous code."""

import asyncio

import zproc
import zproc.aio


class Oven(zproc.StateModel):
    temp: float = 20.0
    on: bool = False


class Kitchen(zproc.StateModel):
    cookies: int = 0
    oven: Oven = Oven()
    stock: dict[str, int] = {}
    chef: str | None = None


def work(state: Kitchen) -> None:
    state.oven.on = True
    for temp in (90.0, 180.0):
        state.oven.temp = temp
    state.stock["flour"] = 3
    state.chef = "Anna"
    state.cookies += 12


with zproc.Context(Kitchen) as ctx:
    state = ctx.state
    start = state.go_live()  # what happens from here on can be asked for later, however late that is

    @ctx.call_when_change("stock.*", count=1, stateful=False)
    def stock_keeper(snapshot: Kitchen) -> None:
        print("a process: stock is", snapshot.stock, flush=True)

    ctx.spawn(work).wait()
    stock_keeper.wait()

    # Once. The present state counts, unless a change is waited for.
    print("truthy:", state.get_when_truthy("oven.on", timeout=20).oven.on)
    print("not none:", state.get_when_not_none("chef", timeout=20).chef)
    print("available:", state.get_when_available("stock.flour", timeout=20).stock)
    print("a test:", state.get_when(lambda kitchen: kitchen.cookies > 10, timeout=20).cookies)
    print("a change:", state.get_when_change("oven.temp", since=start, timeout=20).oven.temp)

    # One after the other, from the past on: none is missed, and each is the state of its moment.
    temps = [kitchen.oven.temp for kitchen in state.when_change("oven.temp", since=start, count=2)]
    print("one by one:", temps)

    # What happened, rather than what was then.
    for change in state.changes("stock.*", "chef", since=start, count=2):
        print("event:", change)

    # Without strings: a wrong path or value is an error to mypy and pyright.
    print("by type:", ctx.select(lambda kitchen: kitchen.oven.temp).equals(180.0, timeout=20))

    async def main() -> None:
        kitchen = await zproc.aio.AsyncState(state).get_when_equal("cookies", 12, timeout=20)
        print("a task:", kitchen.cookies)

    asyncio.run(main())
