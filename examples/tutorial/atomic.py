import zproc
from pydantic import BaseModel, Field


class Oven(BaseModel):
    temperature: int = Field(default=20, ge=0, le=300)


class Bakery(zproc.StateModel):
    cookies: int = Field(default=0, ge=0)
    flour: int = Field(default=10, ge=0)
    oven: Oven = Oven()
    orders: list[str] = []


class OvenIsColdError(Exception):
    pass


@zproc.atomic
def bake(state: Bakery, trays: int) -> int:
    state.flour -= trays
    state.cookies += 12 * trays
    if state.oven.temperature < 150:
        raise OvenIsColdError
    return state.cookies


def night_shift(state: Bakery) -> None:
    for _ in range(3):
        bake(state, 1)


with zproc.Context(Bakery) as ctx:
    try:
        bake(ctx.state, 1)
    except OvenIsColdError:
        print("too cold:", ctx.state.cookies, "cookies,", ctx.state.flour, "flour")  # nothing has happened

    ctx.state.oven.temperature = 180
    bakers = [ctx.spawn(night_shift) for _ in range(3)]  # three processes
    for baker in bakers:
        baker.wait()
    print("in the morning:", ctx.state.cookies, "cookies,", ctx.state.flour, "flour")

    try:
        bake(ctx.state, 2)  # there is flour for one tray
    except zproc.CommitRefused as refused:
        print("refused:", refused)
    print("still:", ctx.state.cookies, "cookies,", ctx.state.flour, "flour")
