"""What a client process holds of the state.

The law: a held value was true at the revision that it is marked with, and is replaced as a whole, never changed:
whoever got hold of it keeps a consistent old one. Only what was read is held, and all of it is of one life of the
server: the revisions of another say nothing of these values.

What was true at one revision is a `Moment`. As long as the server's revision word says that there is no later one, it
is the present, and whoever reads of it has read the newest state without asking.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, cast

from zproc.client.number import Origin, live_number
from zproc.exceptions import SchemaError
from zproc.schema.model import Schema, StateModel
from zproc.schema.path import format_path
from zproc.schema.shape import Shape
from zproc.schema.snapshot import assemble, snapshot_of
from zproc.schema.values import is_atom
from zproc.transport import NOWHERE
from zproc.typing import Epoch, Path, Revision

__all__ = ["LARGE", "LARGEST", "NEVER", "Held", "Large", "Moment", "Replica"]

LARGEST: Final = 64 << 10
"""How many encoded bytes a field may have to be held because it was read."""

_TOGETHER: Final = 1 << 20
"""How many bytes of held fields are brought up to date together."""

_TRUSTED: Final = 0.1
"""For how long the word of a server is trusted without a look whether the server is there, in seconds."""


class Large(Enum):
    """The type of LARGE."""

    LARGE = "large"


LARGE: Final = Large.LARGE
"""In the place of a field's value: it is not held, and read by address."""


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


class Moment:
    """Fields of one revision.

    Args:
        word: the revision word of the state.
        revision: when these values were true.
        values: the values, not to be changed.
        direct: of these, what whoever reads a field may be handed as it is.
        until: when to look next whether the server is there, in the monotonic time of this process, in seconds.
    """

    __slots__ = ("direct", "revision", "until", "values", "word")

    def __init__(
        self,
        word: memoryview,
        revision: Revision,
        values: Mapping[str, object],
        direct: Mapping[str, object],
        until: float,
    ) -> None:
        self.word: memoryview = word
        self.revision: Revision = revision
        self.values: Mapping[str, object] = values
        self.direct: Mapping[str, object] = direct
        self.until: float = until

    def is_newest(self) -> bool:
        """Whether there is no later revision, unless the server was killed."""
        return bool(self.word[0] == self.revision)

    def trust(self) -> None:
        """Take note that the server is there."""
        self.until = time.monotonic() + _TRUSTED


NEVER: Final = Moment(NOWHERE, Revision(0), {}, {}, 0.0)
"""The moment of somebody who has to ask."""


class Replica:
    """The values of top-level fields that were read.

    Args:
        schema: what the state is declared as.
        epoch: the life of the server that they are of.
        word: the revision word of the state.
        reader: what numbers are marked with as having been read from here.
    """

    def __init__(
        self, schema: Schema[StateModel], epoch: Epoch, word: memoryview = NOWHERE, reader: object = None
    ) -> None:
        self.epoch: Final = epoch
        self.moment: Moment = Moment(word, Revision(0), {}, {}, 0.0)
        self._word = word
        self._reader = reader
        self._schema = schema
        self._lock = threading.Lock()
        self._held: dict[str, Held] = {}
        self._large: set[str] = set()

    # What is held

    def held(self, name: str) -> Held | None:
        """Return what is held of a field."""
        return self._held.get(name)

    def is_large(self, name: str) -> bool:
        """Whether a field was too large to be sent, when it was asked for last."""
        return name in self._large

    def small(self, first: Iterable[str] = ()) -> dict[str, Held]:
        """Return what is held and cheap to have sent again together, some fields before all others."""
        with self._lock:
            names = dict.fromkeys((*(name for name in first if name in self._held), *self._held))
            found: dict[str, Held] = {}
            room = _TOGETHER
            for name in names:
                held = self._held[name]
                if held.size <= min(room, LARGEST):
                    found[name] = held
                    room -= held.size
            return found

    def take(
        self, asked: Mapping[str, Held | None], revision: Revision, encoded: bytes, large: Iterable[str] = ()
    ) -> dict[str, object]:
        """Take what a server said of some fields: the values of those that have changed.

        Args:
            asked: the fields, with what was held of them when the server was asked; another thread may have replaced
                it since.
            revision: of when the answer is.
            encoded: the answer.
            large: the names of those that were too large to be sent.

        Returns:
            The values at that revision, of those that were not too large.
        """
        large = set(large)
        # The usual answer to who holds all of them is an empty map, of one byte.
        changed = self.decode(encoded) if len(encoded) > 1 else {}
        news: dict[str, Held] = {}
        for name, known in asked.items():
            if name in changed:
                # How much of the bytes is whose is not said; it is enough that none is larger than all together.
                news[name] = Held(changed[name], revision, len(encoded))
            elif known is not None and name not in large:
                news[name] = Held(known.value, revision, known.size)
        with self._lock:
            self._large = (self._large | large) - news.keys()
            for name in large:
                self._held.pop(name, None)
            for name, new in news.items():
                held = self._held.get(name)
                # Another thread may have taken a newer answer meanwhile.
                if held is None or held.revision <= revision:
                    self._held[name] = new
            self._move_on(news, revision)
        return {name: new.value for name, new in news.items()}

    def _move_on(self, news: Mapping[str, Held], revision: Revision) -> None:
        """Make what is now known of one revision the moment that is read of."""
        last = self.moment
        if revision < last.revision:
            return
        values = dict(last.values) if revision == last.revision else {}
        direct = dict(last.direct) if revision == last.revision else {}
        for name, new in news.items():
            values[name] = new.value
            if name in last.direct and last.values[name] is new.value:
                direct[name] = last.direct[name]
            elif is_atom(new.value):
                direct[name] = self._marked(name, new.value)
        moment = Moment(self._word, revision, values, direct, 0.0)
        moment.trust()
        self.moment = moment

    def _marked(self, name: str, value: object) -> object:
        if type(value) is int or type(value) is float:
            return live_number(value, Origin(self._reader, (name,), (name,)))
        return value

    def found_small(self, name: str) -> None:
        """Take note that a field may be asked for again."""
        with self._lock:
            self._large.discard(name)

    # What came over the wire

    def decode(self, encoded: bytes) -> dict[str, object]:
        """Return encoded fields as values of their types.

        Raises:
            SchemaError: a validator does not take what it has made itself.
        """
        plain = cast("dict[str, object]", self._schema.codec.decode(encoded))
        return {name: typed(self._schema.shape.fields[name], (name,), value) for name, value in plain.items()}

    def snapshot(self, encoded: bytes) -> StateModel:
        """Return a frozen copy of the state of its encoded fields."""
        return snapshot_of(self._schema.model, self.decode(encoded))

    def root(self, fields: dict[str, object]) -> StateModel:
        """Return an instance of the state that has these fields as they are."""
        return assemble(self._schema.model, fields)


def typed(shape: Shape, path: Path, value: object) -> object:
    """Return plain data as what stands at an address.

    Raises:
        SchemaError: a validator does not take what it has made itself.
    """
    try:
        return shape.validate(value)
    except Exception as error:
        where = format_path(path)
        raise SchemaError(where, f"a validator does not take a value that it has made itself: {error}") from error
