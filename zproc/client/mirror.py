"""The whole state at a revision, advanced commit by commit.

The law: it is advanced by the changes of each commit, in order and none left out, so at each revision it equals the
server's state at that revision.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from zproc.client.replica import typed
from zproc.schema.change import Change, Replay
from zproc.schema.model import Schema, StateModel
from zproc.schema.snapshot import snapshot_of
from zproc.schema.values import detached, is_atom
from zproc.typing import Revision

__all__ = ["Mirror"]


class Mirror:
    """A state that follows.

    Args:
        schema: what the state is declared as.
        revision: where to begin.
        encoded: all fields of that revision.
    """

    def __init__(self, schema: Schema[StateModel], revision: Revision, encoded: bytes) -> None:
        self.revision: Revision = revision
        self._schema = schema
        self._plain = cast("dict[str, object]", schema.codec.decode(encoded))
        self._typed: dict[str, object] = {}

    def advance(self, revision: Revision, changes: Iterable[Change]) -> None:
        """Move on by one commit, the next one."""
        assert revision == self.revision + 1, "a commit is missing"
        replay = Replay()
        for change in changes:
            replay.do(self._plain, change.op)
            self._typed.pop(cast("str", change.op.path[0]), None)
        replay.finish()
        self.revision = revision

    def snapshot(self) -> StateModel:
        """Return a frozen copy of the state."""
        return snapshot_of(self._schema.model, {name: self._field(name) for name in self._plain})

    def _field(self, name: str) -> object:
        value = self._plain[name]
        if name not in self._typed:
            # Of a copy, for the value is changed in place and validation may hand parts of it on as they are.
            self._typed[name] = typed(self._schema.shape.fields[name], (name,), detached(value))
        found = self._typed[name]
        return found if is_atom(found) else detached(found)
