"""Validation errors in zproc's own terms.

The law: pydantic's errors, and whatever else a validator raises, become zproc's errors here and nowhere else. A refusal
names every fault by path, rule and input; an exception that is not a refusal is a crash of the validator, and the error
names it.
"""

from __future__ import annotations

from collections.abc import Sized
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError, PydanticKnownError

from zproc.exceptions import Fault, ValidationRefused, ValidatorCrashed
from zproc.schema.path import format_path
from zproc.schema.shape import Shape
from zproc.schema.values import shown
from zproc.typing import Path

__all__ = ["REFUSALS", "crash", "fault", "faults", "length_faults", "raiser", "refused", "validator_faults"]

MOST_FAULTS: Final = 20
"""How many faults of one value a refusal names: a list of a million wrong elements must not be answered by a million.
"""

REFUSALS = (ValueError, AssertionError, PydanticCustomError, PydanticKnownError)
"""What a validator raises to refuse a value; pydantic takes the same."""


def refused(faults: list[Fault], reason: str = "the state would break its schema") -> ValidationRefused:
    """Return the refusal for some faults."""
    return ValidationRefused(reason, tuple(faults))


def fault(path: Path, rule: str, message: str, given: object) -> ValidationRefused:
    """Return the refusal for one fault that pydantic has no part in."""
    return refused([Fault(format_path(path), rule, message, shown(given))])


def faults(error: ValidationError, path: Path) -> list[Fault]:
    """Return what pydantic found wrong with the value that stands at an address."""
    found = [_detail(detail, path) for detail in error.errors(include_url=False, include_context=False)[:MOST_FAULTS]]
    more = error.error_count() - len(found)
    if more:
        found.append(Fault(format_path(path), "too_many_faults", f"And {more} more", ""))
    return found


def length_faults(path: Path, shape: Shape, container: Sized) -> list[Fault]:
    """Return what is wrong with the length of a container, in pydantic's words."""
    length = len(container)
    context: dict[str, object] = {"field_type": type(container).__name__.capitalize(), "actual_length": length}
    if length < shape.shortest:
        error = PydanticKnownError("too_short", {**context, "min_length": shape.shortest})
    elif shape.longest is not None and length > shape.longest:
        error = PydanticKnownError("too_long", {**context, "max_length": shape.longest})
    else:
        return []
    return [Fault(format_path(path), error.type, error.message(), shown(container))]


def _detail(detail: ErrorDetails, path: Path) -> Fault:
    return Fault(format_path((*path, *detail["loc"])), detail["type"], detail["msg"], shown(detail["input"]))


def validator_faults(error: Exception, path: Path) -> list[Fault]:
    """Return what a model validator found wrong, in the words that pydantic would use."""
    if isinstance(error, ValidationError):
        return faults(error, path)
    where = format_path(path)
    if isinstance(error, (PydanticCustomError, PydanticKnownError)):
        return [Fault(where, error.type, error.message(), "")]
    if isinstance(error, AssertionError):
        return [Fault(where, "assertion_error", f"Assertion failed, {error}", "")]
    return [Fault(where, "value_error", f"Value error, {error}", "")]


def crash(path: Path, error: BaseException, validator: object = None) -> ValidatorCrashed:
    """Return the error for a validator that raised what is not a refusal."""
    where = format_path(path) or "the state"
    name = getattr(validator, "__qualname__", None) or raiser(error) or f"a validator of {where}"
    return ValidatorCrashed(f"validation of {where} crashed", validator=str(name), error=shown(error))


def raiser(error: BaseException) -> str | None:
    """Return the name of the first function of the user's that an exception passed through, below ours."""
    traceback = error.__traceback__
    while traceback is not None:
        if not str(traceback.tb_frame.f_globals.get("__name__", "")).startswith(("zproc.", "pydantic")):
            return traceback.tb_frame.f_code.co_qualname
        traceback = traceback.tb_next
    return None
