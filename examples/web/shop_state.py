"""The state that the workers share."""

import zproc
from pydantic import Field


class Shop(zproc.StateModel):
    stock: int = Field(default=5, ge=0)
    sold: dict[str, int] = {}

    @zproc.action
    def buy(self, customer: str) -> int:
        self.stock -= 1
        self.sold[customer] = self.sold.get(customer, 0) + 1
        return self.stock
