"""Work spread over workers: results in order, as they come, and no worker's death unnoticed."""

import logging
import os
import signal
from collections.abc import Iterator

import zproc


class Progress(zproc.StateModel):
    done: int = 0


def square(num: int) -> int:
    return num * num


def power(num: int, exp: int) -> int:
    return int(num**exp)


def count(state: Progress, num: int) -> int:
    state.done += 1
    return num


def fragile(num: int) -> int:
    if num == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return num


def measurements() -> Iterator[int]:
    """Endless, as a sensor is; no more is made of it than is soon needed."""
    num = 0
    while True:
        yield num
        num += 1


if __name__ == "__main__":
    with zproc.Context(Progress) as ctx:
        # Like map(), in workers that stay for the next one.
        print(list(ctx.process_map(square, [1, 2, 3, 4])))
        print(list(ctx.process_map(power, range(5), args=[3], count=2)))
        print(list(ctx.process_map(power, map_args=[(2, 2), (3, 2), (6, 2), (2, 8)])))

        # Functions may be given the live state.
        print(sum(ctx.process_map(count, range(100), stateful=True)), ctx.state.done)

        # An iterable may be endless.
        with ctx.process_map(square, measurements()) as squares:
            print([next(squares) for _ in range(5)])

        # An item that kills its worker fails alone. (The log tells of each death, too; here the result is enough.)
        logging.getLogger("zproc").setLevel(logging.CRITICAL)
        results: list[object] = list(ctx.process_map(fragile, range(5), on_error="return"))
        print([type(each).__name__ if isinstance(each, Exception) else each for each in results])

        # A swarm is an executor.
        with ctx.create_swarm(2) as swarm:
            futures = [swarm.submit(pow, 2, exp) for exp in range(5)]
            print([future.result() for future in futures])
