"""What is promised of a realistic model by the model alone."""

from __future__ import annotations

from typing import assert_type

import zproc
from shop.state import Customer, ShopState


def uses(ctx: zproc.Context[ShopState]) -> None:
    state = ctx.state
    assert_type(state.settings.mail.port, int)
    state.settings.mail.port = "25"  # E
    state.settings.mail.prot = 25  # E
    assert_type(state.customers, dict[str, Customer])
    state.customers["ann"].tags.add(3)  # E
    state.queue.append("1")  # E
    assert_type(state.sell("flour"), int)
    state.sell(3)  # E
    assert_type(ctx.select(lambda shop: shop.orders[1].lines[0].amount), zproc.Watch[int])
    ctx.select(lambda shop: shop.orders["1"])  # E
    ctx.select(lambda shop: shop.machine.temp).equals("hot")  # E
    for snapshot in state.when_change("stock.*"):
        snapshot.stock["flour"] = "1"  # E
