"""The live handle of a state: what only a state can do, besides what every model can.

The law: what ``StateModel`` promises of these methods is kept here for the live state, in as few round trips as it
takes.
"""

from __future__ import annotations

from typing import cast

from pydantic import BaseModel

from zproc.client.handle import Handle, ModelHandle, address_of, kind_of
from zproc.client.number import sent
from zproc.client.watch import Cursor
from zproc.exceptions import UsageError
from zproc.schema.model import StateModel
from zproc.schema.ops import Op, get
from zproc.schema.path import no_field, parse_path
from zproc.schema.snapshot import snapshot_of
from zproc.schema.values import detached
from zproc.typing import Path

__all__ = ["StateHandle"]


def _at(state: object, path: Path) -> object:
    for key in path:
        state = get(state, key)
    return state


class StateHandle(ModelHandle, stands_for=StateModel):
    """The live handle of a state: what only a state can do, besides what every model can."""

    __slots__ = ()

    def snapshot(self) -> object:
        """Return a frozen, detached copy; see ``StateModel.snapshot``."""
        _, path = address_of(self)
        value = self.__zproc_value__()
        if not path:
            return value
        assert isinstance(value, StateModel), "it stands for a state model"
        return snapshot_of(type(value), detached(value).__dict__)

    def update(self, **values: object) -> None:
        """Assign to several fields at once; see ``StateModel.update``."""
        ops: list[Op] = []
        for name, value in values.items():
            if name not in self._zproc_fields:
                raise no_field(cast("type[BaseModel]", kind_of(self)), name, name)
            ops += self._zproc_assignment(name, value)
        if ops:
            self._zproc_commit(*ops)
        for value in values.values():
            sent(value)

    def get_when_change(self, *fields: str, timeout: float | None = None) -> object:
        """Wait for the next change; see ``StateModel.get_when_change``."""
        return _cursor(self, fields).next(timeout)

    def get_when_equal(self, field: str, value: object, *, timeout: float | None = None) -> object:
        """Wait until a field has a value; see ``StateModel.get_when_equal``."""
        path = parse_path(field, kind_of(self))
        cursor = _cursor(self, (field,))
        wanted = detached(value)  # of a live handle, what it stands for now
        return cursor.until(lambda state: bool(_at(state, path) == wanted), f"{field} == {wanted!r:.80}", timeout)


def _cursor(handle: Handle, fields: tuple[str, ...]) -> Cursor:
    client, path = address_of(handle)
    if path:
        raise UsageError("watch from the root of the state: state.get_when_change('oven.temp')")
    return Cursor(client, fields)
