"""A state as programs have them: forty fields on three levels."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, ClassVar, Literal

import zproc
from pydantic import BaseModel, Field, computed_field

if TYPE_CHECKING:
    from shop.client import ShopContext


class Status(Enum):
    OPEN = "open"
    PAID = "paid"
    SENT = "sent"


class Address(BaseModel):
    street: str = ""
    number: int = Field(default=1, ge=1)
    city: str = ""
    country: str | None = None


class Customer(BaseModel):
    """Who buys."""

    name: str = ""
    email: str = Field(default="", description="Where the invoice goes.")
    address: Address = Address()
    vip: bool = False
    tags: set[str] = set()


class Line(BaseModel):
    article: str = ""
    amount: int = Field(default=1, ge=1)
    price: Decimal = Decimal(0)


class Order(BaseModel):
    customer: str = ""
    lines: list[Line] = []
    status: Status = Status.OPEN
    placed: datetime | None = None
    notes: list[str] = []


class Mail(BaseModel):
    host: str = "localhost"
    port: int = 25
    sender: str | None = None


class Settings(BaseModel):
    currency: Literal["EUR", "USD"] = "EUR"
    tax: Decimal = Decimal("0.19")
    mail: Mail = Mail()
    open_for: timedelta = timedelta(hours=8)
    debug: bool = False


class Machine(BaseModel):
    temp: float = 20.0
    load: float = Field(default=0.0, ge=0, le=1)
    errors: list[str] = []
    since: datetime | None = None


class ShopState(zproc.StateModel):
    """What the shop knows."""

    if TYPE_CHECKING:
        __client__: ClassVar[type[ShopContext]]

    name: str = "shop"
    open: bool = False
    visitors: int = 0
    revenue: Decimal = Decimal(0)
    rating: float | None = None
    settings: Settings = Settings()
    customers: dict[str, Customer] = {}
    orders: dict[int, Order] = {}
    queue: list[int] = []
    stock: dict[str, int] = {}
    prices: dict[str, Decimal] = {}
    machine: Machine = Machine()
    spare: Machine | None = None
    closed_on: list[datetime] = []

    @computed_field  # type: ignore[prop-decorator]
    @property
    def in_stock(self) -> int:
        """How many articles there are."""
        return sum(self.stock.values())

    @zproc.action
    def sell(self, article: str, amount: int = 1) -> int:
        self.stock[article] -= amount
        return self.stock[article]

    def find(self, name: str) -> Customer | None:
        return self.customers.get(name)
