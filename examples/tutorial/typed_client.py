from bakery import Bakery, bake
from bakery_client import BakeryContext

with BakeryContext(wait=True) as ctx:

    @ctx.call_when_equal("oven.temperature", 180, count=1)  # a typo here, or "hot", is an error of the type checker
    def baker(snapshot: Bakery, state: Bakery) -> None:
        bake(state, 2)

    ctx.state.oven.temperature = 180
    print(ctx.when.cookies.equals(24, timeout=10), "cookies")  # no text at all: the editor completes it

    for change in ctx.state.changes("cookies", since=0, count=1):
        print(change)
