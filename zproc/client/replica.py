"""The fields of the state that a client process holds.

The law: a held value was true at the revision that it is marked with, and is replaced as a whole, never changed, so
whoever has one keeps a consistent old one. Only what was read is held, and all of it is of one life of the server: the
revisions of another say nothing about these values.

The values of one revision are a `Moment`. As long as the server's revision word says that there is no later one, it is
the present, and whoever reads from it has read the newest state without asking.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from time import monotonic
from typing import Final, cast

from zproc.exceptions import SchemaError
from zproc.schema.model import Schema, StateModel
from zproc.schema.path import format_path
from zproc.schema.shape import Shape
from zproc.schema.snapshot import accepted, snapshot_of
from zproc.transport import NOWHERE
from zproc.typing import Epoch, Path, Revision

__all__ = ["LARGE", "LARGEST", "NEVER", "Held", "Large", "Moment", "Replica"]

LARGEST: Final = 64 << 10
"""How many encoded bytes a field may have to be held because it was read."""

_TOGETHER: Final = 1 << 20
"""How many bytes of held fields are brought up to date together."""

_TINY: Final = 512
"""Up to how many bytes it does not matter which of the fields that are held together they are of."""

_TRUSTED: Final = 0.1
"""For how long the word of a server is trusted without a look whether the server is there, in seconds."""


class Large(Enum):
    """The type of LARGE."""

    LARGE = "large"


LARGE: Final = Large.LARGE
"""In the place of a field's value: it is not held, and read by address."""


@dataclass(frozen=True, slots=True)
class Held:
    """A field that was read, and is not of the present moment.

    Attributes:
        value: what it was, not to be changed.
        revision: when it was that.
    """

    value: object
    revision: Revision


class Moment:
    """Fields of one revision.

    Args:
        word: the revision word of the state.
        revision: when these values were true.
        values: the values, not to be changed.
        direct: of these, what whoever read a field was handed, as far as all may be handed the same.
        until: when to look next whether the server is there, in the monotonic time of this process, in seconds.
    """

    __slots__ = ("direct", "revision", "until", "values", "word")

    def __init__(
        self,
        word: memoryview,
        revision: Revision,
        values: Mapping[str, object],
        direct: dict[str, object],
        until: float,
    ) -> None:
        self.word: memoryview = word
        self.revision: Revision = revision
        self.values: Mapping[str, object] = values
        self.direct: dict[str, object] = direct
        self.until: float = until

    def is_newest(self) -> bool:
        """Whether there is no later revision, unless the server was killed."""
        return bool(self.word[0] == self.revision)

    def trust(self) -> None:
        """Record that the server is there."""
        self.until = monotonic() + _TRUSTED


NEVER: Final = Moment(NOWHERE, Revision(0), {}, {}, 0.0)
"""The moment of somebody who has to ask, and holds nothing."""

_NOTHING: Final[Mapping[str, object]] = {}


class Replica:
    """The values of top-level fields that were read.

    Nearly always they are all of one revision, the present moment, and brought up to date together by one question.
    What is not, because it is large or was read by itself, is held aside.

    Args:
        schema: what the state is declared as.
        epoch: the life of the server that they are of.
        word: the revision word of the state.
    """

    def __init__(self, schema: Schema[StateModel], epoch: Epoch, word: memoryview = NOWHERE) -> None:
        self.epoch: Final = epoch
        self.moment: Moment = Moment(word, Revision(0), {}, {}, 0.0)
        self.told: Revision = Revision(0)
        """The revision of the last answer that was not about fields."""
        self._word = word
        self._schema = schema
        self._lock = threading.Lock()
        self._aside: dict[str, Held] = {}
        self._large: set[str] = set()
        self._sizes: dict[str, int] = {}
        """In how many bytes each field is encoded that is held, at most."""
        self._together: bool = True
        """Whether all that is held is of the moment, and cheap to be asked for together."""

    @property
    def has_word(self) -> bool:
        """Whether the newest revision can be seen without asking."""
        return self._word[0] != NOWHERE[0]

    def newest(self) -> Revision:
        """Return the newest revision, as far as it is known without asking."""
        newest = self._word[0]
        return Revision(newest) if newest != NOWHERE[0] else max(self.told, self.moment.revision)

    # What is held

    def held(self, name: str) -> Held | None:
        """Return what is held of a field."""
        moment = self.moment
        if name in moment.values:
            return Held(moment.values[name], moment.revision)
        return self._aside.get(name)

    def is_large(self, name: str) -> bool:
        """Whether a field was too large to be sent, when it was asked for last."""
        return name in self._large

    def small(self, first: str | None = None) -> Moment:
        """Return what is held and cheap to have sent again together, and a revision at which none of it was older.

        Args:
            first: a field that is wanted before all others, if it is held.
        """
        if self._together:
            return self.moment
        with self._lock:
            found: dict[str, object] = {}
            since, room = None, _TOGETHER
            for name in dict.fromkeys((*([] if first is None else [first]), *self.moment.values, *self._aside)):
                held, size = self.held(name), self._sizes.get(name, 0)
                if held is not None and size <= min(room, LARGEST):
                    found[name] = held.value
                    since = held.revision if since is None else min(since, held.revision)
                    room -= size
            return Moment(NOWHERE, since or Revision(0), found, {}, 0.0)

    def known(self, name: str) -> Moment:
        """Return what to ask for when a field is: it with all that is small, it alone, or nothing if it is not held."""
        if self._sizes.get(name, 0) > LARGEST:
            held = self.held(name)
            return NEVER if held is None else Moment(NOWHERE, held.revision, {name: held.value}, {}, 0.0)
        small = self.small(name)
        return small if name in small.values else NEVER

    def take(
        self, asked: Moment, revision: Revision, encoded: bytes, large: Iterable[str] = ()
    ) -> Mapping[str, object]:
        """Take in a server's answer about some fields: the values of those that have changed.

        Args:
            asked: what was held of them when the server was asked; another thread may have replaced it since.
            revision: of when the answer is.
            encoded: the answer.
            large: the names of those that were too large to be sent.

        Returns:
            The values at that revision, of those that were not too large; not to be changed.
        """
        # The usual answer to who holds all of them is an empty map, of one byte.
        changed = self.decode(encoded) if len(encoded) > 1 else _NOTHING
        values = {**asked.values, **changed} if changed else asked.values
        with self._lock:
            last = self.moment
            if asked is not last or large or revision < last.revision:
                return self._take_apart(values, changed, revision, len(encoded), frozenset(large))
            if len(encoded) > _TINY:
                self._note_sizes(changed, len(encoded))
            self.moment = Moment(self._word, revision, values, {} if changed else last.direct, monotonic() + _TRUSTED)
        return values

    def move_on(self, revision: Revision, encoded: bytes) -> bool:
        """Advance the moment to the next revision, given all that is new in it, and return whether it is the next.

        Args:
            revision: the revision.
            encoded: the fields that are others in it than in the one before.
        """
        if self.moment.revision + 1 != revision:
            return False
        changed = self.decode(encoded)
        with self._lock:
            last = self.moment
            if last.revision + 1 != revision or not changed.keys() <= last.values.keys():
                return False
            values = {**last.values, **changed}
            self.moment = Moment(self._word, revision, values, {}, monotonic() + _TRUSTED)
        return True

    def _take_apart(
        self,
        values: Mapping[str, object],
        changed: Mapping[str, object],
        revision: Revision,
        size: int,
        large: frozenset[str],
    ) -> Mapping[str, object]:
        """Take an answer that is not about all that is held now: another thread has taken one, or more was held."""
        last = self.moment
        values = {name: value for name, value in values.items() if name not in large}
        self._large = (self._large | large) - values.keys()
        for name in large:
            self._aside.pop(name, None)
        if revision < last.revision:
            # Nobody's present; but better than nothing, where nothing newer is held.
            for name in values.keys() - last.values.keys():
                held = self._aside.get(name)
                if held is None or held.revision <= revision:
                    self._aside[name] = Held(values[name], revision)
            present = last.values
        else:
            before = {name: value for name, value in last.values.items() if name not in large}
            if revision == last.revision:
                present = {**before, **values}
            else:
                present = values
                self._aside.update(
                    {name: Held(value, last.revision) for name, value in before.items() if name not in values}
                )
            for name in present:
                self._aside.pop(name, None)
            self.moment = Moment(self._word, revision, present, {}, monotonic() + _TRUSTED)
        self._sizes = {name: self._sizes.get(name, size) for name in (*present, *self._aside)}
        self._note_sizes([name for name in changed if name in self._sizes], size)
        return values

    def _note_sizes(self, names: Iterable[str], size: int) -> None:
        # How much of the bytes is whose is not said; it is enough that none is larger than all together.
        self._sizes.update(dict.fromkeys(names, size))
        sizes = self._sizes.values()
        self._together = not self._aside and max(sizes, default=0) <= LARGEST and sum(sizes) <= _TOGETHER

    def found_small(self, name: str) -> None:
        """Record that a field may be asked for again."""
        with self._lock:
            self._large.discard(name)

    # What came over the wire

    def decode(self, encoded: bytes) -> dict[str, object]:
        """Return encoded fields as values of their types.

        Raises:
            SchemaError: a validator does not take what it has made itself.
        """
        plain = cast("dict[str, object]", self._schema.codec.decode(encoded))
        fields = self._schema.shape.fields
        try:
            return {name: fields[name].check(value) for name, value in plain.items()}
        except Exception:  # noqa: BLE001 - once more, to say which, or to do without it
            return {name: typed(fields[name], (name,), value) for name, value in plain.items()}

    def snapshot(self, encoded: bytes) -> StateModel:
        """Return a frozen copy of the state of its encoded fields."""
        return snapshot_of(self._schema.model, self.decode(encoded))


def typed(shape: Shape, path: Path, value: object) -> object:
    """Return plain data as what stands at an address.

    Raises:
        SchemaError: a validator does not take what it has made itself, and only it can say what that is.
    """
    try:
        return shape.check(value)
    except Exception as error:  # noqa: BLE001 - whatever a validator of the user's raises
        try:
            return accepted(shape, value)
        except Exception:  # noqa: BLE001 - what it has raised before says more
            where = format_path(path)
            raise SchemaError(where, f"a validator does not take a value that it has made itself: {error}") from error
