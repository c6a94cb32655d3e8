"""A base for objects that stand beside a state and are easily mistaken for it.

The law: reading or assigning a field of the state on such an object is an error that says where the field is. Python
would make an attribute of the assignment, and nobody else would ever see it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from zproc.exceptions import UnknownPath, UsageError

__all__ = ["Fieldless"]


class Fieldless:
    """Has no fields, and its errors say where they are."""

    __slots__ = ()

    def _where(self, name: str) -> str | None:
        """Return where to find what this name means; ``None`` if it is no name of the state's."""
        raise NotImplementedError

    def _nearest(self, name: str) -> str:  # noqa: ARG002 - for those that have an answer
        """Return a question whether another name was meant; empty if none is near."""
        return ""

    if not TYPE_CHECKING:  # a checker refuses such names by itself, unless it sees that they are answered

        def __getattr__(self, name: str) -> NoReturn:
            where = None if name.startswith("_") else self._where(name)
            if where is None:
                text = f"{type(self).__name__!r} object has no attribute {name!r}; {self._nearest(name)}"
                raise AttributeError(text.rstrip("; "), name=name, obj=self)
            raise UnknownPath(name, where)

        def __setattr__(self, name: str, value: object) -> None:
            own = getattr(type(self), name, None)
            where = (
                None if name.startswith("_") or not (own is None or isinstance(own, property)) else self._where(name)
            )
            if where is not None:
                raise UsageError(f"{name} = {value!r:.80} would be lost: {where}")
            object.__setattr__(self, name, value)
