import zproc
from pydantic import BaseModel, Field


class Oven(BaseModel):
    temperature: int = Field(default=20, ge=0, le=300)


class Bakery(zproc.StateModel):
    cookies: int = Field(default=0, ge=0)
    flour: int = Field(default=10, ge=0)
    oven: Oven = Oven()
    orders: list[str] = []


@zproc.atomic
def bake(state: Bakery, trays: int) -> None:
    state.flour -= trays
    state.cookies += 12 * trays


def baker(state: Bakery) -> None:
    state.get_when_equal("oven.temperature", 180)  # waits; nothing is polled
    for _ in range(3):
        bake(state, 1)


with zproc.Context(Bakery, wait=True) as ctx:

    @ctx.call_when_change("cookies", count=3)  # a process that is called for each change
    def seller(snapshot: Bakery, state: Bakery) -> None:
        state.orders.append(f"{snapshot.cookies} cookies on the shelf")

    ctx.spawn(baker)
    ctx.state.oven.temperature = 180

    for change in ctx.state.changes("orders", since=0, count=3, timeout=10):
        print(change)

    done = ctx.state.get_when(lambda bakery: len(bakery.orders) == 3)  # the state in which it is so
    print(done.orders)
