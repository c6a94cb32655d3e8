from typing import Annotated

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
    def sell(self, customer: str, number: Annotated[int, Field(gt=0)]) -> int:
        self.cookies -= number
        self.orders.append(f"{number} for {customer}")
        return self.cookies


Trays = Annotated[int, Field(ge=1, le=3)]


@zproc.atomic
def bake(state: Bakery, trays: Trays) -> int:
    state.flour -= trays
    state.cookies += 12 * trays
    return state.cookies


def baker(state: Bakery) -> None:
    state.get_when_equal("oven.temperature", 180)
    for _ in range(3):
        bake(state, 1)
