"""Each error, and how one comes by it."""

from collections.abc import Callable

import zproc
from pydantic import Field, field_validator
from zproc.testing import FakeClock, Fault, MemoryServer


class Bakery(zproc.StateModel):
    cookies: int = Field(default=0, ge=0)
    label: str = ""

    @field_validator("label")
    @classmethod
    def _careless(cls, label: str) -> str:
        return {"": "", "fresh": "fresh"}[label]  # a KeyError is no refusal


class Other(zproc.StateModel):
    cakes: int = 0


class NotShareable(zproc.StateModel):
    model_config = {"arbitrary_types_allowed": True}
    callback: Callable[[], None] = print


def raised(kind: type[BaseException], function: Callable[[], object]) -> BaseException:
    """Call a function, and return what it raises, which is of this kind."""
    try:
        function()
    except kind as error:
        print(f"{type(error).__name__:20} {str(error).splitlines()[0]:.90}")
        return error
    raise AssertionError(f"no {kind.__name__}")


@zproc.atomic
def use_the_live_state(draft: Bakery, live: Bakery) -> None:
    live.cookies += 1


def fail(state: Bakery) -> None:
    raise ValueError("burnt")


clock = FakeClock()
with MemoryServer(Bakery, clock=clock, limits=zproc.Limits(history_commits=2, message_bytes=1 << 20)) as server:
    state, ctx = server.state, server.context

    # Yours: the program is wrong.
    raised(zproc.SchemaError, lambda: MemoryServer(NotShareable))
    raised(zproc.UnknownPath, lambda: state["cokies"])
    raised(zproc.SchemaMismatch, lambda: zproc.Context(Other, address=server.address))
    raised(zproc.UsageError, lambda: use_the_live_state(state, state))

    # Refused: nothing has changed.
    refused = raised(zproc.ValidationRefused, lambda: state.update(cookies=-1))
    assert isinstance(refused, zproc.CommitRefused)
    fault: zproc.Fault = refused.faults[0]  # type: ignore[attr-defined]
    assert (fault.path, fault.rule) == ("cookies", "greater_than_equal")
    raised(zproc.ValidatorCrashed, lambda: state.update(label="stale"))

    def take_too_long() -> None:
        with zproc.transaction(state) as draft:
            draft.cookies += 1
            clock.advance(31)

    raised(zproc.LeaseLost, take_too_long)

    # The world's: too much, too late, gone.
    raised(zproc.LimitExceeded, lambda: state.update(label="x" * (2 << 20)))
    raised(zproc.WaitTimeout, lambda: state.get_when_equal("cookies", 99, timeout=0.01))
    for number in range(5):
        state.cookies = number
    raised(zproc.HistoryGone, lambda: ctx.state_at(1))
    server.break_line(Fault.FATAL)
    raised(zproc.CommitUnknown, lambda: state.update(cookies=3))
    raised(zproc.Unavailable, lambda: state.cookies)

with zproc.Context(Bakery) as real:
    failed = raised(zproc.RemoteError, lambda: real.spawn(fail).wait(timeout=10))
    assert isinstance(failed, zproc.ProcessError)
    assert isinstance(failed, zproc.Error)  # the root of them all
    assert isinstance(failed.__cause__, ValueError)

# Two that take a peer which is not what it should be.
assert issubclass(zproc.ProtocolError, zproc.Error)  # it speaks another protocol
assert issubclass(zproc.AuthenticationError, zproc.Error)  # it has the wrong key, or none

# Names of the original zproc.
assert zproc.ProcessWaitError is zproc.ProcessError
assert zproc.RemoteException is zproc.RemoteError
