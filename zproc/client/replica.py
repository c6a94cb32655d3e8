"""What a client process holds of the state.

The law: a held value was true at the revision that it is marked with, and is replaced as a whole, never changed:
whoever got hold of it keeps a consistent old one. Only what was read is held, and all of it is of one life of the
server: the revisions of another say nothing of these values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, cast

from zproc.exceptions import SchemaError
from zproc.schema.model import Schema, StateModel
from zproc.schema.snapshot import assemble, snapshot_of
from zproc.typing import Epoch, Revision

__all__ = ["Held", "Replica"]

_SMALL: Final = 64 << 10
"""Up to how many encoded bytes a field comes along with a turn, in case that it is looked at, if it was read before."""


@dataclass(frozen=True, slots=True)
class Held:
    """A field that was read.

    Attributes:
        value: what it was, not to be changed.
        revision: when it was that.
        size: how many bytes it is encoded in.
    """

    value: object
    revision: Revision
    size: int


class Replica:
    """The values of top-level fields that were read.

    Args:
        schema: what the state is declared as.
        epoch: the life of the server that they are of.
    """

    def __init__(self, schema: Schema[StateModel], epoch: Epoch) -> None:
        self.epoch: Final = epoch
        self._schema = schema
        self._held: dict[str, Held] = {}

    def held(self, name: str) -> Held | None:
        """Return what is held of a field."""
        return self._held.get(name)

    def small(self) -> dict[str, Held]:
        """Return what is held and cheap to have sent again."""
        return {name: held for name, held in self._held.copy().items() if held.size <= _SMALL}

    def update(self, name: str, known: Held | None, revision: Revision, encoded: bytes) -> object:
        """Take what a server said of one field: its value if it has changed, nothing if it has not.

        Args:
            name: the field.
            known: what was held of it when the server was asked; another thread may have replaced it since.
            revision: of when the answer is.
            encoded: the answer.

        Returns:
            The value at that revision.
        """
        if known is not None and len(encoded) == 1:  # an empty map: the usual answer to who holds the field
            if known.revision != revision:
                self._keep(name, Held(known.value, revision, known.size))
            return known.value
        value = self.decode(encoded)[name]
        self._keep(name, Held(value, revision, len(encoded)))
        return value

    def catch_up(self, known: dict[str, Held], revision: Revision, encoded: bytes) -> dict[str, object]:
        """Take what a server said of some fields that are held: the values of those that have changed.

        Returns:
            The values of all of them at that revision.
        """
        changed = self.decode(encoded) if encoded else {}
        values: dict[str, object] = {}
        for name, held in known.items():
            values[name] = changed.get(name, held.value)
            # How much of the bytes is whose is not said; it is enough to know that none of them is larger than all.
            self._keep(name, Held(values[name], revision, len(encoded) if name in changed else held.size))
        return values

    def _keep(self, name: str, new: Held) -> None:
        known = self._held.get(name)
        # Another thread may have taken a newer answer meanwhile.
        if known is None or known.revision <= new.revision:
            self._held[name] = new

    def decode(self, encoded: bytes) -> dict[str, object]:
        """Return encoded fields as values of their types.

        Raises:
            SchemaError: a validator does not take what it has made itself.
        """
        plain = cast("dict[str, object]", self._schema.codec.decode(encoded))
        return {name: self._typed(name, value) for name, value in plain.items()}

    def _typed(self, name: str, value: object) -> object:
        try:
            return self._schema.shape.fields[name].validate(value)
        except Exception as error:
            raise SchemaError(name, f"a validator does not take a value that it has made itself: {error}") from error

    def snapshot(self, encoded: bytes) -> StateModel:
        """Return a frozen copy of the state of its encoded fields."""
        return snapshot_of(self._schema.model, self.decode(encoded))

    def root(self, fields: dict[str, object]) -> StateModel:
        """Return an instance of the state that has these fields as they are."""
        return assemble(self._schema.model, fields)
