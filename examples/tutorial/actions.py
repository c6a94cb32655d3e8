import zproc
from pydantic import BaseModel, Field


class Oven(BaseModel):
    temperature: int = Field(default=20, ge=0, le=300)


class Bakery(zproc.StateModel):
    cookies: int = Field(default=0, ge=0)
    flour: int = Field(default=10, ge=0)
    oven: Oven = Oven()
    orders: list[str] = []

    @zproc.action
    def sell(self, customer: str, number: int) -> int:
        """Runs in the state server, where the state is: one round trip, and nobody in between."""
        self.cookies -= number
        self.orders.append(f"{number} for {customer}")
        return self.cookies


with zproc.Context(Bakery) as ctx:
    ctx.state.cookies = 12
    print(ctx.state.sell("Ada", 5), "left")
    print(ctx.state.sell("Grace", 6), "left")
    try:
        ctx.state.sell("Alan", 2)
    except zproc.ValidationRefused as refused:
        print("refused:", refused.faults[0])
    print(list(ctx.state.orders))
