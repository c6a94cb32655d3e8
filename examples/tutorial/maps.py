import zproc
from pydantic import Field


class Bakery(zproc.StateModel):
    cookies: int = Field(default=0, ge=0)
    flour: int = Field(default=10, ge=0)
    orders: list[str] = []


def price(cookies: int, each: float) -> float:
    return cookies * each


def pack(state: Bakery, order: str) -> str:
    state.orders.append(order)
    return order.upper()


def fussy(order: str) -> str:
    if order == "raisins":
        raise ValueError("nobody likes raisins")
    return order


with zproc.Context(Bakery) as ctx:
    # Workers are started, and stay for the next map. Results come in order, while the work goes on.
    prices = ctx.process_map(price, [1, 6, 12], args=[0.5])
    print(next(prices), list(prices))

    # With the live state.
    print(list(ctx.process_map(pack, ["nuts", "plain"], stateful=True)), sorted(ctx.state.orders))

    # An item that fails is that item's business.
    print(list(ctx.process_map(fussy, ["nuts", "raisins", "plain"], on_error="skip")))

    # A swarm of one's own; it is a concurrent.futures.Executor.
    with ctx.create_swarm(count=2) as swarm:
        print(swarm.submit(price, 3, 0.5).result(), sum(swarm.imap_unordered(abs, range(-100, 0))))
