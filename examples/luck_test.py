"""A process draws numbers; others are waiting for theirs."""

import random

import zproc
from pydantic import Field


class Draw(zproc.StateModel):
    number: int = Field(default=0, ge=0, le=6)
    drawn: int = 0


def draw(state: Draw, seed: int) -> None:
    chance = random.Random(seed)
    while state.drawn < 200:
        state.update(number=chance.randint(1, 6), drawn=state.drawn + 1)


with zproc.Context(Draw) as ctx:

    def player(lucky: int) -> zproc.Process[None]:
        @ctx.call_when_equal("number", lucky, count=1, name=f"player {lucky}")
        def wins(snapshot: Draw, state: Draw) -> None:
            print(f"{lucky} came after {snapshot.drawn} draws", flush=True)

        return wins

    players = [player(lucky) for lucky in (1, 4, 6)]
    ctx.spawn(draw, 7).wait(20)
    for each in players:  # each was listening before the first draw
        each.wait(20)
