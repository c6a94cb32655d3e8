"""Checking that a function accepts its arguments before it is called in another process.

The law: what is refused would certainly raise `TypeError` at the call. Decorators other than zproc's own are not looked
behind, because they may pass other arguments on; what has no signature passes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType

from zproc.exceptions import UsageError

__all__ = ["refuse_misfit"]


def refuse_misfit(
    function: Callable[..., object],
    args: Sequence[object],
    kwargs: Mapping[str, object],
    about: str = "",
    options: frozenset[str] = frozenset(),
) -> None:
    """Check that a function accepts some arguments.

    Args:
        function: the function.
        args: the positional arguments, including those that zproc adds.
        kwargs: the keyword arguments.
        about: which ones zproc adds, and how to leave them out; for the message.
        options: names that the caller may have meant as options rather than as arguments.

    Raises:
        UsageError: it does not.
    """
    signature = _signature(function)
    if signature is None:
        return
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        name = getattr(function, "__name__", type(function).__name__)
        known = signature.parameters.keys()
        meant = sorted(name for name in kwargs if name in options and name not in known)
        hint = f"; options have a call of their own: ctx.spawn({meant[0]}=...)({name}, ...)" if meant else ""
        told = f"; {about}" if about else ""
        raise UsageError(f"{name}{_bare(signature)} does not take these arguments: {error}{told}{hint}") from error


def _bare(signature: inspect.Signature) -> inspect.Signature:
    """Return a signature without annotations, which would be printed in quotes."""
    parameters = [each.replace(annotation=each.empty) for each in signature.parameters.values()]
    return signature.replace(parameters=parameters, return_annotation=signature.empty)


def _signature(function: Callable[..., object]) -> inspect.Signature | None:
    ours = type(function) is FunctionType and str(function.__globals__.get("__name__")).startswith("zproc.")
    try:
        return inspect.signature(function, follow_wrapped=ours)
    except (TypeError, ValueError):  # some builtins have none
        return None
