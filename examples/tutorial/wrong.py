# mypy: ignore-errors
# What a type checker refuses; each line that is marked, and no other.
from bakery import Bakery
from bakery_client import BakeryContext

with BakeryContext() as ctx:
    state = ctx.state
    state.get_when_equal("oven.temprature", 180)  # E: no such path
    state.get_when_equal("oven.temperature", "hot")  # E: an int stands there
    state.cokies = 3  # E: no such field
    state.cookies = "three"  # E: an int stands there
    state.sell("Ada")  # E: it takes a number, too
    ctx.when.oven.temperature.equals("hot")  # E: an int stands there
    state.get_when_equal("oven.temperature", 180)

    @ctx.call_when_change("stock")  # E: no such path
    def baker(snapshot: Bakery, state: Bakery) -> None: ...
