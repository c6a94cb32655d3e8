"""The time of the user's code is bounded, and zproc's own bookkeeping is never torn."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Self, cast

import pytest
from pydantic import BaseModel, Field, field_validator, model_validator

from zproc.client import Client, atomic, model_handle
from zproc.core.history import Author
from zproc.core.limits import Limits
from zproc.core.namespace import BudgetExceeded, Namespace
from zproc.core.server import ServerCore
from zproc.exceptions import LimitExceeded
from zproc.schema import StateModel, action
from zproc.schema.model import Schema
from zproc.schema.values import plain
from zproc.server import alarm_budget, budget, serve
from zproc.transport import listen
from zproc.typing import Epoch, SessionId

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there are no alarms here")


class Item(BaseModel):
    name: str = ""
    marks: list[int] = []
    size: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _looked_at(self) -> Self:
        if self.size % 7 == 6:
            self.marks.append(self.size)
        return self


class Shop(StateModel):
    cookies: int = 0
    numbers: list[int] = [3, 1, 2]
    table: dict[str, int] = {"c": 1, "a": 2, "b": 3}
    elements: set[int] = {1, 2, 3}
    items: dict[str, Item] = {"x": Item(name="x")}
    listed: list[Item] = [Item(), Item(name="y")]
    limit: int = 10
    slow: int = 0

    @field_validator("slow")
    @classmethod
    def _take_time(cls, value: int) -> int:
        while value:
            pass
        return value

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        while self.limit == 99:
            self.cookies += 1
        return self

    @property
    def endless(self) -> int:
        while True:
            self.cookies += 1

    @action
    def spin(self) -> None:
        while True:
            pass

    @action
    def sleep_on(self) -> None:
        while True:
            time.sleep(0.001)

    @action
    def stubborn(self) -> None:
        while True:
            try:
                self.cookies += 1
            except BaseException:  # noqa: BLE001 - that is the point
                pass

    @action
    def very_stubborn(self) -> None:
        while True:
            try:
                while True:
                    self.cookies += 1
            except BaseException:  # noqa: BLE001 - that is the point
                pass

    @action
    def cleaning_up(self) -> None:
        try:
            while True:
                pass
        finally:
            self.cookies = 7

    @action
    def look(self) -> int:
        return self.endless

    @action
    def nested(self) -> None:
        spin_within(self)

    @action
    def sort_forever(self) -> None:
        def never(_: int) -> int:
            while True:
                pass

        self.numbers.sort(key=never)

    @action
    def churn(self) -> None:
        """Everything that can be done to a draft, over and over."""
        while True:
            self.cookies += 1
            self.numbers.append(self.cookies)
            self.numbers.sort(reverse=bool(self.cookies % 2))
            self.numbers[0:1] = [5, 6]
            self.numbers.pop()
            self.numbers.remove(5)
            self.table["new"] = self.cookies
            self.table["a"] += 1
            del self.table["new"]
            self.table.pop("c")
            self.table["c"] = 9
            self.elements.add(self.cookies)
            self.elements -= {self.cookies, 1}
            self.elements |= {1}
            self.items["x"].size += 1
            self.items["x"].marks.append(1)
            self.items["y"] = Item(name="y")
            self.items["y"].marks = [1, 2]
            self.items.pop("y")
            self.listed.insert(0, Item())
            self.listed[-1].size += 1
            self.listed.pop(0)
            self.limit = 11

    @action
    def bake(self, n: int) -> int:
        self.cookies += n
        return self.cookies


@atomic
def spin_within(shop: Shop) -> None:
    while True:
        shop.cookies += 1


SCHEMA = cast("Schema[StateModel]", Schema.of(Shop))
AUTHOR = Author(SessionId("s"), 1, "test", "f")
CALL = SCHEMA.codec.encode([[], [], {}])


@pytest.fixture(autouse=True)
def the_alarm_is_ours() -> Iterator[None]:
    assert threading.current_thread() is threading.main_thread(), "signals come to the main thread only"
    before = signal.getsignal(signal.SIGALRM)
    budget._Alarm.installed = False
    yield
    assert signal.setitimer(signal.ITIMER_REAL, 0) == (0.0, 0.0), "an alarm was left set"
    signal.signal(signal.SIGALRM, before)
    budget._Alarm.installed = False


def namespace(seconds: float = 0.02) -> Namespace:
    return Namespace(SCHEMA, Limits(compute_time=seconds), alarm_budget)


def image(shop: Namespace) -> object:
    """The state with the order of its dicts, and what belongs to it."""
    return repr(shop.state), plain(shop.state), shop.revision, list(shop.history.since(shop.revision))


@pytest.mark.parametrize(
    "name", ["spin", "sleep_on", "stubborn", "very_stubborn", "look", "nested", "sort_forever", "churn", "cleaning_up"]
)
def test_an_endless_action_is_ended_and_undone(name: str) -> None:
    """Soon after the limit, whatever it does in the meantime, and whatever it does against it."""
    shop = namespace()
    before = image(shop)
    began = time.monotonic()
    with pytest.raises(BudgetExceeded):
        shop.act(name, CALL, AUTHOR, wall=0.0)
    assert 0.02 <= time.monotonic() - began < 2.0
    assert image(shop) == before
    entry, result = shop.act("bake", SCHEMA.codec.encode([[], [3], {}]), AUTHOR, wall=0.0)
    assert entry is not None
    assert SCHEMA.codec.decode(result) == 3


@pytest.mark.parametrize(("field", "value"), [("slow", 1), ("limit", 99)])
def test_an_endless_validator_is_ended_and_undone(field: str, value: int) -> None:
    """One of a field, and one of the model."""
    shop = namespace()
    before = image(shop)
    with pytest.raises(BudgetExceeded):
        shop.commit(SCHEMA.codec.encode([[0, [field], value]]), AUTHOR, wall=0.0)
    assert image(shop) == before


@pytest.mark.slow
def test_wherever_it_strikes_nothing_is_torn() -> None:
    """Hundreds of times, at moments that differ a little each time."""
    for turn in range(300):
        shop = namespace(0.0005 + (turn % 97) * 0.00003)
        before = image(shop)
        with pytest.raises(BudgetExceeded):
            shop.act("churn", CALL, AUTHOR, wall=0.0)
        assert image(shop) == before, f"torn in turn {turn}"
        shop.commit(SCHEMA.codec.encode([[5, ["cookies"], "+", 1]]), AUTHOR, wall=0.0)
        assert cast("Shop", shop.state).cookies == 1


def test_it_strikes_the_same_state_again_and_again() -> None:
    """Between commits that go through, so that what is torn would be met by them."""
    shop = namespace(0.002)
    for turn in range(60):
        before = image(shop)
        with pytest.raises(BudgetExceeded):
            shop.act("churn", CALL, AUTHOR, wall=0.0)
        assert image(shop) == before
        shop.commit(
            SCHEMA.codec.encode([[5, ["cookies"], "+", 1], [2, ["numbers"], None, 0, [turn]]]), AUTHOR, wall=0.0
        )
    assert cast("Shop", shop.state).numbers == [3, 1, 2, *range(60)]
    assert shop.revision == 60


def test_an_alarm_that_comes_too_late_means_nobody() -> None:
    """The time may be up in the very moment in which the computation ends."""
    for turn in range(3000):
        try:
            with alarm_budget(0.000001 * (turn % 50 + 1)):
                sum(range(turn % 40))
        except BudgetExceeded:
            pytest.fail("it struck where no user's code is")
        sum(range(10))


def test_an_alarm_in_our_own_code_is_put_off() -> None:
    """What is running here is no code of a model, as the rules see it."""
    with alarm_budget(0.001):
        deadline = time.monotonic() + 0.02
        while time.monotonic() < deadline:
            pass


def test_what_is_in_time_is_not_touched() -> None:
    shop = namespace(10.0)
    for turn in range(50):
        _, result = shop.act("bake", SCHEMA.codec.encode([[], [1], {}]), AUTHOR, wall=0.0)
        assert SCHEMA.codec.decode(result) == turn + 1
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_an_exception_ends_the_budget_too() -> None:
    with pytest.raises(KeyError), alarm_budget(10.0):
        raise KeyError
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_whoever_called_is_told_which_limit_it_was() -> None:
    """The loop in the main thread, as in a process of its own; a client in another one."""
    core = ServerCore({"default": SCHEMA}, epoch=Epoch("e"), limits=Limits(compute_time=0.05), budget=alarm_budget)
    listener = listen("memory://budget")
    client = Client(SCHEMA, "memory://budget", "default")
    state = cast("Shop", model_handle(client, (), Shop))
    stopping = threading.Event()
    told: list[BaseException | int] = []

    def attempt(function: Callable[[], object]) -> None:
        try:
            function()
        except BaseException as error:  # noqa: BLE001 - looked at below
            told.append(error)

    def use() -> None:
        try:
            attempt(state.spin)
            attempt(lambda: setattr(state, "slow", 1))
            told.append(state.bake(1))
        finally:
            stopping.set()
            listener.wake()

    thread = threading.Thread(target=use)
    thread.start()
    try:
        serve(core, listener, stopping.is_set)
    finally:
        thread.join(10)
        client.close()
        listener.close()
    spin, slow, baked = told
    for error in (spin, slow):
        assert isinstance(error, LimitExceeded)
        assert (error.limit, error.allowed) == ("compute_time", 0.05)
    assert baked == 1
