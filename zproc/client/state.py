"""The live handle of a state, with the methods that only a state has.

The law: these methods do for the live state what ``StateModel`` promises of them, in as few round trips as it takes.
"""

from __future__ import annotations

from typing import Never, cast

from pydantic import BaseModel

from zproc.client.handle import ModelHandle, address_of, kind_of
from zproc.client.number import sent
from zproc.client.stream import ClientWatchers
from zproc.exceptions import UsageError
from zproc.schema.model import StateModel, refuse_misplaced
from zproc.schema.ops import Op
from zproc.schema.path import no_field
from zproc.schema.snapshot import snapshot_of
from zproc.schema.values import detached

__all__ = ["StateHandle"]


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

    def update(self, *misplaced: Never, **values: object) -> None:
        """Assign to several fields at once; see ``StateModel.update``."""
        refuse_misplaced(misplaced)
        ops: list[Op] = []
        for name, value in values.items():
            if name not in self._zproc_fields:
                raise no_field(cast("type[BaseModel]", kind_of(self)), name, name)
            ops += self._zproc_assignment(name, value)
        if ops:
            self._zproc_commit(*ops)
        for value in values.values():
            sent(value)

    def __zproc_watchers__(self) -> ClientWatchers:
        """Return what waits for this state."""
        client, path = address_of(self)
        if path:
            raise UsageError("watch from the root of the state: state.get_when_change('oven.temp')")
        return ClientWatchers(client)
