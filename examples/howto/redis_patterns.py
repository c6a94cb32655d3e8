"""What one does with Redis, done with zproc."""

import zproc
from pydantic import Field


class Shop(zproc.StateModel):
    visits: int = 0
    scores: dict[str, int] = {}
    queue: list[str] = []
    seen: set[str] = set()
    stock: int = Field(default=3, ge=0)

    @zproc.action  # a Lua script: runs in the server, all or nothing
    def buy(self, customer: str) -> bool:
        if self.stock == 0:
            return False
        self.stock -= 1
        self.queue.append(customer)
        return True


@zproc.atomic  # WATCH, MULTI, EXEC, and the loop around them
def take(state: Shop) -> str:
    return state.queue.pop(0)


def worker(state: Shop, number: int) -> list[str]:
    taken = []
    for _ in range(number):
        state.get_when_truthy("queue")  # BLPOP ...
        taken.append(take(state))  # ... but look at what is taken before it is gone
    return taken


with zproc.Context(Shop) as ctx:
    state = ctx.state
    state.visits += 1  # INCR
    state.scores["Ada"] = 10  # HSET
    state.scores["Ada"] += 5  # HINCRBY
    state.seen.add("Ada")  # SADD
    print(state.visits, dict(state.scores), "Ada" in state.seen)

    served = ctx.spawn(worker, 3)
    changes = state.changes("stock", timeout=5)  # SUBSCRIBE, but nothing is lost
    print([state.buy(customer) for customer in ("Ada", "Grace", "Alan", "Edsger")])
    print(served.wait(), [next(changes).new for _ in range(3)])  # type: ignore[union-attr]
