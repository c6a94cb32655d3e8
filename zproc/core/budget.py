"""The time budget of user code in the server: its interface, and where it may interrupt.

The law: a computation is interrupted only where user code, or a validation, runs on our behalf, never in the middle of
our own bookkeeping, which would be torn. The clock and the alarm belong to the shell; which code is running, and which
is about to, is read from the stack frames here.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from types import FrameType
from typing import Final, TypeAlias

__all__ = ["Budget", "BudgetExceeded", "interruptible", "resuming"]


class BudgetExceeded(BaseException):
    """Raised inside of the user's code when its time is up; no ``except Exception`` of theirs may stop it."""


Budget: TypeAlias = Callable[[float], AbstractContextManager[None]]
"""What bounds computations: a context manager for some seconds; once they are over, BudgetExceeded is raised in it.

It is entered again for each computation, one after the other.
"""

_CALLERS: Final = frozenset(
    {
        "_called",  # an action
        "action.<locals>.call",  # an action that an action calls
        "action.<locals>.call.<locals>.<lambda>",
        "atomic.<locals>.call",  # an atomic function that an action calls
        "atomic.<locals>.call.<locals>.body",
        "class_attribute",  # a property of the model
        "set_class_attribute",
        "ListDraft.index",  # the elements' own idea of what is equal
        "ListDraft.sort",  # the key of a sort
        "ListDraft.sort.<locals>.<listcomp>",
        "Interface.checked",  # the validators of an argument or a result
        "Shape.validate",  # the validators of a field
        "Transaction._run_validator",  # a validator of the model
    }
)
"""The functions of ours that call the user's code, and are in the middle of nothing while they wait for it."""


def interruptible(frame: FrameType | None) -> bool:
    """Whether BudgetExceeded may be raised in a frame, the one that an alarm has met.

    Not the innermost frame is asked but the innermost one of ours: what we call (a copy, a hash of an enum's member)
    runs in frames of others, and must be finished all the same.
    """
    while frame is not None:
        if _is_ours(frame):
            return frame.f_code.co_qualname in _CALLERS
        frame = frame.f_back
    return False


def resuming(frame: FrameType | None) -> FrameType | None:
    """Return the frame of the user's code that goes on when the bookkeeping is done that the alarm has met.

    An action that does nothing but change the state spends nearly all of its time in our code: an alarm that only goes
    off again would miss the user's for seconds.

    Args:
        frame: the one that the alarm has met, which is not interruptible.

    Returns:
        The frame; ``None`` if our bookkeeping is done for nobody.
    """
    users: FrameType | None = None
    while frame is not None:
        if not _is_ours(frame):
            users = users or frame
        elif users is not None and frame.f_code.co_qualname in _CALLERS:
            return users
        else:
            users = None
        frame = frame.f_back
    return None


def _is_ours(frame: FrameType) -> bool:
    name = frame.f_globals.get("__name__")
    return isinstance(name, str) and name.startswith("zproc.")
