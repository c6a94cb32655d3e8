"""What the link promises of a realistic model."""

from __future__ import annotations

from typing import assert_type

import zproc
from shop.client import ShopContext
from shop.state import ShopState

with zproc.Context(ShopState, restart="on_failure") as ctx:
    assert_type(ctx, ShopContext)
    ctx.state.settings.mail.port = "25"  # E
    ctx.state.get_when_equal("settings.mail.prot", 25)  # E
    ctx.when.machine.temp.equals("hot")  # E
    ctx.state.customers["ann"].tags.add(3)  # E
zproc.Context(ShopState, restart="sometimes")  # E
