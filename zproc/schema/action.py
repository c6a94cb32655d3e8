"""Actions, methods that run where the state is; and running a function on a draft, all or nothing.

The law: an action called on a live handle runs in the server, on a draft inline, and on a plain instance on that
instance, all or nothing. In the server, its arguments and its result are data of the annotated types.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import ParamSpec, TypeVar, cast

from pydantic import BaseModel

from zproc.arguments import shown
from zproc.exceptions import UnknownPath, UsageError
from zproc.schema import containers  # noqa: F401 - registers the drafts of lists, dicts and sets
from zproc.schema.draft import Session, validator_draft
from zproc.schema.interface import ACTION, Interface, action_of, interface_of
from zproc.schema.path import no_field
from zproc.schema.snapshot import refuse_snapshot
from zproc.schema.transaction import Change, Transaction
from zproc.schema.values import SCALARS, View, detached, plain

__all__ = ["action", "action_of", "call_action", "drafted", "refuse_unfinished", "run"]

P = ParamSpec("P")
R = TypeVar("R")
M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")


def action(method: Callable[P, R]) -> Callable[P, R]:
    """Mark a method of a StateModel to run where the state is, atomically and in one round trip.

    On a live handle the method is called in the state server by its name, with its arguments sent as data; in an atomic
    function, or in another action, it runs inline as part of the same commit; on a plain instance it runs on that
    instance, all or nothing.

    Args:
        method: the method; its parameters and its result must be annotated with types that can be shared.

    Returns:
        A method to be called in the same way.

    Raises:
        UsageError: the method is a coroutine function or a generator, whose body does not run when it is called.
    """
    refuse_unfinished(method, "action")

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        state = args[0]
        if isinstance(state, View) or not isinstance(state, BaseModel):
            return method(*args, **kwargs)
        rest = args[1:]
        return run(state, lambda draft: method(draft, *rest, **kwargs), len)[0]  # type: ignore[arg-type]  # ParamSpecs cannot be cut

    setattr(call, ACTION, method)
    return call


def refuse_unfinished(function: Callable[P, R], decorator: str) -> None:
    """Refuse what is no function, and functions that return before their body has run.

    Args:
        function: what is decorated.
        decorator: by which public decorator.

    Raises:
        UsageError: the function is none, or is a coroutine function, a generator or both.
    """
    given: object = function
    if not callable(given) or isinstance(given, BaseModel):
        raise UsageError(f"{decorator} is for functions, as a decorator: @zproc.{decorator}; {shown(function)} is none")
    if (
        inspect.iscoroutinefunction(function)
        or inspect.isgeneratorfunction(function)
        or inspect.isasyncgenfunction(function)
    ):
        name = getattr(function, "__qualname__", repr(function))
        raise UsageError(f"{name} cannot be atomic: a coroutine or generator returns before its body has run")


def run(state: M, function: Callable[[M], R], conclude: Callable[[list[Change]], T]) -> tuple[R, T]:
    """Run a function on a draft of an instance, which is changed whole or not at all.

    Args:
        state: the instance.
        function: what to do; it is given the draft.
        conclude: computes something from the changes; if it raises, they are undone too.

    Returns:
        What the function returned, with drafts in it replaced by copies, and what was concluded.

    Raises:
        CommitRefused: the instance would break its schema.
        UsageError: the instance is a snapshot.
        BaseException: whatever the functions raise.
    """
    with drafted(state) as (draft, transaction):
        result = cast("R", without_drafts(function(draft)))
        return result, conclude(transaction.finish())


@contextmanager
def drafted(state: M) -> Iterator[tuple[M, Transaction]]:
    """Yield a draft of an instance, and the transaction for the block to finish; undo everything if the block raises.

    Raises:
        UsageError: the instance is a snapshot.
    """
    refuse_snapshot(state)
    transaction = Transaction(state, validator_draft)
    session = Session(transaction)
    try:
        yield session.root(type(state)), transaction
    except BaseException:
        transaction.rollback()
        raise
    finally:
        session.end()


def without_drafts(value: object) -> object:
    """Return a value with the drafts in it replaced by copies of what they stand for."""
    if type(value) in SCALARS:
        return value
    if isinstance(value, View):
        return detached(value.__zproc_value__())
    if type(value) in (list, tuple, set):
        return type(value)(map(without_drafts, cast("list[object]", value)))  # type: ignore[call-arg]  # each takes an iterable
    if type(value) is dict:
        return {key: without_drafts(item) for key, item in value.items()}
    return value


def call_action(model: object, name: str, positional: Sequence[object], by_name: Mapping[str, object]) -> object:
    """Call an action with arguments that came as data.

    Args:
        model: the draft of the model.
        name: the action's name.
        positional: its positional arguments.
        by_name: its named arguments.

    Returns:
        Its result as plain data.

    Raises:
        UnknownPath: the model has no such action.
        ValidationRefused: the arguments are not what the action is annotated with.
        BaseException: whatever the action raises.
    """
    interface = _called_by(cast("type[BaseModel]", model.__class__), name)
    result = _called(interface, model, positional, by_name)
    if type(result) not in SCALARS:
        result = without_drafts(result)
    valid = interface.checked("return", result)
    return valid if type(valid) in SCALARS else plain(valid)


@functools.cache
def _called_by(model: type[BaseModel], name: str) -> Interface:
    """Return the interface of an action that is called by a name from anywhere.

    Raises:
        UnknownPath: the model has no such action.
    """
    if action_of(model, name) is not None:
        return interface_of(model, name)
    if inspect.getattr_static(model, name, None) is None:
        raise no_field(model, name, name)
    raise UnknownPath(name, f"{model.__name__}.{name} is not an action")


def _called(interface: Interface, model: object, positional: Sequence[object], by_name: Mapping[str, object]) -> object:
    quick = None if by_name else interface.quick(positional)
    if quick is not None:
        return interface.method(model, *quick)
    bound = interface.arguments(positional, by_name)
    return interface.method(model, *bound.args, **bound.kwargs)
