"""A context, with the real processes that it is about."""

from __future__ import annotations

import inspect
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import psutil
import pytest
from pydantic import BaseModel, Field

import zproc
from zproc.context import ContextOptions
from zproc.process import Options

if TYPE_CHECKING:
    from tests.integration.conftest import Eventually, Script


class Oven(BaseModel):
    temp: float = 20.0
    on: bool = False


class Kitchen(zproc.StateModel):
    cookies: int = Field(default=0, ge=0)
    oven: Oven = Oven()
    log: list[str] = []

    @zproc.action
    def restock(self, n: int) -> int:
        self.cookies += n
        return self.cookies


@zproc.atomic
def bake(state: Kitchen, n: int = 1) -> int:
    state.cookies += n
    return state.cookies


class Burnt(Exception):
    """An exception of the user's own."""


class TestState:
    def test_a_field_of_the_context_is_refused_with_where_the_field_is(self) -> None:
        """An assignment would make an attribute of the context, which nobody else ever sees."""
        with zproc.Context(Kitchen) as given:
            ctx: Any = given
            with pytest.raises(zproc.UsageError, match=r"cookies = 3 would be lost: .*ctx\.state\.cookies"):
                ctx.cookies = 3
            with pytest.raises(AttributeError, match=r"cookies: a context has no fields, .*ctx\.state\.cookies"):
                _ = ctx.cookies
            with pytest.raises(AttributeError, match=r"restock: a context has no fields, .*ctx\.state\.restock"):
                ctx.restock(3)
            with pytest.raises(AttributeError, match="has no attribute 'get_state'"):
                ctx.get_state()
            ctx.label = "mine"  # a program's own attribute is its own business
            assert ctx.label == "mine"

    def test_two_processes_share_it(self, method: str) -> None:
        def child(state: Kitchen) -> float:
            assert isinstance(state, Kitchen)
            state.oven.temp = 180
            state.log.append("baked")
            state.restock(4)
            return state.oven.temp

        with zproc.Context(Kitchen, start_method=method) as ctx:
            assert ctx.spawn(child).wait(20) == 180.0
            assert (ctx.state.oven.temp, ctx.state.log, ctx.state.cookies) == (180.0, ["baked"], 4)

    def test_begins_with_the_defaults_and_contexts_do_not_share(self) -> None:
        with zproc.Context(Kitchen) as one, zproc.Context(Kitchen) as other:
            bake(one.state)
            assert (one.state.cookies, other.state.cookies) == (1, 0)

    def test_a_context_is_made_of_a_model(self) -> None:
        with pytest.raises(zproc.SchemaError, match=r"subclass of zproc\.StateModel"):
            zproc.Context(None)  # type: ignore[call-overload]
        with pytest.raises(zproc.SchemaError, match=r"subclass of zproc\.StateModel"):
            zproc.Context(int)  # type: ignore[type-var]

    def test_a_class_of_the_users_own_is_kept(self) -> None:
        class Bakery(zproc.Context[Kitchen]):
            def bake(self) -> int:
                return bake(self.state)

        with Bakery(Kitchen) as ctx:
            assert type(ctx) is Bakery
            assert ctx.bake() == 1

    def test_the_options_of_a_context_are_those_that_it_takes(self) -> None:
        taken = inspect.signature(zproc.Context.__init__).parameters
        own = [name for name, parameter in taken.items() if parameter.kind is parameter.KEYWORD_ONLY]
        assert ContextOptions.__annotations__.keys() == {*own, *Options.__annotations__}

    def test_a_context_joins_by_address(self) -> None:
        with zproc.Context(Kitchen) as ctx:
            with zproc.Context(Kitchen, address=ctx.address) as joined:
                bake(joined.state)
            assert ctx.state.cookies == 1, "closing the one that joined leaves the server to its owner"

    def test_a_server_that_was_started_here_listens_when_the_context_is_there(self, method: str) -> None:
        with zproc.Context(Kitchen, start_method=method) as ctx:
            assert zproc.ping(ctx.address, timeout=0.5).pid == ctx.ping().pid

    def test_one_that_dies_before_it_was_ever_used_is_told_at_the_first_use(self) -> None:
        with zproc.Context(Kitchen) as ctx:
            os.kill(ctx.ping().pid, signal.SIGKILL)
            began = time.monotonic()
            with pytest.raises(zproc.Unavailable):
                ctx.state.cookies  # noqa: B018 - it is read
            assert time.monotonic() - began < 2

    def test_a_model_that_cannot_be_shared_is_refused_before_anything_starts(self) -> None:
        class Secretive(zproc.StateModel):
            handle: object = None

        before = psutil.Process().children()
        with pytest.raises(zproc.SchemaError, match=r"Secretive\.handle"):
            zproc.Context(Secretive)
        assert psutil.Process().children() == before

    def test_an_unknown_start_method_is_refused_with_the_known_ones(self) -> None:
        with pytest.raises(zproc.UsageError, match="forkserver"):
            zproc.Context(Kitchen, start_method="teleport")

    def test_a_misspelt_option_is_refused_with_what_it_may_be(self) -> None:
        options: dict[str, Any] = {"wiat": True}
        with pytest.raises(zproc.UsageError, match="did you mean 'wait'"):
            zproc.Context(Kitchen, **options)

    def test_limits_of_another_kind_are_refused_here_and_not_by_the_server(self) -> None:
        with pytest.raises(zproc.UsageError, match="limits is a"):
            zproc.Context(Kitchen, limits=cast("zproc.Limits", {"lease_time": 3}))

    def test_a_misspelt_action_is_told_with_the_one_it_may_be(self, zproc_server: Any) -> None:
        class Shelf(zproc.StateModel):
            @zproc.action
            def restock(self) -> None: ...

        with pytest.raises(zproc.UnknownPath, match="did you mean 'restock'"):
            zproc_server(Shelf).state.restok()

    def test_a_required_field_is_refused_by_name(self) -> None:
        class Needy(zproc.StateModel):
            name: str

        with pytest.raises(zproc.SchemaError, match="name"):
            zproc.Context(Needy)


class TestSelect:
    def test_a_place_is_waited_for_across_processes(self) -> None:
        def heat(state: Kitchen) -> None:
            state.oven.temp = 180.0

        with zproc.Context(Kitchen) as ctx:
            temp = ctx.select(lambda kitchen: kitchen.oven.temp)
            heating = ctx.spawn(heat)
            assert temp.equals(180.0, timeout=20) == temp.get() == 180.0
            heating.wait(20)

    def test_it_travels_to_other_processes(self, method: str) -> None:
        def cook(watch: zproc.Watch[float]) -> float:
            return watch.when(lambda temp: temp > 100, timeout=20)

        with zproc.Context(Kitchen, start_method=method) as ctx:
            cook_process = ctx.spawn(stateful=False)(cook, ctx.select(lambda kitchen: kitchen.oven.temp))
            ctx.state.oven.temp = 180.0
            assert cook_process.wait(20) == 180.0

    def test_what_is_no_place_is_refused(self) -> None:
        with zproc.Context(Kitchen) as ctx:
            with pytest.raises(zproc.UnknownPath, match="did you mean 'temp'"):
                ctx.select(lambda kitchen: kitchen.oven.tmp)  # type: ignore[attr-defined]  # that is the point
            with pytest.raises(zproc.UsageError, match="picks out one place"):
                ctx.select(lambda kitchen: kitchen.cookies > 3)
        with pytest.raises(zproc.UsageError, match="closed"):
            ctx.select(lambda kitchen: kitchen.cookies)


class TestSpawn:
    def test_closures_and_lambdas_and_arguments_travel(self, method: str) -> None:
        secret = 42
        with zproc.Context(Kitchen, start_method=method) as ctx:

            @ctx.spawn
            def decorated(state: Kitchen) -> int:
                return state.cookies + secret

            assert decorated.wait(20) == 42
            assert ctx.spawn(lambda state, n: (state.cookies, n), 1).wait(20) == (0, 1)
            assert ctx.spawn(bake, n=2).wait(20) == 2

    def test_an_exception_arrives_with_its_traceback_as_the_cause(self, method: str) -> None:
        def burn(state: Kitchen) -> None:
            raise Burnt("black")

        with zproc.Context(Kitchen, start_method=method) as ctx:
            process = ctx.spawn(burn)
            with pytest.raises(zproc.RemoteError) as caught:
                process.wait(20)
            assert isinstance(caught.value.__cause__, Burnt)
            assert "burn" in [entry.name for entry in _frames(caught.value.__cause__)]
            assert "Burnt" in str(caught.value)
            assert process.exitcode == 1
            assert caught.value.pid == process.pid

    def test_a_refusal_in_a_child_is_a_refusal_here(self) -> None:
        with zproc.Context(Kitchen) as ctx:
            process = ctx.spawn(lambda state: bake(state, -5))
            with pytest.raises(zproc.RemoteError) as caught:
                process.wait(20)
            cause = caught.value.__cause__
            assert isinstance(cause, zproc.ValidationRefused)
            assert cause.faults[0].path == "cookies"

    def test_a_child_has_children_of_its_own(self, method: str) -> None:
        def parent(state: Kitchen, ctx: zproc.Context[Kitchen]) -> int:
            return ctx.spawn(bake, 3).wait(20)

        with zproc.Context(Kitchen, start_method=method) as ctx:
            assert ctx.spawn(parent, ctx).wait(30) == 3
            assert ctx.state.cookies == 3

    def test_what_is_left_running_ends_with_the_block(self) -> None:
        with zproc.Context(Kitchen) as ctx:
            process = ctx.spawn(lambda _state: time.sleep(600))
        assert not process.is_alive
        assert process.exitcode == -signal.SIGTERM

    def test_waiting_for_all_gives_the_results_in_order(self) -> None:
        with zproc.Context(Kitchen, wait=True) as ctx:
            for n in (1, 2):
                ctx.spawn(lambda state, n: n, n)
            assert ctx.wait_all(20) == [1, 2]


class TestProcesses:
    def test_the_originals_form_takes_arguments_and_options_in_one_call(self, method: str) -> None:
        with zproc.Context(Kitchen, start_method=method) as ctx:
            assert ctx.process(bake, kwargs={"n": 2}, name="baker").wait(20) == 2

            @ctx.process(args=(3,), stateful=False)
            def bare(n: int) -> int:
                return n

            assert bare.wait(20) == 3

    def test_a_factory_makes_some_of_each(self) -> None:
        with zproc.Context(Kitchen) as ctx:
            made = ctx.process_factory(bake, lambda state: "other", count=2, start=False)
            assert [each.target is bake for each in made] == [True, True, False, False]
            ctx.start_all()
            assert sorted(map(str, ctx.wait_all(20))) == ["1", "2", "other", "other"]

    def test_a_map_has_a_process_an_item_until_one_runs_out(self) -> None:
        def tell(*args: object, **kwargs: object) -> tuple[object, object]:
            return args, kwargs

        with zproc.Context(Kitchen) as ctx:
            made = ctx.spawn_map(
                tell, [1, 2, 3], map_args=[("a",), ("b",)], map_kwargs=[{"k": 1}, {"k": 2}], args=(9,), stateful=False
            )
            assert made.wait(20) == [((1, "a", 9), {"k": 1}), ((2, "b", 9), {"k": 2})]
            with pytest.raises(zproc.UsageError, match="map_iter"):
                ctx.spawn_map(tell)

    def test_processes_of_a_process_share_server_and_state(self, method: str) -> None:
        def parent(context: zproc.Context[Kitchen], depth: int) -> int:
            bake(context.state)
            return context.spawn(pass_context=True)(parent, depth - 1).wait(30) + 1 if depth else 1

        with zproc.Context(Kitchen, start_method=method) as ctx:
            assert ctx.spawn(pass_context=True)(parent, 2).wait(40) == 3
            assert ctx.state.cookies == 3

    def test_a_process_that_was_killed_is_tried_again_with_the_state(self, method: str) -> None:
        def die_once(state: Kitchen) -> int:
            if bake(state) == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            return state.cookies

        with zproc.Context(Kitchen, start_method=method, retry_delay=0.01) as ctx:
            process = ctx.spawn(restart="on_failure")(die_once)
            assert (process.wait(20), process.restarts) == (2, 1)

    def test_options_of_the_context_go_for_its_processes_unless_they_say_otherwise(self) -> None:
        with zproc.Context(Kitchen, start=False, name="worker") as ctx:
            assert [ctx.spawn(bake).name, ctx.spawn(name="baker")(bake).name] == ["worker", "baker"]
            assert ctx.state.cookies == 0
            ctx.stop_all()
            assert all(each.cancelled() for each in ctx.process_list)


class TestCallWhenChange:
    def test_no_change_after_it_returned_is_missed(self, method: str) -> None:
        def note(snapshot: Kitchen, state: Kitchen) -> None:
            state.log.append(f"{snapshot.cookies}")

        with zproc.Context(Kitchen, start_method=method) as ctx:
            process = ctx.call_when_change("cookies", count=20)(note)
            for _ in range(20):
                bake(ctx.state)
            process.wait(20)
            assert list(ctx.state.log) == [str(n) for n in range(1, 21)]

    def test_its_own_changes_do_not_wake_it(self) -> None:
        def eat(snapshot: Kitchen, state: Kitchen) -> None:
            bake(state, 100)

        with zproc.Context(Kitchen) as ctx:
            process = ctx.call_when_change("cookies", count=2)(eat)
            bake(ctx.state)
            assert ctx.state.get_when_equal("cookies", 101, timeout=10).cookies == 101
            bake(ctx.state)
            process.wait(20)
            assert ctx.state.cookies == 202

    def test_other_fields_do_not_wake_it(self) -> None:
        def note(snapshot: Kitchen, state: Kitchen) -> None:
            state.log.append(f"{snapshot.oven.temp}")

        with zproc.Context(Kitchen) as ctx:
            process = ctx.call_when_change("oven.temp", count=1)(note)
            bake(ctx.state)
            ctx.state.oven.on = True
            ctx.state.oven.temp = 99.0
            process.wait(20)
            assert list(ctx.state.log) == ["99.0"]

    def test_an_unknown_field_is_refused_at_once_with_the_nearest(self) -> None:
        with zproc.Context(Kitchen) as ctx, pytest.raises(zproc.UnknownPath, match="cookies"):
            ctx.call_when_change("cookie")


class TestEnd:
    def test_a_program_waits_for_its_processes_if_asked_to(self, script: Script, method: str) -> None:
        program = script(
            """
            import os, zproc

            class S(zproc.StateModel):
                x: int = 0

            ctx = zproc.Context(S, wait=True)

            @ctx.spawn
            def child(state):
                state.get_when_equal("x", 5)
                os.write(1, b"child saw it\\n")  # each line in one write: the other may write too

            ctx.state.x = 5
            os.write(1, b"end\\n")
            """,
            method=method,
        )
        out, err = program.communicate(timeout=30)
        assert (sorted(out.split("\n")), err, program.returncode) == (["", "child saw it", "end"], "", 0)

    def test_a_program_that_fails_does_not_wait(self, script: Script) -> None:
        program = script(
            """
            import time, zproc

            class S(zproc.StateModel):
                x: int = 0

            ctx = zproc.Context(S, wait=True)
            ctx.spawn(lambda state: time.sleep(600))
            raise ValueError("the program failed")
            """
        )
        _, err = program.communicate(timeout=30)
        assert program.returncode == 1
        assert "the program failed" in err

    @pytest.mark.parametrize("fed", [True, False], ids=["stdin", "-c"])
    def test_programs_without_a_file_work(self, method: str, fed: bool) -> None:
        text = (
            "import zproc\n"
            "class S(zproc.StateModel):\n"
            "    x: int = 0\n"
            "def f(state):\n"
            "    state.x += 1\n"
            "with zproc.Context(S) as ctx:\n"
            "    ctx.spawn(f).wait(20)\n"
            "    print(ctx.state.x)\n"
        )
        command = ["python", "-"] if fed else ["python", "-c", text]
        done = subprocess.run(
            [sys.executable, *command[1:]],
            input=text if fed else None,
            env={**os.environ, "ZPROC_START_METHOD": method},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.stdout, done.stderr) == ("1\n", "")

    def test_a_fork_of_the_program_may_end_and_the_context_goes_on(self, eventually: Eventually) -> None:
        with zproc.Context(Kitchen) as ctx:
            bake(ctx.state)
            pid = os.fork()
            if pid == 0:
                try:
                    bake(ctx.state)
                    ctx.close()
                finally:
                    os._exit(0)
            os.waitpid(pid, 0)
            assert ctx.state.cookies == 2


def _frames(error: BaseException) -> traceback.StackSummary:
    return traceback.extract_tb(error.__traceback__)


def test_a_call_that_does_not_fit_is_told_before_a_process_is_made() -> None:
    refused: list[tuple[Callable[[Any], object], str]] = [
        (lambda ctx: ctx.spawn(bake, 1, 2), "too many positional arguments; the state, or with pass_context=True"),
        (lambda ctx: ctx.spawn(bake, 1, count=2), r"ctx\.spawn\(count=\.\.\.\)\(bake, \.\.\.\)"),
        (lambda ctx: ctx.spawn(lambda: 1), "too many positional arguments; the state, or .* stateful=False leaves"),
        (lambda ctx: ctx.spawn(stateful=False)(bake), "missing a required argument: 'state'"),
        (lambda ctx: ctx.spawn(count=2)(bake, 1, 2), "too many positional arguments"),
        (lambda ctx: ctx.spawn(pass_context=True)(lambda: 1), "too many positional arguments"),
        (lambda ctx: ctx.spawn(retry_args=(1, 2))(bake, 1), "too many positional arguments"),
        (lambda ctx: ctx.process(bake, kwargs={"m": 1}), "unexpected keyword argument 'm'"),
        (lambda ctx: ctx.process_factory(bake, args=(1, 2)), "too many positional arguments"),
        (lambda ctx: ctx.spawn_map(bake, [1], args=(2,)), "too many positional arguments"),
        (lambda ctx: ctx.call_when_change()(lambda snapshot: 1), "the snapshot comes before them, and the live"),
        (lambda ctx: ctx.call_when_change(args=(1, 2))(bake), "too many positional arguments"),
        (lambda ctx: ctx.call_when_change(retry_args=3)(bake), "retry_args is a tuple or list of arguments"),
    ]
    with zproc.Context(Kitchen) as ctx:
        for make, words in refused:
            with pytest.raises(zproc.UsageError, match=words):
                make(ctx)
        assert not ctx.process_list
        assert ctx.spawn(bake).wait(30) == 1
        assert ctx.spawn(bake, n=2).wait(30) == 3
        assert ctx.call_when_change()(bake).is_alive
