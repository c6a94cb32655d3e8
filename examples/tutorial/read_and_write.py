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
    state = ctx.state

    state.oven.temperature = 180  # nested models
    state.orders.append("Ada")  # lists, dicts and sets
    state.orders += ["Grace", "Alan"]
    state.flour -= 2  # one operation at the server, however many processes do it
    print(state.oven.temperature, list(state.orders), state.flour)

    state.update(cookies=12, flour=0)  # several fields at once, or none
    print(state["oven.temperature"])  # by path, when the path is data

    before = state.snapshot()  # a copy that stays as it is
    state.cookies = 0
    print(before.cookies, "then,", state.cookies, "now")
