"""Calls that make no sense, one after the other on one context: each is told at once, by an error of ours.

What is wrong with it, and what would be right, is in the error; nothing has happened, and the context goes on.
"""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import zproc

library: Any = zproc


class Shop(zproc.StateModel):
    n: int = 0
    stock: dict[str, int] = {}


def bake(state: Shop, n: int = 1) -> int:
    return n


def same(item: object) -> object:
    return item


def yielding(item: object) -> Iterator[object]:
    yield item


async def later(item: object) -> object:
    return item


def library_shop() -> Any:
    return Shop()


WRONG: list[tuple[Callable[[Any], object], str]] = [
    # the past
    (lambda ctx: ctx.state_at(-1), "revision is the number of a revision, 0 or more, not -1"),
    (lambda ctx: ctx.state_at("x"), "revision is the number of a revision, 0 or more, not 'x'"),
    (lambda ctx: ctx.state_at(1.0), "not 1.0"),
    (lambda ctx: ctx.state_at(True), "not True"),
    (lambda ctx: ctx.state_at(1 << 70), "revision is the number of a revision"),
    (lambda ctx: ctx.revert("x"), "revision is the number of a revision, 0 or more, not 'x'"),
    (lambda ctx: ctx.revert(None), "not None"),
    (lambda ctx: ctx.history("x"), "since is the number of a revision, 0 or more, or None for all"),
    (lambda ctx: ctx.history(since=-1), "not -1"),
    # habits
    (lambda ctx: ctx.spawn(None), r"what is called is a function \(f, not f\(\)\), not None"),
    (lambda ctx: ctx.create_swarm(1).run(None), "what is called is a function"),
    (lambda ctx: ctx.spawn(coutn=3), "no such option: coutn; did you mean 'count'"),
    (
        lambda ctx: ctx.process_map(bake, [1], args=(2, 3)),
        r"bake\(state, n=1\) does not take .* stateful=True the live",
    ),
    (lambda ctx: ctx.process_map(bake, [1], args=(2,), stateful=True), r"bake\(state, n=1\) does not take"),
    (lambda ctx: ctx.processes.wait(), r"no field 'wait', for it is the record .* are in ctx\.process_list"),
    (lambda ctx: ctx.processes.get_when_change("rowz"), "are in ctx.process_list; did you mean 'rows'"),
    (lambda ctx: ctx.spawn(threading.Lock().acquire, stateful=False), "one process, such as a lock, .* is made inside"),
    # waiting
    (lambda ctx: ctx.state.changes(since="x"), "the option 'since' is the number of a revision"),
    (lambda ctx: ctx.state.changes(since=1 << 70), "the option 'since' is the number of a revision"),
    (lambda ctx: ctx.state.when_change("n", live="yes"), "the option 'live' is True or False, not 'yes'"),
    (lambda ctx: ctx.state.when_change("n", include_own=1), "the option 'include_own' is True or False, not 1"),
    (lambda ctx: ctx.state.when_change("n", count=1.5), "the option 'count' is a number of results"),
    (lambda ctx: ctx.state.get_when_change("n", timeout=1e30), "or None for as long as it takes, not 1e"),
    (lambda ctx: ctx.state.get_when_change("n", timeout=math.inf), "or None for as long as it takes, not inf"),
    (lambda ctx: ctx.state.get_when_equal("n", "five"), "n never equals 'five'"),
    (lambda ctx: ctx.call_when_change("n", args=3), "args is a tuple or list of arguments, not 3"),
    (lambda ctx: ctx.state.get_when_equal(ctx.state.n, 3), "a field is named by a text, 'oven.temp'"),
    (lambda ctx: ctx.state.update({"n": 3}), r"update takes fields by name: .* state\.update\(\*\*\{'n': 3\}\)"),
    (lambda _: library_shop().update({"n": 3}), "update takes fields by name"),
    # the context
    (lambda ctx: setattr(ctx, "state", Shop()), r"a state is changed, not replaced: ctx\.state\.cookies = 3"),
    (lambda ctx: setattr(ctx, "n", 3), r"n = 3 would be lost: .* ctx\.state\.n"),
    (lambda _: library.Context(Shop, adress="tcp://x"), "no such option: adress; did you mean 'address'"),
    (lambda ctx: zproc.atomic(ctx.state), "atomic is for functions"),
    (lambda _: library.atomic(3), "atomic is for functions, .* 3 is none"),
    (lambda _: library.action(3), "action is for functions, as a decorator: @zproc.action; 3 is none"),
    (lambda ctx: ctx.hold(["n"]), r"the name of a field is a text, not \['n'\]"),
    (lambda ctx: ctx.ping("x"), "timeout is a number of seconds, 0 or more, not 'x'"),
    (lambda ctx: ctx.namespace(3, Shop), "the name of a state is a text, not 3"),
    (lambda ctx: ctx.wait_all("x"), "timeout is a number of seconds"),
    (lambda ctx: ctx.stop_all("x"), "grace is a number of seconds, 0 or more, not 'x'"),
    (lambda _: library.ping(3), "an address is a text, not 3"),
    (lambda _: library.Context(Shop, address=3), "an address is a text, not 3"),
    (lambda _: library.Context(Shop, namespace=3), "namespace is a text, not 3"),
    (lambda _: library.Context(Shop, wait="yes"), "wait is True or False, not 'yes'"),
    (lambda _: library.Limits(history_commits="x"), "the limit 'history_commits' is a whole number"),
    (lambda _: library.Limits(lease_time="x"), "the limit 'lease_time' is a number, not 'x'"),
    (lambda _: library.start_server(Shop, limits=3), r"limits is a zproc\.Limits"),
    (lambda _: library.start_server(Shop, namespace=3), "namespace is a text, not 3"),
    (lambda _: library.start_server(Shop, keys="/tmp"), "keys are for servers with a tcp:// address: give address="),
    (lambda _: library.Context(Shop, start_server="yes"), "start_server is True or False, or None, not 'yes'"),
    (lambda ctx: ctx.state.when_change(exclude=3), "exclude is a list of fields"),
    # maps
    (lambda ctx: ctx.process_map(same, [1], count="x"), "the count of workers is a number of workers, 1 or more"),
    (lambda ctx: ctx.process_map(same, [1], count=1.5), "not 1.5"),
    (lambda ctx: ctx.process_map(same, [1], chunksize="x"), "chunksize is a number of items, 1 or more, or None"),
    (lambda ctx: ctx.process_map(same, [1], timeout="x"), "timeout is a number of seconds above 0, or None, not 'x'"),
    (lambda ctx: ctx.process_map(same, [1], retries="x"), "retries is a number of tries, 0 or more, not 'x'"),
    (lambda ctx: ctx.process_map(same, [1], look_ahead="x"), "look_ahead is a number of items, 1 or more, or None"),
    (lambda ctx: ctx.process_map(same, [1], args=3), "args is a tuple or list of arguments, or None, not 3"),
    (lambda ctx: ctx.process_map(same, [1], args="ab"), "args is a tuple or list of arguments, or None, not 'ab'"),
    (lambda ctx: ctx.process_map(same, [1], kwargs={1: 2}), "kwargs is a mapping of arguments by name, or None"),
    (lambda ctx: ctx.process_map(same, map_args=3), "map_args is an iterable, or None, not 3"),
    (lambda ctx: ctx.process_map(same, 3), "map_iter is an iterable, or None, not 3"),
    (lambda ctx: ctx.process_map([1], same), r"what is called is a function \(f, not f\(\)\), not \[1\]"),
    (lambda ctx: ctx.process_map(same, [1], progress="x"), "progress is True, False or what makes a bar, not 'x'"),
    (lambda ctx: ctx.process_map(same, [1], keep="x", return_task=True), "keep is a number of seconds above 0"),
    (lambda ctx: ctx.process_map(same, [1], stateful="x"), "stateful is True or False, not 'x'"),
    (lambda ctx: ctx.create_swarm(True), "the count of workers is a number of workers, 1 or more, not True"),
    (lambda ctx: setattr(ctx.create_swarm(1), "count", "x"), "the count of workers is a number of workers"),
    (lambda ctx: ctx.create_swarm(1).map(same, [1], timeout="x"), "timeout is a number of seconds, or None for"),
    (lambda ctx: ctx.create_swarm(1).run(same, 3), "args is a tuple or list of arguments, not 3"),
    (lambda ctx: ctx.create_swarm(1).run(same, (), 3), "kwargs is a mapping of arguments by name, or None, not 3"),
    (lambda ctx: ctx.create_swarm(1).run(same, (1,), timeout="x"), "timeout is a number of seconds above 0"),
    (lambda ctx: ctx.create_swarm(1).start_task(same, [1], keep=0), "keep is a number of seconds above 0, not 0"),
    (lambda _: library.Swarm.result(3), "the id of a map is a text, not 3"),
    (lambda ctx: ctx.process_map(same, [1], chunk_size=1), "no such option: chunk_size; did you mean 'chunksize'"),
    (lambda ctx: ctx.process_map(yielding, [1]), "yielding is a generator function, .* return a list"),
    (lambda ctx: ctx.process_map(later, [1]), "later is a coroutine function; give one that calls asyncio.run"),
    (lambda ctx: ctx.create_swarm(1).submit(later, 1), "later is a coroutine function"),
    # processes
    (lambda ctx: ctx.spawn(target=bake, args=(1,)), "args, target: the function comes first"),
    (lambda ctx: ctx.process(target=bake), "target: the function comes first"),
    (lambda ctx: ctx.spawn(retry_fr=ValueError), "no such option: retry_fr; did you mean 'retry_for'"),
    (lambda ctx: ctx.spawn(count="x"), "count is a number of processes"),
    (lambda ctx: ctx.spawn(yielding), "yielding is a generator function, .* return a list"),
    (lambda ctx: ctx.spawn(later), "later is a coroutine function"),
    (lambda ctx: ctx.spawn(bake, 1, 2), "too many positional arguments"),
    (lambda ctx: ctx.spawn(count=True)(bake), "count is a number of processes, 0 or more, not True"),
    (lambda ctx: ctx.spawn(name=3)(bake), "name is a text, or None, not 3"),
    (lambda ctx: ctx.spawn(start="no")(bake), "start is True or False, not 'no'"),
    (lambda ctx: ctx.spawn(retry_delay="x")(bake), "retry_delay is a number of seconds, 0 or more, not 'x'"),
    (lambda ctx: ctx.spawn(max_retries=1.5)(bake), "max_retries is a number of tries, 0 or more, or None, not 1.5"),
    (lambda ctx: ctx.spawn(intensity=3)(bake), "intensity is a pair of a number of failures and a number of seconds"),
    (lambda ctx: ctx.spawn(jitter=2)(bake), "jitter is a part, from 0 to 1, not 2"),
    (lambda ctx: ctx.spawn(retry_args=3)(bake), "retry_args is a tuple or list of arguments, not 3"),
    (lambda ctx: ctx.spawn(retry_for="ValueError")(bake), "'ValueError' is neither an exception class nor a signal"),
    (lambda ctx: ctx.spawn(stateful="no")(bake), "stateful is True or False, not 'no'"),
    (lambda ctx: ctx.process(bake, args="a"), "args is a tuple or list of arguments, not 'a'"),
    (lambda _: library.send_signal("SIGTERM"), "signum is a signal, as signal.SIGTERM, not 'SIGTERM'"),
    (lambda _: library.send_signal(signal.SIGCONT, -1), "pid is the number of a process, 1 or more, or None"),
    (lambda _: library.send_signal(signal.SIGCONT, 0), "pid is the number of a process, .* not 0"),
    (lambda _: library.send_signal(signal.SIGCONT, "7"), "pid is the number of a process, .* not '7'"),
    (lambda _: library.signal_to_exception("SIGTERM"), "signum is a signal, as signal.SIGTERM, not 'SIGTERM'"),
    (lambda _: library.exception_to_signal([]), r"signum is a signal, as signal.SIGTERM, not \[\]"),
    (lambda ctx: ctx.spawn_map(bake, 3), "map_iter is an iterable, or None, not 3"),
    (lambda ctx: ctx.spawn_map(bake, map_args=[1]), "what map_args gives for a call is a tuple or list of arguments"),
    (lambda ctx: ctx.spawn_map(bake, [1], map_kwargs=[1]), "what map_kwargs gives for a call is a mapping"),
]


def test_a_call_that_makes_no_sense_is_told_at_once() -> None:
    with zproc.Context(Shop) as ctx:
        for call, words in WRONG:
            with pytest.raises((zproc.UsageError, zproc.UnknownPath), match=words):
                call(ctx)
        assert not ctx.process_list
        assert not ctx.worker_list
        ctx.state.n += 1
        assert ctx.state_at(ctx.state.n).n == 1, "a live number is a number"
        process: Any = ctx.spawn(bake)
        for wrong in (lambda: process.wait("x"), lambda: process.exception(math.nan), lambda: process.stop("x")):
            with pytest.raises(zproc.UsageError, match="is a number of seconds"):
                wrong()
        for number in ("SIGTERM", 999, -15, True, None):
            with pytest.raises(zproc.UsageError, match=r"signum is a signal, as signal\.SIGTERM, not"):
                process.send_signal(number)
        assert process.wait(30) == 1
        assert process.exception(-1) is None, "a deadline that has passed is no mistake"


def test_what_is_asked_of_a_closed_context_is_refused_as_that() -> None:
    ctx = zproc.Context(Shop)
    state, swarm = ctx.state, ctx.create_swarm(1)
    assert list(ctx.process_map(same, [1])) == [1]
    assert list(swarm.map(same, [1])) == [1]
    ctx.close()
    asked: list[Callable[[], object]] = [
        lambda: ctx.state,
        lambda: state.n,
        lambda: state.get_when_change("n"),
        lambda: ctx.spawn(bake),
        lambda: ctx.process_map(same, [1]),
        lambda: ctx.process_map(same, [1], new=True),
        lambda: swarm.map(same, [1]),
        lambda: swarm.submit(same, 1),
        lambda: swarm.run(same, (1,)),
        ctx.create_swarm,
        lambda: list(ctx.history()),
        lambda: ctx.state_at(0),
        lambda: ctx.revert(1),
        lambda: ctx.processes,
        lambda: ctx.namespace("other", Shop),
        ctx.ping,
    ]
    for ask in asked:
        with pytest.raises(zproc.UsageError, match=r"^this context is closed$"):
            ask()
    with zproc.Swarm(1) as alone:
        pass
    with pytest.raises(zproc.UsageError, match=r"^this swarm is closed$"):
        alone.submit(same, 1)


def test_a_name_that_is_not_there_is_told_with_the_nearest() -> None:
    with zproc.Context(Shop) as given:
        ctx: Any = given
        with pytest.raises(AttributeError, match="no attribute 'wait_al'; did you mean 'wait_all'"):
            ctx.wait_al()
        with pytest.raises(AttributeError, match="no attribute 'join'; did you mean 'wait_all'"):
            ctx.join()  # as in multiprocessing
    with pytest.raises(AttributeError, match="no attribute 'start_servr'; did you mean 'start_server'"):
        library.start_servr(Shop)
    assert library.aio.__name__ == "zproc.aio"
    with pytest.raises(AttributeError, match=r"no attribute '_private'$"):
        _ = library._private
