"""Three ways to keep up with what happens faster than it can be worked on: live, buffered, and both.

Whoever processes peanuts takes longer than it takes to throw them in.
"""

import zproc


class Bowl(zproc.StateModel):
    peanuts: int = 0
    eaten: dict[str, list[int]] = {}


@zproc.atomic
def eat(state: Bowl, who: str, peanut: int) -> None:
    state.eaten.setdefault(who, []).append(peanut)


def live(bowl: Bowl) -> None:
    """Looks at the newest peanut only; those that came while it was eating are gone."""
    for snapshot in bowl.when_change("peanuts", live=True, since=0, timeout=20):
        eat(bowl, "live", snapshot.peanuts)
        if snapshot.peanuts >= 10:
            return


def buffered(bowl: Bowl) -> None:
    """Eats every peanut, in order, however late."""
    for snapshot in bowl.when_change("peanuts", since=0, count=10, timeout=20):
        eat(bowl, "buffered", snapshot.peanuts)


def hybrid(bowl: Bowl) -> None:
    """Eats three as they came, has had enough of the backlog, and goes on with what comes then."""
    peanuts = bowl.when_change("peanuts", since=0, timeout=20)
    for _ in range(3):
        eat(bowl, "hybrid", next(peanuts).peanuts)
    peanuts.go_live()
    eat(bowl, "hybrid", 0)  # ready
    eat(bowl, "hybrid", next(peanuts).peanuts)


with zproc.Context(Bowl) as ctx:
    for number in range(1, 11):
        ctx.state.peanuts = number

    eaters = ctx.process_factory(live, buffered, hybrid)
    ctx.state.get_when(lambda bowl: 0 in bowl.eaten.get("hybrid", []), timeout=20)
    ctx.state.peanuts = 11
    eaters.wait(20)
    for who, peanuts in sorted(ctx.state.eaten.items()):
        print(f"{who}:", *peanuts)
