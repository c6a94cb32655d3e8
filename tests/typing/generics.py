"""What plain generics promise to a type checker. Lines marked ``# E`` must be rejected, all others accepted.

Checked by ``tests/test_typing.py`` under mypy and pyright, never run, and left out of the project's own run of mypy.
"""

from __future__ import annotations

from typing import assert_type

from pydantic import BaseModel

import zproc


class Oven(BaseModel):
    temp: float = 20.0
    on: bool = False


class AppState(zproc.StateModel):
    cookies: int = 0
    name: str = ""
    oven: Oven = Oven()
    tags: list[str] = []
    stock: dict[str, int] = {}
    maybe: int | None = None

    @zproc.action
    def restock(self, n: int) -> int:
        self.cookies += n
        return self.cookies


ctx = zproc.Context(AppState)
assert_type(ctx, zproc.Context[AppState])
assert_type(ctx.state, AppState)
assert_type(ctx.state.cookies, int)
ctx.state.cookies += 1
ctx.state.cookies = "five"  # E
ctx.state.cookie  # E
ctx.state.cookie = 1  # E
assert_type(ctx.state.oven.temp, float)
ctx.state.oven.temp = 180.0
ctx.state.oven.temp = "hot"  # E
ctx.state.oven.tmp  # E
ctx.state.oven = Oven(temp=3)
ctx.state.tags = ["a", "b"]
ctx.state.stock["x"] = 1
ctx.state.stock["x"] = "1"  # E
assert_type(ctx.state.restock(3), int)
ctx.state.restock("3")  # E
assert_type(ctx.state.snapshot(), AppState)
assert_type(ctx.state.get_when_equal("cookies", 5, timeout=1), AppState)
ctx.state.get_when_equal(5, 5)  # E


@zproc.atomic
def eat(state: AppState, n: int, *, greedy: bool = False) -> str:
    state.cookies -= n
    return f"ate {n}"


assert_type(eat(ctx.state, 1), str)
eat(ctx.state, 1, greedy=True)
eat(ctx.state, "1")  # E
eat(ctx.state)  # E
eat(ctx.state, 1, hungry=True)  # E
eat(3, 1)  # E


@ctx.spawn
def baker(state: AppState) -> int:
    state.cookies += 1
    return state.cookies


assert_type(baker, zproc.Process[int])
assert_type(baker.wait(), int)


def worker(state: AppState, k: int) -> bytes:
    return b"x" * k


assert_type(ctx.spawn(worker, 3), zproc.Process[bytes])
ctx.spawn(worker, "3")  # E
ctx.spawn(worker)  # E


def nester(context: zproc.Context[AppState], k: int) -> bytes:
    return context.spawn(worker, k).wait()


assert_type(ctx.spawn(name="w", restart="on_failure")(worker, 3), zproc.Process[bytes])
ctx.spawn(restart="sometimes")(worker, 3)  # E
ctx.spawn(retries=3)(worker, 3)  # E
ctx.spawn(name="w")(worker, "3")  # E
assert_type(ctx.spawn(count=4)(worker, 3), zproc.ProcessList[bytes])
assert_type(ctx.spawn(count=4)(worker, 3).wait(), list[bytes])
assert_type(ctx.spawn(pass_context=True)(nester, 3), zproc.Process[bytes])
ctx.spawn(pass_context=True)(worker, 3)  # E
assert_type(ctx.spawn(stateful=False)(len, "abc"), zproc.Process[int])
ctx.spawn(stateful=False)(len, 3)  # E
assert_type(ctx.process(worker, args=(3,)), zproc.Process[bytes])
assert_type(ctx.process_factory(worker, count=2, args=(3,)), zproc.ProcessList[bytes])
assert_type(ctx.spawn_map(worker, [1, 2]), zproc.ProcessList[bytes])


@ctx.process(max_retries=3)
def retried(state: AppState) -> int:
    return state.cookies


assert_type(retried, zproc.Process[int])


@ctx.call_when_change("cookies", count=5)
def on_cookies(snapshot: AppState, state: AppState) -> None:
    eat(state, snapshot.cookies)


ctx.call_when_change("cookies")(worker)  # E
