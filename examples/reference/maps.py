"""Work that is spread over workers."""

import os
import signal
from concurrent.futures import as_completed

import zproc


class Bakery(zproc.StateModel):
    done: int = 0


def square(x: int) -> int:
    return x * x


def power(base: int, exponent: int, plus: int = 0) -> int:
    return int(base**exponent) + plus


def count(state: Bakery, x: int) -> int:
    state.done += 1
    return x


def crash(x: int) -> int:
    if x == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


with zproc.Context(Bakery) as ctx:
    assert list(ctx.process_map(square, range(4))) == [0, 1, 4, 9]
    assert list(ctx.process_map(power, [2, 3], map_args=[(3,), (2,)], kwargs={"plus": 1})) == [9, 10]
    assert sum(ctx.process_map(count, range(10), stateful=True)) == 45
    assert ctx.state.done == 10

    results: list[object] = list(ctx.process_map(crash, [1, 2, 3], on_error="return"))
    assert (results[0], results[2]) == (1, 3)
    assert isinstance(results[1], zproc.WorkerDied)

    swarm: zproc.Swarm
    with ctx.create_swarm(count=2) as swarm:  # a concurrent.futures.Executor
        tasks = [swarm.submit(square, x) for x in range(3)]
        assert sorted(task.result() for task in as_completed(tasks)) == [0, 1, 4]
        assert sorted(swarm.imap_unordered(square, range(3))) == [0, 1, 4]
