"""A read and a write that belong together: lost updates without atomicity, none with it."""

import zproc


class Race(zproc.StateModel):
    careless: int = 0
    atomic: int = 0
    in_place: int = 0


@zproc.atomic
def increment(state: Race) -> None:
    state.atomic += 1


def run(state: Race, times: int) -> None:
    for _ in range(times):
        before = int(state.careless)
        state.careless = before + 1  # somebody else may have been here in between
        increment(state)  # runs alone: whatever is read in it stays true until it is done
        state.in_place += 1  # one operation at the server


with zproc.Context(Race) as ctx:
    ctx.spawn(count=5)(run, 40).wait()
    print("careless:", "some were lost" if ctx.state.careless < 200 else "lucky this time")
    print("atomic:", ctx.state.atomic, "in place:", ctx.state.in_place)
