"""A client that need not know the model of a state: for the command line, and for inspection.

The law: nothing is guessed. Without a model, values are what the codec says they are, a key is one that is there, and
what is written is plain data, which the server validates like anybody's. With a model, values are read and written as
its types.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Final, Self, cast

from zproc.client.connection import Connection, expect
from zproc.client.identity import Identity, new_session
from zproc.client.stream import commit_of
from zproc.client.watch import Entry, entry_of
from zproc.core.messages import Changes, Commit as CommitCommand, Committed, Look, Read, Values, Watch
from zproc.exceptions import HistoryGone, LimitExceeded, UnknownPath
from zproc.schema.codec import Codec
from zproc.schema.event import Commit
from zproc.schema.model import Schema, StateModel
from zproc.schema.ops import MISSING, Set, op_to_plain
from zproc.schema.path import ANY, Pattern, format_path, matches, parse_path, parse_pattern, pattern_to_plain, steps
from zproc.schema.shape import ANYTHING, shape_at
from zproc.typing import Key, Path, RequestId, Revision

__all__ = ["Guest"]

_LARGEST: Final = 1 << 62


class Guest:
    """A connection to a state; used by one thread, and closed by whoever made it.

    Args:
        address: where the server listens.
        namespace: which of its states.
        process: what this is called in the history.
        schema: what the state is declared as, if that is known here.

    Raises:
        Unavailable: no server answers.
        AuthenticationError: the server does not know us, or is not the one that we know.
        UnknownPath: there is no such namespace.
        SchemaMismatch: the server declares the state differently.
    """

    def __init__(self, address: str, namespace: str, process: str, schema: Schema[StateModel] | None = None) -> None:
        self._schema = schema
        self._codec = Codec(None) if schema is None else schema.codec
        self._shape = ANYTHING if schema is None else schema.shape
        fingerprint, table = ("", {}) if schema is None else (schema.fingerprint, schema.table)
        self._connection = Connection(Identity(address, namespace, fingerprint, table, new_session(), process))
        self._request = 0

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _next(self) -> RequestId:
        self._request += 1
        return RequestId(self._request)

    # Reading

    def state(self) -> dict[str, object]:
        """Return all of the state, as plain values by field.

        Raises:
            LimitExceeded: it is too large for a message.
        """
        reply = expect(self._connection.call(Read(self._next(), (), None, None, None)), Values)
        return cast("dict[str, object]", self._codec.decode(reply.values))

    def get(self, text: str) -> object:
        """Return what stands at a dotted path.

        Raises:
            UnknownPath: nothing does.
            LimitExceeded: it is too large for a message.
        """
        path = self._path(text)
        found = self._look(path)
        if found is MISSING:
            raise UnknownPath(text, "nothing stands there")
        return found

    def _look(self, path: Path) -> object:
        reply = expect(
            self._connection.call(Look(self._next(), self._codec.encode(list(path)), "value", _LARGEST)), Values
        )
        found = cast("list[object]", self._codec.decode(reply.values))
        return found[0] if found else MISSING

    def _path(self, text: str) -> Path:
        if self._schema is not None:
            return parse_path(text, self._schema.model)
        keys = tuple(steps(text))
        if not keys or ANY in keys:
            raise UnknownPath(text, "name one place of the state")
        first, *rest = cast("tuple[str, ...]", keys)
        if not rest:
            return (first,)
        try:
            value = self._look((first,))
        except LimitExceeded:
            return (first, *rest)  # too large to look at what its keys are: then they are texts
        path: Path = (first,)
        for step in rest:
            key = _key(value, step)
            value = (
                cast("dict[object, object]", value).get(key, MISSING) if isinstance(value, dict) else _item(value, key)
            )
            path = (*path, key)
        return path

    def pattern(self, text: str) -> Pattern:
        """Return what is to be watched, as `watch` takes it.

        Raises:
            UnknownPath: it is no pattern, or leads to no field.
        """
        if self._schema is not None:
            return parse_pattern(text, self._schema.model)
        keys = tuple(steps(text))
        if keys and keys[0] is not ANY:
            with suppress(LimitExceeded):  # then there is one, a large one
                self._look((keys[0],))
        if ANY in keys:
            fixed = keys[: keys.index(ANY)]
            return (*(self._path(format_path(fixed)) if fixed else ()), *keys[len(fixed) :])
        return self._path(text)

    # Writing

    def set(self, text: str, value: object, function: str) -> Revision:
        """Put a value at a dotted path, as one validated commit.

        Args:
            text: where.
            value: what: plain data.
            function: who does it, for the history.

        Returns:
            The number of the new state.

        Raises:
            UnknownPath: there is no such place.
            CommitRefused: the state would break its schema.
            Unavailable: the connection was lost; whether it was applied is not known.
        """
        ops = self._codec.encode([op_to_plain(Set(self._path(text), value))])
        return expect(self._connection.call(CommitCommand(self._next(), None, ops, function)), Committed).revision

    def set_json(self, text: str, json: str, function: str) -> Revision:
        """Put the value of a JSON text at a dotted path, read as the model declares that place.

        Raises:
            pydantic_core.ValidationError: it stands for nothing that can be there.
            UnknownPath, CommitRefused, Unavailable: as for `set`.
        """
        shape = shape_at(self._shape, self._path(text))
        return self.set(text, (shape or ANYTHING).read_json(json), function)

    # Watching

    def commits(self, since: int | None = None) -> Iterator[Commit]:
        """Return the commits after a revision, oldest first, up to now; ``None`` for all that are held.

        Raises:
            HistoryGone: not all of them are held, or it is yet to come.
        """
        newest = self._connection.welcome.revision if since is None else None
        place = Revision(since or 0)
        while True:
            try:
                reply = self._ask(place, ((ANY,),), wait=False)
            except HistoryGone as gone:
                if since is not None or newest is None:
                    raise
                place = Revision(gone.oldest)
                continue
            if not reply.commits:
                return
            for entry in map(self._entry, reply.commits):
                yield self._event(entry)
                place = entry.revision

    def watch(self, patterns: tuple[Pattern, ...], since: int | None = None) -> Iterator[Commit]:
        """Return the commits that touch any of some patterns, as they come, without end, and of them what does.

        Args:
            patterns: which, as `pattern` returns them.
            since: the revision to begin after; ``None`` for now.

        Raises:
            HistoryGone: some of them were dropped before they could be told.
            Unavailable: the connection was lost.
        """
        place = self._connection.welcome.revision if since is None else Revision(since)
        while True:
            for entry in map(self._entry, self._ask(place, patterns, wait=True).commits):
                concerned = [each for each in entry.changes if any(matches(one, each.op.path) for one in patterns)]
                yield self._event(replace(entry, changes=tuple(concerned)))
                place = entry.revision

    def _ask(self, since: Revision, patterns: tuple[Pattern, ...], *, wait: bool) -> Changes:
        encoded = self._codec.encode(list(map(pattern_to_plain, patterns)))
        watch = Watch(self._next(), since, encoded, own=True, duplicates=True, state=False, wait=wait)
        return expect(self._connection.call(watch), Changes)

    def _entry(self, encoded: bytes) -> Entry:
        return entry_of(self._codec, encoded)

    def _event(self, entry: Entry) -> Commit:
        return commit_of(self._shape, self._connection.welcome.epoch, entry)


def _key(container: object, step: str) -> Key:
    """Return the key of a container that a step of a text means: one that is there, or else the text."""
    if isinstance(container, dict):
        return next((cast("Key", key) for key in container if key == step or str(key) == step), step)
    if isinstance(container, (list, tuple)) and step.isdecimal():
        return int(step)
    return step


def _item(container: object, key: Key) -> object:
    if isinstance(container, (list, tuple)) and isinstance(key, int) and key < len(container):
        return container[key]
    return MISSING
