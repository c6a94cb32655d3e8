"""The same with zproc."""

import zproc
from pydantic import Field


class Bakery(zproc.StateModel):
    cookies: int = Field(default=0, ge=0)
    notes: list[str] = []


@zproc.atomic
def bake_one(state: Bakery) -> None:
    state.cookies += 1
    state.notes.append("baked")


def bake(state: Bakery) -> None:
    for _ in range(5):
        bake_one(state)


with zproc.Context(Bakery, wait=True) as ctx:
    ctx.spawn(count=2)(bake).wait()
    print(ctx.state.cookies, "cookies,", len(ctx.state.notes), "notes")
