"""Whether a function can be called with some arguments, told before it is.

The law: what is refused would raise `TypeError` at the call, with certainty. Nobody looks behind a decorator that is
not zproc's own, because it may give its function other arguments than it was given; what has no signature passes.
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
    """Make sure that a function can be called with some arguments.

    Args:
        function: the function.
        args: all positional ones, those included that zproc adds.
        kwargs: those by name.
        about: says which zproc adds, and how they are left out.
        options: names that may be meant as options of the call that was made, rather than as arguments.

    Raises:
        UsageError: it cannot.
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
    """Return it without types, which as texts would have quotes."""
    parameters = [each.replace(annotation=each.empty) for each in signature.parameters.values()]
    return signature.replace(parameters=parameters, return_annotation=signature.empty)


def _signature(function: Callable[..., object]) -> inspect.Signature | None:
    ours = type(function) is FunctionType and str(function.__globals__.get("__name__")).startswith("zproc.")
    try:
        return inspect.signature(function, follow_wrapped=ours)
    except (TypeError, ValueError):  # of some builtins nobody knows
        return None
