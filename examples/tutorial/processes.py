import signal

import zproc
from pydantic import BaseModel, Field


class Oven(BaseModel):
    temperature: int = Field(default=20, ge=0, le=300)


class Bakery(zproc.StateModel):
    cookies: int = Field(default=0, ge=0)
    flour: int = Field(default=10, ge=0)
    oven: Oven = Oven()
    orders: list[str] = []


def bake(state: Bakery, trays: int) -> str:
    state.cookies += 12 * trays
    return f"{trays} trays"


def burn(state: Bakery) -> None:
    raise RuntimeError("the cookies are black")


with zproc.Context(Bakery) as ctx:
    baker = ctx.spawn(bake, 2)  # a process, and a future of what the function returns
    print(baker.wait(), "-", ctx.state.cookies, "cookies")

    try:
        ctx.spawn(burn).wait()
    except zproc.RemoteError as failed:
        print("failed:", failed.__cause__)  # the very exception, with the traceback that it has there

    @ctx.spawn(restart="on_failure", max_retries=3, retry_delay=0.01)
    def apprentice(state: Bakery) -> str:
        state.orders.append("try")
        if len(state.orders) < 3:
            zproc.send_signal(signal.SIGKILL)  # not even that is the end
        return "at last"

    print(apprentice.wait(), "-", apprentice.restarts, "restarts")

    for row in ctx.processes.rows.values():  # a record of all of them, to be read and watched like the state
        print(f"{row.name:11} {row.state:9} {row.signal or ''}")
