"""What a realistic model's generated client promises: lines marked ``# E`` must be rejected, all others accepted."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import assert_type

import zproc
from shop.client import (
    AddressHandle,
    AsyncShopState,
    CustomerHandle,
    MachineHandle,
    OrderHandle,
    ShopContext,
    ShopStateHandle,
)
from shop.state import Address, Customer, Line, Machine, Order, ShopState, Status
from zproc.aio import AsyncState
from zproc.generated import DictHandle, ListHandle, SetHandle

ctx = ShopContext()
state = ctx.state

# Reading and writing
assert_type(state.name, str)
assert_type(state.rating, float | None)
assert_type(state.settings.mail.port, int)
assert_type(state.settings.open_for, timedelta)
assert_type(state.machine, MachineHandle)
assert_type(state.spare, MachineHandle | None)
assert_type(state.in_stock, int)
state.rating = 4.5
state.rating = None
state.rating = "good"  # E
state.settings.currency = "USD"
state.settings.currency = "GBP"  # E
state.settings.mail.prot = 25  # E
state.settings.mail.port = "25"  # E
state.settings.open_for = 8  # E
state.machine.temp = 180
state.machine = Machine(temp=3.0)
state.machine = 3  # E
state.machine = state.settings  # E
state.spare = state.machine
state.in_stock = 3  # E
state.settings.mail = state.settings.mail
state.spare = None
state.spare.temp = 3.0  # E

# Containers
assert_type(state.customers, DictHandle[str, CustomerHandle, Customer])
assert_type(state.customers["ann"].address, AddressHandle)
state.customers["ann"] = Customer(name="ann")
state.customers["ann"].address.city = "Rome"
state.customers["ann"].address.city = 3  # E
state.customers["ann"].address = Address()
state.customers[3]  # E
state.customers["bob"] = Order()  # E
assert_type(state.customers["ann"].tags, SetHandle[str])
state.customers["ann"].tags |= {"new"}
state.customers["ann"].tags.add("new")
state.customers["ann"].tags.add(3)  # E
assert_type(state.customers.get("ann"), CustomerHandle | None)
assert_type(state.customers.pop("ann"), Customer)
assert_type(state.orders[1], OrderHandle)
assert_type(state.orders[1].lines[0].price, Decimal)
state.orders[1].lines[0].price = Decimal(3)
state.orders[1].lines[0].price = "3"  # E
state.orders[1].lines.append(Line(article="x"))
state.orders[1].lines.append("x")  # E
state.orders[1].lines += [Line()]
state.orders[1].lines = [Line()]
state.orders[1].lines = [3]  # E
state.orders[1].status = Status.PAID
state.orders[1].status = "paid"  # E
state.queue += [1, 2]
state.queue = [1]
state.queue.append("1")  # E
state.queue.sort(key=lambda number: -number)
assert_type(state.queue, ListHandle[int])
assert_type(state.queue[0], int)
assert_type(state.queue[1:], list[int])
assert_type(state.queue.copy(), list[int])
assert_type(state.queue.pop(), int)
state.stock["flour"] += 1
state.stock["flour"] = "1"  # E
state.stock.update({"flour": 1}, sugar=3)
state.stock.update({"flour": "1"})  # E
state.stock |= {"flour": 3}
assert_type(dict(state.stock), dict[str, int])
for name, customer in state.customers.items():
    assert_type(name, str)
    assert_type(customer, CustomerHandle)
state.update(name="x", queue=[1], machine=Machine())
state.update(queue=["1"])  # E
state.update(nam="x")  # E

# Paths
state.get_when_equal("machine.temp", 180.0, timeout=5)
state.get_when_equal("machine.temp", "hot")  # E
state.get_when_equal("machine.tmp", 180.0)  # E
state.get_when_equal("settings.currency", "USD")
state.get_when_equal("settings.currency", "GBP")  # E
state.get_when_equal("settings.mail.port", 25)
state.get_when_equal("settings.mail.port", 25, timeut=3)  # E
state.get_when_equal("spare", None)
state.get_when_equal("spare.load", 0.5)
state.get_when_equal("in_stock", 3)
state.get_when_not_equal("rating", 4.5)
state.get_when_not_equal("rating", "4.5")  # E
state.when_equal("open", True, count=3)
state.when_equal("open", "True")  # E
state.when_not_equal("revenue", Decimal(0))
state.when_not_equal("revenue", "0")  # E
state.get_when_none("spare")
state.get_when_none("spar")  # E
state.when_truthy("settings.debug")
state.when_truthy("settings.debg")  # E
state.when_available("settings.mail.sender")
state.get_when_falsy("queue")
state.get_when_change("stock.*", "orders.*.lines", "machine")
state.get_when_change("stocks.*")  # E
state.get_when_change("machine", exclude=["machine.since"])
state.get_when_change("machine", exclude=["machine.sinc"])  # E
assert_type(state.get_when(lambda snapshot: snapshot.visitors > 3), ShopState)
state.get_when(lambda snapshot: snapshot.visitor > 3)  # E
for found in state.when(lambda snapshot: snapshot.open):
    assert_type(found, ShopState)
for event in state.changes("visitors"):
    if isinstance(event, zproc.Change):
        assert_type(event.new, int | None)
    else:
        assert_type(event.snapshot, ShopState)
for any_event in state.changes("machine", "stock.*"):
    if isinstance(any_event, zproc.Change):
        anything: object = any_event.new
state.changes("visitor")  # E
state.commits("orders", since=0)
state.commits("order", since=0)  # E


def by_text(path: str) -> None:
    state.get_when_equal(path, 180.0)  # E


# Places
assert_type(ctx.when.machine.temp.equals(180.0), float)
ctx.when.machine.temp.equals("hot")  # E
ctx.when.machine.tmp  # E
ctx.when.customers["ann"].address.city.equals("Rome")
ctx.when.customers["ann"].address.city.equals(3)  # E
ctx.when.customers[3]  # E
ctx.when.orders[1].lines[0].amount.when(lambda amount: amount > 3)
ctx.when.orders[1].lines[0].amount.when(lambda amount: amount.upper())  # E
assert_type(ctx.when.spare.get(), Machine | None)
assert_type(ctx.when.stock["flour"].get(), int)
ctx.when.closed_on[0].equals(datetime.min)
ctx.when.closed_on["0"]  # E
for change in ctx.when.settings.mail.port.changes(count=3):
    if isinstance(change, zproc.Change):
        assert_type(change.old, int | None)


# Functions
def count(shop: ShopState) -> int:
    return shop.visitors


@zproc.atomic
def visit(shop: ShopState, number: int = 1) -> int:
    shop.visitors += number
    return shop.visitors


def visitor(shop: ShopStateHandle, number: int) -> bytes:
    shop.visitors += number
    return b""


assert_type(count(state), int)
count(state.machine)  # E
assert_type(visit(state, 3), int)
visit(state, "3")  # E
assert_type(state.sell("flour", 3), int)
state.sell(3)  # E
assert_type(ctx.spawn(visitor, 3), zproc.Process[bytes])
ctx.spawn(visitor, "3")  # E
ctx.spawn(visit, 3)
assert_type(ctx.spawn(count=4)(visitor, 3), zproc.ProcessList[bytes])


def nested(context: ShopContext, number: int) -> None:
    context.spawn(visitor, number)


ctx.spawn(pass_context=True)(nested, 3)
ctx.spawn(pass_context=True)(visitor, 3)  # E


@ctx.call_when_equal("settings.mail.port", 25, args=(3,))
def on_port(snapshot: ShopState, shop: ShopStateHandle, number: int) -> None: ...


@ctx.call_when_change("stock.*", stateful=False)
def on_stock(snapshot: ShopState) -> None: ...


def on_handle(snapshot: ShopStateHandle, shop: ShopStateHandle) -> None: ...


ctx.call_when_change("stock.*")(on_handle)  # E
ctx.call_when_equal("settings.mail.port", "25")  # E
ctx.call_when_not_equal("machine.load", None)  # E
ctx.call_when_truthy("opn")  # E
ctx.call_when_change("stock.*", cout=3)  # E
assert_type(ctx.state_at(3), ShopState)
ctx.select(lambda shop: shop.machine.temp).equals("hot")  # E


# Drafts and tasks are of the model, not of its live handle
with zproc.transaction(state) as draft:
    assert_type(draft, ShopState)
    draft.queue = [1]
    draft.queue = ["1"]  # E
with zproc.transaction(state.machine) as part:
    assert_type(part, Machine)
with zproc.transaction(ShopState()) as plain:
    assert_type(plain, ShopState)


async def waits() -> None:
    tasks = AsyncState(state)
    assert_type(tasks, AsyncState[ShopState])
    assert_type(await tasks.get_when_equal("visitors", 3), ShopState)
    async for snapshot in tasks.when_change("stock"):
        assert_type(snapshot, ShopState)
        snapshot.stoc  # E
    exact = AsyncShopState(state)
    assert_type(await exact.get_when_equal("visitors", 3, timeout=1), ShopState)
    await exact.get_when_equal("visitors", "three")  # E
    await exact.get_when_equal("visitor", 3)  # E
    await exact.get_when_none("spar")  # E
    async for found in exact.when_equal("open", True, count=1):
        assert_type(found, ShopState)
    async for event in exact.changes("visitors"):
        if isinstance(event, zproc.Change):
            assert_type(event.new, int | None)
    exact.when_change("stocks.*")  # E
    exact.commits("stock.*", since=0)
