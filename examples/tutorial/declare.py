import zproc
from pydantic import BaseModel, Field


class Oven(BaseModel):
    temperature: int = Field(default=20, ge=0, le=300)


class Bakery(zproc.StateModel):
    cookies: int = Field(default=0, ge=0)
    flour: int = Field(default=10, ge=0)
    oven: Oven = Oven()
    orders: list[str] = []


with zproc.Context(Bakery) as ctx:
    print(ctx.state)

    ctx.state.cookies = 3
    print("cookies:", ctx.state.cookies)

    try:
        ctx.state.cookies = -1
    except zproc.ValidationRefused as refused:
        print("refused:", refused.faults[0])
    print("cookies:", ctx.state.cookies)
