"""Declaring a state, and changing it."""

import zproc
from pydantic import BaseModel, Field


class Oven(BaseModel):
    temperature: float = Field(default=20.0, le=300)


class Bakery(zproc.StateModel):
    cookies: int = Field(default=0, ge=0)
    oven: Oven = Oven()
    stock: dict[str, int] = {}

    @zproc.action  # runs in the server
    def restock(self, name: str, number: int) -> int:
        self.stock[name] = self.stock.get(name, 0) + number
        return self.stock[name]


@zproc.atomic  # runs here, alone, all or nothing
def bake(state: Bakery, number: int) -> int:
    state.stock["flour"] -= number
    state.cookies += number
    return state.cookies


with zproc.Context(Bakery) as ctx:
    state = ctx.state
    assert state.restock("flour", 5) == 5
    assert bake(state, 2) == 2

    with zproc.transaction(state) as draft:  # the same as a block
        draft.cookies -= 1
        draft.oven.temperature = 180.0

    state.update(cookies=7, stock={"flour": 1})  # several fields, or none
    assert state["oven.temperature"] == 180.0  # by path
    state["stock.flour"] = 3

    copy = state.snapshot()  # frozen
    state.reset()
    assert (copy.cookies, state.cookies) == (7, 0)

    assert bake(Bakery(stock={"flour": 9}), 1) == 1  # on a plain instance: no server
