"""The members of generated classes: methods, properties and overloads.

The law: a member is a declaration without a body, because its class exists for type checkers alone. Each function
returns the lines of one member, as they stand within a class.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from zproc.codegen.layout import Group, Text, docstring, indented
from zproc.codegen.names import Names

__all__ = ["class_of", "method", "overloaded", "property_of"]

_INDENT: Final = 8
"""Where members stand: in a class, in a block."""


def class_of(header: str, documentation: str | None, members: Iterable[list[str]]) -> list[str]:
    """Return a class."""
    blocks = [part for part in (docstring(documentation), *members) if part]
    return [header, *indented(_apart(blocks or [["..."]]))]


def _apart(blocks: Iterable[list[str]]) -> Iterable[str]:
    for number, block in enumerate(blocks):
        if number:
            yield ""
        yield from block


def method(
    name: str,
    parameters: Sequence[Text],
    returns: str,
    *,
    decorators: Sequence[str] = (),
    documentation: str | None = None,
    awaited: bool = False,
) -> list[str]:
    """Return a method.

    Args:
        name: its name.
        parameters: the parameters after ``self``.
        returns: what it returns.
        decorators: the decorators, without the ``@``.
        documentation: its docstring.
        awaited: whether it is a coroutine function.
    """
    own = "cls" if name == "__new__" else "self"
    text = docstring(documentation)
    start = f"async def {name}(" if awaited else f"def {name}("
    head = Group(start, [own, *parameters], f") -> {returns}:" + ("" if text else " ..."))
    body = [*text, "..."] if text else []
    return [*(f"@{each}" for each in decorators), *head.lines(_INDENT), *indented(body)]


def property_of(
    names: Names, name: str, read: str, written: str | None = None, documentation: str | None = None
) -> list[str]:
    """Return a property; it can be assigned if it is told what."""
    getter = method(name, [], read, decorators=[names.builtin("property")], documentation=documentation)
    if written is None:
        return getter
    return [*getter, "", *method(name, [f"value: {written}"], "None", decorators=[f"{name}.setter"])]


def overloaded(
    names: Names,
    name: str,
    forms: Sequence[tuple[Sequence[Text], str]],
    any_form: tuple[Sequence[Text], str],
    *,
    awaited: bool = False,
) -> list[str]:
    """Return a method that is called in any of some forms.

    Args:
        names: the names of the module.
        name: its name.
        forms: of each form, the parameters and what is returned.
        any_form: the parameters and the result that cover them all, which no caller sees.
        awaited: whether it is a coroutine function.
    """
    if len(forms) < 2:  # noqa: PLR2004 - of one form there is no choice
        return method(name, *(forms or [any_form])[0], awaited=awaited)
    decorator = names.of("typing", "overload")
    shown = [line for form in forms for line in method(name, *form, decorators=[decorator], awaited=awaited)]
    return [*shown, *method(name, *any_form, awaited=awaited)]
