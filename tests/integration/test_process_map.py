"""Maps of a context: every form that is documented, literally, and what a context adds to a swarm."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, Executor
from pathlib import Path
from typing import Any

import pytest

import zproc
from zproc import process

pytestmark = pytest.mark.slow


class Stock(zproc.StateModel):
    factor: int = 10
    done: int = 0


@pytest.fixture(scope="module")
def ctx() -> Iterator[zproc.Context[Stock]]:
    process.start(int, method="forkserver").wait(30)
    with zproc.Context(Stock) as made:
        assert list(made.process_map(abs, range(-100, 0), chunksize=1, count=2)) == list(range(100, 0, -1))
        _ = made.processes
        yield made


def square(num: int) -> int:
    return num * num


def power(num: int, exp: int) -> int:
    return int(num**exp)


def my_thingy(seed: int, num: int, exp: int) -> int:
    return int(seed + num**exp)


class TestTheFormsOfTheDocumentation:
    def test_similar_to_map(self, ctx: zproc.Context[Stock]) -> None:
        assert list(ctx.process_map(square, [1, 2, 3, 4])) == [1, 4, 9, 16]

    def test_common_arguments(self, ctx: zproc.Context[Stock]) -> None:
        assert list(ctx.process_map(power, range(100), args=[3], count=2)) == [number**3 for number in range(100)]

    def test_mapped_positional_arguments(self, ctx: zproc.Context[Stock]) -> None:
        assert list(ctx.process_map(power, map_args=[(2, 2), (3, 2), (6, 2), (2, 8)])) == [4, 9, 36, 256]

    def test_mapped_keyword_arguments(self, ctx: zproc.Context[Stock]) -> None:
        results = ctx.process_map(
            my_thingy,
            args=[7],
            map_kwargs=[
                {"num": 10, "exp": 3},
                {"num": 5, "exp": 5},
                {"num": 5, "exp": 2},
                {"num": 9, "exp": 3},
                {"num": 5, "exp": 3},
                {"num": 4, "exp": 8},
                {"num": 1, "exp": 4},
            ],
            count=2,
        )
        assert list(results) == [1007, 3132, 32, 736, 132, 65543, 8]

    def test_all_of_it_together_cut_at_the_shortest(self, ctx: zproc.Context[Stock]) -> None:
        def show(*args: Any, **kwargs: Any) -> Any:
            return args, kwargs

        results = ctx.process_map(
            show, ["a", "b", "c"], map_args=[(1,), (2,)], args=[9], map_kwargs=[{"k": 1}] * 5, kwargs={"last": True}
        )
        assert list(results) == [(("a", 1, 9), {"k": 1, "last": True}), (("b", 2, 9), {"k": 1, "last": True})]

    def test_it_returns_at_once_and_gives_results_one_by_one(self, ctx: zproc.Context[Stock], tmp_path: Path) -> None:
        def slowly(x: int) -> int:
            while not (tmp_path / "returned").exists():
                time.sleep(0.01)
            return x * x

        results = ctx.process_map(slowly, range(6))
        (tmp_path / "returned").touch()
        assert [next(results) for _ in range(6)] == [0, 1, 4, 9, 16, 25]

    def test_nothing_to_map_over(self, ctx: zproc.Context[Stock]) -> None:
        assert list(ctx.process_map(square, [])) == []
        with pytest.raises(zproc.UsageError, match="needs map_iter, map_args or map_kwargs"):
            ctx.process_map(square)


class TestState:
    def test_a_function_may_be_given_the_state(self, ctx: zproc.Context[Stock]) -> None:
        def scaled(state: Stock, x: int) -> int:
            return state.factor * x

        assert list(ctx.process_map(scaled, [1, 2], stateful=True)) == [10, 20]

    def test_workers_may_write_it(self, ctx: zproc.Context[Stock]) -> None:
        def count(state: Stock, _item: int) -> None:
            state.done += 1

        before = ctx.state.done
        list(ctx.process_map(count, range(20), stateful=True))
        assert ctx.state.done == before + 20

    def test_a_stateful_swarm_gives_it_to_every_function(self, ctx: zproc.Context[Stock]) -> None:
        def scaled(state: Stock, x: int) -> int:
            return state.factor * x

        swarm = ctx.create_swarm(1, stateful=True)
        assert isinstance(swarm, Executor)
        assert isinstance(swarm, zproc.Swarm)
        assert list(swarm.map(scaled, [1, 2])) == [10, 20]
        assert swarm.run(scaled, [3]).result(30) == 30
        swarm.close()

    def test_no_task_passes_through_the_state_server(self, ctx: zproc.Context[Stock]) -> None:
        before = len(list(ctx.history()))
        assert list(ctx.process_map(square, range(1000))) == [square(number) for number in range(1000)]
        assert len(list(ctx.history())) == before


def test_workers_are_used_again_unless_new_ones_are_asked_for(ctx: zproc.Context[Stock]) -> None:
    def pid(_: int) -> int:
        time.sleep(0.01)
        return os.getpid()

    first, second = (set(ctx.process_map(pid, range(10))) for _ in range(2))
    assert first == second == {each.pid for each in ctx.worker_list}
    assert not set(ctx.process_map(pid, range(10), new=True, count=2)) & first


def test_workers_are_in_the_record_and_not_among_those_that_are_waited_for(ctx: zproc.Context[Stock]) -> None:
    list(ctx.process_map(square, [1]))
    workers = {each.pid for each in ctx.worker_list}
    assert workers
    assert not workers & {each.pid for each in ctx.process_list}
    ctx.wait_all(30)
    assert workers <= {row.pid for row in ctx.processes.rows.values()}


def test_another_process_fetches_the_results_by_the_id_of_the_map(ctx: zproc.Context[Stock]) -> None:
    task_id = ctx.process_map(square, range(100), return_task=True)
    fetched = ctx.spawn(stateful=False)(zproc.Swarm.result, task_id).wait(60)
    assert fetched == [square(number) for number in range(100)]
    with pytest.raises(zproc.UsageError, match="no results of this id"):
        zproc.Swarm.result(task_id)


def test_maps_within_maps_by_the_context() -> None:
    with zproc.Context(Stock) as ctx:

        def total(depth: int) -> int:
            return 1 if depth == 0 else sum(ctx.process_map(total, [depth - 1] * 2, count=2))

        assert total(2) == 4


def test_a_context_ends_its_workers_even_in_the_middle_of_a_map() -> None:
    with zproc.Context(Stock) as ctx:
        results = ctx.process_map(time.sleep, [60.0] * 4, count=2)
        swarm = ctx.create_swarm(1)
        future = swarm.submit(time.sleep, 60)
    with pytest.raises(CancelledError):
        next(results)
    assert future.done()
    with pytest.raises(zproc.UsageError, match="closed"):
        ctx.process_map(square, [1])
