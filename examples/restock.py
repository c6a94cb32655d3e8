"""An action runs in the state server, in one round trip; a refused one changes nothing."""

import zproc
from pydantic import Field


class Pantry(zproc.StateModel):
    cookies: int = Field(default=0, ge=0, le=12)
    deliveries: list[int] = []

    @zproc.action
    def restock(self, n: int) -> int:
        self.cookies += n
        self.deliveries.append(n)
        return self.cookies


def deliver(state: Pantry, n: int) -> int:
    return state.restock(n)


with zproc.Context(Pantry) as ctx:
    drivers = [ctx.spawn(deliver, n) for n in (1, 2, 3)]
    for driver in drivers:
        driver.wait()
    print(ctx.state.cookies, "cookies in", len(ctx.state.deliveries), "deliveries")

    try:
        ctx.state.restock(7)
    except zproc.ValidationRefused as refused:
        print("refused:", refused.faults[0].message)
    print(sorted(ctx.state.deliveries))
