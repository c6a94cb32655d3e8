"""An exception of another process is raised where it is waited for, with the traceback that it had there."""

import logging
import traceback

import zproc

logging.getLogger("zproc").addHandler(logging.NullHandler())  # a crash is one record, and here nobody reads it


class Kitchen(zproc.StateModel):
    orders: list[str] = []
    tries: int = 0


class Burnt(Exception):
    def __init__(self, dish: str, *, minutes: int) -> None:
        super().__init__(f"{dish} after {minutes} minutes")
        self.minutes = minutes


def cook(state: Kitchen, dish: str) -> str:
    state.tries += 1
    if state.tries < 3:
        raise Burnt(dish, minutes=7)  # here it went wrong
    return dish


with zproc.Context(Kitchen) as ctx:
    try:
        ctx.spawn(name="cook")(cook, "pizza").wait()
    except zproc.RemoteError as error:
        cause = error.__cause__
        assert isinstance(cause, Burnt)
        print(f"{error.name} failed: {cause}, which is {cause.minutes}; exit code {error.exitcode}")
        print("it was in:", traceback.extract_tb(cause.__traceback__)[-1].line)

    # It is tried again for what was agreed, in a process of its own each time.
    again = ctx.spawn(retry_for=Burnt, retry_delay=0.05, max_retries=5)(cook, "pizza")
    print(again.wait(), "after", again.restarts, "more try, the last failure:", type(again.last_error).__name__)

    # With `safe`, errors stand in the places of results.
    outcomes = ctx.spawn_map(lambda number: 6 // number, [1, 0, 3], stateful=False).wait(safe=True)
    print([each if isinstance(each, int) else type(each.__cause__).__name__ for each in outcomes])
