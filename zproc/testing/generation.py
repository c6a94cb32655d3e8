"""Hypothesis strategies for the states of a model, and for operations on them.

The law: what comes out is valid, because the schema was asked: a state satisfies it, and a sequence of operations is
accepted from its first to its last.
"""

from __future__ import annotations

import copy
from typing import Generic, TypeVar, cast

from hypothesis import strategies as st
from pydantic import ValidationError

from zproc.client import transaction
from zproc.exceptions import CommitRefused
from zproc.schema.interface import actions_of
from zproc.schema.model import Schema, StateModel
from zproc.schema.values import plain
from zproc.testing.operations import Call, Draw, Edit, OpDrawer, Operation, calls_of_action
from zproc.testing.places import place_of_model

__all__ = ["Strategies", "strategies"]

M = TypeVar("M", bound=StateModel)


class Strategies(Generic[M]):
    """Strategies for one model.

    Args:
        model: as what the state is declared.

    Raises:
        SchemaError: the model cannot be shared, and why.
    """

    def __init__(self, model: type[M]) -> None:
        self._schema = cast("Schema[M]", Schema.of(model))
        self._place = place_of_model(model)
        self._actions = [calls_of_action(model, name) for name in actions_of(model)]

    def states(self) -> st.SearchStrategy[M]:
        """Return a strategy of valid states.

        Where validators across fields refuse what is drawn field by field, a state is made out of the initial one, by
        valid operations.
        """

        @st.composite
        def state(draw: Draw) -> M:
            proposed = draw(self._place.values)
            try:
                return cast("M", self._schema.shape.validate(proposed))
            except ValidationError:
                found = self._schema.initial()
                self._sequence(draw, found, 8)
                return found

        return state()

    def operation(self, state: M) -> st.SearchStrategy[Operation]:
        """Return a strategy of single operations that fit a state, valid or not.

        Args:
            state: the state.
        """

        @st.composite
        def one(draw: Draw) -> Operation:
            return self._operation(draw, state)

        return one()

    def operations(self, state: M | None = None, *, max_size: int = 10) -> st.SearchStrategy[list[Operation]]:
        """Return a strategy of sequences of operations, each of which is valid after those before it.

        Args:
            state: the state that they begin at; the initial one if it is not given. It stays as it is.
            max_size: how many operations a sequence has at most.
        """

        @st.composite
        def sequence(draw: Draw) -> list[Operation]:
            return self._sequence(draw, self._schema.initial() if state is None else copy.deepcopy(state), max_size)

        return sequence()

    def _sequence(self, draw: Draw, state: M, longest: int) -> list[Operation]:
        """Draw operations, and do them to the state."""
        done: list[Operation] = []
        for _ in range(draw(st.integers(0, longest))):
            operation = self._operation(draw, state)
            if _accepts(state, operation):
                done.append(operation)
        return done

    def _operation(self, draw: Draw, state: M) -> Operation:
        if self._actions and draw(st.booleans()):
            return cast("Call", draw(st.one_of(self._actions)))
        op = OpDrawer(draw).op(self._place, (), plain(state))
        assert op is not None, "a state has fields"
        return Edit(op)


def strategies(model: type[M]) -> Strategies[M]:
    """Return the Hypothesis strategies of a model: for its states, and for what can be done to them.

    Args:
        model: as what the state is declared.

    Raises:
        SchemaError: the model cannot be shared, and why.

    Example:
        >>> shop = zproc.testing.strategies(Shop)
        >>> @given(shop.states(), shop.operations())
        ... def test_something(state, operations): ...
    """
    return Strategies(model)


def _accepts(state: M, operation: Operation) -> bool:
    """Apply an operation to a plain instance, whole or not at all, and return whether it was applied."""
    try:
        with transaction(state) as draft:
            operation(draft)
    except CommitRefused:
        return False
    except Exception:
        if isinstance(operation, Call):  # an action refuses by whatever it raises
            return False
        raise
    return True
