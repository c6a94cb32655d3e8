"""What arguments of calls may be, in words and as tests; and the one way to report that one is something else.

The law: a wrong call fails at the call, before anything is sent, started or changed, and the error says which argument
it is, what it may be, and what it was. ``True`` is no number, because whoever writes it means something else.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Final

from zproc.exceptions import UsageError

__all__ = [
    "FLAG",
    "FUNCTION",
    "ITERABLE",
    "NAMED",
    "NUMBER",
    "PATIENCE",
    "PERIOD",
    "POSITIONAL",
    "REVISION",
    "SECONDS",
    "TEXT",
    "WHOLE",
    "Kind",
    "between",
    "count_of",
    "expect",
    "expect_all",
    "expect_known",
    "meant",
    "or_none",
    "refuse_unfinished",
    "shown",
]

_SHOWN: Final = 80
_LISTED: Final = 20


@dataclass(frozen=True, slots=True)
class Kind:
    """What an argument may be.

    Attributes:
        words: that, as in "timeout is a number of seconds".
        fits: tells whether a value is.
    """

    words: str
    fits: Callable[[object], bool]


def expect(name: str, value: object, kind: Kind) -> None:
    """Make sure that an argument is what it may be.

    Args:
        name: what the caller knows it by.
        value: what was given.
        kind: what it may be.

    Raises:
        UsageError: it is something else.
    """
    expect_all((name, value, kind))


def expect_all(*given: tuple[str, object, Kind]) -> None:
    """Make sure that several arguments are what they may be; what is wrong with them is told at once.

    Args:
        given: name, value and kind of each.

    Raises:
        UsageError: one of them is something else.
    """
    wrong = [f"{name} is {kind.words}, not {shown(value)}" for name, value, kind in given if not kind.fits(value)]
    if wrong:
        raise UsageError("; ".join(wrong))


def expect_known(given: Iterable[str], known: Iterable[str]) -> None:
    """Make sure that options are such as there are.

    Args:
        given: their names.
        known: the names that there are.

    Raises:
        UsageError: one of them is none; it names the nearest.
    """
    names = sorted(known)
    unknown = sorted(set(given) - set(names))
    if unknown:
        listed, hint = ", ".join(unknown), meant(unknown[0], names)
        raise UsageError(f"no such option: {listed}; {hint}there are {', '.join(names)}")


def meant(name: str, known: Iterable[str]) -> str:
    """Return the question whether another name was meant, if one is near."""
    return "".join(f"did you mean {other!r}? " for other in difflib.get_close_matches(name, list(known), n=1))


def refuse_unfinished(function: object) -> None:
    """Refuse functions that return before their body has run.

    Raises:
        UsageError: the function is a coroutine function, a generator or both.
    """
    flags = getattr(getattr(function, "__code__", None), "co_flags", 0)
    name = getattr(function, "__qualname__", "")
    if flags & inspect.CO_GENERATOR:
        raise UsageError(f"{name} is a generator function, which returns before its body has run; return a list")
    if flags & (inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR):
        raise UsageError(f"{name} is a coroutine function; give one that calls asyncio.run")


def or_none(kind: Kind, words: str = "") -> Kind:
    """Return the kind of what may be left out, by ``None``; ``words`` say what that means."""
    return Kind(f"{kind.words}, or None{words}", lambda value: value is None or kind.fits(value))


def between(words: str, least: float, most: float) -> Kind:
    """Return the kind of a number within bounds."""
    return Kind(words, lambda value: _is_real(value) and least <= float(value) <= most)  # type: ignore[arg-type]  # it is


def count_of(things: str, least: int = 0) -> Kind:
    """Return the kind of a whole number of some things."""
    return Kind(f"a number of {things}, {least} or more", lambda value: _is_whole(value, least))


def _is_real(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_integral(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_whole(value: object, least: int) -> bool:
    return _is_integral(value) and least <= int(value) < _TOO_GREAT  # type: ignore[call-overload]  # it is a number


_TOO_GREAT: Final = 1 << 63
"""What no count of anything comes to, and no message can say."""

_EVER: Final = 1e9
"""Thirty years, in seconds: what systems can still wait for; who means for ever says ``None``."""

SECONDS: Final = between("a number of seconds, 0 or more", 0, _EVER)
PATIENCE: Final = or_none(between("a number of seconds", -_EVER, _EVER), " for as long as it takes")
"""How long to wait; what is less than nothing, since a deadline has passed, is nothing."""
PERIOD: Final = Kind("a number of seconds above 0", lambda value: SECONDS.fits(value) and value != 0)
NUMBER: Final = Kind("a number", _is_real)
WHOLE: Final = Kind("a whole number", _is_integral)
REVISION: Final = Kind("the number of a revision, 0 or more", lambda value: _is_whole(value, 0))
FLAG: Final = Kind("True or False", lambda value: isinstance(value, bool))
TEXT: Final = Kind("a text", lambda value: isinstance(value, str))
FUNCTION: Final = Kind("a function (f, not f())", callable)
ITERABLE: Final = Kind("an iterable", lambda value: isinstance(value, Iterable) or hasattr(value, "__getitem__"))
POSITIONAL: Final = Kind(
    "a tuple or list of arguments", lambda value: isinstance(value, Iterable) and not isinstance(value, (str, bytes))
)
NAMED: Final = Kind(
    "a mapping of arguments by name",
    lambda value: isinstance(value, Mapping) and all(isinstance(name, str) for name in value),
)


def shown(value: object) -> str:
    """Return a value as people are shown it: cut short, whatever it is and however much of it there is."""
    if isinstance(value, (list, tuple, dict, set, frozenset)) and len(value) > _LISTED:
        return f"<{type(value).__name__} of {len(value)} items>"
    if isinstance(value, (str, bytes)):
        value = value[:_SHOWN]
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - an integer of 5,000 digits, or a class of the user's: an error message must not fail
        return f"<{type(value).__name__}>"
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
