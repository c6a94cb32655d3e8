"""A state machine that searches for an order of events in which a user's invariant breaks.

The law: everything that happens is drawn: which client begins what, whose request arrives next, who dies in the middle,
how much time passes. The condition is checked after every single step, and a failure is shrunk to the shortest story.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Final, TypeVar, cast

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from zproc.core.limits import Limits
from zproc.exceptions import CommitRefused
from zproc.schema.model import StateModel
from zproc.testing.generation import Strategies, strategies
from zproc.testing.interleaving import Interleaving
from zproc.testing.operations import Operation, calls_of_function

__all__ = ["ConcurrentMachine", "state_machine"]

M = TypeVar("M", bound=StateModel)

_REFUSALS: Final = (CommitRefused,)


class ConcurrentMachine(RuleBasedStateMachine):
    """Several clients of one state; made by `state_machine`."""

    model: ClassVar[type[StateModel]]
    clients: ClassVar[int]
    functions: ClassVar[tuple[st.SearchStrategy[Operation], ...]]
    edits: ClassVar[bool]
    condition: ClassVar[Callable[[StateModel], object]]
    refusals: ClassVar[tuple[type[BaseException], ...]]
    limits: ClassVar[Limits]
    generated: ClassVar[Strategies[StateModel]]

    @initialize()
    def begin(self) -> None:
        """Begin with the initial state."""
        self.shared: Interleaving[StateModel] = Interleaving(self.model, clients=self.clients, limits=self.limits)
        self.running: dict[int, Operation] = {}

    @precondition(lambda self: self.shared.free)
    @rule(data=st.data())
    def start(self, data: st.DataObject) -> None:
        """A client begins an operation."""
        client = data.draw(st.sampled_from(self.shared.free), label="client")
        choices = [*self.functions]
        if self.edits:
            choices.append(self.generated.operation(self.shared.state))
        operation = data.draw(st.one_of(choices), label="operation")
        self.running[client] = operation
        self.shared.start(client, operation)
        self.judge()

    @precondition(lambda self: self.shared.ready)
    @rule(data=st.data())
    def step(self, data: st.DataObject) -> None:
        """The request of a client arrives."""
        self.shared.step(data.draw(st.sampled_from(self.shared.ready), label="client"))
        self.judge()

    @precondition(lambda self: self.shared.ready)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        """All requests of a client arrive, as long as it gets on."""
        client = data.draw(st.sampled_from(self.shared.ready), label="client")
        while client in self.shared.ready:
            self.shared.step(client)
            self.check()
        self.judge()

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        """A client dies in the middle of its operation."""
        client = data.draw(st.sampled_from(sorted(self.running)), label="client")
        del self.running[client]
        self.shared.crash(client)
        self.judge()

    @precondition(lambda self: self.running)
    @rule()
    def time_out(self) -> None:
        """Whoever has the turn loses it."""
        self.shared.pass_time(self.limits.lease_time + 1)
        self.judge()

    def judge(self) -> None:
        """Look at what has ended: only a refusal may have been raised."""
        for client in [each for each in self.running if each in self.shared.free]:
            operation = self.running.pop(client)
            try:
                self.shared.outcome(client)
            except self.refusals:
                pass
            except BaseException as error:
                error.add_note(f"raised by {operation!r}, run by client {client}")
                raise

    @invariant()
    def check(self) -> None:
        """Hold the state to the condition."""
        if hasattr(self, "shared"):
            type(self).condition(self.shared.state)

    def teardown(self) -> None:
        """Let everybody come to an end, and look once more."""
        if hasattr(self, "shared"):
            try:
                self.shared.finish()
                self.check()
            finally:
                self.shared.close()


def state_machine(
    model: type[M],
    check: Callable[[M], object],
    *functions: Callable[..., object],
    clients: int = 2,
    edits: bool = False,
    refusals: Sequence[type[BaseException]] = (),
    limits: Limits | None = None,
) -> type[ConcurrentMachine]:
    """Return a state machine that looks for an order of events in which a condition breaks.

    Several clients run functions at the same time. What is drawn is who begins what, with which arguments; whose next
    request arrives at the server; who dies half-way; and when a turn runs out. After every step the condition is
    checked. Hand ``.TestCase`` of it to pytest or unittest, and its ``settings`` to Hypothesis::

        TestBank = zproc.testing.state_machine(Bank, money_is_constant, transfer, deposit).TestCase

    Args:
        model: as what the state is declared.
        check: the condition: is given a frozen copy of the state, and raises if it does not hold.
        functions: what the clients do: functions whose first parameter is the state, and whose other parameters are
            annotated (``Annotated[int, Field(gt=0)]`` keeps arguments sensible). Atomic functions, and methods of the
            model, usually; a function that is not atomic is how one finds that it should be.
        clients: how many clients.
        edits: whether clients also change fields at random, and call actions of the model, within what the schema
            accepts.
        refusals: what the functions may raise besides ``CommitRefused``.
        limits: what the server bounds, and by how much.

    Returns:
        A subclass of Hypothesis's ``RuleBasedStateMachine``.

    Raises:
        SchemaError: the model cannot be shared, and why.
        TypeError: a parameter of a function has neither annotation nor default; or there is nothing to do.
    """
    if not functions and not edits:
        raise TypeError("there is nothing to do: give functions, or edits=True")
    return type(
        f"{model.__name__}Machine",
        (ConcurrentMachine,),
        {
            "model": model,
            "clients": clients,
            "functions": tuple(calls_of_function(function) for function in functions),
            "edits": edits,
            "condition": staticmethod(cast("Callable[[StateModel], object]", check)),
            "refusals": (*_REFUSALS, *refusals),
            "limits": limits or Limits(),
            "generated": strategies(model),
        },
    )
