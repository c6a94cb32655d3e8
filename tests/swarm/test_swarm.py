"""A swarm does what an executor does, and maps in every form."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import pickle
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.swarm.conftest import Eventually
from zproc.exceptions import RemoteError, UsageError, WaitTimeout
from zproc.process import StartMethod, fork_server_pid, watch_process
from zproc.swarm import Results, Swarm

pytestmark = pytest.mark.slow


def square(x: int) -> int:
    return x * x


def sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def content(path: Path | None) -> str:
    return path.read_text() if path is not None else ""


def pid(_: object = None) -> int:
    return os.getpid()


def picky(x: int) -> int:
    if x == 2:
        raise ValueError(f"not {x}")
    return x


class TestAnExecutor:
    def test_calls_are_futures(self, swarm: Swarm) -> None:
        future = swarm.submit(pow, 2, exp=10)
        assert isinstance(future, concurrent.futures.Future)
        assert future.result(30) == 1024

    def test_futures_are_waited_for_as_they_complete(self, swarm: Swarm) -> None:
        futures = [swarm.submit(square, number) for number in range(50)]
        done = concurrent.futures.as_completed(futures, timeout=30)
        assert sorted(future.result() for future in done) == [square(number) for number in range(50)]

    def test_an_event_loop_runs_calls_in_it(self, swarm: Swarm) -> None:
        async def main() -> list[int]:
            loop = asyncio.get_running_loop()
            return await asyncio.gather(*(loop.run_in_executor(swarm, square, number) for number in range(5)))

        assert asyncio.run(main()) == [0, 1, 4, 9, 16]

    def test_map_is_that_of_executors(self, swarm: Swarm) -> None:
        with concurrent.futures.ThreadPoolExecutor(1) as other:
            for executor in (other, swarm):
                assert list(executor.map(pow, [2, 3, 4], [3, 2])) == [8, 9]
                assert list(executor.map(square, range(5), chunksize=2)) == [0, 1, 4, 9, 16]

    def test_the_timeout_of_map_is_that_of_executors(self, swarm: Swarm) -> None:
        results = swarm.map(sleep, [0.0, 30.0], timeout=2)
        assert next(results) == 0.0
        with pytest.raises(concurrent.futures.TimeoutError):
            next(results)

    def test_an_exception_is_the_exception_itself_with_its_traceback(self, swarm: Swarm) -> None:
        with pytest.raises(ValueError, match="not 2") as caught:
            swarm.submit(picky, 2).result(30)
        assert "in picky" in "".join(traceback.format_tb(caught.value.__traceback__))
        assert "worker-" in caught.value.__notes__[0]

    def test_leaving_the_block_waits_for_what_was_submitted(self) -> None:
        with Swarm(2) as swarm:
            futures = [swarm.submit(sleep, 0.05) for _ in range(4)]
            results = swarm.map(square, range(1000))
        assert all(future.done() for future in futures)
        assert list(results) == [square(number) for number in range(1000)]
        with pytest.raises(UsageError, match="closed"):
            swarm.submit(square, 1)
        with pytest.raises(RuntimeError):
            swarm.map(square, [1])

    def test_leaving_it_by_an_interruption_does_not(self) -> None:
        begun = time.monotonic()
        swarm = Swarm(1)
        future = swarm.submit(sleep, 60.0)
        with pytest.raises(KeyboardInterrupt), swarm:
            raise KeyboardInterrupt
        assert future.cancelled()
        assert time.monotonic() - begun < 30

    def test_what_has_not_begun_can_be_cancelled_at_the_end(self) -> None:
        swarm = Swarm(1)
        futures = [swarm.submit(sleep, 0.2) for _ in range(5)]
        futures[0].result(30)
        swarm.shutdown(cancel_futures=True)
        assert all(future.done() for future in futures)
        assert futures[-1].cancelled()

    def test_what_cannot_be_sent_fails_alone(self, swarm: Swarm) -> None:
        bad, good = swarm.submit(square, threading.Lock()), swarm.submit(square, 3)  # type: ignore[arg-type]
        assert good.result(30) == 9
        with pytest.raises(UsageError, match="cannot be sent"):
            bad.result(30)

    def test_arguments_are_as_they_were_when_the_call_was_submitted(self, swarm: Swarm) -> None:
        items = [1, 2]
        future = swarm.submit(sum, items)
        items.clear()
        assert future.result(30) == 3

    def test_a_call_on_terms_is_tried_again(self, swarm: Swarm, tmp_path: Any) -> None:
        def third_time(path: str) -> int:
            with open(path, "a") as file:
                file.write("x")
            with open(path) as file:
                tries = len(file.read())
            if tries < 3:
                raise ValueError(tries)
            return tries

        assert swarm.run(third_time, [str(tmp_path / "tries")], retries=2).result(30) == 3


class TestCancelling:
    def test_a_call_that_waits_is_not_done(self) -> None:
        swarm = Swarm(1)
        busy = swarm.submit(sleep, 0.5)
        waiting = [swarm.submit(square, number) for number in range(3)]
        assert waiting[1].cancel()
        assert [future.cancelled() for future in waiting] == [False, True, False]
        assert [waiting[0].result(30), waiting[2].result(30), busy.result(30)] == [0, 4, 0.5]
        swarm.close()

    def test_a_call_that_runs_goes_on_unless_its_worker_is_to_be_killed(
        self, swarm: Swarm, tmp_path: Any, eventually: Eventually
    ) -> None:
        begun = tmp_path / "begun"

        def long(path: str) -> None:
            open(path, "w").close()
            time.sleep(60)

        future = swarm.submit(long, str(begun))
        eventually(begun.exists)
        assert not future.cancel()
        assert future.cancel(running=True)
        assert future.cancelled()
        assert swarm.submit(square, 2).result(30) == 4

    def test_a_cancelled_map_gives_what_was_begun_and_then_says_so(self, swarm: Swarm) -> None:
        results = swarm.map_lazy(sleep, (0.01 for _ in count()))
        assert next(results) == 0.01
        results.cancel()
        with pytest.raises(concurrent.futures.CancelledError):
            list(results)

    def test_a_cancelled_map_may_have_its_workers_killed(self, swarm: Swarm) -> None:
        results = swarm.map_lazy(sleep, [0.0, 60.0, 60.0])
        assert next(results) == 0.0
        began = time.monotonic()
        results.cancel(running=True)
        with pytest.raises(concurrent.futures.CancelledError):
            next(results)
        assert time.monotonic() - began < 10

    def test_a_map_that_is_half_read_and_closed_stops(self, swarm: Swarm) -> None:
        made = []

        def items() -> Iterator[int]:
            for number in count():
                made.append(number)
                yield number

        with swarm.map_lazy(square, items(), look_ahead=10) as results:
            assert [next(results) for _ in range(5)] == [0, 1, 4, 9, 16]
        swarm.submit(square, 1).result(30)
        so_far = len(made)
        assert swarm.submit(square, 3).result(30) == 9
        assert len(made) == so_far <= 20
        with pytest.raises(StopIteration):
            next(results)

    def test_results_that_are_there_already_are_not_given_after_the_end(self, swarm: Swarm) -> None:
        results = swarm.map(square, range(1000), chunksize=100)
        taken = list(islice(results, 3))
        for value in results:
            taken.append(value)
            results.close()
        assert taken == [n * n for n in range(len(taken))]
        assert len(taken) <= 5

    def test_the_end_of_a_swarm_does_not_look_like_the_end_of_a_map(self, swarm: Swarm) -> None:
        unbegun = swarm.map(square, range(4))
        swarm.close()
        with pytest.raises(concurrent.futures.CancelledError):
            next(unbegun)
        with Swarm(1) as other:
            endless = other.map_lazy(square, count(), look_ahead=2)
            assert next(endless) == 0
        with pytest.raises(concurrent.futures.CancelledError):
            for _ in endless:
                pass

    def test_a_map_that_nobody_holds_stops(self, swarm: Swarm, eventually: Eventually) -> None:
        for value in swarm.map_lazy(square, count()):
            if value == 4:
                break
        eventually(lambda: not swarm._engine._jobs)  # type: ignore[union-attr]


class TestMaps:
    def test_any_number_of_items(self, swarm: Swarm) -> None:
        for items in (0, 1, 2, 3, 1000):
            assert list(swarm.map(square, range(items))) == [square(number) for number in range(items)]

    @pytest.mark.parametrize("chunksize", [None, 1, 2, 7, 1000])
    def test_chunks_of_any_size(self, swarm: Swarm, chunksize: int | None) -> None:
        assert list(swarm.map(square, range(100), chunksize=chunksize)) == [square(number) for number in range(100)]

    def test_a_list(self, swarm: Swarm) -> None:
        assert swarm.map(square, [1, 2, 3]).as_list() == [1, 4, 9]

    def test_without_an_order(self, swarm: Swarm, tmp_path: Path) -> None:
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        list(swarm.map(content, [None] * 10))  # it is known by now to take next to nothing, and then it does not
        results = swarm.imap_unordered(content, [pipe, None, None])
        assert [next(results), next(results)] == ["", ""]
        pipe.write_text("late")  # waits until it is read
        assert list(results) == ["late"]

    def test_several_arguments(self, swarm: Swarm) -> None:
        assert list(swarm.starmap(pow, [(2, 3), (3, 2)])) == [8, 9]

    def test_an_endless_iterable_with_bounded_look_ahead(self, swarm: Swarm) -> None:
        made = []

        def items() -> Iterator[int]:
            for number in count():
                made.append(number)
                yield number

        results = swarm.map_lazy(square, items(), look_ahead=8)
        assert [next(results) for _ in range(100)] == [square(number) for number in range(100)]
        assert len(made) <= 100 + 8 + 1
        results.close()

    def test_the_first_result_comes_while_the_next_item_is_made(self, swarm: Swarm) -> None:
        taken = threading.Event()

        def items() -> Iterator[int]:
            yield 1
            assert taken.wait(30), "nobody has taken the first result"
            yield 2

        results = swarm.map_lazy(square, items())
        assert next(results) == 1
        taken.set()
        assert list(results) == [4]

    def test_an_iterable_that_raises_midway(self, swarm: Swarm) -> None:
        def items() -> Iterator[int]:
            yield 1
            yield 2
            raise KeyError("source")

        results = swarm.map_lazy(square, items())
        assert [next(results), next(results)] == [1, 4]
        with pytest.raises(KeyError, match="source"):
            next(results)

    def test_what_becomes_of_errors(self, swarm: Swarm) -> None:
        assert list(swarm.map_lazy(picky, range(4), on_error="skip")) == [0, 1, 3]
        returned: list[Any] = list(swarm.map_lazy(picky, range(4), on_error="return"))
        assert [*returned[:2], returned[3]] == [0, 1, 3]
        assert isinstance(returned[2], ValueError)
        results = swarm.map_lazy(picky, range(4))
        assert [next(results), next(results)] == [0, 1]
        with pytest.raises(ValueError, match="not 2"):
            next(results)

    def test_an_item_that_takes_too_long_fails_alone(self, swarm: Swarm) -> None:
        results: list[Any] = list(swarm.map_lazy(sleep, [0.0, 60.0, 0.0], timeout=1.0, on_error="return"))
        assert [results[0], results[2]] == [0.0, 0.0]
        assert isinstance(results[1], WaitTimeout)
        assert str(results[1]) == "item 1 of sleep returns: not within 1 s"

    def test_large_arguments_and_results_survive(self, swarm: Swarm) -> None:
        large = [bytes([number]) * (1 << 20) for number in range(5)]
        assert list(swarm.map(bytes.swapcase, large)) == [each.swapcase() for each in large]
        assert list(swarm.map(bytearray, large, chunksize=1)) == large

    def test_a_function_with_much_in_it_travels_once(self, swarm: Swarm) -> None:
        ballast = list(range(100_000))
        assert list(swarm.map(lambda place: ballast[place], [1, 99_999])) == [1, 99_999]

    def test_closures_of_one_code_are_different_functions(self, swarm: Swarm) -> None:
        def times(n: int) -> Callable[[int], int]:
            return lambda x: n * x

        assert [list(swarm.map(times(n), [1, 2])) for n in (1, 10)] == [[1, 2], [10, 20]]
        assert [swarm.submit(times(n), 1).result(30) for n in (1, 10)] == [1, 10]

    def test_a_bar_is_told_of_every_outcome(self, swarm: Swarm) -> None:
        class Bar:
            def __init__(self, total: int | None) -> None:
                self.total, self.n, self.closed = total, 0, False
                bars.append(self)

            def update(self, n: int) -> None:
                self.n += n

            def close(self) -> None:
                self.closed = True

        bars: list[Bar] = []
        list(swarm.map_lazy(picky, range(50), progress=Bar, on_error="skip"))
        list(swarm.map_lazy(picky, (x for x in range(2)), progress=Bar))
        assert [(bar.total, bar.n, bar.closed) for bar in bars] == [(50, 50, True), (None, 2, True)]

    def test_options_that_make_no_sense_are_refused_at_once(self, swarm: Swarm) -> None:
        options: list[dict[str, Any]] = [{"chunksize": 0}, {"retries": -1}, {"on_error": "ignore"}, {"speed": 9}]
        for wrong in options:
            with pytest.raises(UsageError):
                swarm.map_lazy(square, [1], **wrong)
        with pytest.raises(UsageError, match=r"is a function \(f, not f\(\)\), not 5"):
            swarm.map(5, [1])  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="needs map_iter"):
            swarm.map_lazy(square)
        with pytest.raises(UsageError, match="a number of workers, 1 or more, not 0"):
            Swarm(0)


class TestWorkers:
    def test_they_are_started_when_there_is_work_and_not_before(self) -> None:
        swarm = Swarm(3)
        assert len(swarm.workers) == 0
        swarm.submit(square, 1).result(30)
        assert len(swarm.workers) == 1
        swarm.close()

    def test_their_number_can_be_changed_while_they_run(self, swarm: Swarm, eventually: Eventually) -> None:
        results = swarm.map_lazy(sleep, (0.01 for _ in count()))
        next(results)
        assert len(swarm.workers) == 2
        swarm.count = 3
        next(results)
        eventually(lambda: next(results) and len(swarm.workers) == 3)
        swarm.count = 1
        eventually(lambda: next(results) and len(swarm.workers) == 1)
        assert next(results) == 0.01
        results.close()

    @pytest.mark.parametrize("method", list(StartMethod))
    def test_functions_of_a_script_work_however_they_are_made(self, method: StartMethod) -> None:
        factor = 3
        swarm = Swarm(1, start_method=method)
        assert list(swarm.map(lambda x: square(x) * factor, [1, 2])) == [3, 12]
        swarm.close()

    def test_idle_ones_cost_nothing(self, swarm: Swarm) -> None:
        used = list(swarm.map(lambda _: time.process_time(), range(2)))
        time.sleep(1.0)  # the very thing that is measured: a second without work
        after = list(swarm.map(lambda _: time.process_time(), range(2)))
        assert max(after) - min(used) < 0.1

    def test_a_swarm_that_is_dropped_ends_its_workers(self) -> None:
        swarm = Swarm(1)
        swarm.submit(square, 1).result(30)
        del swarm  # and what is left is found by `nothing_is_left`

    def test_what_they_print_is_seen_while_they_live(self, swarm: Swarm, capfd: pytest.CaptureFixture[str]) -> None:
        swarm.submit(print, "hello").result(30)
        swarm.submit(square, 1).result(30)
        deadline = time.monotonic() + 10
        seen = ""
        while "hello" not in seen and time.monotonic() < deadline:
            seen += capfd.readouterr().out
        assert "hello" in seen


class TestSwarmsElsewhere:
    def test_a_swarm_is_the_same_where_it_is(self, swarm: Swarm) -> None:
        assert pickle.loads(pickle.dumps(swarm)) is swarm

    def test_maps_three_deep_on_two_workers(self, swarm: Swarm) -> None:
        def leaves(depth: int) -> int:
            return 1 if depth == 0 else sum(swarm.map(leaves, [depth - 1] * 2))

        assert list(swarm.map(leaves, [2, 2])) == [4, 4]

    def test_a_fork_has_workers_of_its_own(self, swarm: Swarm) -> None:
        mine = swarm.submit(pid).result(30)
        child = os.fork()
        if child == 0:
            other = swarm.submit(pid).result(30)
            swarm.close()
            os._exit(0 if other != mine else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert swarm.submit(pid).result(30) == mine


def test_many_threads_use_one_swarm(swarm: Swarm) -> None:
    def use(number: int) -> list[int]:
        return list(swarm.map(square, range(number, number + 100)))

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        for number, squares in zip(range(20), threads.map(use, range(20)), strict=True):
            assert squares == [square(each) for each in range(number, number + 100)]


def test_results_are_an_iterator(swarm: Swarm) -> None:
    results = swarm.map(square, range(3))
    assert isinstance(results, Results)
    assert isinstance(results, Iterator)
    assert list(results) == [0, 1, 4]


def test_what_returned_and_cannot_be_read_here_says_so(swarm: Swarm) -> None:
    here = os.getpid()

    class Foreign:
        def __reduce__(self) -> tuple[Any, ...]:
            return refuse_at, (here,)

    def refuse_at(place: int) -> int:
        if os.getpid() == place:
            raise OSError("not here")
        return 1

    results: list[Any] = list(swarm.map_lazy(lambda x: Foreign() if x == 1 else x, range(3), on_error="return"))
    assert [results[0], results[2]] == [0, 2]
    assert isinstance(results[1], RemoteError)
    assert "cannot be read here" in str(results[1])


def flat(items: int, swarm: Swarm) -> int:
    """Map over so many items that are made on the way; return by how much memory grew after the first tenth."""

    def size() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    settled = peak = 0
    for place, value in enumerate(swarm.map_lazy(square, (number for number in range(items)))):
        assert value == place * place
        if place == items // 10:
            settled = size()
        elif place % 50_000 == 0:
            peak = max(peak, size())
    assert place == items - 1
    return peak - settled


def test_memory_stays_flat_over_many_items(swarm: Swarm) -> None:
    """200,000 items here, and ten million in the soak."""
    assert flat(200_000, swarm) < 64 << 20


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_memory_stays_flat_over_ten_million_items(swarm: Swarm) -> None:
    assert flat(10_000_000, swarm) < 64 << 20


def test_p12_a_fork_server_that_was_stopped_holds_up_neither_hiring_nor_the_end() -> None:
    """By Ctrl-Z or by hand: no worker came, and whoever left the block waited for ever."""
    with Swarm(1, start_method="forkserver") as swarm:
        assert list(swarm.map(square, range(3))) == [0, 1, 4]
        server = psutil.Process(fork_server_pid())
        server.suspend()
        swarm.count = 2
        calls = [swarm.submit(time.sleep, 0.5) for _ in range(4)]
        assert not concurrent.futures.wait(calls, timeout=30).not_done
        assert len(swarm.workers) == 2
        server.suspend()
        left = time.monotonic()
    assert time.monotonic() - left < 10


@pytest.mark.parametrize("start_method", list(StartMethod))
def test_the_default_timeout_of_the_program_is_not_that_of_workers(
    start_method: StartMethod, default_timeout: float
) -> None:
    """Workers at rest ended when it was over, and whoever sent more than they took ended the swarm."""
    with Swarm(1, start_method=start_method) as swarm:
        assert list(swarm.map(square, range(3))) == [0, 1, 4]
        watch = watch_process(swarm.workers[0].pid or 0)
        assert not watch.wait(4 * default_timeout)
        watch.close()
        calls = [swarm.submit(len, bytes(20_000)) for _ in range(200)]
        assert {call.result(30) for call in calls} == {20_000}
