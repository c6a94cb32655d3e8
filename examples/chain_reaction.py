"""One thing leads to another: each process waits for what the one before it has done, and none of them polls."""

from typing import Literal

import zproc


class Line(zproc.StateModel):
    domino: Literal["standing", "pushed", "falling", "fallen"] = "standing"
    log: list[str] = []


ctx = zproc.Context(Line)


@ctx.call_when_equal("domino", "pushed", count=1)
def first(snapshot: Line, state: Line) -> None:
    state.log.append(f"first: it was {snapshot.domino}")
    state.domino = "falling"


@ctx.call_when_equal("domino", "falling", count=1)
def second(snapshot: Line, state: Line) -> None:
    state.log.append(f"second: it is {snapshot.domino}")
    state.domino = "fallen"


# Both are listening by now, whether or not their processes have begun: nothing after this line is missed.
ctx.state.domino = "pushed"
fallen = ctx.state.get_when_equal("domino", "fallen", timeout=20)
print(*fallen.log, f"main: it has {fallen.domino}", sep="\n")
ctx.close()
